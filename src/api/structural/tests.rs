//! What upstream's server answered to objects of one custom resource (answers.jsonl: the schema,
//! then spec and answer a line), and what its answers do not show.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::status::Status;

const ANSWERS: &str = include_str!("answers.jsonl");
const BAR: Named<'static> = Named { group: "example.com", version: "v1", kind: "Bar" };

fn bars() -> Structural {
    let schema = ANSWERS.lines().next().unwrap();
    Structural::parse(&serde_json::from_str(schema).unwrap()).unwrap()
}

/// What we answer: the object as it would be kept, or the message of the refusal.
fn answer(bars: &Structural, object: &Value) -> String {
    let body = object.to_string();
    let decoded = match bars.request(body.as_bytes(), Media::Json, &BAR, Strictness::Strict) {
        Ok(decoded) => decoded,
        Err(error) => return error.0,
    };
    let mut value = decoded.value;
    bars.fill(&mut value);
    let errors = bars.validate(&value);
    if errors.is_empty() {
        normalise(&mut value);
        return text(&value);
    }
    let lines = errors.lines();
    let all = if lines.len() == 1 { lines[0].clone() } else { format!("[{}]", lines.join(", ")) };
    format!("Bar.example.com \"x\" is invalid: {all}")
}

fn text(value: &Value) -> String {
    String::from_utf8(crate::canonical::to_vec(value)).unwrap()
}

fn bar(spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Bar", "metadata": {"name": "x"}, "spec": spec})
}

#[test]
fn objects_are_kept_and_refused_as_upstream_does() {
    let bars = bars();
    let mut differ = Vec::new();
    for line in ANSWERS.lines().skip(1) {
        let (spec, mut expect): (Value, String) = serde_json::from_str(line).unwrap();
        let mut got = answer(&bars, &bar(&spec));
        // Upstream's server has added to the metadata.
        if let (Ok(mut kept), Ok(mut ours)) =
            (serde_json::from_str::<Value>(&expect), serde_json::from_str::<Value>(&got))
        {
            kept["metadata"].take();
            ours["metadata"].take();
            (expect, got) = (text(&kept), text(&ours));
        }
        if got != expect {
            differ.push(format!("{spec}\n  got    {got}\n  expect {expect}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn metadata_is_that_of_every_object() {
    let bars = bars();
    let with = |metadata: Value| {
        let object = json!({"apiVersion": "example.com/v1", "kind": "Bar", "metadata": metadata, "spec": {"r": "a", "r2": 1}});
        answer(&bars, &object)
    };
    let refused = "Bar in version \"v1\" cannot be handled as a Bar: ";
    for (metadata, expect) in [
        (json!({"name": "x", "foo": 1}), "strict decoding error: unknown field \"metadata.foo\""),
        (
            json!({"labels": {"a": 1}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string",
        ),
        (json!("x"), "json: cannot unmarshal string into Go value of type v1.ObjectMeta"),
    ] {
        assert_eq!(with(metadata), format!("{refused}{expect}"));
    }
    let kept = with(json!({"name": "x", "labels": {}, "creationTimestamp": null}));
    assert!(kept.contains(r#""metadata":{"name":"x"}"#), "{kept}");
}

#[test]
fn a_body_of_no_kind_or_another_version_is_refused() {
    let bars = bars();
    let refusal =
        |body: &str| bars.request(body.as_bytes(), Media::Json, &BAR, Strictness::Strict).unwrap_err().0;
    assert_eq!(
        refusal(r#"{"apiVersion":"example.com/v1"}"#),
        r#"the object provided is unrecognized (must be of type Bar): Object 'Kind' is missing in '{"apiVersion":"example.com/v1"}' ({"apiVersion":"example.com/v1" ...)"#
    );
    assert_eq!(
        refusal(r#"{"kind":"Bar"}"#),
        "the API version in the data () does not match the expected API version (example.com/v1)"
    );
    assert_eq!(
        refusal(
            r#"{"apiVersion":"example.com/v1","kind":"Bar","spec":{"r":"a","r":"b","l":[{"a":1,"a":2}]},"zzz":1,"spec":{"r":"a","r2":1}}"#
        ),
        r#"Bar in version "v1" cannot be handled as a Bar: strict decoding error: duplicate field "spec.r", duplicate field "spec.l[0].a", duplicate field "spec", unknown field "zzz""#
    );
    let yaml = "apiVersion: example.com/v1\nkind: Bar\nspec: {r: a, r2: 1, foo: 2}\n";
    let decoded = bars.request(yaml.as_bytes(), Media::Yaml, &BAR, Strictness::Warn).unwrap();
    assert_eq!(decoded.problems, [r#"unknown field "spec.foo""#]);
}

#[test]
fn apply_sees_how_lists_merge_and_what_keys_default_to() {
    let raw = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"ports": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": {"type": "object", "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}}}}}}}});
    let structural = Structural::parse(&raw).unwrap();
    let (model, root) = structural.model();
    let Some(crate::schema::Type::Object(spec)) = model.object(root).field("spec").map(|f| f.ty.clone())
    else {
        panic!("spec is an object");
    };
    let ports = model.object(spec).field("ports").unwrap();
    assert_eq!(ports.list, crate::schema::ListType::Map(vec!["port".into(), "protocol".into()]));
    let item = ports.ty.object().unwrap();
    assert_eq!(model.object(item).field("protocol").unwrap().published.default, Some(json!("TCP")));
    let meta = model.object(root).field("metadata").unwrap().ty.object().unwrap();
    assert!(model.object(meta).field("ownerReferences").is_some());
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let error = Structural::parse(&json!({"properties": {"a": {"items": {"pattern": "("}}}})).unwrap_err();
    assert!(error.to_string().starts_with("openAPIV3Schema.properties[a].items.pattern: \"(\""), "{error}");
    let mut deep = json!({"type": "string"});
    for _ in 0..200 {
        deep = json!({"items": deep});
    }
    assert!(matches!(Structural::parse(&deep), Err(StructuralError::Depth { .. })));
}

#[test]
fn an_invalid_custom_resource_is_told_in_the_status_of_every_kind() {
    let errors = bars().validate(&bar(&json!({"r": "a"})));
    let resource = crate::status::Qualified { name: "Bar", group: "example.com" };
    let status = Status::invalid(resource, "x", errors);
    assert_eq!(status.message, "Bar.example.com \"x\" is invalid: spec.r2: Required value");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_body_is_answered_and_what_is_kept_is_kept_again(body in r#"\{"kind":"Bar","apiVersion":"example.com/v1","spec":\{("(r|r2|i|l|m|lm|o|q|s|foo)":(null|1|"a"|1\.5|\[\{"k":"a"\}\]|\["a"\]|\{"a":1\}),?){0,4}\}\}"#) {
        let bars = bars();
        if let Ok(decoded) = bars.request(body.as_bytes(), Media::Json, &BAR, Strictness::Warn) {
            let mut value = decoded.value;
            bars.fill(&mut value);
            normalise(&mut value);
            let first = answer(&bars, &value);
            if let Ok(kept) = serde_json::from_str::<Value>(&first) {
                prop_assert_eq!(answer(&bars, &kept), first);
            }
        }
    }
}
