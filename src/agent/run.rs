//! The agent as a whole: its parts, started and ended in order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use base::{Clock, Shutdown, chain};
use client::{Api, Change, Selection, View, reflect};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::context::{Context, POD_UID, core};
use crate::pod::{self, Heard};
use crate::{node, pause, runtime, server};

/// How often the runtime is asked for what changed by itself.
const RELIST: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(2);
const NEWS: usize = 256;
const VOLUMES: &str = "/var/lib/cluster/pods";
const LOGS: &str = "/var/log/pods";

/// What an agent is started with.
pub struct Options {
    /// Its configuration.
    pub config: Config,
    /// The API under the node's identity.
    pub api: Arc<dyn Api>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the runtime puts containers into systemd's cgroups.
    pub systemd_cgroup: bool,
    /// Tells when the pod network is ready.
    pub network: watch::Receiver<bool>,
    /// Ends everything; pods go on.
    pub shutdown: Shutdown,
}

/// Runs until stopped.
pub async fn run(options: Options) {
    let Options { config, api, clock, systemd_cgroup, network, shutdown } = options;
    let cri = crate::cri::Cri::new(config.containerd.clone());
    let Some(version) = shutdown.race(runtime_version(&cri, &*clock)).await else { return };
    let machine = node::Machine::look(&version);
    let capacity = (machine.cpus * 1000, machine.memory_bytes);
    let context = Context::new(
        config,
        api,
        clock,
        PathBuf::from(VOLUMES),
        PathBuf::from(LOGS),
        systemd_cgroup,
        capacity,
    );
    let context = Arc::new(context);
    shutdown.race(until_done("the sandbox image", &context, || sandbox_image(&context))).await;
    let register =
        || async { node::register(&context, &machine).await.map(drop).map_err(|error| chain(&error)) };
    if shutdown.race(until_done("the Node", &context, register)).await.is_none() {
        return;
    }
    let status = node::keep_status(Arc::clone(&context), machine, network, shutdown.clone());
    let lease = node::keep_lease(Arc::clone(&context), shutdown.clone());
    let serving = server::serve(Arc::clone(&context), shutdown.clone());
    tokio::join!(status, lease, serving, keep_pods(Arc::clone(&context), shutdown.clone()));
}

async fn runtime_version(cri: &crate::cri::Cri, clock: &dyn Clock) -> String {
    loop {
        match cri.version().await {
            Ok(answer) => return format!("{}://{}", answer.name, answer.version.trim_start_matches('v')),
            Err(error) => tracing::warn!(%error, "waiting for the container runtime"),
        }
        clock.sleep(RETRY).await;
    }
}

async fn until_done<F, D>(what: &str, context: &Context, work: D)
where
    F: Future<Output = Result<(), String>>,
    D: Fn() -> F,
{
    while let Err(error) = work().await {
        tracing::warn!(error, "{what} is not there yet; trying again");
        context.clock.sleep(RETRY).await;
    }
}

/// Puts the sandbox's image into the runtime, which has no way to be given one but its own tool.
async fn sandbox_image(context: &Context) -> Result<(), String> {
    if context.cri.image(pause::NAME).await.map_err(|error| error.to_string())?.is_some() {
        return Ok(());
    }
    let archive = pause::archive().map_err(|error| error.to_string())?;
    let file = context.root.with_file_name("pause.tar");
    let folder = file.parent().map(std::path::Path::to_owned).unwrap_or_default();
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&file, archive))
        .map_err(|error| error.to_string())?;
    let output = tokio::process::Command::new("ctr")
        .arg("--address")
        .arg(&context.config.containerd)
        .args(["--namespace", "k8s.io", "images", "import"])
        .arg(&file)
        .output()
        .await
        .map_err(|error| format!("run ctr: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ctr images import: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A pod's task, as the rest sees it.
struct Entry {
    pod: watch::Sender<Option<Arc<Value>>>,
    changed: Arc<Notify>,
}

/// Follows the pods of this node, a task for each.
async fn keep_pods(context: Arc<Context>, shutdown: Shutdown) {
    let (tell, mut news) = mpsc::channel(NEWS);
    let which = Selection::of_fields(&format!("spec.nodeName={}", context.config.node));
    let watching = tokio::spawn(reflect(
        Arc::clone(&context.api),
        Arc::new(core("pods", "Pod")),
        which,
        View::Whole,
        tell,
        Arc::clone(&context.clock),
        shutdown.clone(),
    ));
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut tasks: JoinSet<String> = JoinSet::new();
    let mut seen: BTreeMap<String, (String, i32)> = BTreeMap::new();
    loop {
        tokio::select! {
            () = shutdown.triggered() => break,
            Some((_, change)) = news.recv() => {
                let listed = matches!(change, Change::Listed(_));
                heard(&context, change, &mut entries, &mut tasks, &shutdown);
                if listed {
                    remove_strays(&context, &entries).await;
                }
            }
            Some(ended) = tasks.join_next() => {
                match ended {
                    Ok(uid) => drop(entries.remove(&uid)),
                    Err(error) => tracing::error!(%error, "a pod's task died; its pod is taken up at the next list"),
                }
            }
            () = context.clock.sleep(RELIST) => relist(&context, &entries, &mut seen).await,
        }
    }
    while tasks.join_next().await.is_some() {}
    watching.abort();
}

fn heard(
    context: &Arc<Context>,
    change: Change,
    entries: &mut BTreeMap<String, Entry>,
    tasks: &mut JoinSet<String>,
    shutdown: &Shutdown,
) {
    let mut put = |pod: Value| {
        if !runtime::is_ours(&pod, &context.config.node) {
            return;
        }
        let (uid, pod) = (meta::uid(&pod).to_owned(), Arc::new(pod));
        if let Some(entry) = entries.get(&uid) {
            entry.pod.send_replace(Some(pod));
            return;
        }
        let (tell, hear) = watch::channel(Some(pod));
        let changed = Arc::new(Notify::new());
        entries.insert(uid.clone(), Entry { pod: tell, changed: Arc::clone(&changed) });
        let (context, shutdown) = (Arc::clone(context), shutdown.clone());
        tasks.spawn(async move {
            pod::run(context, Heard { pod: hear, changed }, shutdown).await;
            uid
        });
    };
    match change {
        Change::Put(pod) => put(pod),
        Change::Gone(pod) => {
            if let Some(entry) = entries.get(meta::uid(&pod)) {
                entry.pod.send_replace(None);
            }
        }
        Change::Listed(pods) => {
            let uids: Vec<String> = pods.iter().map(|pod| meta::uid(pod).to_owned()).collect();
            pods.into_iter().for_each(put);
            for (_, entry) in entries.iter().filter(|(uid, _)| !uids.contains(uid)) {
                entry.pod.send_replace(None);
            }
        }
    }
}

/// Ends what the runtime has of pods that the API does not know: they were deleted while nobody was here.
async fn remove_strays(context: &Context, entries: &BTreeMap<String, Entry>) {
    let Ok(sandboxes) = context.cri.sandboxes(None).await else { return };
    for sandbox in sandboxes {
        let uid = sandbox.labels.get(POD_UID);
        if uid.is_some_and(|uid| !entries.contains_key(uid))
            && let Err(error) = context.cri.remove_sandbox(&sandbox.id).await
        {
            tracing::warn!(%error, sandbox = %sandbox.id, "a stray sandbox could not be removed");
        }
    }
    for folder in std::fs::read_dir(&context.root).into_iter().flatten().flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        if !entries.contains_key(&name)
            && let Err(error) = crate::volumes::remove(&folder.path())
        {
            tracing::warn!(%error, folder = name, "a stray pod's volumes could not be removed");
        }
    }
}

/// Wakes the tasks of pods of which something changed in the runtime.
async fn relist(
    context: &Context,
    entries: &BTreeMap<String, Entry>,
    seen: &mut BTreeMap<String, (String, i32)>,
) {
    let (Ok(containers), Ok(sandboxes)) =
        (context.cri.containers(None).await, context.cri.sandboxes(None).await)
    else {
        return;
    };
    let of = |labels: &BTreeMap<String, String>| labels.get(POD_UID).cloned().unwrap_or_default();
    let now: BTreeMap<String, (String, i32)> = containers
        .into_iter()
        .map(|one| (one.id, (of(&one.labels), one.state)))
        .chain(sandboxes.into_iter().map(|one| (one.id, (of(&one.labels), one.state))))
        .collect();
    let changed = now.iter().filter(|(id, state)| seen.get(*id) != Some(state));
    let gone = seen.iter().filter(|(id, _)| !now.contains_key(*id));
    for (_, (uid, _)) in changed.chain(gone) {
        if let Some(entry) = entries.get(uid) {
            entry.changed.notify_one();
        }
    }
    *seen = now;
}
