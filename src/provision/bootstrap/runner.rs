//! Running steps over SSH: sessions, the steps that are more than a script, and what a failure says.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Clock, Shutdown};
use bytes::Bytes;
use plan::config::Config;
use plan::{Role, Step};
use remote::{Identity, Output, Remote, RemoteError, Session, Target, Upload, connect_until};
use tokio::sync::OnceCell;

use super::binary::NodeBinary;
use super::distribution::{DISTRIBUTIONS, Distribution};
use super::host_keys::HostKeys;
use super::material::{Addresses, LeafKind, Machine, Material, MaterialError, Vault, leaves_of};
use super::script::{self, Facts, Node, Script, ScriptError};
use super::template::{self, HostKeyMake, TemplateError};
use super::user_data::{self, UserDataError};

/// How a root shell is opened: the script comes on standard input.
const ROOT_SHELL: &str = "sudo -n sh -s";
const SSH_PORT: u16 = 22;
const BOOT_DEADLINE: Duration = Duration::from_secs(300);
const STEP_TIMEOUT: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(30);
/// Longer than any boot of a healthy machine.
const LONG_WAIT: Duration = Duration::from_secs(60);
/// Certificates are backdated by ten minutes; TLS and etcd want far less than that.
const SKEW_LIMIT: Duration = Duration::from_secs(5);
const SKEW_PATIENCE: Duration = Duration::from_secs(60);
const UPLOADED: &str = "/var/lib/cluster/upload.gz";

/// What bootstrap works with.
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// The cluster's uid.
    pub uid: String,
    /// The region it is in.
    pub region: String,
    /// What goes onto the nodes.
    pub binary: NodeBinary,
    /// Whether nodes are dialled by their public addresses.
    pub public: bool,
    /// Masters that already run, by slot, with their private addresses.
    pub masters: BTreeMap<String, Ipv4Addr>,
}

/// Hears what a step waits for, and the last thing it saw.
pub type Waiting<'a> = &'a (dyn Fn(&str, &str) + Send + Sync);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The machine cannot be talked to.
    #[error("{slot}: {step}: {source}")]
    Remote {
        /// Node.
        slot: String,
        /// Step.
        step: Step,
        /// Why.
        source: RemoteError,
    },
    /// A command on the machine failed.
    #[error("{slot}: {step}: `{command}` failed\n{}", indented(said))]
    Command {
        /// Node.
        slot: String,
        /// Step.
        step: Step,
        /// The command, with its exit status.
        command: String,
        /// Its standard error, then the journal's tail.
        said: String,
    },
    /// The machine is not what it must be.
    #[error("{slot}: {step}: {reason}")]
    Machine {
        /// Node.
        slot: String,
        /// Step.
        step: Step,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Keys and certificates.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The binary for the nodes cannot be read.
    #[error("{path} cannot be sent to the nodes")]
    Binary {
        /// Where it is.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Ctrl-C.
    #[error("{slot}: {step}: stopped")]
    Stopped {
        /// Node.
        slot: String,
        /// Step.
        step: Step,
    },
}

impl From<ScriptError> for BootstrapError {
    fn from(error: ScriptError) -> Self {
        match error {
            ScriptError::Template(error) => Self::Template(error),
            ScriptError::Material(error) => Self::Material(error),
        }
    }
}

/// Turns machines into nodes.
pub struct Bootstrap {
    pub(super) settings: Settings,
    pub(super) vault: Arc<dyn Vault>,
    pub(super) material: Arc<Material>,
    remote: Arc<dyn Remote>,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    sessions: Mutex<HashMap<String, Arc<dyn Session>>>,
    facts: Mutex<HashMap<String, Facts>>,
    masters: Mutex<BTreeMap<String, Ipv4Addr>>,
    compressed: OnceCell<Bytes>,
}

/// One step on one node, while it runs.
struct Run<'a> {
    bootstrap: &'a Bootstrap,
    slot: &'a str,
    role: Role,
    step: Step,
    machine: &'a Machine,
    waiting: Waiting<'a>,
}

impl Bootstrap {
    /// A bootstrap that has talked to nobody yet.
    #[must_use]
    pub fn new(
        settings: Settings,
        vault: Arc<dyn Vault>,
        material: Arc<Material>,
        remote: Arc<dyn Remote>,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> Self {
        let masters = Mutex::new(settings.masters.clone());
        Self {
            settings,
            vault,
            material,
            remote,
            clock,
            shutdown,
            sessions: Mutex::default(),
            facts: Mutex::default(),
            masters,
            compressed: OnceCell::new(),
        }
    }

    /// Makes the user-data of one attempt at a slot's machine.
    ///
    /// # Errors
    /// The state folder cannot be written.
    pub fn user_data(&self, slot: &str, role: Role, attempt: u32) -> Result<String, UserDataError> {
        locked(&self.sessions).remove(slot);
        locked(&self.facts).remove(slot);
        user_data::make(&*self.vault, slot, role, attempt)
    }

    /// Runs one step to its end. A step that already holds changes nothing.
    ///
    /// # Errors
    /// The machine cannot be talked to, or a command on it fails.
    pub async fn run(
        &self,
        slot: &str,
        role: Role,
        step: Step,
        machine: &Machine,
        waiting: Waiting<'_>,
    ) -> Result<(), BootstrapError> {
        if role == Role::Master {
            locked(&self.masters).insert(slot.to_owned(), machine.at.private);
        }
        let run = Run { bootstrap: self, slot, role, step, machine, waiting };
        match self.shutdown.race(run.run()).await {
            // After Ctrl-C sessions end under their steps: that is no failure, and the next run tells a real one.
            Some(Err(_)) | None if self.shutdown.is_triggered() => {
                Err(BootstrapError::Stopped { slot: slot.to_owned(), step })
            }
            Some(result) => result,
            None => Err(BootstrapError::Stopped { slot: slot.to_owned(), step }),
        }
    }

    /// The steps of a running node that do not hold, in order, without changing anything.
    pub(super) async fn unsatisfied(
        &self,
        slot: &str,
        role: Role,
        machine: &Machine,
    ) -> Result<Vec<Step>, BootstrapError> {
        let run = Run { bootstrap: self, slot, role, step: Step::Reach, machine, waiting: &|_, _| {} };
        run.look().await
    }

    /// How a node is connected to now.
    ///
    /// # Errors
    /// The record of its host keys cannot be read.
    pub fn target(&self, slot: &str, at: Addresses) -> Result<Target, MaterialError> {
        let address = match at.public {
            Some(public) if self.settings.public => public,
            _ => at.private,
        };
        Ok(Target {
            slot: slot.to_owned(),
            address: SocketAddr::from((address, SSH_PORT)),
            user: self.settings.config.image.user.clone(),
            identity: Identity::new(self.material.ssh_private().expose()),
            accepted: HostKeys::load(&*self.vault, slot)?.accepted(),
        })
    }

    async fn compressed(&self) -> Result<Bytes, BootstrapError> {
        let made = self.compressed.get_or_try_init(|| async {
            let binary = self.settings.binary.clone();
            let path = binary.path.display().to_string();
            let packed = tokio::task::spawn_blocking(move || binary.compressed()).await;
            let packed = packed.map_err(std::io::Error::other).and_then(|result| result);
            packed.map_err(|source| BootstrapError::Binary { path, source })
        });
        made.await.cloned()
    }
}

impl Run<'_> {
    async fn run(&self) -> Result<(), BootstrapError> {
        match Script::of(self.step) {
            None if self.step == Step::Clock => self.clock().await,
            // The binary is packed while the first master boots.
            None if self.role == Role::Master => {
                let (reached, _) = tokio::join!(self.reach(), self.bootstrap.compressed());
                reached
            }
            None => self.reach().await,
            Some(Script::HostKey) => self.replace_host_key().await,
            Some(Script::Binary) if self.role == Role::Master => self.upload_binary().await,
            Some(script) => self.fix(script, None).await,
        }
    }

    /// Waits for SSH, then for cloud-init, then learns what the machine is.
    async fn reach(&self) -> Result<(), BootstrapError> {
        self.connect(BOOT_DEADLINE).await?;
        (self.waiting)("cloud-init", "the machine's first boot is under way");
        let output = self.shell("cloud-init status --wait --long", BOOT_DEADLINE).await?;
        let said = output.stdout_text();
        // Status 2 is "done, with recoverable errors"; older versions say it in words.
        if !(output.ok() || output.status == 2 || said.contains("status: done")) {
            let log = self.tail("tail -n 20 /var/log/cloud-init-output.log").await;
            return Err(self.command_failed("cloud-init status --wait", &format!("{said}\n{log}")));
        }
        self.facts().await.map(|_| ())
    }

    /// The node's facts, asked once.
    async fn facts(&self) -> Result<Facts, BootstrapError> {
        if let Some(facts) = locked(&self.bootstrap.facts).get(self.slot) {
            return Ok(facts.clone());
        }
        let ask = "sh -c '. /etc/os-release; echo \"$ID $VERSION_ID\"; stat -fc %T /sys/fs/cgroup'";
        let output = self.shell(ask, SHORT).await?;
        let text = output.stdout_text();
        let mut lines = text.lines();
        let (id, version) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
        let Some(distribution) = Distribution::find(id, version) else {
            return Err(self.unknown_distribution(id, version));
        };
        let facts = Facts { distribution, cgroup_v2: lines.next() == Some("cgroup2fs") };
        locked(&self.bootstrap.facts).insert(self.slot.to_owned(), facts.clone());
        Ok(facts)
    }

    /// Replaces the single-use host key. Safe to repeat from any point.
    async fn replace_host_key(&self) -> Result<(), BootstrapError> {
        let vault = &*self.bootstrap.vault;
        let mut keys = HostKeys::load(vault, self.slot)?;
        if keys.own.is_none() {
            let make = template::render(&HostKeyMake { prelude: template::PRELUDE, slot: self.slot })?;
            let output = self.script(make, SHORT).await?;
            let line = output.stdout_text().split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            if let Err(error) = remote::HostKey::parse(&line) {
                return Err(self.machine(format!("it made a host key that cannot be read: {error}")));
            }
            keys.own = Some(line);
            keys.save(vault, self.slot)?;
        }
        self.fix(Script::HostKey, None).await?;
        if keys.single_use.take().is_some() {
            // The new key must answer before the old one is struck out for good.
            locked(&self.bootstrap.sessions).remove(self.slot);
            let mut target = self.bootstrap.target(self.slot, self.machine.at)?;
            target.accepted.retain(|key| Some(key.line()) == keys.own);
            self.connect_to(&target, SHORT).await?;
            keys.save(vault, self.slot)?;
        }
        Ok(())
    }

    /// Compares clocks; gives the machine's time service a while to mend a difference.
    async fn clock(&self) -> Result<(), BootstrapError> {
        let clock = &*self.bootstrap.clock;
        let began = clock.now();
        loop {
            let skew = self.skew().await?;
            if skew <= SKEW_LIMIT {
                return Ok(());
            }
            let words = format!("its clock is {:.1} s off", skew.as_secs_f64());
            (self.waiting)("clock", &words);
            if clock.now().duration_since(began).unsigned_abs() > SKEW_PATIENCE {
                return Err(self.machine(format!(
                    "{words}, more than the {} s that certificates and etcd bear; check the time on this machine and on the node (`timedatectl`)",
                    SKEW_LIMIT.as_secs()
                )));
            }
            clock.sleep(Duration::from_secs(2)).await;
        }
    }

    async fn skew(&self) -> Result<Duration, BootstrapError> {
        let clock = &*self.bootstrap.clock;
        let before = clock.now();
        let output = self.shell("date +%s.%N", SHORT).await?;
        let after = clock.now();
        let middle = (before.as_millisecond() + after.as_millisecond()) / 2;
        let text = output.stdout_text();
        let Ok(theirs) = text.trim().parse::<f64>() else {
            return Err(self.machine(format!("`date` answered {text:?}")));
        };
        #[allow(clippy::cast_possible_truncation)] // milliseconds since 1970 fit
        let theirs = (theirs * 1000.0) as i64;
        Ok(Duration::from_millis(theirs.abs_diff(middle)))
    }

    async fn upload_binary(&self) -> Result<(), BootstrapError> {
        if self.holds(Script::Binary).await? {
            return Ok(());
        }
        let content = self.bootstrap.compressed().await?;
        let session = self.session().await?;
        self.script("mkdir -p -m 0755 /var/lib/cluster".to_owned(), SHORT).await?;
        (self.waiting)("upload", &format!("{} KiB compressed", content.len() / 1024));
        let sent = session.upload(Upload::Bytes(content), UPLOADED, 0o600, None, STEP_TIMEOUT).await;
        sent.map_err(|source| self.remote_failed(source))?;
        self.fix(Script::Binary, Some(UPLOADED)).await
    }

    /// The steps that do not hold. Asks in order and stops at the first that makes later answers moot.
    async fn look(&self) -> Result<Vec<Step>, BootstrapError> {
        let steps = Step::of_role(self.role);
        let from = |step: Step| steps.iter().copied().filter(move |other| *other >= step).collect();
        self.connect(Duration::ZERO).await?;
        if self.shell("cloud-init status", SHORT).await?.stdout_text().contains("running") {
            return Ok(steps.to_vec());
        }
        if !HostKeys::load(&*self.bootstrap.vault, self.slot)?.settled() {
            return Ok(from(Step::HostKey));
        }
        let mut unsatisfied = Vec::new();
        for step in steps.iter().copied() {
            let holds = match Script::of(step) {
                None if step == Step::Clock => self.skew().await? <= SKEW_LIMIT,
                None => true, // it was reached
                Some(Script::Certificates) if !self.leaves_current()? => false,
                Some(script) => self.holds(script).await?,
            };
            if !holds {
                unsatisfied.push(step);
            }
        }
        Ok(unsatisfied)
    }

    fn leaves_current(&self) -> Result<bool, MaterialError> {
        let config = &self.bootstrap.settings.config;
        let current =
            |kind: &LeafKind| self.bootstrap.material.current(config, self.slot, *kind, self.machine.at);
        for kind in leaves_of(self.role) {
            if current(kind)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn holds(&self, script: Script) -> Result<bool, BootstrapError> {
        let script = self.render(script, None, false).await?;
        let session = self.session().await?;
        let output = session.run(ROOT_SHELL, Some(script.into()), STEP_TIMEOUT).await;
        Ok(output.map_err(|source| self.remote_failed(source))?.ok())
    }

    async fn fix(&self, script: Script, uploaded: Option<&str>) -> Result<(), BootstrapError> {
        let script = self.render(script, uploaded, true).await?;
        self.script(script, STEP_TIMEOUT).await.map(|_| ())
    }

    async fn render(
        &self,
        script: Script,
        uploaded: Option<&str>,
        fix: bool,
    ) -> Result<String, BootstrapError> {
        let facts = self.facts().await?;
        let settings = &self.bootstrap.settings;
        let masters: Vec<Ipv4Addr> = locked(&self.bootstrap.masters).values().copied().collect();
        let node = Node {
            config: &settings.config,
            uid: &settings.uid,
            slot: self.slot,
            role: self.role,
            machine: self.machine,
            facts: &facts,
            digest: &settings.binary.digest,
            uploaded,
            region: &settings.region,
            masters: &masters,
        };
        Ok(script::render(&node, &self.bootstrap.material, script, fix)?)
    }

    async fn script(&self, script: String, timeout: Duration) -> Result<Output, BootstrapError> {
        let session = self.session().await?;
        let output = session.run(ROOT_SHELL, Some(script.into()), timeout).await;
        let output = output.map_err(|source| self.remote_failed(source))?;
        if output.ok() { Ok(output) } else { Err(self.script_failed(&output).await) }
    }

    /// Runs a command as the login user; any exit status is an answer.
    async fn shell(&self, command: &str, timeout: Duration) -> Result<Output, BootstrapError> {
        let session = self.session().await?;
        session.run(command, None, timeout).await.map_err(|source| self.remote_failed(source))
    }

    async fn session(&self) -> Result<Arc<dyn Session>, BootstrapError> {
        let open = locked(&self.bootstrap.sessions).get(self.slot).cloned();
        match open {
            Some(session) => Ok(session),
            None => self.connect(SHORT).await,
        }
    }

    async fn connect(&self, patience: Duration) -> Result<Arc<dyn Session>, BootstrapError> {
        let target = self.bootstrap.target(self.slot, self.machine.at)?;
        self.connect_to(&target, patience).await
    }

    async fn connect_to(
        &self,
        target: &Target,
        patience: Duration,
    ) -> Result<Arc<dyn Session>, BootstrapError> {
        let b = self.bootstrap;
        let deadline = b.clock.now().checked_add(patience).unwrap_or(jiff::Timestamp::MAX);
        let mut tell = |attempt: &remote::Attempt<'_>| (self.waiting)("SSH", &last_seen(attempt));
        let session = connect_until(&*b.remote, target, deadline, &*b.clock, &b.shutdown, &mut tell).await;
        let session: Arc<dyn Session> = Arc::from(session.map_err(|source| self.remote_failed(source))?);
        locked(&b.sessions).insert(self.slot.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    fn remote_failed(&self, source: RemoteError) -> BootstrapError {
        // A broken session is of no further use; the next call opens another.
        locked(&self.bootstrap.sessions).remove(self.slot);
        BootstrapError::Remote { slot: self.slot.to_owned(), step: self.step, source }
    }

    async fn script_failed(&self, output: &Output) -> BootstrapError {
        let said = output.stderr_text();
        let mark = "cluster-failed: ";
        let command = said.lines().rev().find_map(|line| line.strip_prefix(mark));
        let command = command.map_or_else(|| format!("sh (exit status {})", output.status), str::to_owned);
        let rest: Vec<&str> = said.lines().filter(|line| !line.starts_with(mark)).collect();
        let units: Vec<&str> = Script::of(self.step).map(Script::units).unwrap_or_default().to_vec();
        let of = units.iter().map(|unit| format!(" -u {unit}")).collect::<String>();
        let tail = self.tail(&format!("sudo -n journalctl -q --no-pager -n 20{of}")).await;
        let whose = if units.is_empty() { "the machine".to_owned() } else { units.join(" and ") };
        let said = format!("{}\nthe journal of {whose} ends:\n{tail}", last_lines(&rest, 20));
        self.command_failed(&command, &said)
    }

    /// The end of a log; what cannot be had is left out.
    async fn tail(&self, command: &str) -> String {
        match self.shell(command, SHORT).await {
            Ok(output) => output.stdout_text(),
            Err(_) => String::new(),
        }
    }

    fn command_failed(&self, command: &str, said: &str) -> BootstrapError {
        BootstrapError::Command {
            slot: self.slot.to_owned(),
            step: self.step,
            command: command.to_owned(),
            said: said.trim().to_owned(),
        }
    }

    fn machine(&self, reason: String) -> BootstrapError {
        BootstrapError::Machine { slot: self.slot.to_owned(), step: self.step, reason }
    }

    fn unknown_distribution(&self, id: &str, version: &str) -> BootstrapError {
        let known: Vec<String> =
            DISTRIBUTIONS.iter().map(|row| format!("{} {}", row.id, row.version)).collect();
        self.machine(format!(
            "its image runs {id} {version}, which this version does not know; choose an image with {}",
            known.join(" or ")
        ))
    }
}

/// What an attempt saw, and after a while what usually lies behind it.
fn last_seen(attempt: &remote::Attempt<'_>) -> String {
    let silent = matches!(attempt.error, RemoteError::Unreachable { .. } | RemoteError::Timeout { .. });
    let cause = match attempt.elapsed >= LONG_WAIT {
        false => "",
        true if silent => {
            "; likely: this machine's address is not among access.ssh, or a firewall is in between"
        }
        true => "; likely: the image has no SSH server, or its first boot hangs (see its console in AWS)",
    };
    format!("{}{cause}", attempt.error)
}

fn last_lines(lines: &[&str], count: usize) -> String {
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
