//! A pod's volumes on the machine's disk: made before its containers, kept up to date while it
//! runs, removed with it.
//!
//! What comes from objects is written as upstream's atomic writer does: a new folder beside
//! the old one, then `..data` points at it, so that a reader sees all of one version.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use api::meta;
use api::selector::LabelSelector;
use client::{Place, Resource, Selection, View, Write};
use pods::env::{self, Sources};
use serde_json::{Value, json};

use crate::context::{Context, core};

/// Why a volume is not there (upstream's FailedMount).
#[derive(Debug, Clone)]
pub(crate) struct NoVolume(pub(crate) String);

/// Files of a volume: path, content, mode.
type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// The pod's folder.
pub(crate) fn folder(context: &Context, pod: &Value) -> PathBuf {
    context.root.join(meta::uid(pod))
}

/// Makes the pod's volumes, or brings them up to date; where each is, by name.
pub(crate) async fn prepare(
    context: &Context,
    pod: &Value,
    sources: &Sources,
) -> Result<BTreeMap<String, PathBuf>, NoVolume> {
    let mut places = BTreeMap::new();
    for volume in meta::list_at(pod, "spec.volumes") {
        let name = meta::str_at(volume, "name").to_owned();
        let place = one(context, pod, volume, &name, sources).await;
        let place = place.map_err(|NoVolume(why)| {
            NoVolume(format!("MountVolume.SetUp failed for volume \"{name}\" : {why}"))
        })?;
        places.insert(name, place);
    }
    Ok(places)
}

async fn one(
    context: &Context,
    pod: &Value,
    volume: &Value,
    name: &str,
    sources: &Sources,
) -> Result<PathBuf, NoVolume> {
    let failed = |error: io::Error| NoVolume(error.to_string());
    let place = folder(context, pod).join("volumes").join(name);
    let group = pod["spec"]["securityContext"]["fsGroup"].as_i64();
    if volume["hostPath"].is_object() {
        return host_path(&volume["hostPath"]);
    }
    if volume["emptyDir"].is_object() {
        let memory = volume["emptyDir"]["medium"] == "Memory";
        // A folder that should be memory and is not (a reboot took it away) is none yet.
        if !place.exists() || (memory && !is_mounted(&place)) {
            std::fs::create_dir_all(&place).map_err(failed)?;
            if memory {
                mount_memory(&place, &volume["emptyDir"])?;
            }
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).map_err(failed)?;
            owned_by(&place, group).map_err(failed)?;
        }
        return Ok(place);
    }
    let files = files(context, pod, volume, sources, &place).await?;
    std::fs::create_dir_all(&place).map_err(failed)?;
    publish(&place, &files, group).map_err(failed)?;
    Ok(place)
}

fn is_mounted(place: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(1)).any(|at| Path::new(at) == place)
}

fn mount_memory(place: &Path, volume: &Value) -> Result<(), NoVolume> {
    let limit =
        api::quantity::Quantity::of(&volume["sizeLimit"]).map(|size| format!("size={}", size.value()));
    let options = limit.unwrap_or_default();
    let done = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", if options.is_empty() { "rw" } else { &options }, "tmpfs"])
        .arg(place)
        .status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(NoVolume(format!("mount of tmpfs ended with {status}"))),
        Err(error) => Err(NoVolume(error.to_string())),
    }
}

fn host_path(volume: &Value) -> Result<PathBuf, NoVolume> {
    let path = PathBuf::from(meta::str_at(volume, "path"));
    let kind = meta::str_at(volume, "type");
    let shown = path.display();
    let is = |what: &str, holds: bool| {
        if holds {
            Ok(())
        } else {
            Err(NoVolume(format!("hostPath type check failed: {shown} is not a {what}")))
        }
    };
    let failed = |error: io::Error| NoVolume(format!("{shown}: {error}"));
    match kind {
        "" => {}
        "DirectoryOrCreate" => std::fs::create_dir_all(&path).map_err(failed)?,
        "FileOrCreate" if !path.exists() => std::fs::write(&path, "").map_err(failed)?,
        "Directory" => is("directory", path.is_dir())?,
        "File" | "FileOrCreate" => is("file", path.is_file())?,
        other => {
            use std::os::unix::fs::FileTypeExt as _;
            let found = std::fs::metadata(&path).map(|found| found.file_type());
            let holds = found.is_ok_and(|found| match other {
                "Socket" => found.is_socket(),
                "CharDevice" => found.is_char_device(),
                _ => found.is_block_device(),
            });
            is(&other.to_lowercase(), holds)?;
        }
    }
    Ok(path)
}

async fn files(
    context: &Context,
    pod: &Value,
    volume: &Value,
    sources: &Sources,
    place: &Path,
) -> Result<Files, NoVolume> {
    for kind in ["configMap", "secret", "downwardAPI"] {
        let source = &volume[kind];
        if source.is_object() {
            let mode = source["defaultMode"].as_u64().unwrap_or(0o644);
            return of_source(context, pod, kind, source, mode, sources).await;
        }
    }
    let mode = volume["projected"]["defaultMode"].as_u64().unwrap_or(0o644);
    let mut all = Files::new();
    for source in meta::list_at(volume, "projected.sources") {
        if source["serviceAccountToken"].is_object() {
            let (path, token) = token(context, pod, &source["serviceAccountToken"], place).await?;
            all.insert(path, (token, u32::try_from(mode).unwrap_or(0o600)));
        }
        if source["clusterTrustBundle"].is_object() {
            let (path, bundle) = trust(context, &source["clusterTrustBundle"]).await?;
            all.insert(path, (bundle, u32::try_from(mode).unwrap_or(0o644)));
        }
        for kind in ["configMap", "secret", "downwardAPI"] {
            if source[kind].is_object() {
                all.extend(of_source(context, pod, kind, &source[kind], mode, sources).await?);
            }
        }
    }
    Ok(all)
}

async fn of_source(
    context: &Context,
    pod: &Value,
    kind: &str,
    source: &Value,
    mode: u64,
    sources: &Sources,
) -> Result<Files, NoVolume> {
    let mode_of = |item: &Value| u32::try_from(item["mode"].as_u64().unwrap_or(mode)).unwrap_or(0o644);
    if kind == "downwardAPI" {
        return of_pod(pod, source, &mode_of, sources);
    }
    let name = source["name"].as_str().or(source["secretName"].as_str()).unwrap_or_default();
    let place = Place::within(meta::namespace(pod), name);
    let (plural, of) = if kind == "secret" { ("secrets", "Secret") } else { ("configmaps", "ConfigMap") };
    let found = context.get(plural, of, &place).await.map_err(|error| NoVolume(error.to_string()))?;
    let optional = source["optional"] == true;
    let Some(object) = found else {
        if optional {
            return Ok(Files::new());
        }
        return Err(NoVolume(format!("{} \"{name}\" not found", of.to_lowercase())));
    };
    let mut data: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        let bytes = if kind == "secret" {
            env::bytes(value)
        } else {
            value.as_str().map(|text| text.as_bytes().to_vec())
        };
        data.extend(bytes.map(|bytes| (key.clone(), bytes)));
    }
    for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
        data.extend(env::bytes(value).map(|bytes| (key.clone(), bytes)));
    }
    let items = source["items"].as_array().filter(|items| !items.is_empty());
    let Some(items) = items else {
        return Ok(data.into_iter().map(|(key, bytes)| (key, (bytes, mode_of(&Value::Null)))).collect());
    };
    let mut chosen = Files::new();
    for item in items {
        let (key, path) = (meta::str_at(item, "key"), meta::str_at(item, "path"));
        match data.get(key) {
            Some(bytes) => drop(chosen.insert(path.to_owned(), (bytes.clone(), mode_of(item)))),
            None if optional => {}
            None => {
                return Err(NoVolume(format!("references non-existent {} key: {key}", of.to_lowercase())));
            }
        }
    }
    Ok(chosen)
}

fn of_pod(
    pod: &Value,
    source: &Value,
    mode_of: &dyn Fn(&Value) -> u32,
    sources: &Sources,
) -> Result<Files, NoVolume> {
    let mut files = Files::new();
    for item in meta::list_at(source, "items") {
        let text = match item["fieldRef"]["fieldPath"].as_str() {
            Some(path) => env::field(pod, path, sources).map_err(|missing| NoVolume(missing.0))?,
            None => env::resource(pod, &Value::Null, &item["resourceFieldRef"], sources),
        };
        files.insert(meta::str_at(item, "path").to_owned(), (text.into_bytes(), mode_of(item)));
    }
    Ok(files)
}

/// The certificates of a ClusterTrustBundle, or of all of a signer that are selected, each once.
async fn trust(context: &Context, source: &Value) -> Result<(String, Vec<u8>), NoVolume> {
    let resource = Resource {
        group: "certificates.k8s.io".into(),
        version: "v1".into(),
        plural: "clustertrustbundles".into(),
        kind: "ClusterTrustBundle".into(),
        namespaced: false,
        verbs: Vec::new(),
    };
    let failed = |error: client::ApiError| NoVolume(error.to_string());
    let (name, optional) = (meta::str_at(source, "name"), source["optional"] == true);
    let (bundles, missing) = if name.is_empty() {
        let signer = meta::str_at(source, "signerName");
        let all =
            context.api.list(&resource, &Selection::default(), View::Whole).await.map_err(failed)?.items;
        // No selector selects nothing, an empty one everything.
        let selector = LabelSelector::of(&source["labelSelector"]);
        let fits = |one: &Value| {
            meta::str_at(one, "spec.signerName") == signer
                && selector
                    .as_ref()
                    .is_some_and(|selector| selector.matches_labels(&one["metadata"]["labels"]))
        };
        let missing = format!(
            "combination of signerName and labelSelector matched zero ClusterTrustBundles (signer {signer:?})"
        );
        (all.into_iter().filter(fits).collect::<Vec<_>>(), missing)
    } else {
        let found = client::found(context.api.get(&resource, &Place::cluster(name), View::Whole).await);
        (found.map_err(failed)?.into_iter().collect(), format!("clustertrustbundle {name:?} not found"))
    };
    if bundles.is_empty() && !optional {
        return Err(NoVolume(missing));
    }
    let texts: Vec<&str> = bundles.iter().map(|one| meta::str_at(one, "spec.trustBundle")).collect();
    Ok((meta::str_at(source, "path").to_owned(), certificates(&texts).into_bytes()))
}

/// The certificates of PEM texts, each once, nothing between them.
fn certificates(texts: &[&str]) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut all: BTreeSet<String> = BTreeSet::new();
    for text in texts {
        for block in text.split(BEGIN).skip(1).filter_map(|block| Some(block.split_once(END)?.0)) {
            all.insert(format!("{BEGIN}\n{}\n{END}\n", block.trim()));
        }
    }
    all.into_iter().collect()
}

/// A token for the pod's service account, bound to the pod. One that is there serves for four
/// fifths of its life.
async fn token(
    context: &Context,
    pod: &Value,
    source: &Value,
    volume: &Path,
) -> Result<(String, Vec<u8>), NoVolume> {
    let there = volume.join("..data").join(meta::str_at(source, "path"));
    let age =
        std::fs::metadata(&there).and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
    let life = source["expirationSeconds"].as_u64().unwrap_or(3600);
    if let (Some(age), Ok(token)) = (age, std::fs::read(&there))
        && age.as_secs() < life * 4 / 5
    {
        return Ok((meta::str_at(source, "path").to_owned(), token));
    }
    let account = Place::within(meta::namespace(pod), meta::str_at(pod, "spec.serviceAccountName"));
    let audiences: Vec<&str> = source["audience"].as_str().into_iter().collect();
    let mut spec = json!({
        "expirationSeconds": source["expirationSeconds"].as_i64().unwrap_or(3600),
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta::name(pod), "uid": meta::uid(pod)},
    });
    if !audiences.is_empty() {
        spec["audiences"] = json!(audiences);
    }
    let object = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let ask = Write::CreateIn { place: account, subresource: "token", object };
    let answer = context.api.write(&core("serviceaccounts", "ServiceAccount"), ask).await;
    let answer = answer.map_err(|error| NoVolume(format!("failed to fetch token: {error}")))?;
    let token = meta::str_at(&answer, "status.token").as_bytes().to_vec();
    Ok((meta::str_at(source, "path").to_owned(), token))
}

/// Writes a version of a volume where it differs from the one that is there.
fn publish(place: &Path, files: &Files, group: Option<i64>) -> io::Result<()> {
    let data = place.join("..data");
    if let Ok(current) = std::fs::read_link(&data)
        && is_same(&place.join(&current), files)
    {
        return Ok(());
    }
    let version = (0..).map(|n| format!("..version_{n}")).find(|name| !place.join(name).exists());
    let version = version.unwrap_or_default();
    let fresh = place.join(&version);
    std::fs::create_dir(&fresh)?;
    for (path, (content, mode)) in files {
        let file = fresh.join(path);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // Nobody reads it before its mode is what it should be.
        let mut fresh_file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        fresh_file.write_all(content)?;
        // A group of the pod's reads what its owner reads.
        let mode = if group.is_some() { mode | (mode & 0o400) >> 3 } else { *mode };
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode))?;
        owned_by(&file, group)?;
    }
    let old = std::fs::read_link(&data).ok();
    let beside = place.join("..data_new");
    let _ = std::fs::remove_file(&beside);
    symlink(&version, &beside)?;
    std::fs::rename(&beside, &data)?;
    let tops: std::collections::BTreeSet<&str> =
        files.keys().filter_map(|path| path.split('/').next()).collect();
    for top in &tops {
        let link = place.join(top);
        if std::fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(top), &link)?;
        }
    }
    for entry in std::fs::read_dir(place)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !tops.contains(name.as_str()) {
            std::fs::remove_file(place.join(&name))?;
        }
    }
    if let Some(old) = old {
        std::fs::remove_dir_all(place.join(old))?;
    }
    Ok(())
}

fn is_same(version: &Path, files: &Files) -> bool {
    let mut found = 0;
    let mut folders = vec![version.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found += 1;
            }
        }
    }
    found == files.len()
        && files.iter().all(|(path, (content, _))| {
            let there = std::fs::read(version.join(path));
            there.is_ok_and(|there| there == *content)
        })
}

fn owned_by(path: &Path, group: Option<i64>) -> io::Result<()> {
    let Some(group) = group.and_then(|group| u32::try_from(group).ok()) else { return Ok(()) };
    std::os::unix::fs::chown(path, None, Some(group))?;
    if path.is_dir() {
        let mode = std::fs::metadata(path)?.permissions().mode();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | 0o2770))?;
    }
    Ok(())
}

/// Removes everything of a pod from the disk. Memory that is mounted is let go first.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let inside = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|at| Path::new(at).starts_with(folder));
    for at in inside {
        rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH)?;
    }
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_bundles_come_once_and_bare() {
        let one = "-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n";
        let two = one.replace("AAA", "BBB");
        let told = certificates(&[&format!("# a comment\n{one}{two}"), one]);
        assert_eq!(told, format!("{one}{two}"));
    }

    fn files(pairs: &[(&str, &str)]) -> Files {
        pairs.iter().map(|(path, text)| ((*path).to_owned(), (text.as_bytes().to_vec(), 0o644))).collect()
    }

    #[test]
    fn a_new_version_appears_whole_and_the_old_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        publish(place, &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(std::fs::read_to_string(place.join("sub/b")).unwrap(), "2");
        let first = std::fs::read_link(place.join("..data")).unwrap();
        publish(place, &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(std::fs::read_link(place.join("..data")).unwrap(), first, "nothing differs");
        publish(place, &files(&[("a", "3")]), None).unwrap();
        assert_eq!(std::fs::read_to_string(place.join("a")).unwrap(), "3");
        assert!(!place.join("sub").exists() && !place.join(first).exists());
        remove(place).unwrap();
        assert!(!place.exists());
        remove(place).unwrap();
    }

    #[test]
    fn a_host_path_is_what_its_type_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, kind: &str| json!({"path": folder.path().join(name).display().to_string(), "type": kind});
        assert!(host_path(&path("new", "DirectoryOrCreate")).unwrap().is_dir());
        assert!(host_path(&path("new", "File")).unwrap_err().0.ends_with("is not a file"));
        assert!(host_path(&path("file", "FileOrCreate")).unwrap().is_file());
        assert!(host_path(&path("file", "Socket")).is_err());
    }
}
