//! One pod's task: look, decide, do, tell; then wait until something changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use base::{Shutdown, chain};
use client::{Place, Write};
use jiff::Timestamp;
use pods::{Action, Decision, Facts, Observed, Sandbox, State, decide, refusal, status};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::context::{Context, core};
use crate::create::{self, Parts};
use crate::cri::{CriError, messages as m};
use crate::probes::{self, Probes};
use crate::runtime::{Ended, observe};
use crate::{images, objects, volumes};

/// What follows a failure, doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// How often volumes are brought up to date.
const REFRESH: Duration = Duration::from_secs(60);

/// What a pod's task hears.
pub(crate) struct Heard {
    /// The pod as the API has it; none once it is gone there.
    pub(crate) pod: watch::Receiver<Option<Arc<Value>>>,
    /// Something of it changed in the runtime.
    pub(crate) changed: Arc<Notify>,
}

/// A failure that is tried again later.
#[derive(Debug, Clone)]
struct Retry {
    at: Timestamp,
    tries: u32,
}

struct Task {
    context: Arc<Context>,
    pod: Arc<Value>,
    changed: Arc<Notify>,
    probes: Probes,
    ended: Ended,
    sandbox: Option<Sandbox>,
    accepted: Timestamp,
    /// Why containers wait, and when they are tried again.
    waiting: BTreeMap<String, (String, String)>,
    retries: BTreeMap<String, Retry>,
    places: BTreeMap<String, PathBuf>,
    refreshed: Option<Timestamp>,
    told: Option<Value>,
    refused: Option<String>,
    /// Images that were ensured, by container.
    images: BTreeMap<String, m::Image>,
}

/// Runs a pod until nothing of it is left, or until stopped: then it is left as it is.
pub(crate) async fn run(context: Arc<Context>, mut heard: Heard, shutdown: Shutdown) {
    let Some(pod) = heard.pod.borrow_and_update().clone() else { return };
    let now = context.clock.now();
    let started = meta::str_at(&pod, "status.startTime").parse().unwrap_or(now);
    let refused = refusal(&pod);
    let mut task = Task {
        context,
        changed: Arc::clone(&heard.changed),
        probes: Probes::default(),
        ended: Ended::new(),
        sandbox: None,
        accepted: started,
        waiting: BTreeMap::new(),
        retries: BTreeMap::new(),
        places: BTreeMap::new(),
        refreshed: None,
        told: None,
        refused,
        images: BTreeMap::new(),
        pod,
    };
    let mut gone = false;
    while !shutdown.is_triggered() {
        let wait = match task.step(gone).await {
            Ok(Step::Over) => return,
            Ok(Step::Again(wait)) => wait,
            Err(error) => {
                tracing::warn!(pod = %Place::of(&task.pod), %error, "the runtime does not answer for a pod");
                FIRST_RETRY
            }
        };
        tokio::select! {
            () = shutdown.triggered() => return,
            () = heard.changed.notified() => {}
            () = task.context.clock.sleep(wait) => {}
            result = heard.pod.changed() => {
                if result.is_err() {
                    return;
                }
                match heard.pod.borrow_and_update().clone() {
                    Some(pod) => task.pod = pod,
                    None => gone = true,
                }
            }
        }
    }
}

enum Step {
    Over,
    Again(Duration),
}

impl Task {
    async fn step(&mut self, gone: bool) -> Result<Step, CriError> {
        let ending = gone || meta::deletion_timestamp(&self.pod).is_some() || self.refused.is_some();
        loop {
            let now = self.context.clock.now();
            let observed = self.look().await?;
            let decision = decide(&self.pod, &observed, ending, now);
            if !ending && !decision.over {
                self.refresh(&observed, now).await;
            }
            let due = self.due(&decision, now);
            if due.is_empty() {
                return Ok(self.settle(&observed, &decision, gone, now).await);
            }
            // Starting can take long: what is known is told first.
            self.tell(&observed, &decision, ending, now).await;
            for action in due {
                self.act(action, &observed, ending).await;
            }
        }
    }

    async fn look(&mut self) -> Result<Observed, CriError> {
        let mut observed =
            observe(&self.context, meta::uid(&self.pod), &mut self.ended, self.sandbox.as_ref()).await?;
        observed.accepted = Some(self.accepted);
        self.sandbox.clone_from(&observed.sandbox);
        let running: Vec<_> = observed
            .containers
            .iter()
            .filter(|one| matches!(one.state, State::Running(_)))
            .map(|one| (one.id.clone(), one.name.clone()))
            .collect();
        let host = self.pod["spec"]["hostNetwork"] == true;
        let ip = if host {
            self.context.config.address.to_string()
        } else {
            observed.sandbox.as_ref().map(|sandbox| sandbox.ip.clone()).unwrap_or_default()
        };
        observed.probes = self.probes.of(&self.context, &self.pod, &running, &ip, &self.changed);
        Ok(observed)
    }

    /// The actions whose time has come: what failed lately waits.
    fn due(&self, decision: &Decision, now: Timestamp) -> Vec<Action> {
        let waits = |key: &str| self.retries.get(key).is_some_and(|retry| retry.at > now);
        let ready = |action: &&Action| match action {
            Action::Start { name, .. } => !waits(name),
            Action::CreateSandbox(_) => !waits(""),
            _ => true,
        };
        decision.actions.iter().filter(ready).cloned().collect()
    }

    /// Nothing is to be done now: tells how things are, and ends what is over.
    async fn settle(&mut self, observed: &Observed, decision: &Decision, gone: bool, now: Timestamp) -> Step {
        let ending = gone || meta::deletion_timestamp(&self.pod).is_some();
        self.tell(observed, decision, ending || self.refused.is_some(), now).await;
        if decision.over && ending {
            let left = observed
                .sandbox
                .iter()
                .map(|one| one.id.clone())
                .chain(observed.old_sandboxes.iter().cloned());
            for id in left.collect::<Vec<_>>() {
                if let Err(error) = self.context.cri.remove_sandbox(&id).await {
                    tracing::warn!(sandbox = %id, %error, "a sandbox could not be removed; trying again");
                    return Step::Again(FIRST_RETRY);
                }
            }
            self.clean();
            if gone {
                return Step::Over;
            }
            let remove = Write::Remove { place: Place::of(&self.pod), uid: meta::uid(&self.pod).to_owned() };
            return match client::found(self.context.api.write(&core("pods", "Pod"), remove).await) {
                Ok(_) => Step::Over,
                Err(error) => {
                    tracing::warn!(pod = %Place::of(&self.pod), error = %chain(&error), "a pod that ended could not be removed");
                    Step::Again(FIRST_RETRY)
                }
            };
        }
        let due = decision
            .again
            .into_iter()
            .chain(self.retries.values().map(|retry| retry.at))
            .filter(|at| *at > now)
            .min();
        let wait = due.and_then(|at| at.duration_since(now).try_into().ok()).unwrap_or(REFRESH);
        Step::Again(wait.min(REFRESH))
    }

    /// Removes what the pod had on the disk.
    fn clean(&self) {
        let folder = volumes::folder(&self.context, &self.pod);
        if let Err(error) = volumes::remove(&folder) {
            tracing::warn!(%error, folder = %folder.display(), "a pod's volumes could not be removed");
        }
        let logs = create::logs(&self.context, &self.pod);
        if let Err(error) = std::fs::remove_dir_all(&logs)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %logs.display(), "a pod's logs could not be removed");
        }
    }

    /// Brings volumes of running pods up to date from time to time.
    async fn refresh(&mut self, observed: &Observed, now: Timestamp) {
        let runs = observed.containers.iter().any(|one| matches!(one.state, State::Running(_)));
        let fresh = self.refreshed.is_some_and(|at| now.duration_since(at).unsigned_abs() < REFRESH);
        if !runs || fresh {
            return;
        }
        self.refreshed = Some(now);
        let ip = observed.sandbox.as_ref().map(|sandbox| sandbox.ip.clone()).unwrap_or_default();
        let Ok(sources) = objects::sources(&self.context, &self.pod, &ip).await else { return };
        match volumes::prepare(&self.context, &self.pod, &sources).await {
            Ok(places) => self.places = places,
            Err(volumes::NoVolume(why)) => tracing::debug!(why, "a volume keeps its old content"),
        }
    }

    async fn tell(&mut self, observed: &Observed, decision: &Decision, ending: bool, now: Timestamp) {
        let facts = Facts {
            host_ip: self.context.config.address.to_string(),
            waiting: self.waiting.clone(),
            backing_off: decision.backing_off.clone(),
            failed: self.refused.clone().map(|why| ("UnsupportedField".to_owned(), why)),
            ending,
        };
        let wanted = status(&self.pod, observed, &facts, now);
        let same = self.told.as_ref() == Some(&wanted)
            && self.pod["status"]["phase"] == wanted["phase"]
            && self.pod["status"]["conditions"] == wanted["conditions"];
        if same || is_told(&self.pod["status"], &wanted) {
            return;
        }
        let patch = json!({"metadata": {"uid": meta::uid(&self.pod)}, "status": wanted});
        let write = Write::Merge { place: Place::of(&self.pod), subresource: Some("status"), patch };
        match client::found(self.context.api.write(&core("pods", "Pod"), write).await) {
            Ok(Some(pod)) => {
                // A spec that came meanwhile comes by the watch; what was told stands.
                let mut seen = Value::clone(&self.pod);
                seen["status"] = pod["status"].clone();
                self.pod = Arc::new(seen);
                self.told = Some(wanted);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(pod = %Place::of(&self.pod), error = %chain(&error), "a pod's status could not be told")
            }
        }
        if let Some(why) = self.refused.clone() {
            self.context.event(&self.pod, true, "UnsupportedField", &why, None).await;
        }
    }

    async fn act(&mut self, action: Action, observed: &Observed, ending: bool) {
        let (key, result) = match &action {
            Action::CreateSandbox(attempt) => (String::new(), self.create_sandbox(*attempt).await),
            Action::Start { name, attempt } => (name.clone(), self.start(name, *attempt, observed).await),
            Action::Stop { id, name, unhealthy } => {
                self.stop(id, name, *unhealthy, ending).await;
                return;
            }
            Action::Remove(id) => return self.log(self.context.cri.remove(id).await),
            Action::StopSandbox(id) => return self.log(self.context.cri.stop_sandbox(id).await),
            Action::RemoveSandbox(id) => return self.log(self.context.cri.remove_sandbox(id).await),
        };
        let now = self.context.clock.now();
        match result {
            Ok(()) => {
                self.retries.remove(&key);
                self.waiting.remove(&key);
            }
            Err((reason, message)) => {
                let tries = self.retries.get(&key).map_or(0, |retry| retry.tries) + 1;
                let wait = (FIRST_RETRY * 2_u32.saturating_pow(tries - 1)).min(LONGEST_RETRY);
                let at = now.checked_add(wait).unwrap_or(now);
                self.retries.insert(key.clone(), Retry { at, tries });
                if !key.is_empty() {
                    self.waiting.insert(key, (reason, message));
                }
            }
        }
    }

    fn log(&self, result: Result<(), CriError>) {
        if let Err(error) = result {
            tracing::warn!(pod = %Place::of(&self.pod), %error, "the runtime could not tidy up");
        }
    }

    async fn create_sandbox(&mut self, attempt: u32) -> Result<(), (String, String)> {
        let _permit = self.context.sandboxes.acquire().await; // never closed
        let failed = |message: String| ("ContainerCreating".to_owned(), message);
        let sources = objects::sources(&self.context, &self.pod, "")
            .await
            .map_err(|error| failed(error.to_string()))?;
        match volumes::prepare(&self.context, &self.pod, &sources).await {
            Ok(places) => self.places = places,
            Err(volumes::NoVolume(why)) => {
                self.context.event(&self.pod, true, "FailedMount", &why, None).await;
                return Err(failed(why));
            }
        }
        let logs = create::logs(&self.context, &self.pod);
        std::fs::create_dir_all(&logs).map_err(|error| failed(error.to_string()))?;
        let config = create::sandbox(&self.context, &self.pod, attempt);
        if let Err(error) = self.context.cri.run_sandbox(config).await {
            let message =
                format!("Failed to create pod sandbox: rpc error: code = {:?} desc = {error}", error.code);
            self.context.event(&self.pod, true, "FailedCreatePodSandBox", &message, None).await;
            return Err(failed(message));
        }
        Ok(())
    }

    async fn start(&mut self, name: &str, attempt: u32, observed: &Observed) -> Result<(), (String, String)> {
        let pod = Arc::clone(&self.pod);
        let Some(sandbox) = observed.sandbox.clone() else { return Ok(()) };
        let found = pods::containers(&pod).find(|(_, spec)| spec["name"] == name);
        let Some((kind, spec)) = found else { return Ok(()) };
        let list = if kind == pods::Kind::Main { "containers" } else { "initContainers" };
        let config = create::sandbox(&self.context, &pod, sandbox.attempt);
        let image = match self.images.get(name) {
            Some(image) if spec["imagePullPolicy"] != "Always" => image.clone(),
            _ => self.image(&pod, spec, list, name, &config).await?,
        };
        self.images.insert(name.to_owned(), image.clone());
        let unconfigured = |why: String| ("CreateContainerConfigError".to_owned(), why);
        let ip = if pod["spec"]["hostNetwork"] == true {
            self.context.config.address.to_string()
        } else {
            sandbox.ip.clone()
        };
        let sources = objects::sources(&self.context, &pod, &ip)
            .await
            .map_err(|error| unconfigured(error.to_string()))?;
        if self.places.is_empty() && !meta::list_at(&pod, "spec.volumes").is_empty() {
            let places = volumes::prepare(&self.context, &pod, &sources).await;
            self.places = places.map_err(|volumes::NoVolume(why)| unconfigured(why))?;
        }
        let parts =
            Parts { pod: &pod, spec, attempt, image: &image, sources: &sources, volumes: &self.places };
        let made = match create::container(&self.context, &parts) {
            Ok(made) => made,
            Err(create::NoContainer(why)) => {
                self.context.event(&pod, true, "Failed", &format!("Error: {why}"), Some((list, name))).await;
                return Err(unconfigured(why));
            }
        };
        let ask =
            m::CreateContainer { sandbox: sandbox.id, config: Some(made), sandbox_config: Some(config) };
        let id = match self.context.cri.create(ask).await {
            Ok(id) => id,
            Err(error) => {
                self.context
                    .event(&pod, true, "Failed", &format!("Error: {error}"), Some((list, name)))
                    .await;
                return Err(("CreateContainerError".to_owned(), error.message));
            }
        };
        self.context
            .event(&pod, false, "Created", &format!("Container created: {name}"), Some((list, name)))
            .await;
        if let Err(error) = self.context.cri.start(&id).await {
            self.context.event(&pod, true, "Failed", &format!("Error: {error}"), Some((list, name))).await;
            return Err(("RunContainerError".to_owned(), error.message));
        }
        self.context
            .event(&pod, false, "Started", &format!("Container started: {name}"), Some((list, name)))
            .await;
        self.hook(&pod, spec, &id, &ip, list, name).await;
        Ok(())
    }

    async fn image(
        &mut self,
        pod: &Value,
        spec: &Value,
        list: &str,
        name: &str,
        config: &m::SandboxConfig,
    ) -> Result<m::Image, (String, String)> {
        images::ensure(&self.context, pod, spec, list, config)
            .await
            .map_err(|no| {
                // The second time it is known to be missing: it waits.
                let again = self.retries.contains_key(name) && no.reason == "ErrImagePull";
                let image = meta::str_at(spec, "image");
                if again {
                    (
                        "ImagePullBackOff".to_owned(),
                        format!("Back-off pulling image \"{image}\": ErrImagePull: {}", no.message),
                    )
                } else {
                    (no.reason.to_owned(), no.message)
                }
            })
            .inspect_err(|(reason, message)| tracing::info!(reason, message, "an image is not to be had"))
            .map_err(|(reason, message)| {
                self.tell_of_image(pod, list, name, &reason, &message);
                (reason, message)
            })
    }

    /// Events of a failed pull go out beside the task.
    fn tell_of_image(&self, pod: &Value, list: &str, name: &str, reason: &str, message: &str) {
        let (context, pod, list, name) =
            (Arc::clone(&self.context), pod.clone(), list.to_owned(), name.to_owned());
        let (reason, message) = (reason.to_owned(), message.to_owned());
        tokio::spawn(async move {
            let at = Some((list.as_str(), name.as_str()));
            if reason == "ImagePullBackOff" {
                context.event(&pod, false, "BackOff", &message, at).await;
            } else {
                context.event(&pod, true, "Failed", &message, at).await;
            }
            context.event(&pod, true, "Failed", &format!("Error: {reason}"), at).await;
        });
    }

    /// The postStart hook; one that fails ends its container.
    async fn hook(&self, pod: &Value, spec: &Value, id: &str, ip: &str, list: &str, name: &str) {
        let hook = &spec["lifecycle"]["postStart"];
        if !hook.is_object() {
            return;
        }
        if let Err(why) = self.run_hook(spec, hook, id, ip).await {
            let message = format!("PostStartHook failed: {why}");
            self.context.event(pod, true, "FailedPostStartHook", &message, Some((list, name))).await;
            self.log(self.context.cri.stop(id, self.grace(spec, false)).await);
        }
    }

    async fn run_hook(&self, spec: &Value, hook: &Value, id: &str, ip: &str) -> Result<(), String> {
        if let Some(seconds) = hook["sleep"]["seconds"].as_u64() {
            self.context.clock.sleep(Duration::from_secs(seconds)).await;
            return Ok(());
        }
        // Hooks have no limit of their own: the pod's grace bounds them.
        let mut hook = hook.clone();
        hook["timeoutSeconds"] = json!(self.grace(spec, false).as_secs().max(1));
        probes::ask(&self.context, id, spec, &hook, ip).await
    }

    fn grace(&self, spec: &Value, unhealthy: bool) -> Duration {
        let of_probe = ["livenessProbe", "startupProbe"]
            .iter()
            .find_map(|probe| spec[*probe]["terminationGracePeriodSeconds"].as_u64());
        let own = self.pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        let asked = self.pod["metadata"]["deletionGracePeriodSeconds"].as_u64();
        Duration::from_secs(of_probe.filter(|_| unhealthy).or(asked).unwrap_or(own))
    }

    async fn stop(&mut self, id: &str, name: &str, unhealthy: bool, ending: bool) {
        let pod = Arc::clone(&self.pod);
        let found = pods::containers(&pod).find(|(_, spec)| spec["name"] == name);
        let spec = found.map(|(_, spec)| spec.clone()).unwrap_or_default();
        let list = found.map_or("containers", |(kind, _)| {
            if kind == pods::Kind::Main { "containers" } else { "initContainers" }
        });
        let message = if unhealthy && !ending {
            format!("Container {name} failed liveness probe, will be restarted")
        } else {
            format!("Stopping container {name}")
        };
        self.context.event(&pod, false, "Killing", &message, Some((list, name))).await;
        let mut grace = self.grace(&spec, unhealthy && !ending);
        let hook = &spec["lifecycle"]["preStop"];
        if hook.is_object() {
            let began = self.context.clock.now();
            let ip = self.sandbox.as_ref().map(|sandbox| sandbox.ip.clone()).unwrap_or_default();
            let done = tokio::time::timeout(grace, self.run_hook(&spec, hook, id, &ip)).await;
            if let Ok(Err(why)) = done {
                let message = format!("PreStopHook failed: {why}");
                self.context.event(&pod, true, "FailedPreStopHook", &message, Some((list, name))).await;
            }
            // What the hook took is not there for the container; upstream leaves it two seconds.
            let took = self.context.clock.now().duration_since(began).unsigned_abs();
            grace = grace.saturating_sub(took).max(Duration::from_secs(2));
        }
        self.log(self.context.cri.stop(id, grace).await);
    }
}

/// Whether the API's status already says all of `wanted`.
fn is_told(status: &Value, wanted: &Value) -> bool {
    let fields = wanted.as_object().into_iter().flatten();
    fields.into_iter().all(|(field, value)| {
        let there = &status[field];
        there == value
            || (value.is_null() && there.is_null())
            || (value.as_array().is_some_and(Vec::is_empty) && there.is_null())
    })
}
