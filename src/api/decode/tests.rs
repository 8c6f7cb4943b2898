//! What is read of bodies, and how others are refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Decoded, Expected, MAX_DEPTH, Media, Strictness, request};
use crate::schema::builtin;

fn expected(group: &'static str, version: &'static str, kind: &'static str) -> Expected<'static> {
    let ty = builtin().find_kind(group, version, kind).unwrap();
    Expected { schema: builtin(), ty, group, version, kind }
}

fn deployment(body: &str, strictness: Strictness) -> Result<Decoded, String> {
    request(body.as_bytes(), Media::Json, &expected("apps", "v1", "Deployment"), strictness).map_err(|e| e.0)
}

fn pod(body: &str) -> Result<Value, String> {
    let decoded = request(body.as_bytes(), Media::Json, &expected("", "v1", "Pod"), Strictness::Strict);
    decoded.map(|d| d.value).map_err(|e| e.0)
}

#[test]
fn unknown_and_repeated_fields_are_named_with_their_paths() {
    let body = r#"{"spec":{"replicas":1,"replicas":2,"foo":{"a":1},"template":{"spec":{"containers":
        [{"name":"a"},{"name":"b","nam":"c","nam":"d","env":[{"value":"x","value":"y"}]}],"nodeSelector":{"a":"b","a":"c"}}}},"Kind":"Deployment"}"#;
    let decoded = deployment(body, Strictness::Warn).unwrap();
    assert_eq!(
        decoded.problems,
        [
            r#"duplicate field "spec.replicas""#,
            r#"unknown field "spec.foo""#,
            r#"unknown field "spec.template.spec.containers[1].nam""#,
            r#"duplicate field "spec.template.spec.containers[1].env[0].value""#,
            r#"duplicate field "spec.template.spec.nodeSelector.a""#,
            r#"unknown field "Kind""#,
        ]
    );
    assert_eq!(decoded.value["spec"]["replicas"], 2);
    assert_eq!(decoded.value["spec"]["template"]["spec"]["nodeSelector"], json!({"a": "c"}));
    assert!(decoded.value["spec"].get("foo").is_none());
    assert_eq!(deployment(body, Strictness::Ignore).unwrap().problems, Vec::<String>::new());
    assert_eq!(
        deployment(r#"{"spec":{"foo":1},"x":1}"#, Strictness::Strict),
        Err(r#"Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.foo", unknown field "x""#.to_owned())
    );
}

#[test]
fn what_is_given_twice_is_read_into_what_is_there() {
    let body = r#"{"data":{"a":"1","a":"2"},"data":{"b":"3"},"metadata":{"name":"x"},"metadata":{"labels":{"l":"1"}}}"#;
    let decoded =
        request(body.as_bytes(), Media::Json, &expected("", "v1", "ConfigMap"), Strictness::Warn).unwrap();
    assert_eq!(decoded.value["data"], json!({"b": "3", "a": "2"}));
    assert_eq!(decoded.value["metadata"], json!({"name": "x", "labels": {"l": "1"}}));
    assert_eq!(decoded.problems.len(), 3, "{:?}", decoded.problems);
    let pod = r#"{"spec":{"containers":[{"name":"a"},{"name":"b"}],"containers":[{"image":"i"}]}}"#;
    let decoded =
        request(pod.as_bytes(), Media::Json, &expected("", "v1", "Pod"), Strictness::Ignore).unwrap();
    assert_eq!(decoded.value["spec"]["containers"], json!([{"name": "a", "image": "i"}]));
}

#[test]
fn values_of_wrong_types_are_told_as_go_tells_them() {
    let prefix = "Pod in version \"v1\" cannot be handled as a Pod: ";
    for (body, expect) in [
        (r#"{"spec":1}"#, "json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec"),
        (
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            r#"{"spec":{"containers":[1]}}"#,
            "json: cannot unmarshal number into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            r#"{"spec":{"restartPolicy":true}}"#,
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"metadata":{"labels":"a"}}"#,
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            r#"{"spec":{"priority":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"spec":{"volumes":[{"hostPath":1}]}}"#,
            "json: cannot unmarshal number into Go struct field Volume.spec.volumes.VolumeSource.hostPath of type v1.HostPathVolumeSource",
        ),
        (
            r#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}}"#,
            "json: cannot unmarshal bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32",
        ),
        (
            r#"{"metadata":{"creationTimestamp":1}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            r#"{"metadata":{"creationTimestamp":"x"}}"#,
            r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#,
        ),
        (
            r#"{"spec":{"priority":"x","containers":[{"resources":{"limits":{"cpu":"x"}}}]}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ] {
        assert_eq!(pod(body), Err(format!("{prefix}{expect}")), "{body}");
    }
    let secret = expected("", "v1", "Secret");
    let error = request(br#"{"data":{"a":"!"}}"#, Media::Json, &secret, Strictness::Ignore).unwrap_err();
    assert!(error.0.ends_with(": illegal base64 data at input byte 0"), "{error}");
}

#[test]
fn a_body_of_another_kind_or_none_is_refused_in_upstreams_words() {
    for (body, expect) in [
        (
            "",
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
        ),
        (
            "{",
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: unexpected end of JSON input ({)",
        ),
        (
            "hello",
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: invalid character 'h' looking for beginning of value (68656c6c6f)",
        ),
        (
            r#"{"kind":1}"#,
            r#"the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({"kind":1})"#,
        ),
        (
            r#"{"kind":"Pod","apiVersion":"a/b/c"}"#,
            r#"the object provided is unrecognized (must be of type Pod): unexpected GroupVersion string: a/b/c ({"kind":"Pod","apiVersion":"a/ ...)"#,
        ),
        (
            r#"{"kind":"Foo","apiVersion":"v1"}"#,
            r#"Foo in version "v1" cannot be handled as a Pod: no kind "Foo" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30""#,
        ),
        (
            r#"{"kind":"Deployment","apiVersion":"apps/v1"}"#,
            r#"Deployment in version "v1" cannot be handled as a Pod: converting (v1.Deployment) to (core.Pod): unknown conversion"#,
        ),
    ] {
        assert_eq!(pod(body), Err(expect.to_owned()), "{body}");
    }
    assert_eq!(pod("null").unwrap(), json!({"apiVersion": "v1", "kind": "Pod"}));
    for version in ["apps/v1beta1", "extensions/v1beta1"] {
        let body = json!({"kind": "Deployment", "apiVersion": version}).to_string();
        let expect = format!(
            "the API version in the data ({version}) does not match the expected API version (apps/v1)"
        );
        assert_eq!(deployment(&body, Strictness::Ignore), Err(expect));
    }
    let scaler = expected("autoscaling", "v2", "HorizontalPodAutoscaler");
    let body = br#"{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v1"}"#;
    assert_eq!(
        request(body, Media::Json, &scaler, Strictness::Ignore).unwrap_err().0,
        "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)"
    );
}

#[test]
fn what_is_read_is_in_canonical_form() {
    let value = pod(
        r#"{"metadata":{"name":"a","creationTimestamp":"2026-01-01T01:00:00.5+01:00","deletionTimestamp":null},
        "spec":{"containers":[null,{"name":"b","resources":{"limits":{"cpu":1000e-3,"memory":" 1024Mi "}}}],"priority":null}}"#,
    );
    assert_eq!(
        value.unwrap(),
        json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{}, {"name": "b", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]},
            "apiVersion": "v1", "kind": "Pod"})
    );
}

#[test]
fn json_schemas_in_a_custom_resources_definition_keep_their_forms() {
    let body = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
        "type": "object", "foo": 1, "additionalProperties": true,
        "properties": {"a": {"items": {"type": "string", "default": {"x": [1]}}, "enum": ["b", 1]}}}}}]}});
    let crd = expected("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let decoded = request(body.to_string().as_bytes(), Media::Json, &crd, Strictness::Warn).unwrap();
    assert_eq!(decoded.problems, [r#"unknown field "spec.versions[0].schema.openAPIV3Schema.foo""#]);
    let schema = &decoded.value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    assert_eq!(schema["additionalProperties"], true);
    assert_eq!(schema["properties"], body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]);
}

#[test]
fn yaml_is_read_as_json_and_keys_that_come_twice_are_told_by_their_lines() {
    let body = "metadata:\n  name: a\n  name: b\n  labels: {a: 'yes', b: \"1\"}\nspec:\n  foo: 1\n  priority: 010\n  volumes: &v\n  - name: x\n  containers: *v\n  hostNetwork: true\n";
    let pod = expected("", "v1", "Pod");
    let decoded = request(body.as_bytes(), Media::Yaml, &pod, Strictness::Warn).unwrap();
    assert_eq!(decoded.problems, [r#"line 3: key "name" already set in map"#, r#"unknown field "spec.foo""#]);
    assert_eq!(
        decoded.value,
        json!({"metadata": {"name": "b", "labels": {"a": "yes", "b": "1"}}, "spec": {"priority": 8,
            "volumes": [{"name": "x"}], "containers": [{"name": "x"}], "hostNetwork": true}, "apiVersion": "v1", "kind": "Pod"})
    );
    let error = request(body.as_bytes(), Media::Yaml, &pod, Strictness::Strict).unwrap_err();
    assert_eq!(
        error.0,
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: yaml: unmarshal errors:\n  line 3: key \"name\" already set in map, unknown field \"spec.foo\""
    );
}

#[test]
fn a_few_bytes_of_yaml_do_not_become_millions_of_nodes() {
    let mut body = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        body += &format!("a{level}: &a{level} [{before}]\n");
    }
    let pod = expected("", "v1", "Pod");
    let error = request(body.as_bytes(), Media::Yaml, &pod, Strictness::Warn).unwrap_err();
    assert!(error.0.contains("): yaml: "), "{error}");
    let deep = "[".repeat(MAX_DEPTH * 3);
    assert!(request(deep.as_bytes(), Media::Yaml, &pod, Strictness::Warn).is_err());
    // In maps, as deep as is read and deeper, the parser needs more stack than a thread has.
    for depth in [90, 120, MAX_DEPTH] {
        let deep = "{a: ".repeat(depth) + &"}".repeat(depth);
        let read = request(deep.as_bytes(), Media::Yaml, &pod, Strictness::Ignore);
        assert_eq!(read.is_ok(), depth < 100, "{depth}: {read:?}");
        let key = format!("? {deep}");
        assert!(request(key.as_bytes(), Media::Yaml, &pod, Strictness::Ignore).is_err());
    }
}

#[test]
fn a_protobuf_body_says_its_kind_in_its_envelope() {
    let pod = expected("", "v1", "Pod");
    let value = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}});
    let body = crate::protobuf::encode_object(&value, builtin(), pod.ty);
    let decoded = request(&body, Media::Protobuf, &pod, Strictness::Strict).unwrap();
    assert_eq!((&decoded.value["kind"], &decoded.value["metadata"]["name"]), (&json!("Pod"), &json!("a")));
    let error = request(b"k8s\0", Media::Protobuf, &pod, Strictness::Strict).unwrap_err();
    assert_eq!(error.0, "the object provided is unrecognized (must be of type Pod): empty body (6b387300)");
}

proptest! {
    #[test]
    fn any_yaml_is_answered(body in "[-a-c:{}\\[\\], \n&*!'\"#|>?%@0-9]{0,40}") {
        let _ = request(body.as_bytes(), Media::Yaml, &expected("", "v1", "Pod"), Strictness::Warn);
    }

    #[test]
    fn any_body_is_answered(body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = request(&body, Media::Json, &expected("", "v1", "Pod"), Strictness::Warn);
    }

    #[test]
    fn any_tree_is_answered_and_read_again_without_problems(
        body in r#"\{("(spec|metadata|status|x)":(null|1|"a"|\[\]|\{("(containers|labels|name|volumes|priority)":(null|1|"a"|\[(\{\}|null)\]|\{"a":("b"|1)\}),?){0,3}\}),?){0,3}\}"#
    ) {
        if let Ok(decoded) = request(body.as_bytes(), Media::Json, &expected("", "v1", "Pod"), Strictness::Warn) {
            let again = pod(&decoded.value.to_string());
            prop_assert_eq!(again, Ok(decoded.value));
        }
    }
}
