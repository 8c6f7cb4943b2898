//! Tables of pods: what is refused and why, what is filled in, what a row shows.

use serde_json::{Value, json};

use crate::kinds::testing::{cells, changed, created, updated, warned};

/// A pod whose spec has these fields beside one container.
fn pod(fields: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "nginx:1"}]});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    json!({"spec": spec})
}

/// A pod whose one container has these fields.
fn with(fields: &Value) -> Value {
    let mut container = json!({"name": "c", "image": "nginx:1"});
    for (name, value) in fields.as_object().unwrap() {
        container[name] = value.clone();
    }
    pod(&json!({"containers": [container]}))
}

fn refused(object: Value) -> Vec<String> {
    created("", "Pod", object).err().unwrap_or_default()
}

#[test]
fn a_small_pod_is_filled_in() {
    let made =
        created("", "Pod", json!({"spec": {"containers": [{"name": "c", "image": "nginx"}]}})).unwrap();
    assert_eq!(
        made["spec"],
        json!({
            "containers": [{
                "name": "c", "image": "nginx", "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "resources": {},
            }],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "terminationGracePeriodSeconds": 30, "enableServiceLinks": true,
        })
    );
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(made["metadata"]["generation"], 1);
}

#[test]
fn images_are_pulled_by_their_tag() {
    let policy = |image: &str| {
        let made = created("", "Pod", with(&json!({"image": image}))).unwrap();
        made["spec"]["containers"][0]["imagePullPolicy"].as_str().unwrap().to_owned()
    };
    let table = [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("host:5000/a", "Always"),
        ("host:5000/a:2", "IfNotPresent"),
        ("a@sha256:0123456789012345678901234567890123456789012345678901234567890123", "IfNotPresent"),
    ];
    for (image, expected) in table {
        assert_eq!(policy(image), expected, "{image}");
    }
}

#[test]
fn containers_are_refused_for_what_is_wrong_with_them() {
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let table = [
        ("no container", pod(&json!({"containers": []})), vec!["spec.containers: Required value".to_owned()]),
        ("no image", with(&json!({"image": ""})), vec!["spec.containers[0].image: Required value".to_owned()]),
        ("a name in capitals", with(&json!({"name": "C"})), vec![format!("spec.containers[0].name: Invalid value: \"C\": {label}")]),
        (
            "a port too high, and one twice on the host",
            with(&json!({"ports": [{"containerPort": 70000}, {"containerPort": 1, "hostPort": 1}, {"containerPort": 2, "hostPort": 1}]})),
            vec![
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive".to_owned(),
                "spec.containers[0].ports[2].hostPort: Duplicate value: \"TCP//1\"".to_owned(),
            ],
        ),
        (
            "a mount of no volume",
            with(&json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}]})),
            vec!["spec.containers[0].volumeMounts[0].name: Not found: \"v\"".to_owned()],
        ),
        (
            "more asked for than allowed",
            with(&json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}})),
            vec!["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1".to_owned()],
        ),
        (
            "a resource nobody knows",
            with(&json!({"resources": {"limits": {"gpu": "1"}}})),
            vec![
                "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified".to_owned(),
                "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource for containers".to_owned(),
                "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified".to_owned(),
                "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource for containers".to_owned(),
            ],
        ),
        (
            "a probe without a handler",
            with(&json!({"livenessProbe": {"successThreshold": 2}})),
            vec![
                "spec.containers[0].livenessProbe: Required value: must specify a handler type".to_owned(),
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1".to_owned(),
            ],
        ),
        (
            "an environment from nowhere",
            with(&json!({"env": [{"name": "A", "valueFrom": {}}, {"name": "A=", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]})),
            vec![
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`".to_owned(),
                "spec.containers[0].env[1].name: Invalid value: \"A=\": a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned(),
                "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error converting fieldPath: field label not supported: spec.x".to_owned(),
            ],
        ),
        (
            "privileges given and taken",
            with(&json!({"securityContext": {"runAsUser": -1, "seccompProfile": {"type": "Localhost"}}})),
            vec![
                "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive".to_owned(),
                "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost".to_owned(),
            ],
        ),
    ];
    for (why, object, wrong) in table {
        assert_eq!(refused(object), wrong, "{why}");
    }
}

#[test]
fn specs_are_refused_for_what_is_wrong_with_them() {
    let table = [
        (
            "two kinds of volume, and none",
            json!({"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}, {"name": "b", "secret": {}}]}),
            vec![
                "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
                "spec.volumes[1].secret.secretName: Required value",
            ],
        ),
        (
            "a policy nobody knows",
            json!({"restartPolicy": "Sometimes"}),
            vec![
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ],
        ),
        (
            "a toleration of everything for some",
            json!({"tolerations": [{"operator": "Equal"}, {"key": "a", "operator": "Exists", "value": "b", "tolerationSeconds": 1}]}),
            vec![
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                "spec.tolerations[1].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
                "spec.tolerations[1].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
            ],
        ),
        (
            "spread over nothing",
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "x"}]}),
            vec![
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
                "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"x\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
            ],
        ),
        (
            "affinity without a term",
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}}),
            vec![
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
            ],
        ),
        (
            "names resolved by nobody",
            json!({"dnsPolicy": "None"}),
            vec!["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            "containers that debug from the start",
            json!({"ephemeralContainers": [{"name": "d", "image": "x"}]}),
            vec!["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            "a node and a gate",
            json!({"nodeName": "n", "schedulingGates": [{"name": "x/y"}]}),
            vec!["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
    ];
    for (why, fields, wrong) in table {
        assert_eq!(refused(pod(&fields)), wrong, "{why}");
    }
}

#[test]
fn a_running_pod_changes_in_its_images_alone() {
    let old = pod(&json!({}));
    let mut image = old.clone();
    image["spec"]["containers"][0]["image"] = "nginx:2".into();
    let made = updated("", "Pod", image, old.clone()).unwrap();
    assert_eq!(made["metadata"]["generation"], 1, "the spec changed");

    let mut moved = old.clone();
    moved["spec"]["dnsPolicy"] = "Default".into();
    let wrong = updated("", "Pod", moved, old).unwrap_err();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n@@ -"), "{}", wrong[0]);
    assert!(
        wrong[0].contains("\n- \"DNSPolicy\": \"ClusterFirst\",\n+ \"DNSPolicy\": \"Default\",\n"),
        "{}",
        wrong[0]
    );
}

#[test]
fn a_status_is_written_without_touching_the_spec() {
    let mut old = pod(&json!({"nodeName": "n"}));
    old["status"] = json!({"phase": "Running", "qosClass": "BestEffort"});
    let mut new = old.clone();
    new["spec"]["nodeName"] = "other".into();
    new["status"] = json!({"phase": "Succeeded", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]});
    let made = changed("", "Pod", Some("status"), new.clone(), old.clone()).unwrap();
    assert_eq!((&made["spec"]["nodeName"], &made["status"]["qosClass"]), (&"n".into(), &"BestEffort".into()));
    new["status"] = json!({"podIP": "10.0.0.1"});
    let made = changed("", "Pod", Some("status"), new, old).unwrap();
    assert_eq!(made["status"]["podIPs"], json!([{"ip": "10.0.0.1"}]), "one address stands for the list");
}

#[test]
fn a_debugging_container_is_added_and_never_changed() {
    let old = pod(&json!({"ephemeralContainers": [{"name": "d", "image": "x"}]}));
    let mut new = old.clone();
    new["spec"]["ephemeralContainers"] = json!([{"name": "d", "image": "x"}, {"name": "e", "image": "x"}]);
    assert!(changed("", "Pod", Some("ephemeralcontainers"), new.clone(), old.clone()).is_ok());
    new["spec"]["ephemeralContainers"] = json!([]);
    assert_eq!(
        changed("", "Pod", Some("ephemeralcontainers"), new, old).unwrap_err(),
        ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n"]
    );
}

#[test]
fn a_resize_changes_amounts_alone() {
    let old = with(&json!({"resources": {"requests": {"cpu": "1"}}}));
    let mut new = old.clone();
    new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2".into();
    new["spec"]["containers"][0]["image"] = "other".into();
    let made = changed("", "Pod", Some("resize"), new.clone(), old.clone()).unwrap();
    assert_eq!(made["spec"]["containers"][0]["image"], "nginx:1");
    new["spec"]["containers"][0]["resources"]["requests"] = json!({});
    let wrong = changed("", "Pod", Some("resize"), new, old).unwrap_err();
    assert_eq!(
        wrong[0],
        "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"
    );
}

#[test]
fn the_class_of_service_follows_requests_and_limits() {
    let class = |resources: Value| {
        let made = created("", "Pod", with(&json!({"resources": resources}))).unwrap();
        made["status"]["qosClass"].as_str().unwrap().to_owned()
    };
    assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
    assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
    assert_eq!(class(json!({})), "BestEffort");
}

#[test]
fn a_row_says_in_one_word_what_the_containers_do() {
    let now = "2026-01-01T01:00:00Z";
    let row = |spec: Value, status: Value, metadata: Value| {
        let mut metadata = metadata;
        metadata["name"] = "a".into();
        metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        let object = json!({"metadata": metadata, "spec": spec, "status": status});
        cells("", "Pod", &object, now)[1..4].join(" ")
    };
    let one = json!({"containers": [{"name": "c"}]});
    let init = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]});
    let table = [
        ("nothing yet", one.clone(), json!({"phase": "Pending"}), json!({}), "0/1 Pending 0"),
        (
            "runs",
            one.clone(),
            json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "state": {"running": {}}}]}),
            json!({}),
            "1/1 Running 0",
        ),
        (
            "fails again and again",
            one.clone(),
            json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:59:00Z"}}}]}),
            json!({}),
            "0/1 CrashLoopBackOff 3 (60s ago)",
        ),
        (
            "prepares itself",
            init.clone(),
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            json!({}),
            "0/2 Init:0/2 0",
        ),
        (
            "could not prepare itself",
            init,
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 2}}}]}),
            json!({}),
            "0/2 Init:ExitCode:2 0",
        ),
        (
            "is leaving",
            one.clone(),
            json!({"phase": "Running"}),
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
            "0/1 Terminating 0",
        ),
        (
            "is held back",
            one,
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            json!({}),
            "0/1 SchedulingGated 0",
        ),
    ];
    for (why, spec, status, metadata, shown) in table {
        assert_eq!(row(spec, status, metadata), shown, "{why}");
    }
}

#[test]
fn pods_are_accepted_with_a_word_of_warning() {
    let object = with(
        &json!({"env": [{"name": "A"}, {"name": "A", "value": "b"}], "ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "TCP"}]}),
    );
    assert_eq!(
        warned("", "Pod", &object)[1..],
        [
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ]
    );
}
