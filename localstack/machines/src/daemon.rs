//! The daemon's loop: observe, decide, execute, twice a second.
//!
//! EC2's silence changes nothing: decisions go on with its last complete answer,
//! and before the first one only the metadata of machines found on disk is
//! served. A decision never waits for a machine: each action runs as a task, and
//! its machine is busy until it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base::{Shutdown, chain};
use tokio::process::Child;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::decide::{Action, Body, decide};
use crate::folders::{Images, State};
use crate::memory::Memory;
use crate::model::{Instance, Lifecycle, World};
use crate::observe::Observer;
use crate::process::Process;
use crate::serve::{self, Directory};
use crate::{cgroup, machine, net, rules, sockets};

const POLL: Duration = Duration::from_millis(500);
/// An answer that takes longer is none: reboots and routes must not wait for it.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Before the first answer there is nothing else to do, and LocalStack loads EC2.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Machines being started, ended or deleted at a time.
const ACTIONS_AT_A_TIME: usize = 8;

/// What the daemon is told on its command line.
pub(crate) struct Settings {
    /// The state folder.
    pub(crate) state: State,
    /// The image cache.
    pub(crate) images: Images,
    /// EC2's address.
    pub(crate) endpoint: String,
    /// Whose instances get machines.
    pub(crate) regions: Vec<String>,
}

/// How an action ended.
struct Done {
    id: String,
    action: Action,
    result: Result<Option<Child>, machine::Error>,
}

struct Daemon {
    settings: Settings,
    epoch: Instant,
    world: Option<World>,
    silent: bool,
    memory: BTreeMap<String, Memory>,
    applied_rules: String,
    directory: watch::Sender<Directory>,
    tasks: JoinSet<Done>,
    slots: Arc<Semaphore>,
}

/// Keeps machines until shutdown. Machines keep running after it.
///
/// # Errors
/// When the router cannot be made, or another daemon holds the state folder.
pub(crate) async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    if Process::read(&settings.state.pid_file()).is_some_and(|p| p.is_alive() && p.pid != std::process::id())
    {
        bail!("another `machines run` has this state folder; end it first");
    }
    if let Err(error) =
        cgroup::hierarchies().and_then(|all| cgroup::enter(&all, "daemon", std::process::id()))
    {
        warn!("not in a cgroup of its own: {error}");
    }
    Process::write_own(&settings.state.pid_file())
        .context("cannot write the pid file; does the state folder exist?")?;
    let is_new = net::ensure_router().await.context("cannot make the router")?;
    let (directory, receiver) = watch::channel(Directory::default());
    let mut servers = serve_router(&settings, &receiver, &shutdown)?;
    let mut observers: Vec<Observer> =
        settings.regions.iter().map(|region| Observer::new(&settings.endpoint, region)).collect();
    let mut daemon = Daemon::new(settings, directory);
    if is_new {
        daemon.lost_router();
    }
    daemon.publish(&daemon.recorded());
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.race(ticks.tick()).await.is_some() {
        if !net::has_router() {
            error!("somebody removed the router; making another and starting the machines anew");
            servers.shutdown().await;
            net::ensure_router().await.context("cannot make the router")?;
            servers = serve_router(&daemon.settings, &receiver, &shutdown)?;
            daemon.lost_router();
        }
        // A call that hangs must not hold up the end.
        if shutdown.race(daemon.observe(&mut observers)).await.is_some() {
            daemon.step().await;
        }
    }
    info!("ending; machines go on running");
    while let Some(done) = daemon.tasks.join_next().await {
        daemon.finished(done);
    }
    servers.shutdown().await;
    Ok(())
}

fn serve_router(
    settings: &Settings,
    directory: &watch::Receiver<Directory>,
    shutdown: &Shutdown,
) -> Result<JoinSet<()>> {
    let sockets = sockets::open().context("cannot listen in the router's namespace")?;
    let metadata = tokio::net::TcpListener::from_std(sockets.metadata)?;
    let mirror = tokio::net::TcpListener::from_std(sockets.mirror)?;
    let resolver = tokio::net::UdpSocket::from_std(sockets.resolver)?;
    let mut servers = JoinSet::new();
    servers.spawn(serve::metadata(metadata, directory.clone(), shutdown.clone()));
    servers.spawn(serve::mirror(mirror, settings.images.mirror(), shutdown.clone()));
    servers.spawn(serve::resolver(resolver, directory.clone(), shutdown.clone()));
    Ok(servers)
}

impl Daemon {
    fn new(settings: Settings, directory: watch::Sender<Directory>) -> Self {
        Self {
            settings,
            epoch: Instant::now(),
            world: None,
            silent: false,
            memory: BTreeMap::new(),
            applied_rules: String::new(),
            directory,
            tasks: JoinSet::new(),
            slots: Arc::new(Semaphore::new(ACTIONS_AT_A_TIME)),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The instances that an earlier daemon wrote down.
    fn recorded(&self) -> Vec<Instance> {
        let ids = self.settings.state.ids().unwrap_or_default();
        ids.iter().filter_map(|id| self.settings.state.machine(id).read_instance().ok()).collect()
    }

    /// Asks every region; only if all answered is it an answer.
    async fn observe(&mut self, observers: &mut [Observer]) {
        let limit = if self.world.is_none() { FIRST_ANSWER_LIMIT } else { ANSWER_LIMIT };
        let world = match tokio::time::timeout(limit, ask(observers)).await {
            Ok(Ok(world)) => world,
            Ok(Err(error)) => return self.fall_silent(&chain(&error)),
            Err(_) => return self.fall_silent(&format!("nothing within {limit:?}")),
        };
        if self.world.is_none() {
            info!("EC2 answers: ready");
            if let Err(error) = std::fs::write(self.settings.state.ready_file(), "") {
                warn!("cannot write into the state folder: {error}");
            }
        } else if self.silent {
            info!("EC2 answers again");
        }
        self.silent = false;
        self.world = Some(world);
    }

    /// Nothing that hung on the old router is there any more.
    fn lost_router(&mut self) {
        self.applied_rules.clear();
        for id in self.settings.state.ids().unwrap_or_default() {
            self.memory.entry(id).or_default().cut = true;
        }
    }

    fn fall_silent(&mut self, why: &str) {
        if !self.silent {
            warn!("EC2 does not answer, machines stay as they are: {why}");
        }
        self.silent = true;
    }

    /// One round of decisions on the last answer.
    async fn step(&mut self) {
        while let Some(done) = self.tasks.try_join_next() {
            self.finished(done);
        }
        self.reap();
        let Some(world) = self.world.take() else { return };
        self.apply_rules(&world).await;
        self.apply_routes(&world).await;
        let machines = self.machines(&world);
        self.publish(&world.instances);
        for action in decide(&world.instances, &machines, self.now_ms()) {
            self.execute(action, &world.instances);
        }
        self.world = Some(world);
    }

    /// Children that ended, so that they do not stay as zombies.
    fn reap(&mut self) {
        for memory in self.memory.values_mut() {
            if memory.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
                memory.child = None;
            }
        }
    }

    /// What there is of each machine.
    fn machines(&mut self, world: &World) -> BTreeMap<String, Body> {
        let now_ms = self.now_ms();
        let ids: BTreeSet<String> = match self.settings.state.ids() {
            Ok(ids) => ids.into_iter().collect(),
            Err(error) => {
                warn!("cannot read the state folder: {error}");
                return BTreeMap::new();
            }
        };
        let listed = |id: &String| world.instances.iter().any(|i| i.id == *id);
        self.memory.retain(|id, memory| memory.busy || ids.contains(id) || listed(id));
        let mut bodies: BTreeMap<String, Body> = BTreeMap::new();
        for (id, memory) in &self.memory {
            if memory.busy {
                bodies.insert(id.clone(), Body::Busy);
            }
        }
        for id in ids {
            let folder = self.settings.state.machine(&id);
            let memory = self.memory.entry(id.clone()).or_default();
            if !memory.busy {
                let plugged = net::is_plugged(&id);
                bodies.insert(id, memory.body(machine::running(&folder), plugged, now_ms));
            }
        }
        bodies
    }

    /// Tells the servers who is who.
    fn publish(&mut self, instances: &[Instance]) {
        let mut machines = BTreeMap::new();
        for instance in instances.iter().filter(|i| i.lifecycle == Lifecycle::Running) {
            let booting = self.memory.get_mut(&instance.id).is_none_or(Memory::is_booting);
            machines.entry(instance.private_ip).or_insert_with(|| (Arc::new(instance.clone()), booting));
        }
        self.directory.send_replace(Directory { machines });
    }

    async fn apply_rules(&mut self, world: &World) {
        let ruleset = rules::render(world);
        if ruleset == self.applied_rules {
            return;
        }
        match net::filter(&ruleset).await {
            Ok(()) => self.applied_rules = ruleset,
            Err(error) => error!("the security groups could not be enforced: {}", chain(&error)),
        }
    }

    /// Host routes: a way to each private address, a wall before each public one.
    async fn apply_routes(&mut self, world: &World) {
        let (machines, blocked) = match net::routed().await {
            Ok(found) => found,
            Err(error) => return error!("cannot read the host's routes: {}", chain(&error)),
        };
        let private: BTreeSet<Ipv4Addr> = world.instances.iter().map(|i| i.private_ip).collect();
        let public: BTreeSet<Ipv4Addr> = world.instances.iter().flat_map(|i| i.public_ips.clone()).collect();
        for address in public.difference(&blocked) {
            log_error(net::block(*address).await);
        }
        for address in private.difference(&machines) {
            log_error(net::route_instance(*address).await);
        }
        for address in blocked.difference(&public).chain(machines.difference(&private)) {
            log_error(net::forget(*address).await);
        }
    }

    fn execute(&mut self, action: Action, instances: &[Instance]) {
        let now_ms = self.now_ms();
        match &action {
            Action::Refuse(id, why) => {
                let memory = self.memory.entry(id.clone()).or_default();
                if memory.refused.as_ref() != Some(why) {
                    warn!("{action}");
                    memory.refused = Some(why.clone());
                }
            }
            Action::Stop(id) => {
                info!("{action}");
                self.memory.entry(id.clone()).or_default().stopping_since_ms = Some(now_ms);
                machine::ask_to_stop(&self.settings.state, id);
            }
            Action::Start(id) => {
                if let Some(instance) = instances.iter().find(|i| i.id == *id).cloned() {
                    let (state, images) = (self.settings.state.clone(), self.settings.images.clone());
                    self.spawn(id.clone(), action, async move {
                        machine::start(&state, &images, &instance).await.map(Some)
                    });
                }
            }
            Action::End(id) => {
                let name = id.clone();
                self.spawn(id.clone(), action, async move { machine::end(&name).await.map(|()| None) });
            }
            Action::Remove(id) => {
                let (state, name) = (self.settings.state.clone(), id.clone());
                self.spawn(
                    id.clone(),
                    action,
                    async move { machine::remove(&state, &name).await.map(|()| None) },
                );
            }
        }
    }

    fn spawn(
        &mut self,
        id: String,
        action: Action,
        work: impl Future<Output = Result<Option<Child>, machine::Error>> + Send + 'static,
    ) {
        info!("{action}");
        self.memory.entry(id.clone()).or_default().busy = true;
        let slots = Arc::clone(&self.slots);
        self.tasks.spawn(async move {
            let _slot = slots.acquire_owned().await;
            Done { id, action, result: work.await }
        });
    }

    fn finished(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => return error!("an action panicked: {error}"),
        };
        let now_ms = self.now_ms();
        let process = machine::running(&self.settings.state.machine(&done.id));
        let memory = self.memory.entry(done.id.clone()).or_default();
        memory.busy = false;
        match done.result {
            Ok(child) => memory.acted(&done.action, child, process),
            Err(error) => {
                error!("{}: {}", done.action, chain(&error));
                memory.pause(now_ms);
            }
        }
    }
}

/// Every region's part of the world; one that fails makes it no answer.
async fn ask(observers: &mut [Observer]) -> Result<World, crate::observe::Error> {
    let mut world = World::default();
    for observer in observers {
        let part = observer.observe().await?;
        world.instances.extend(part.instances);
        world.groups.extend(part.groups);
    }
    Ok(world)
}

fn log_error(result: Result<(), crate::command::Error>) {
    if let Err(error) = result {
        error!("the host's routes could not be set: {}", chain(&error));
    }
}
