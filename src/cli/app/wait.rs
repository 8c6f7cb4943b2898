//! Waiting until what was deployed serves, saying how far it is; and telling why it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base::{Shutdown, SystemClock};
use client::{Api, Change, Place, Resource, Selection, View, reflect};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::rollout::{self, Seen, Standing};
use super::trouble::Trouble;
use crate::cli::output::{self, Failure, GREEN, RED};
use crate::cli::reach::{AGENT, Reach};

/// How long a trouble that may mend itself is looked at before it counts.
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines of a log that are shown with a failure.
const LOG_LINES: usize = 10;
/// How often trouble is looked at again when nothing changes.
const LOOK: Duration = Duration::from_secs(1);

/// A workload that is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// `deployment/web`.
    pub(crate) label: String,
    /// Its kind.
    pub(crate) resource: Resource,
    /// Where it is.
    pub(crate) place: Place,
}

/// What is known of the namespaces that are looked at.
#[derive(Default)]
struct World {
    objects: BTreeMap<(Arc<str>, Place), Value>,
}

impl World {
    fn take(&mut self, resource: &Resource, namespace: &str, change: Change) {
        let plural = &resource.plural;
        match change {
            Change::Listed(all) => {
                let here = |place: &Place| place.namespace.as_deref() == Some(namespace);
                self.objects.retain(|(kind, place), _| kind != plural || !here(place));
                for object in all {
                    self.objects.insert((Arc::clone(plural), Place::of(&object)), object);
                }
            }
            Change::Put(object) => {
                self.objects.insert((Arc::clone(plural), Place::of(&object)), object);
            }
            Change::Gone(object) => {
                self.objects.remove(&(Arc::clone(plural), Place::of(&object)));
            }
        }
    }

    fn of(&self, plural: &str, namespace: Option<&Arc<str>>) -> Vec<Value> {
        let all = self.objects.iter();
        all.filter(|((kind, place), _)| &**kind == plural && place.namespace.as_ref() == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }
}

/// How one target was seen last.
struct Watchman {
    said: String,
    /// When that was; what changes at every moment is said once in a while.
    at: Instant,
    done: bool,
    trouble: Option<(Trouble, Instant)>,
}

/// Waits until every target serves. An error has been said already.
pub(crate) async fn until_served(
    reach: &Reach,
    targets: &[Target],
    patience: Duration,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let (sender, mut news) = mpsc::channel(64);
    for (resource, namespace) in looked_at(targets) {
        let (api, sender, resource) = (reach.api(), sender.clone(), Arc::new(resource));
        let (tell, mut told) = mpsc::channel(64);
        let which = Selection::within(&namespace);
        let clock = Arc::new(SystemClock);
        tokio::spawn(reflect(
            Arc::new(api) as Arc<dyn Api>,
            resource,
            which,
            View::Whole,
            tell,
            clock,
            shutdown.clone(),
        ));
        tokio::spawn(async move {
            while let Some((resource, change)) = told.recv().await {
                if sender.send((resource, namespace.clone(), change)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut world = World::default();
    let mut heard = BTreeSet::new();
    let mut men: Vec<Watchman> = targets
        .iter()
        .map(|_| Watchman { said: String::new(), at: Instant::now(), done: false, trouble: None })
        .collect();
    let deadline = Instant::now() + patience;
    loop {
        let next = tokio::time::timeout(LOOK, news.recv());
        match shutdown.race(next).await {
            None => return Err(stopped()),
            Some(Ok(Some((resource, namespace, change)))) => {
                heard.insert((Arc::clone(&resource.plural), namespace.clone()));
                world.take(&resource, &namespace, change);
            }
            Some(Ok(None)) => anyhow::bail!("the API cannot be listened to any more"),
            Some(Err(_)) => {}
        }
        if heard.len() < looked_at(targets).len() && Instant::now() < deadline {
            continue;
        }
        for (target, man) in targets.iter().zip(&mut men).filter(|(_, man)| !man.done) {
            look(reach, target, man, &world, Instant::now() >= deadline).await?;
        }
        if men.iter().all(|man| man.done) {
            return Ok(());
        }
    }
}

fn stopped() -> anyhow::Error {
    say("stopped waiting: what was applied stays, and goes on without us", RED);
    Failure::interrupted()
}

/// The resources that tell how targets are, each with a namespace.
fn looked_at(targets: &[Target]) -> Vec<(Resource, String)> {
    let core = |plural: &str, kind: &str, group: &str| Resource {
        group: group.into(),
        version: "v1".into(),
        plural: plural.into(),
        kind: kind.into(),
        namespaced: true,
        verbs: Vec::new(),
    };
    let mut all: Vec<(Resource, String)> = Vec::new();
    for target in targets {
        let Some(namespace) = target.place.namespace.as_deref() else { continue };
        let mut wanted = vec![target.resource.clone(), core("pods", "Pod", "")];
        if &*target.resource.kind == "Deployment" {
            wanted.push(core("replicasets", "ReplicaSet", "apps"));
        }
        for resource in wanted {
            let known = all.iter().any(|(one, at)| one.plural == resource.plural && at == namespace);
            if !known {
                all.push((resource, namespace.to_owned()));
            }
        }
    }
    all
}

async fn look(
    reach: &Reach,
    target: &Target,
    man: &mut Watchman,
    world: &World,
    late: bool,
) -> anyhow::Result<()> {
    let key = (Arc::clone(&target.resource.plural), target.place.clone());
    let Some(workload) = world.objects.get(&key) else {
        say(&format!("{} is gone: somebody deleted it", target.label), RED);
        return Err(Failure::said());
    };
    let namespace = target.place.namespace.as_ref();
    let (sets, pods) = (world.of("replicasets", namespace), world.of("pods", namespace));
    let seen = Seen { workload, sets: &sets, pods: &pods };
    let words = match rollout::standing(workload) {
        Standing::Done(words) => {
            man.done = true;
            say(&format!("{} {}: {words}", output::paint("done", GREEN), target.label), "");
            return Ok(());
        }
        Standing::Failed(words) => return Err(failed(reach, target, &seen, seen.trouble(), &words).await),
        Standing::Going(words) => words,
    };
    let trouble = seen.trouble();
    let since = match (&trouble, &man.trouble) {
        (Some(now), Some((before, since))) if now.pod == before.pod => *since,
        _ => Instant::now(),
    };
    man.trouble = trouble.clone().map(|trouble| (trouble, since));
    if let Some(trouble) = &trouble
        && (trouble.is_final || since.elapsed() >= PATIENCE)
    {
        let words = "it does not come up";
        return Err(failed(reach, target, &seen, Some(trouble.clone()), words).await);
    }
    if late {
        return Err(failed(reach, target, &seen, trouble, "it was not done in time (--timeout)").await);
    }
    let stage = trouble.map(|one| format!("{}: {}", one.pod, one.cause)).or_else(|| seen.stage());
    let words = stage.map_or(words.clone(), |stage| format!("{words}; {stage}"));
    if words != man.said && man.at.elapsed() >= LOOK {
        say(&format!("wait {}: {words}", target.label), "");
        (man.said, man.at) = (words, Instant::now());
    }
    Ok(())
}

/// Says why, with the last lines of the log, and what serves meanwhile.
async fn failed(
    reach: &Reach,
    target: &Target,
    seen: &Seen<'_>,
    trouble: Option<Trouble>,
    words: &str,
) -> anyhow::Error {
    let mut text = format!("{} {}: {words}", output::paint("failed", RED), target.label);
    match &trouble {
        None => {
            if let Some(stage) = seen.stage() {
                text.push_str(&format!("\n  {stage}"));
            }
        }
        Some(trouble) => {
            let container = trouble.container.as_ref().map(|name| format!(", container {name}"));
            text.push_str(&format!(
                "\n  pod {}{}: {}",
                trouble.pod,
                container.unwrap_or_default(),
                trouble.cause
            ));
            if let Some(lines) = log(reach, target, trouble).await {
                text.push_str("\n  its log ends:");
                lines.lines().for_each(|line| text.push_str(&format!("\n    {}", output::printable(line))));
            }
        }
    }
    let old = seen.old_ready();
    if old > 0 {
        text.push_str(&format!(
            "\n  the version before still serves ({} ready); `cluster rollback {}` makes it the one wanted",
            output::counted(old, "pod"),
            target.place.name
        ));
    }
    say(&text, "");
    Failure::said()
}

async fn log(reach: &Reach, target: &Target, trouble: &Trouble) -> Option<String> {
    let (container, previous) = (trouble.container.as_ref()?, trouble.log?);
    let namespace = target.place.namespace.as_deref()?;
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{}/log?container={container}&tailLines={LOG_LINES}&previous={previous}",
        trouble.pod
    );
    let pieces = reach.line.follow(client::Question::get(path, AGENT)).await.ok()?;
    let pieces: Vec<_> = futures::StreamExt::collect::<Vec<_>>(pieces).await;
    let bytes: Vec<u8> = pieces.into_iter().filter_map(Result::ok).flatten().collect();
    Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.trim().is_empty())
}

fn say(text: &str, colour: output::Colour) {
    let text = if colour.is_empty() { text.to_owned() } else { output::paint(text, colour) };
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
