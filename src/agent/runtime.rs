//! What the runtime has of a pod.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pods::{Container, Observed, Sandbox, State};
use serde_json::Value;

use crate::context::{Context, POD_UID};
use crate::cri::{CriError, messages as m};

/// The most of a container's last words that is told.
const WORDS: usize = 4096;

/// Containers that have ended do not change: their state is asked once.
pub(crate) type Ended = BTreeMap<String, Container>;

pub(crate) async fn observe(
    context: &Context,
    uid: &str,
    ended: &mut Ended,
    known: Option<&Sandbox>,
) -> Result<Observed, CriError> {
    let label = Some((POD_UID, uid));
    let mut sandboxes = context.cri.sandboxes(label).await?;
    sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
    let mut observed = Observed::default();
    let mut sandboxes = sandboxes.into_iter();
    if let Some(newest) = sandboxes.next() {
        let ready = newest.state == 0;
        let ip = match known {
            Some(known) if known.id == newest.id && !known.ip.is_empty() => known.ip.clone(),
            _ => context.cri.address(&newest.id).await?,
        };
        let attempt = newest.metadata.map_or(0, |metadata| metadata.attempt);
        observed.sandbox = Some(Sandbox { id: newest.id, ready, attempt, ip });
    }
    observed.old_sandboxes = sandboxes.map(|sandbox| sandbox.id).collect();
    for container in context.cri.containers(label).await? {
        if let Some(known) = ended.get(&container.id) {
            observed.containers.push(known.clone());
            continue;
        }
        let status = match context.cri.status(&container.id).await {
            Err(error) if error.is_not_found() => continue,
            status => status?,
        };
        let read = read(container, &status);
        if matches!(read.state, State::Ended { .. }) {
            ended.insert(read.id.clone(), read.clone());
        }
        observed.containers.push(read);
    }
    ended.retain(|id, _| observed.containers.iter().any(|one| one.id == *id));
    Ok(observed)
}

fn read(container: m::Container, status: &m::ContainerStatus) -> Container {
    let metadata = container.metadata.unwrap_or_default();
    let at = |nanoseconds: i64| Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    let state = match status.state {
        m::RUNNING => State::Running(at(status.started_at)),
        m::EXITED => State::Ended {
            code: status.exit_code,
            reason: status.reason.clone(),
            message: last_words(&container.annotations, status),
            started: at(status.started_at),
            ended: at(status.finished_at),
        },
        _ => State::Created,
    };
    let asked = container.annotations.get(IMAGE).cloned();
    Container {
        id: container.id,
        name: metadata.name,
        attempt: metadata.attempt,
        sandbox: container.sandbox,
        state,
        image: (
            asked.or_else(|| status.image.clone().map(|image| image.image)).unwrap_or_default(),
            status.image_ref.clone(),
        ),
    }
}

/// The image as the pod asked for it.
pub(crate) const IMAGE: &str = "cluster.internal/image";
/// The file that holds a container's last words, on the machine.
pub(crate) const WORDS_FILE: &str = "cluster.internal/termination-message";
/// `FallbackToLogsOnError`, where its log serves if that is empty.
pub(crate) const WORDS_POLICY: &str = "cluster.internal/termination-message-policy";

fn last_words(annotations: &BTreeMap<String, String>, status: &m::ContainerStatus) -> String {
    let file = annotations.get(WORDS_FILE).and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    let tail =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(WORDS)..]).into_owned();
    if !file.is_empty() {
        return tail(&file);
    }
    let falls_back = annotations.get(WORDS_POLICY).is_some_and(|policy| policy == "FallbackToLogsOnError");
    if falls_back && status.exit_code != 0 {
        let log = std::fs::read_to_string(&status.log_path).unwrap_or_default();
        let said: String = log
            .lines()
            .filter_map(|line| {
                let mut parts = line.splitn(4, ' ').skip(2);
                let (tag, text) = (parts.next()?, parts.next()?);
                // What did not end with a line's end is told without one.
                Some(if tag.starts_with('P') { text.to_owned() } else { format!("{text}\n") })
            })
            .collect();
        return tail(said.as_bytes());
    }
    status.message.clone()
}

/// Whether a pod object is one that this agent runs: bound here and not mirrored.
pub(crate) fn is_ours(pod: &Value, node: &str) -> bool {
    api::meta::str_at(pod, "spec.nodeName") == node
}
