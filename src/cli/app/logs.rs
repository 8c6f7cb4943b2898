//! `cluster logs`: what the pods of an application print.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use client::{Place, Question, http};
use futures::StreamExt as _;
use serde_json::Value;

use crate::cli::reach::{self, AGENT, Reach, Served};
use crate::cli::{arguments, output};

/// Kinds that are tried for a name without a kind, in this order.
const TRIED: &[&str] = &["pods", "deployments", "statefulsets", "daemonsets", "jobs"];
/// Longest line that is held back until it ends.
const LINE_BYTES: usize = 64 * 1024;

/// Prints the logs of a pod, or of every pod of a workload.
pub(crate) async fn run(arguments: &arguments::Logs) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&arguments.file.file).await?;
    let served = reach.served().await.context("ask the cluster what it serves")?;
    let pods = pods(&reach, &served, arguments).await?;
    let mut sources = Vec::new();
    for pod in &pods {
        let names = containers(pod, arguments.container.as_deref())?;
        sources.extend(names.into_iter().map(|container| (name_of(pod), container)));
    }
    let alone = sources.len() == 1;
    let mut streams = Vec::new();
    let mut silent = Vec::new();
    for (pod, container) in sources {
        let question = Question::get(path(arguments, &pod, &container), AGENT);
        match reach.line.follow(question).await {
            Ok(stream) => {
                let title = if alone { String::new() } else { format!("[{pod} {container}] ") };
                streams.push(lines(stream).map(move |line| (title.clone(), line)).boxed());
            }
            Err(error) => silent.push(format!("{pod} {container}: {error}")),
        }
    }
    let none = streams.is_empty();
    let mut all = futures::stream::select_all(streams);
    while let Some((title, line)) = all.next().await {
        match line {
            Ok(line) => output::print(&format!("{title}{line}"))?,
            Err(error) => silent.push(format!("{title}{error}")),
        }
    }
    for text in &silent {
        eprintln!("{} {text}", output::paint("no log:", output::YELLOW));
    }
    Ok(if none { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn path(arguments: &arguments::Logs, pod: &str, container: &str) -> String {
    let mut path = format!("/api/v1/namespaces/{}/pods/{pod}/log?container={container}", arguments.namespace);
    if arguments.follow {
        path.push_str("&follow=true");
    }
    if arguments.previous {
        path.push_str("&previous=true");
    }
    if let Some(lines) = arguments.tail {
        path.push_str(&format!("&tailLines={lines}"));
    }
    path
}

fn name_of(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// The pods that a name stands for.
async fn pods(reach: &Reach, served: &[Served], arguments: &arguments::Logs) -> anyhow::Result<Vec<Value>> {
    let (kinds, name) = match arguments.name.split_once('/') {
        Some((kind, name)) => (vec![kind], name),
        None => (TRIED.to_vec(), &*arguments.name),
    };
    for kind in &kinds {
        let resource = reach::named(served, kind)?;
        let place = Place::within(&arguments.namespace, name);
        let Some(object) = client::found(reach.get(http::object(resource, &place)).await)? else { continue };
        if &*resource.plural == "pods" {
            return Ok(vec![object]);
        }
        let Some(selector) = selector(&object) else {
            bail!(
                "{kind}/{name} selects no pods: name a pod, a deployment, a statefulset, a daemonset or a job"
            );
        };
        let pods = reach::named(served, "pods")?;
        let path = http::collection(pods, Some(&arguments.namespace));
        let list = reach.get(format!("{path}?labelSelector={}", http::encoded(&selector))).await?;
        let all = list["items"].as_array().cloned().unwrap_or_default();
        if all.is_empty() {
            bail!("{kind}/{name} has no pods; `cluster get` shows how it is");
        }
        return Ok(all);
    }
    bail!(
        "there is no {} called {name} in the namespace {}; `cluster get` shows what is there",
        if kinds.len() == 1 { kinds[0] } else { "pod or workload" },
        arguments.namespace
    )
}

fn selector(object: &Value) -> Option<String> {
    let labels = object["spec"]["selector"]["matchLabels"].as_object().filter(|labels| !labels.is_empty())?;
    let terms = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    Some(terms.collect::<Vec<_>>().join(","))
}

fn containers(pod: &Value, wanted: Option<&str>) -> anyhow::Result<Vec<String>> {
    let of = |field: &str| {
        let all = pod["spec"][field].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let usual = of("containers");
    let Some(wanted) = wanted else { return Ok(usual) };
    let all = [of("initContainers"), usual, of("ephemeralContainers")].concat();
    if all.iter().any(|name| name == wanted) {
        return Ok(vec![wanted.to_owned()]);
    }
    bail!("pod {} has no container {wanted}; it has {}", name_of(pod), all.join(", "))
}

/// Pieces as whole lines.
fn lines(
    pieces: impl futures::Stream<Item = Result<bytes::Bytes, String>> + Send + 'static,
) -> impl futures::Stream<Item = Result<String, String>> + Send + 'static {
    let start = (pieces.boxed(), Vec::<u8>::new(), false);
    futures::stream::unfold(start, |(mut pieces, mut rest, mut ended)| async move {
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let end = end.or_else(|| (rest.len() > LINE_BYTES).then(|| rest.len() - 1));
            if let Some(end) = end {
                let line: Vec<u8> = rest.drain(..=end).collect();
                return Some((Ok(String::from_utf8_lossy(&line).into_owned()), (pieces, rest, ended)));
            }
            if ended {
                let line = String::from_utf8_lossy(&std::mem::take(&mut rest)).into_owned();
                return (!line.is_empty()).then(|| (Ok(line + "\n"), (pieces, rest, true)));
            }
            match pieces.next().await {
                Some(Ok(piece)) => rest.extend_from_slice(&piece),
                Some(Err(error)) => return Some((Err(error), (pieces, rest, true))),
                None => ended = true,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn pieces_become_lines_and_the_last_one_is_ended() {
        let pieces = ["a", "b\nc\n", "d"].map(|piece| Ok(bytes::Bytes::from(piece)));
        let all: Vec<_> = lines(futures::stream::iter(pieces)).collect().await;
        let text: String = all.into_iter().map(Result::unwrap).collect();
        assert_eq!(text, "ab\nc\nd\n");
    }

    #[test]
    fn a_container_that_is_not_there_is_answered_with_those_that_are() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}});
        assert_eq!(containers(&pod, None).unwrap(), ["c"]);
        assert_eq!(containers(&pod, Some("i")).unwrap(), ["i"]);
        assert_eq!(
            containers(&pod, Some("x")).unwrap_err().to_string(),
            "pod p has no container x; it has i, c"
        );
    }
}
