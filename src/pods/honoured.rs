//! Which fields of a pod's spec this node honours. Whatever is not listed fails the pod with
//! a reason that names it.

use serde_json::Value;

/// Paths below `spec`; `[]` stands for each element, `*` at the end for everything below.
const HONOURED: &[&str] = &[
    // The scheduler's, the controllers' and the API server's part.
    "affinity.*",
    "nodeName",
    "nodeSelector.*",
    "priority",
    "priorityClassName",
    "preemptionPolicy",
    "schedulerName",
    "schedulingGates.*",
    "tolerations.*",
    "topologySpreadConstraints.*",
    "readinessGates.*",
    "overhead.*",
    // Identity.
    "automountServiceAccountToken",
    "serviceAccount",
    "serviceAccountName",
    // The pod as a whole.
    "activeDeadlineSeconds",
    "dnsConfig.*",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases.*",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostname",
    "imagePullSecrets.*",
    "os.name",
    "restartPolicy",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy",
    "securityContext.runAsGroup",
    "securityContext.runAsNonRoot",
    "securityContext.runAsUser",
    "securityContext.seLinuxOptions.*",
    "securityContext.supplementalGroups.*",
    "securityContext.sysctls.*",
    "securityContext.seccompProfile.*",
    // Volumes.
    "volumes[].name",
    "volumes[].configMap.*",
    "volumes[].secret.*",
    "volumes[].downwardAPI.*",
    "volumes[].emptyDir.medium",
    "volumes[].emptyDir.sizeLimit",
    "volumes[].hostPath.*",
    "volumes[].projected.defaultMode",
    "volumes[].projected.sources[].configMap.*",
    "volumes[].projected.sources[].secret.*",
    "volumes[].projected.sources[].downwardAPI.*",
    "volumes[].projected.sources[].serviceAccountToken.*",
    "volumes[].projected.sources[].clusterTrustBundle.*",
];

/// The same below each container.
const OF_CONTAINERS: &[&str] = &[
    "args.*",
    "command.*",
    "env.*",
    "envFrom.*",
    "image",
    "imagePullPolicy",
    "lifecycle.postStart.exec.*",
    "lifecycle.postStart.httpGet.*",
    "lifecycle.postStart.sleep.*",
    "lifecycle.preStop.exec.*",
    "lifecycle.preStop.httpGet.*",
    "lifecycle.preStop.sleep.*",
    "livenessProbe.exec.*",
    "livenessProbe.failureThreshold",
    "livenessProbe.httpGet.*",
    "livenessProbe.initialDelaySeconds",
    "livenessProbe.periodSeconds",
    "livenessProbe.successThreshold",
    "livenessProbe.tcpSocket.*",
    "livenessProbe.timeoutSeconds",
    "readinessProbe.exec.*",
    "readinessProbe.failureThreshold",
    "readinessProbe.httpGet.*",
    "readinessProbe.initialDelaySeconds",
    "readinessProbe.periodSeconds",
    "readinessProbe.successThreshold",
    "readinessProbe.tcpSocket.*",
    "readinessProbe.timeoutSeconds",
    "startupProbe.exec.*",
    "startupProbe.failureThreshold",
    "startupProbe.httpGet.*",
    "startupProbe.initialDelaySeconds",
    "startupProbe.periodSeconds",
    "startupProbe.successThreshold",
    "startupProbe.tcpSocket.*",
    "startupProbe.timeoutSeconds",
    "name",
    "ports.*",
    "resources.limits.*",
    "resources.requests.*",
    "restartPolicy",
    "securityContext.allowPrivilegeEscalation",
    "securityContext.capabilities.*",
    "securityContext.privileged",
    "securityContext.readOnlyRootFilesystem",
    "securityContext.runAsGroup",
    "securityContext.runAsNonRoot",
    "securityContext.runAsUser",
    "securityContext.seLinuxOptions.*",
    "securityContext.seccompProfile.*",
    "stdin",
    "stdinOnce",
    "tty",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "volumeMounts[].mountPath",
    "volumeMounts[].name",
    "volumeMounts[].readOnly",
    "volumeMounts[].subPath",
    "volumeMounts[].subPathExpr",
    "volumeMounts[].mountPropagation",
    "workingDir",
];

/// Why this node cannot run the pod: the first field that it does not honour.
#[must_use]
pub fn refusal(pod: &Value) -> Option<String> {
    let mut found = None;
    for (field, value) in pod["spec"].as_object().into_iter().flatten() {
        let containers = matches!(field.as_str(), "containers" | "initContainers");
        if field == "ephemeralContainers" && value.as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        if !containers {
            found = found.or_else(|| walk(HONOURED, field, field, value));
            continue;
        }
        for (index, container) in value.as_array().into_iter().flatten().enumerate() {
            for (inner, value) in container.as_object().into_iter().flatten() {
                let shown = format!("{field}[{index}].{inner}");
                found = found.or_else(|| over_tls(&shown, value));
                found = found.or_else(|| walk(OF_CONTAINERS, inner, &shown, value));
            }
        }
    }
    found.map(|path| format!("spec.{path} is not supported by this node"))
}

/// A probe or hook that would have to be asked over TLS.
fn over_tls(shown: &str, value: &Value) -> Option<String> {
    let asks = |how: &Value| how["httpGet"]["scheme"] == "HTTPS";
    if asks(value) {
        return Some(format!("{shown}.httpGet.scheme: HTTPS"));
    }
    let hook = ["postStart", "preStop"].into_iter().find(|hook| asks(&value[*hook]));
    hook.map(|hook| format!("{shown}.{hook}.httpGet.scheme: HTTPS"))
}

/// The first path at or below `path` that the table does not hold.
fn walk(table: &[&str], path: &str, shown: &str, value: &Value) -> Option<String> {
    let all_below = table.iter().any(|known| known.strip_suffix(".*") == Some(path));
    if all_below || table.contains(&path) {
        return None;
    }
    match value {
        Value::Null => None,
        Value::Object(fields) => fields
            .iter()
            .find_map(|(field, value)| {
                walk(table, &format!("{path}.{field}"), &format!("{shown}.{field}"), value)
            })
            .or_else(|| (fields.is_empty() && !begins(table, path)).then(|| shown.to_owned())),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, value)| {
            walk(table, &format!("{path}[]"), &format!("{shown}[{index}]"), value)
        }),
        _ => Some(shown.to_owned()),
    }
}

/// Whether anything below `path` is honoured.
fn begins(table: &[&str], path: &str) -> bool {
    table.iter().any(|known| known.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_honoured_is_named() {
        let cases = [
            (
                json!({"containers": [{"name": "a", "image": "b", "resources": {}}], "restartPolicy": "Always"}),
                None,
            ),
            (
                json!({"containers": [], "volumes": [{"name": "v", "emptyDir": {}}], "securityContext": {}}),
                None,
            ),
            (json!({"volumes": [{"name": "v", "nfs": {"server": "s"}}]}), Some("spec.volumes[0].nfs.server")),
            (json!({"hostUsers": false}), Some("spec.hostUsers")),
            (
                json!({"containers": [{"volumeDevices": [{"name": "a"}]}]}),
                Some("spec.containers[0].volumeDevices[0].name"),
            ),
            (
                json!({"initContainers": [{"lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}}]}),
                Some("spec.initContainers[0].lifecycle.preStop.tcpSocket.port"),
            ),
            (json!({"runtimeClassName": "x"}), Some("spec.runtimeClassName")),
        ];
        for (spec, expected) in cases {
            let expected = expected.map(|path| format!("{path} is not supported by this node"));
            assert_eq!(refusal(&json!({"spec": spec})), expected);
        }
    }
}
