//! Manifests in a folder: read, checked for what any object must have, and put in the order in
//! which they can be made. Pure but for reading the files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// An object and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    /// `deploy/web.yaml`, with the number of the document if there are several.
    pub(crate) origin: String,
    /// What is wanted.
    pub(crate) object: Value,
}

/// What others need comes before them; kinds that are not named come before workloads.
const EARLY: &[&str] = &[
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
];
const LATE: &[&str] = &[
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "StatefulSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "Job",
    "CronJob",
    "Ingress",
];

impl Manifest {
    /// `Deployment`.
    pub(crate) fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// `deployment/web`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.kind().to_lowercase(), self.name())
    }
}

/// Reads a file, or every .yaml, .yml and .json of a folder.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Manifest>> {
    let mut all = Vec::new();
    for file in files(path)? {
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        all.extend(documents(&file.display().to_string(), &text)?);
    }
    if all.is_empty() {
        bail!(
            "{}: no manifest is in it; `cluster new app` writes some, docs/your-app.md shows how",
            path.display()
        );
    }
    refuse_doubles(&all)?;
    all.sort_by_key(|one| rank(one.kind()));
    Ok(all)
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let facts = std::fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
    if facts.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        let file = entry?.path();
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if file.is_file() && ["yaml", "yml", "json"].contains(&ending) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The documents of a file. Templates are not: those of helm are helm's.
fn documents(file: &str, text: &str) -> anyhow::Result<Vec<Manifest>> {
    let parts: Vec<Value> = serde_yaml::from_multiple(text).with_context(|| format!("{file} is no YAML"))?;
    let several = parts.len() > 1;
    let mut all = Vec::new();
    for (at, part) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_null()) {
        let origin = if several { format!("{file}, document {}", at + 1) } else { file.to_owned() };
        let items = match part["items"].as_array() {
            Some(items) if part["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.clone(),
            _ => vec![part],
        };
        for object in items {
            check(&origin, &object)?;
            all.push(Manifest { origin: origin.clone(), object: with_data(object) });
        }
    }
    Ok(all)
}

/// A Secret's texts as it keeps them: `stringData` is never stored, and applying it again would
/// count as a change.
fn with_data(mut object: Value) -> Value {
    if object["kind"] != "Secret" {
        return object;
    }
    let texts = object.as_object_mut().and_then(|fields| fields.remove("stringData"));
    for (key, text) in texts.as_ref().and_then(Value::as_object).into_iter().flatten() {
        object["data"][key] = match text {
            Value::String(text) => STANDARD.encode(text).into(),
            // The server says what is wrong with it.
            other => other.clone(),
        };
    }
    object
}

fn check(origin: &str, object: &Value) -> anyhow::Result<()> {
    if !object.is_object() {
        bail!(
            "{origin}: this is no Kubernetes object: it must be a mapping with apiVersion, kind and metadata"
        );
    }
    let name = &object["metadata"]["name"];
    let fields = [("apiVersion", &object["apiVersion"]), ("kind", &object["kind"]), ("metadata.name", name)];
    for (field, value) in fields {
        match value {
            Value::String(text) if !text.is_empty() => {}
            Value::Null => bail!("{origin}: {field} is missing"),
            other => bail!("{origin}: {field} is {other}, and must be text"),
        }
    }
    Ok(())
}

fn refuse_doubles(all: &[Manifest]) -> anyhow::Result<()> {
    let key = |one: &Manifest| {
        let object = &one.object;
        let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/'));
        let group = group.map(|(group, _)| group.to_owned()).unwrap_or_default();
        (group, one.label(), object["metadata"]["namespace"].as_str().map(str::to_owned))
    };
    for (at, one) in all.iter().enumerate() {
        if let Some(before) = all[..at].iter().find(|before| key(before) == key(one)) {
            bail!("{} and {} both describe {}: leave one", before.origin, one.origin, one.label());
        }
    }
    Ok(())
}

fn rank(kind: &str) -> usize {
    let at = |list: &[&str]| list.iter().position(|one| *one == kind);
    at(EARLY).unwrap_or_else(|| at(LATE).map_or(EARLY.len(), |late| EARLY.len() + 1 + late))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str) -> String {
        format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
    }

    #[test]
    fn a_folder_is_read_in_the_order_in_which_objects_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.yaml", &format!("{}---\n{}---\n", object("Deployment", "web"), object("Service", "web")));
        write("b.yml", &object("Namespace", "shop"));
        write(
            "c.json",
            r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}]}"#,
        );
        write("notes.txt", "not: [read");
        let labels: Vec<_> = read(folder.path()).unwrap().iter().map(Manifest::label).collect();
        assert_eq!(labels, ["namespace/shop", "secret/s", "service/web", "deployment/web"]);
    }

    #[test]
    fn a_secret_is_applied_as_it_is_kept() {
        let secret =
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\ndata: {c: ZA==}\n";
        let read = &documents("f", secret).unwrap()[0].object;
        assert_eq!(read["data"], serde_json::json!({"c": "ZA==", "a": "Yg=="}));
        assert!(read["stringData"].is_null());
    }

    #[test]
    fn what_is_wrong_names_file_document_field_and_value() {
        let cases = [
            ("a: [", "f is no YAML"),
            ("- 1\n", "f: this is no Kubernetes object"),
            ("kind: Pod\nmetadata: {name: a}\n", "f: apiVersion is missing"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {name: 7}\n", "f: metadata.name is 7, and must be text"),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nkind: Pod\n",
                "f, document 2: apiVersion is missing",
            ),
        ];
        for (text, wanted) in cases {
            let said = documents("f", text).unwrap_err().to_string();
            assert!(said.starts_with(wanted), "{text}: {said}");
        }
        let doubles: Vec<_> = [object("Pod", "a"), object("Pod", "a")]
            .iter()
            .flat_map(|text| documents("f", text).unwrap())
            .collect();
        assert!(refuse_doubles(&doubles).unwrap_err().to_string().contains("both describe pod/a"));
    }
}
