//! `cluster image load`: images from archives onto the nodes, with no registry between.
//!
//! What `docker save` writes and OCI archives are taken, packed or not. Each node gets the
//! archive over SSH and its runtime takes it in; a node that comes later needs it again.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Shutdown;
use flate2::read::GzDecoder;
use futures::StreamExt as _;
use plan::model::InstanceState;
use provision::bootstrap::Addresses;
use remote::{Limits, Remote as _, Ssh, Target, Upload};
use serde_json::Value;

use super::arguments;
use super::context::{self, Context};
use super::{decide, fleet, output};

/// Where an archive lies on a node while its runtime takes it in.
const PLACE: &str = "/var/lib/cluster/image.tar";
const IMPORT: &str = "sudo ctr --namespace k8s.io images import /var/lib/cluster/image.tar; status=$?; \
    sudo rm -f /var/lib/cluster/image.tar; exit $status";
/// For an archive to cross the uplink, and for the runtime to unpack it.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Nodes served at a time: they share an uplink.
const AT_ONCE: usize = 4;
/// The most of a file of an archive that is read: manifests are small.
const MANIFEST: u64 = 4 * 1024 * 1024;
/// What nodes run.
const ARCHITECTURE: &str = "amd64";

/// What an archive says of itself.
#[derive(Debug, PartialEq)]
struct Archive {
    names: Vec<String>,
    architectures: Vec<String>,
}

/// Loads every archive onto every node.
pub(crate) async fn load(arguments: &arguments::ImageLoad) -> anyhow::Result<ExitCode> {
    for path in &arguments.archives {
        let archive = inspect(path).with_context(|| format!("{}", path.display()))?;
        refuse_strange(path, &archive)?;
        output::print(&format!("{}: {}\n", path.display(), archive.names.join(", ")))?;
    }
    let targets = targets(&arguments.file.file).await?;
    for path in &arguments.archives {
        let sent = targets.iter().map(|(slot, target)| async move { (slot, send(target, path).await) });
        let results: Vec<_> = futures::stream::iter(sent).buffer_unordered(AT_ONCE).collect().await;
        for (slot, result) in results {
            result.with_context(|| format!("{slot}: load {}", path.display()))?;
            output::print(&format!("loaded onto {slot}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn refuse_strange(path: &Path, archive: &Archive) -> anyhow::Result<()> {
    if archive.names.is_empty() {
        bail!("{}: the image in it has no name; save it by one: docker save NAME:TAG", path.display());
    }
    match archive.architectures.iter().find(|one| *one != ARCHITECTURE) {
        None => Ok(()),
        Some(other) => bail!(
            "{}: it is built for {other}, and the nodes are {ARCHITECTURE}: build it with `docker build --platform linux/{ARCHITECTURE} …`",
            path.display()
        ),
    }
}

async fn targets(file: &Path) -> anyhow::Result<Vec<(String, Target)>> {
    let config = context::read_config(file)?;
    let context = Context::open(&config.name, config.region.as_deref()).await?;
    let Some(known) = context.remembered()? else {
        bail!("no keys of the cluster {} are here; `cluster up` makes a cluster and its keys", context.name);
    };
    let inventory = context.cloud.inventory(&context.name).await?;
    let bootstrap = decide::looking(&context, &config, &known.uid, &inventory, &Shutdown::new())?;
    let running =
        fleet::nodes(&inventory, &context.name).filter(|(_, one)| one.state == InstanceState::Running);
    let mut targets = Vec::new();
    for (slot, instance) in running {
        let Some(private) = instance.private_address else { continue };
        let at = Addresses { private, public: instance.public_address };
        targets.push((slot.to_owned(), bootstrap.target(slot, at)?));
    }
    if targets.is_empty() {
        bail!("no node of {} runs; `cluster up` starts them", context.name);
    }
    Ok(targets)
}

async fn send(target: &Target, path: &Path) -> anyhow::Result<()> {
    let session = Ssh::new(Limits::default(), Shutdown::new()).connect(target).await?;
    session.upload(Upload::File(path.to_owned()), PLACE, 0o600, None, PATIENCE).await?;
    let said = session.run(IMPORT, None, PATIENCE).await?;
    if !said.ok() {
        bail!("the runtime did not take it: {}", said.stderr_text().trim());
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    let mut file = std::fs::File::open(path)?;
    let mut magic = [0; 2];
    let packed = file.read(&mut magic)? == 2 && magic == [0x1f, 0x8b];
    let file = std::fs::File::open(path)?;
    Ok(if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) })
}

/// Reads names and platforms of an archive.
fn inspect(path: &Path) -> anyhow::Result<Archive> {
    let mut small: Vec<(String, Value)> = Vec::new();
    let mut archive = tar::Archive::new(open(path)?);
    for entry in archive.entries().context("it is no archive of an image")? {
        let entry = entry.context("it is no archive of an image")?;
        let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        if entry.size() > MANIFEST {
            continue;
        }
        let mut bytes = Vec::new();
        entry.take(MANIFEST).read_to_end(&mut bytes)?;
        if let Ok(value) = serde_json::from_slice(&bytes) {
            small.push((name, value));
        }
    }
    read(&small).context("it holds neither manifest.json (docker save) nor index.json (OCI)")
}

fn read(small: &[(String, Value)]) -> Option<Archive> {
    let find = |name: &str| small.iter().find(|(one, _)| one == name).map(|(_, value)| value);
    let configs = small.iter().filter(|(_, value)| value["rootfs"].is_object());
    let architectures =
        configs.filter_map(|(_, value)| value["architecture"].as_str().map(str::to_owned)).collect();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let names = match (find("manifest.json"), find("index.json")) {
        (Some(manifest), _) => {
            let images = manifest.as_array().into_iter().flatten();
            images.flat_map(|one| one["RepoTags"].as_array().into_iter().flatten().filter_map(text)).collect()
        }
        (None, Some(index)) => {
            let images = index["manifests"].as_array().into_iter().flatten();
            let named = images.filter_map(|one| {
                let notes = &one["annotations"];
                text(&notes["io.containerd.image.name"])
                    .or_else(|| text(&notes["org.opencontainers.image.ref.name"]))
            });
            named.collect()
        }
        (None, None) => return None,
    };
    Some(Archive { names, architectures })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn archives_of_both_forms_tell_their_names_and_another_platform_is_refused_with_the_remedy() {
        let config = |architecture: &str| {
            ("config.json".to_owned(), json!({"architecture": architecture, "rootfs": {}}))
        };
        let docker = [("manifest.json".to_owned(), json!([{"RepoTags": ["shop/web:1"]}])), config("amd64")];
        let oci = [
            (
                "index.json".to_owned(),
                json!({"manifests": [{"annotations": {"io.containerd.image.name": "shop/api:2"}}]}),
            ),
            config("arm64"),
        ];
        let path = Path::new("a.tar");
        let docker = read(&docker).unwrap();
        assert_eq!(docker.names, ["shop/web:1"]);
        refuse_strange(path, &docker).unwrap();
        let oci = read(&oci).unwrap();
        assert_eq!(oci.names, ["shop/api:2"]);
        let refused = refuse_strange(path, &oci).unwrap_err().to_string();
        assert!(
            refused.contains("built for arm64") && refused.contains("--platform linux/amd64"),
            "{refused}"
        );
        assert_eq!(read(&[config("amd64")]), None);
        let nameless = Archive { names: Vec::new(), architectures: Vec::new() };
        assert!(refuse_strange(path, &nameless).unwrap_err().to_string().contains("docker save NAME:TAG"));
    }
}
