//! Defaults of a pod's spec that depend on other fields or that no table holds.

use serde_json::{Map, Value, json};

use crate::kinds::basic::default_text;
use crate::meta;

/// A pod.
pub(crate) fn pod(object: &mut Value) {
    let Some(at) = meta::at_mut(object, "spec") else { return };
    spec(at);
    if meta::int_at(at, "terminationGracePeriodSeconds") < 0 {
        meta::put(at, "terminationGracePeriodSeconds", 1);
    }
    let on_host = meta::at(at, "hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        for container in items(at, list) {
            requests_from_limits(container);
            for port in items(container, "ports").filter(|_| on_host) {
                if meta::int_at(port, "hostPort") == 0 {
                    meta::restore(port, &json!({"hostPort": port.get("containerPort")}), "hostPort");
                }
            }
        }
    }
    meta::put_default(at, "enableServiceLinks", true);
    if let Some(status) = meta::at_mut(object, "status") {
        addresses(status);
    }
}

/// `podIP` and `podIPs` say the same, whichever of them a client knows.
fn addresses(status: &mut Value) {
    let single = meta::str_at(status, "podIP").to_owned();
    let first = meta::list_at(status, "podIPs").first().map(|ip| meta::str_at(ip, "ip").to_owned());
    match first {
        Some(first) if single.is_empty() => meta::put(status, "podIP", first),
        Some(first) if first == single => {}
        None if single.is_empty() => {}
        _ => meta::put(status, "podIPs", json!([{"ip": single}])),
    }
}

/// The spec of a pod or of a template.
pub(crate) fn spec(at: &mut Value) {
    if meta::str_at(at, "serviceAccountName").is_empty() && !meta::str_at(at, "serviceAccount").is_empty() {
        let name = meta::str_at(at, "serviceAccount").to_owned();
        meta::put(at, "serviceAccountName", name);
    }
    if meta::str_at(at, "serviceAccountName").is_empty() {
        meta::remove(at, "serviceAccount");
    } else {
        let name = meta::str_at(at, "serviceAccountName").to_owned();
        meta::put(at, "serviceAccount", name);
    }
    default_text(at, "dnsPolicy", "ClusterFirst");
    default_text(at, "restartPolicy", "Always");
    default_text(at, "schedulerName", "default-scheduler");
    meta::put_default(at, "securityContext", json!({}));
    meta::put_default(at, "terminationGracePeriodSeconds", 30);
    for list in super::LISTS {
        items(at, list).for_each(container);
    }
    items(at, "volumes").for_each(volume);
    if let Some(overhead) = meta::at_mut(at, "overhead") {
        whole_milli(overhead);
    }
    if let Some(resources) = meta::at_mut(at, "resources") {
        round_resources(resources);
    }
}

fn items<'a>(object: &'a mut Value, path: &str) -> impl Iterator<Item = &'a mut Value> {
    meta::at_mut(object, path).and_then(Value::as_array_mut).into_iter().flatten()
}

fn container(at: &mut Value) {
    if meta::str_at(at, "imagePullPolicy").is_empty() {
        let policy = pull_policy(meta::str_at(at, "image"));
        meta::put(at, "imagePullPolicy", policy);
    }
    default_text(at, "terminationMessagePath", "/dev/termination-log");
    default_text(at, "terminationMessagePolicy", "File");
    meta::put_default(at, "resources", json!({}));
    if let Some(resources) = meta::at_mut(at, "resources") {
        round_resources(resources);
    }
    items(at, "ports").for_each(|port| default_text(port, "protocol", "TCP"));
    for variable in items(at, "env") {
        if let Some(field) = meta::at_mut(variable, "valueFrom.fieldRef") {
            default_text(field, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = meta::at_mut(at, name) {
            for (field, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                if meta::int_at(probe, field) == 0 {
                    meta::put(probe, field, value);
                }
            }
            handler(probe);
        }
    }
    for name in ["lifecycle.postStart", "lifecycle.preStop"] {
        if let Some(hook) = meta::at_mut(at, name) {
            handler(hook);
        }
    }
    if let Some(context) = meta::at_mut(at, "securityContext").filter(|c| c.get("procMount").is_some()) {
        default_text(context, "procMount", "Default");
    }
}

fn handler(at: &mut Value) {
    if let Some(get) = meta::at_mut(at, "httpGet") {
        default_text(get, "path", "/");
        default_text(get, "scheme", "HTTP");
    }
    if let Some(grpc) = meta::at_mut(at, "grpc") {
        meta::put_default(grpc, "service", "");
    }
}

/// `Always` for an image whose tag is or means `latest`.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, tag)| tag);
    match (tag, digest) {
        (Some("latest"), _) => "Always",
        (None, None) if !image.is_empty() && is_reference(name) => "Always",
        _ => "IfNotPresent",
    }
}

/// Whether an image without tag has the form of a name: what has not is left to validation.
fn is_reference(name: &str) -> bool {
    !name.contains(' ')
        && name.rsplit('/').next().is_some_and(|last| !last.chars().any(|c| c.is_ascii_uppercase()))
}

fn volume(at: &mut Value) {
    let fields = meta::fields(at);
    if fields.iter().all(|(name, value)| name == "name" || value.is_null()) {
        fields.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(found) = meta::at_mut(at, source) {
            meta::put_default(found, "defaultMode", 0o644);
        }
    }
    if let Some(path) = meta::at_mut(at, "hostPath") {
        meta::put_default(path, "type", "");
    }
    downward_files(at, "downwardAPI.items");
    for source in items(at, "projected.sources") {
        downward_files(source, "downwardAPI.items");
        if let Some(token) = meta::at_mut(source, "serviceAccountToken") {
            meta::put_default(token, "expirationSeconds", 3600);
        }
        if let Some(certificate) = meta::at_mut(source, "podCertificate") {
            meta::put_default(certificate, "maxExpirationSeconds", 86_400);
        }
    }
    if let Some(image) = meta::at_mut(at, "image").filter(|i| meta::str_at(i, "pullPolicy").is_empty()) {
        let policy = pull_policy(meta::str_at(image, "reference"));
        meta::put(image, "pullPolicy", policy);
    }
    if let Some(iscsi) = meta::at_mut(at, "iscsi") {
        default_text(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = meta::at_mut(at, "rbd") {
        default_text(rbd, "pool", "rbd");
        default_text(rbd, "user", "admin");
        default_text(rbd, "keyring", "/etc/ceph/keyring");
    }
    if let Some(claim) = meta::at_mut(at, "ephemeral.volumeClaimTemplate.spec") {
        default_text(claim, "volumeMode", "Filesystem");
    }
}

fn downward_files(at: &mut Value, path: &str) {
    for file in items(at, path) {
        if let Some(field) = meta::at_mut(file, "fieldRef") {
            default_text(field, "apiVersion", "v1");
        }
    }
}

/// A limit without a request is also the request.
fn requests_from_limits(container: &mut Value) {
    let Some(Value::Object(limits)) = meta::at(container, "resources.limits").cloned() else { return };
    let requests = meta::fields(meta::entry(container, "resources.requests"));
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

fn round_resources(resources: &mut Value) {
    for name in ["limits", "requests"] {
        if let Some(list) = meta::at_mut(resources, name) {
            whole_milli(list);
        }
    }
}

/// Amounts finer than a thousandth are rounded up to one.
pub(crate) fn whole_milli(list: &mut Value) {
    use crate::quantity::Quantity;
    let empty = Map::new();
    let finer: Vec<(String, i64)> = list
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .filter_map(|(name, value)| {
            let amount = Quantity::of(value)?;
            let milli = Quantity::whole(amount.milli());
            (amount != milli.thousandth()).then(|| (name.clone(), amount.milli()))
        })
        .collect();
    for (name, milli) in finer {
        meta::fields(list).insert(name, format!("{milli}m").into());
    }
}
