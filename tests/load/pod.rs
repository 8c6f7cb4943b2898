//! The objects that the load is made of.

use bytes::Bytes;
use serde_json::json;

/// The namespace that is theirs.
pub(crate) const NAMESPACE: &str = "load";

/// Where they are.
pub(crate) fn collection() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

/// Where one is.
pub(crate) fn path(number: usize) -> String {
    format!("{}/{}", collection(), name(number))
}

fn name(number: usize) -> String {
    format!("pod-{number:06}")
}

/// A pod as a Deployment's template makes it; about 2.5 KB when stored.
pub(crate) fn body(number: usize) -> Bytes {
    let probe = |path: &str| {
        json!({"httpGet": {"path": path, "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10,
               "timeoutSeconds": 2, "successThreshold": 1, "failureThreshold": 3})
    };
    let variable =
        |at: usize| json!({"name": format!("SETTING_{at}"), "value": format!("value-{at}-of-{number}")});
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(number),
            "labels": {"app": "load", "shard": (number % 10).to_string(), "pod-template-hash": "6d4b75cb6d"},
            "annotations": {"example.com/description": "one of many pods that only exist to be counted"},
        },
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "web",
                "image": "registry.example.com/load/web:1.27.3",
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": (0..8).map(variable).collect::<Vec<_>>(),
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                "readinessProbe": probe("/ready"),
                "livenessProbe": probe("/live"),
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
        },
    });
    Bytes::from(pod.to_string())
}

/// A small change; another `word` makes it another one.
pub(crate) fn patch(word: &str, round: usize) -> Bytes {
    Bytes::from(json!({"metadata": {"labels": {"round": format!("{word}-{round}")}}}).to_string())
}
