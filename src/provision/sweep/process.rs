//! One process: `up` or `down` from the disk's point of view, and how it can die.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base::{Shutdown, chain};
use cloud::fake::Faults;
use cloud::{
    Caller, Cloud, CloudError, Image, ImageQuery, InstanceType, Neighbour, Outcome, Permission, Zone,
};
use ipnet::Ipv4Net;
use plan::model::{Call, Instance, InstanceState, Inventory};
use plan::{Role, Step};

use super::world::{NAME, UID, World};
use crate::execute::{
    Context, Launcher, NodeAddress, Prepared, Progress, Report, Silent, StepError, StepRunner, run, settle,
};
use crate::journal::{Journal, JournalObserver};
use crate::state::{NewState, Opened, StateFile, Store};

/// How a process ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It did what it was asked for.
    Done,
    /// It said why not.
    Failed(String),
    /// It died.
    Killed,
}

/// What kills a process, beside the faults of the way to AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kill {
    Never,
    /// Once the nth journal entry is on disk.
    AfterWrite(u64),
    /// In the middle of writing the nth journal entry.
    DuringWrite(u64),
    /// Before the nth bootstrap step.
    BeforeStep(u32),
    /// Once the nth bootstrap step is done, before anybody learns.
    AfterStep(u32),
    /// The nth bootstrap step fails; the process lives.
    FailStep(u32),
}

/// A process that runs.
pub(crate) struct Process<'a> {
    world: &'a World,
    store: Arc<Store>,
    dead: Shutdown,
    kill: Kill,
    steps: AtomicU32,
    cloud: Mortal,
}

impl World {
    /// Runs `up` in a process of its own, over `way`.
    pub(crate) async fn up(&self, way: &Arc<Faults>, kill: Kill) -> End {
        self.live(way, kill, &Shutdown::new(), &Silent, Command::Up).await
    }

    /// Runs `down` in a process of its own, over `way`.
    pub(crate) async fn down(&self, way: &Arc<Faults>, kill: Kill) -> End {
        self.live(way, kill, &Shutdown::new(), &Silent, Command::Down).await
    }

    /// Runs a command until it ends, by itself or not.
    pub(crate) async fn live(
        &self,
        way: &Arc<Faults>,
        kill: Kill,
        shutdown: &Shutdown,
        progress: &dyn Progress,
        command: Command,
    ) -> End {
        way.revive();
        let dead = Shutdown::new();
        let witness = Arc::new(Witness {
            folder: self.folder().path().to_owned(),
            snapshot: self.scratch.0.join("snapshot"),
            kill,
            dead: dead.clone(),
            taken: Mutex::new(false),
            writes: self.writes.clone(),
        });
        let end = {
            let store = Arc::new(self.open());
            let journal = Journal::open(&store.folder().journal()).unwrap().observed(witness.clone());
            let cloud = Mortal {
                way: way.clone(),
                dead: dead.clone(),
                journal: store.folder().journal(),
                flying: AtomicUsize::new(0),
                busiest: self.busiest.clone(),
            };
            let process = Process {
                world: self,
                store: store.clone(),
                dead: dead.clone(),
                kill,
                steps: AtomicU32::new(0),
                cloud,
            };
            let context = Context {
                cluster: NAME,
                cloud: &process.cloud,
                journal: &journal,
                store: &store,
                clock: &*self.clock,
                ids: self,
                shutdown,
                progress,
                limits: self.limits,
            };
            let work = async {
                match command {
                    Command::Up => process.up(&context).await,
                    Command::Down => process.down(&context, Some(UID)).await,
                    Command::DownByName => process.down(&context, None).await,
                }
            };
            tokio::select! {
                biased;
                () = dead.triggered() => End::Killed,
                end = work => end,
            }
        };
        if dead.is_triggered() {
            witness.restore();
            return End::Killed;
        }
        end
    }

    fn open(&self) -> Store {
        let folder = self.folder();
        let lock = folder.lock("cluster", &*self.clock).unwrap();
        match Store::open(&folder, lock).unwrap() {
            Opened::Known(store) => store,
            Opened::New(lock) => {
                let new = NewState {
                    name: NAME.to_owned(),
                    uid: UID.to_owned(),
                    account: "123456789012".to_owned(),
                    region: "us-east-1".to_owned(),
                    endpoint: None,
                };
                let state = StateFile::new(new, base::Clock::now(&*self.clock));
                Store::create(&folder, lock, state).unwrap()
            }
        }
    }
}

/// What a process is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Up,
    Down,
    /// `down` where no state folder knows the cluster.
    DownByName,
}

impl Process<'_> {
    async fn up(&self, context: &Context<'_>) -> End {
        let inventory = match settle(context).await {
            Ok(inventory) => inventory,
            Err(error) => return End::Failed(chain(&error)),
        };
        let observed = self.world.observed(&inventory);
        let plan = match plan::planner::decide(&self.world.desired(), &observed) {
            Ok(plan) => plan,
            Err(refusal) => return End::Failed(refusal.to_string()),
        };
        match run(&plan, &inventory, context, self, self).await {
            Ok(_) => End::Done,
            Err(crate::execute::RunError::Failed { failures, .. }) => {
                let each: Vec<String> = failures.iter().map(words).collect();
                End::Failed(each.join("; "))
            }
            Err(error) => End::Failed(error.to_string()),
        }
    }

    async fn down(&self, context: &Context<'_>, uid: Option<&str>) -> End {
        match crate::down::down(context, uid).await {
            Ok(_) => End::Done,
            Err(crate::down::DownError::Failed { failures }) => {
                let each: Vec<String> = failures.iter().map(words).collect();
                End::Failed(each.join("; "))
            }
            Err(error) => End::Failed(chain(&error)),
        }
    }

    /// Stops being.
    async fn die(&self) {
        self.dead.trigger();
        std::future::pending().await
    }
}

#[async_trait]
impl Launcher for Process<'_> {
    async fn prepare(&self, slot: &str, attempt: u32) -> Result<Prepared, StepError> {
        let key = format!("host key {slot} {attempt}");
        self.store.write_secret(&format!("nodes/{slot}"), key.as_bytes()).map_err(StepError::new)?;
        Ok(Prepared { user_data: format!("#cloud-config\n# {key}\n") })
    }
}

#[async_trait]
impl StepRunner for Process<'_> {
    async fn run(
        &self,
        slot: &str,
        role: Role,
        step: Step,
        node: &NodeAddress,
        _: &Report<'_>,
    ) -> Result<(), StepError> {
        let number = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if self.kill == Kill::BeforeStep(number) {
            self.die().await;
        }
        if self.kill == Kill::FailStep(number) {
            return Err(StepError::new(format!("{step} failed (injected)")));
        }
        self.world.do_step(&self.store, slot, role, step, node);
        if self.kill == Kill::AfterStep(number) {
            self.die().await;
        }
        Ok(())
    }
}

impl World {
    /// A step as a node would take it: only on the right machine, in order, under the pinned key.
    fn do_step(&self, store: &Store, slot: &str, role: Role, step: Step, node: &NodeAddress) {
        let world = self.fake.world();
        let instance = world.instances.iter().find(|i| i.id == node.instance_id).unwrap();
        assert_eq!(instance.state, InstanceState::Running, "{slot}: {step} on a machine that does not run");
        assert_eq!(instance.tags.slot(), Some(slot));
        assert_eq!(instance.private_address, Some(node.private));
        assert_eq!(instance.public_address, node.public);
        let requests = self.account.requests.lock().unwrap();
        let pinned = String::from_utf8(store.secret(&format!("nodes/{slot}")).unwrap().unwrap()).unwrap();
        let user_data = &requests[&node.instance_id].user_data;
        assert!(user_data.contains(&pinned), "{slot}: {pinned:?} is pinned, {user_data:?} is there");
        let mut nodes = self.nodes.lock().unwrap();
        let done = nodes.entry(node.instance_id.clone()).or_default();
        let before = Step::of_role(role).iter().take_while(|s| **s != step);
        assert!(before.into_iter().all(|s| done.contains(s)), "{slot}: {step} came before its time");
        done.insert(step);
        if step == Step::Ready {
            store.write_secret(&format!("established/{slot}"), node.instance_id.as_bytes()).unwrap();
        }
    }
}

/// A failure and, where it has one, the console.
fn words(failure: &crate::execute::Failure) -> String {
    let text = format!("{}: {}", failure.label, chain(&failure.error));
    match &failure.console {
        Some(console) => format!("{text} [console of {}: {}]", console.instance, console.last_lines),
        None => text,
    }
}

/// Keeps the folder as it was on disk when the process died.
struct Witness {
    folder: PathBuf,
    snapshot: PathBuf,
    kill: Kill,
    dead: Shutdown,
    taken: Mutex<bool>,
    writes: Arc<AtomicU64>,
}

impl JournalObserver for Witness {
    fn synced(&self, writes: u64) {
        self.writes.store(writes, Ordering::Relaxed);
        let torn = self.kill == Kill::DuringWrite(writes);
        if !torn && self.kill != Kill::AfterWrite(writes) {
            return;
        }
        copy(&self.folder, &self.snapshot);
        if torn {
            let path = self.snapshot.join("journal.jsonl");
            let bytes = fs::read(&path).unwrap();
            let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
            fs::write(&path, &bytes[..last + (bytes.len() - last) / 2]).unwrap();
        }
        *self.taken.lock().unwrap() = true;
        self.dead.trigger();
    }
}

impl Witness {
    fn restore(&self) {
        if *self.taken.lock().unwrap() {
            let _ = fs::remove_dir_all(&self.folder);
            copy(&self.snapshot, &self.folder);
            fs::remove_dir_all(&self.snapshot).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The way to AWS of a process that may die: a dead one gets no answer and asks nothing.
struct Mortal {
    way: Arc<Faults>,
    dead: Shutdown,
    journal: PathBuf,
    flying: AtomicUsize,
    busiest: Arc<AtomicUsize>,
}

impl Mortal {
    /// What is on disk before a call is made: its intent, whole.
    fn assert_announced(&self, call: &Call<String>) {
        let journal = fs::read_to_string(&self.journal).unwrap();
        let announced = match call {
            // May be the rest of a batch that was announced whole.
            Call::AuthorizeSecurityGroupIngress { group, .. }
            | Call::RevokeSecurityGroupIngress { group, .. } => format!("\"group\":\"{group}\""),
            Call::TerminateInstances { instances } => instances[0].clone(),
            call => serde_json::to_string(call).unwrap(),
        };
        let intents = journal.lines().filter(|line| line.contains("\"intent\""));
        assert!(intents.into_iter().any(|line| line.contains(&announced)), "{call:?} was not announced");
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, CloudError>>) -> Result<T, CloudError> {
        if self.dead.is_triggered() {
            return std::future::pending().await;
        }
        let answer = question.await;
        if self.way.crashed() {
            self.dead.trigger();
            return std::future::pending().await;
        }
        answer
    }
}

#[async_trait]
impl Cloud for Mortal {
    async fn apply(&self, call: &Call<String>) -> Result<Outcome, CloudError> {
        if !self.dead.is_triggered() {
            self.assert_announced(call);
        }
        let flying = self.flying.fetch_add(1, Ordering::Relaxed) + 1;
        self.busiest.fetch_max(flying, Ordering::Relaxed);
        let answer = self.ask(async {
            tokio::task::yield_now().await;
            self.way.apply(call).await
        });
        let answer = answer.await;
        self.flying.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    async fn inventory(&self, name: &str) -> Result<Inventory, CloudError> {
        self.ask(self.way.inventory(name)).await
    }

    async fn instances(&self, name: &str) -> Result<Vec<Instance>, CloudError> {
        self.ask(self.way.instances(name)).await
    }

    async fn caller(&self) -> Result<Caller, CloudError> {
        self.ask(self.way.caller()).await
    }

    async fn permission(&self, call: &Call<String>) -> Result<Permission, CloudError> {
        self.ask(self.way.permission(call)).await
    }

    async fn image(&self, query: &ImageQuery) -> Result<Option<Image>, CloudError> {
        self.ask(self.way.image(query)).await
    }

    async fn neighbours(&self, name: &str, cidr: Ipv4Net) -> Result<Vec<Neighbour>, CloudError> {
        self.ask(self.way.neighbours(name, cidr)).await
    }

    async fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        self.ask(self.way.zones()).await
    }

    async fn instance_types(
        &self,
        names: &std::collections::BTreeSet<String>,
    ) -> Result<Vec<InstanceType>, CloudError> {
        self.ask(self.way.instance_types(names)).await
    }

    async fn console_output(&self, instance: &str) -> Result<String, CloudError> {
        self.ask(self.way.console_output(instance)).await
    }
}
