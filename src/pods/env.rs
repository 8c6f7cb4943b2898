//! A container's environment: values, the downward API, ConfigMaps, Secrets, the variables of
//! Services, and `$(NAME)` in commands.

use std::collections::BTreeMap;

use api::meta;
use serde_json::Value;

/// What sources are read from: objects that the pod refers to, fetched before.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, Value>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Value>,
    /// The node's address.
    pub host_ip: String,
    /// The pod's address.
    pub pod_ip: String,
    /// What the node has, for limits that are not set: CPU in thousandths and bytes of memory.
    pub allocatable: (i64, i64),
    /// Variables of Services, in order.
    pub services: Vec<(String, String)>,
}

/// Why a container cannot be configured (upstream's CreateContainerConfigError).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub String);

/// Which ConfigMaps and Secrets a pod's containers refer to.
#[must_use]
pub fn references(pod: &Value) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    for (_, container) in crate::containers(pod) {
        let list = |field: &str| container[field].as_array().into_iter().flatten();
        for from in list("envFrom") {
            maps.extend(from["configMapRef"]["name"].as_str().map(str::to_owned));
            secrets.extend(from["secretRef"]["name"].as_str().map(str::to_owned));
        }
        for variable in list("env") {
            let from = &variable["valueFrom"];
            maps.extend(from["configMapKeyRef"]["name"].as_str().map(str::to_owned));
            secrets.extend(from["secretKeyRef"]["name"].as_str().map(str::to_owned));
        }
    }
    (maps, secrets)
}

/// The variables of a container, later ones last.
pub fn variables(
    pod: &Value,
    container: &Value,
    sources: &Sources,
) -> Result<Vec<(String, String)>, Missing> {
    let mut all: Vec<(String, String)> = sources.services.clone();
    for from in container["envFrom"].as_array().into_iter().flatten() {
        all.extend(whole(from, sources)?);
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = crate::name(variable).to_owned();
        let value = match variable.get("valueFrom").filter(|from| !from.is_null()) {
            None => Some(expand(variable["value"].as_str().unwrap_or_default(), &all)),
            Some(from) => one(pod, container, from, sources)?,
        };
        if let Some(value) = value {
            all.retain(|(other, _)| *other != name);
            all.push((name, value));
        }
    }
    Ok(all)
}

fn whole(from: &Value, sources: &Sources) -> Result<Vec<(String, String)>, Missing> {
    let prefix = from["prefix"].as_str().unwrap_or_default();
    let (reference, kind) = match from.get("configMapRef").filter(|one| one.is_object()) {
        Some(reference) => (reference, "configmap"),
        None => (&from["secretRef"], "secret"),
    };
    let name = crate::name(reference);
    let object = if kind == "secret" { sources.secrets.get(name) } else { sources.config_maps.get(name) };
    let Some(object) = object else {
        if reference["optional"] == true {
            return Ok(Vec::new());
        }
        return Err(Missing(format!("{kind} \"{name}\" not found")));
    };
    let pairs = object["data"].as_object().into_iter().flatten();
    let value =
        |value: &Value| if kind == "secret" { decoded(value) } else { value.as_str().map(str::to_owned) };
    Ok(pairs.filter_map(|(key, text)| Some((format!("{prefix}{key}"), value(text)?))).collect())
}

fn one(pod: &Value, container: &Value, from: &Value, sources: &Sources) -> Result<Option<String>, Missing> {
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return field(pod, path, sources).map(Some);
    }
    if from["resourceFieldRef"].is_object() {
        return Ok(Some(resource(pod, container, &from["resourceFieldRef"], sources)));
    }
    for (reference, kind) in [("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")] {
        let reference = &from[reference];
        if !reference.is_object() {
            continue;
        }
        let (name, key) = (crate::name(reference), reference["key"].as_str().unwrap_or_default());
        let object = if kind == "secret" { sources.secrets.get(name) } else { sources.config_maps.get(name) };
        let optional = reference["optional"] == true;
        let Some(object) = object else {
            return if optional { Ok(None) } else { Err(Missing(format!("{kind} \"{name}\" not found"))) };
        };
        let text = object["data"].get(key);
        let value = if kind == "secret" {
            text.and_then(decoded)
        } else {
            text.and_then(Value::as_str).map(str::to_owned)
        };
        return match value {
            None if !optional => {
                let place = format!("{}/{name}", meta::namespace(pod));
                let which = if kind == "secret" { "Secret" } else { "ConfigMap" };
                Err(Missing(format!("couldn't find key {key} in {which} {place}")))
            }
            value => Ok(value),
        };
    }
    Ok(None)
}

fn decoded(value: &Value) -> Option<String> {
    bytes(value).and_then(|bytes| String::from_utf8(bytes).ok())
}

/// The bytes of a Secret's value.
#[must_use]
pub fn bytes(value: &Value) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()
}

/// A field of the pod, as the downward API gives it.
pub fn field(pod: &Value, path: &str, sources: &Sources) -> Result<String, Missing> {
    let text = |path: &str| meta::str_at(pod, path).to_owned();
    let quoted = |field: &str| {
        let pairs = pod["metadata"][field].as_object().into_iter().flatten();
        let mut lines: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
        lines.sort();
        lines.join("\n")
    };
    if let Some((field, key)) = path.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        let field = field.trim_start_matches("metadata.");
        return Ok(pod["metadata"][field].get(key).and_then(Value::as_str).unwrap_or_default().to_owned());
    }
    Ok(match path {
        "metadata.name" | "metadata.namespace" | "metadata.uid" | "spec.nodeName" => text(path),
        "spec.serviceAccountName" => text(path),
        "metadata.labels" => quoted("labels"),
        "metadata.annotations" => quoted("annotations"),
        "status.hostIP" | "status.hostIPs" => sources.host_ip.clone(),
        "status.podIP" | "status.podIPs" => sources.pod_ip.clone(),
        other => return Err(Missing(format!("unsupported fieldPath: {other}"))),
    })
}

/// An amount that a container asked for or is limited to, in units of the divisor, rounded up.
#[must_use]
pub fn resource(pod: &Value, container: &Value, reference: &Value, sources: &Sources) -> String {
    use api::quantity::Quantity;
    let named = reference["containerName"].as_str();
    let container = named
        .and_then(|wanted| crate::containers(pod).map(|(_, one)| one).find(|one| crate::name(one) == wanted))
        .unwrap_or(container);
    let path = reference["resource"].as_str().unwrap_or_default();
    let Some((list, name)) = path.split_once('.') else { return String::new() };
    let amount = Quantity::of(&container["resources"][list][name]);
    let is_cpu = name == "cpu";
    let milli = |quantity: Quantity| if is_cpu { quantity.milli() } else { quantity.value() };
    let default = match (list, name) {
        ("limits", "cpu") => sources.allocatable.0,
        ("limits", "memory") => sources.allocatable.1,
        _ => 0,
    };
    let amount = amount.map_or(default, milli);
    let divisor = Quantity::of(&reference["divisor"]).map(milli).filter(|one| *one > 0);
    let divisor = divisor.unwrap_or(if is_cpu { 1000 } else { 1 });
    ((amount + divisor - 1) / divisor).to_string()
}

/// Replaces `$(NAME)`; `$$` is a dollar, and what is not known stays.
#[must_use]
pub fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The variables that Services of a namespace give (upstream's FromServices), for their objects.
#[must_use]
pub fn of_services(services: &[Value]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for service in services {
        let address = meta::str_at(service, "spec.clusterIP");
        if address.is_empty() || address == "None" {
            continue;
        }
        let upper = |text: &str| text.to_ascii_uppercase().replace(['-', '.'], "_");
        let prefix = upper(meta::name(service));
        let ports = meta::list_at(service, "spec.ports");
        let mut put = |name: String, value: String| all.push((format!("{prefix}_{name}"), value));
        put("SERVICE_HOST".to_owned(), address.to_owned());
        let number = |port: &Value| port["port"].as_i64().unwrap_or(0);
        if let Some(first) = ports.first() {
            put("SERVICE_PORT".to_owned(), number(first).to_string());
        }
        for port in ports.iter().filter(|port| port["name"].as_str().is_some_and(|name| !name.is_empty())) {
            put(format!("SERVICE_PORT_{}", upper(crate::name(port))), number(port).to_string());
        }
        for (index, port) in ports.iter().enumerate() {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            let url = format!("{}://{address}:{}", protocol.to_ascii_lowercase(), number(port));
            if index == 0 {
                put("PORT".to_owned(), url.clone());
            }
            let base = format!("PORT_{}_{protocol}", number(port));
            put(base.clone(), url);
            put(format!("{base}_PROTO"), protocol.to_ascii_lowercase());
            put(format!("{base}_PORT"), number(port).to_string());
            put(format!("{base}_ADDR"), address.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_refer_to_earlier_ones_and_to_objects() {
        let pod = json!({"metadata": {"name": "p", "namespace": "d", "labels": {"a": "1"}}, "spec": {"nodeName": "n"}});
        let sources = Sources {
            config_maps: BTreeMap::from([("c".to_owned(), json!({"data": {"k": "v"}}))]),
            secrets: BTreeMap::from([("s".to_owned(), json!({"data": {"k": "c2VjcmV0"}}))]),
            ..Sources::default()
        };
        let container = json!({
            "envFrom": [{"prefix": "C_", "configMapRef": {"name": "c"}}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(X)-$$(A)"},
                {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "O", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": true}}},
            ],
        });
        let all = variables(&pod, &container, &sources).unwrap();
        let expected =
            [("C_k", "v"), ("A", "1"), ("B", "1-$(X)-$(A)"), ("N", "p"), ("L", "1"), ("S", "secret")];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let lost =
            json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}]});
        assert_eq!(variables(&pod, &lost, &sources), Err(Missing("configmap \"none\" not found".to_owned())));
    }

    #[test]
    fn a_service_is_told_as_docker_links_were() {
        let service = json!({"metadata": {"name": "my-db"}, "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 5432, "protocol": "TCP"}]}});
        let all = of_services(&[service]);
        assert!(all.contains(&("MY_DB_SERVICE_HOST".to_owned(), "10.96.0.7".to_owned())));
        assert!(all.contains(&("MY_DB_PORT_5432_TCP".to_owned(), "tcp://10.96.0.7:5432".to_owned())));
    }
}
