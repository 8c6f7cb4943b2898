//! `cluster kubeconfig`: the way in for kubectl and every other client.
//!
//! The cluster's entries are added to the file that is there, or replaced in it; everything
//! else stays as it is, and the file before is kept beside it. The current context changes
//! only where there is none, or where it is asked for.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use serde_json::{Value, json};

use super::arguments;
use super::output;
use super::reach::Reach;

/// For the question whether the API answers under what was written.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes or prints the kubeconfig.
pub(crate) async fn run(arguments: &arguments::Kubeconfig) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&arguments.file.file).await?;
    let entry = Entry::of(&reach)?;
    let context = &reach.context;
    if arguments.print {
        output::print(&text(&merged(Value::Null, &entry, true))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let answers = node::server_check(&reach.target, PATIENCE).await;
    let path = arguments.output.clone().map_or_else(default_path, Ok)?;
    let before = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let old: Value = match before.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        None => Value::Null,
        Some(text) => serde_yaml::from_str(text).with_context(|| {
            format!("{} is no YAML: mend it, or name another file with --output", path.display())
        })?,
    };
    let new = merged(old, &entry, arguments.switch);
    let current = new["current-context"].as_str().unwrap_or_default().to_owned();
    if let Some(before) = before {
        write(&path.with_extension("before-cluster"), &before)?;
    }
    write(&path, &text(&new)?)?;
    let mut said = format!("wrote the context {} to {}\n", context.name, path.display());
    if current == context.name {
        said.push_str("next: kubectl get nodes\n");
    } else {
        let name = &context.name;
        said.push_str(&format!(
            "the current context is still {current}\nnext: kubectl --context {name} get nodes, or kubectl config use-context {name}\n"
        ));
    }
    output::print(&said)?;
    answers.with_context(|| {
        let address = entry.address;
        format!("the API does not answer at {address}: access.api says who may reach it, and `cluster status` how its master is")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is written of a cluster.
struct Entry<'a> {
    name: &'a str,
    /// `host:port`.
    address: &'a str,
    server_name: &'a str,
    authority_pem: &'a str,
    certificate_pem: &'a str,
    key_pem: &'a str,
}

impl<'a> Entry<'a> {
    fn of(reach: &'a Reach) -> anyhow::Result<Self> {
        let (target, credentials) = (&reach.target, &reach.target.credentials);
        let (certificate, key) =
            credentials.certificate.as_ref().context("the administrator has no certificate")?;
        Ok(Self {
            name: &reach.context.name,
            address: target.addresses.first().context("no master has an address")?,
            server_name: &target.server_name,
            authority_pem: &credentials.authority_pem,
            certificate_pem: certificate,
            key_pem: key,
        })
    }
}

/// The file that kubectl writes to.
fn default_path() -> anyhow::Result<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    if let Some(first) = listed.as_ref().and_then(|list| std::env::split_paths(list).next()) {
        return Ok(first);
    }
    let home = std::env::var_os("HOME").context("HOME is not set: name a file with --output")?;
    Ok(PathBuf::from(home).join(".kube/config"))
}

/// The file with the cluster's entries in it.
fn merged(old: Value, entry: &Entry<'_>, switch: bool) -> Value {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let (name, user) = (entry.name, format!("{}-admin", entry.name));
    let mut config =
        if old.is_object() { old } else { json!({"apiVersion": "v1", "kind": "Config", "preferences": {}}) };
    let mut put = |list: &str, key: &str, name: &str, value: Value| {
        let mut all = config[list].as_array().cloned().unwrap_or_default();
        let fresh = json!({"name": name, key: value});
        match all.iter_mut().find(|one| one["name"] == name) {
            Some(there) => *there = fresh,
            None => all.push(fresh),
        }
        config[list] = Value::Array(all);
    };
    let cluster = json!({
        "server": format!("https://{}", entry.address),
        "tls-server-name": entry.server_name,
        "certificate-authority-data": encode(entry.authority_pem),
    });
    put("clusters", "cluster", name, cluster);
    let keys = json!({
        "client-certificate-data": encode(entry.certificate_pem),
        "client-key-data": encode(entry.key_pem),
    });
    put("users", "user", &user, keys);
    put("contexts", "context", name, json!({"cluster": name, "user": user}));
    let none = config["current-context"].as_str().is_none_or(str::is_empty);
    if switch || none {
        config["current-context"] = json!(name);
    }
    config
}

fn text(config: &Value) -> anyhow::Result<String> {
    serde_yaml::to_string(config).context("write the kubeconfig as YAML")
}

/// Writes a file that its owner alone may read, whole or not at all.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let work = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    work().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry<'_> {
        Entry {
            name,
            address: "192.0.2.1:6443",
            server_name: "api.shop.cluster.internal",
            authority_pem: "a",
            certificate_pem: "b",
            key_pem: "c",
        }
    }

    #[test]
    fn the_file_keeps_what_it_has_and_its_context() {
        let old = json!({"current-context": "work", "contexts": [{"name": "work"}], "users": [], "extra": 1});
        let new = merged(old, &entry("shop"), false);
        assert_eq!((&new["current-context"], &new["extra"]), (&json!("work"), &json!(1)));
        assert_eq!(new["contexts"].as_array().map(Vec::len), Some(2));
        let again = merged(new.clone(), &entry("shop"), true);
        assert_eq!(again["contexts"].as_array().map(Vec::len), Some(2), "replaced, not added twice");
        assert_eq!(again["current-context"], "shop");
        let read = client::kubeconfig::read(&text(&again).unwrap(), Path::new("/"), None, &|path| {
            fs::read_to_string(path)
        });
        let target = read.unwrap().target;
        assert_eq!(
            (&target.addresses[0][..], &target.server_name[..]),
            ("192.0.2.1:6443", "api.shop.cluster.internal")
        );
    }
}
