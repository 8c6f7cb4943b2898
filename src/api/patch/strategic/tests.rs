//! Strategic merge patches against built-in types, row by row.

use serde_json::{Value, json};

use super::super::PatchError;
use crate::schema::builtin;

fn applied(definition: &str, document: Value, patch: Value) -> Result<Value, PatchError> {
    let schema = builtin();
    let ty = schema.find(definition).unwrap();
    super::strategic(schema, ty, &document, &patch)
}

const POD: &str = "io.k8s.api.core.v1.PodSpec";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.DeploymentSpec";

#[test]
fn objects_and_lists_merge_as_upstream_merges_them() {
    let containers = || json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]});
    for (name, ty, document, patch, expected) in [
        (
            "maps merge, null removes",
            META,
            json!({"labels": {"a": "1", "b": "2"}}),
            json!({"labels": {"a": null, "c": "3"}}),
            json!({"labels": {"b": "2", "c": "3"}}),
        ),
        (
            "null within what is new is dropped",
            META,
            json!({}),
            json!({"labels": {"a": null, "b": "1"}}),
            json!({"labels": {"b": "1"}}),
        ),
        (
            "an item merges by its key",
            POD,
            containers(),
            json!({"containers": [{"name": "b", "image": "3"}]}),
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]}),
        ),
        (
            "a new item comes after those behind which it does not stand",
            POD,
            containers(),
            json!({"containers": [{"name": "c"}]}),
            json!({"containers": [{"name": "c"}, {"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}),
        ),
        (
            "the patch's order wins",
            POD,
            containers(),
            json!({"containers": [{"name": "b"}, {"name": "a"}]}),
            json!({"containers": [{"name": "b", "image": "2"}, {"name": "a", "image": "1"}]}),
        ),
        (
            "an item is deleted",
            POD,
            containers(),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b", "image": "2"}]}),
        ),
        (
            "a list is replaced",
            POD,
            containers(),
            json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
            json!({"containers": [{"name": "z"}]}),
        ),
        (
            "an object is replaced",
            META,
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"$patch": "replace", "b": "2"}}),
            json!({"labels": {"b": "2"}}),
        ),
        (
            "an object is deleted",
            META,
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"$patch": "delete"}}),
            json!({"labels": {}}),
        ),
        (
            "what is to be deleted and is not there is nothing",
            META,
            json!({}),
            json!({"labels": {"$patch": "delete"}}),
            json!({}),
        ),
        (
            "a list without a strategy is replaced",
            POD,
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"key": "b"}]}),
            json!({"tolerations": [{"key": "b"}]}),
        ),
        (
            "scalars merge as a set",
            META,
            json!({"finalizers": ["a/1", "a/2"]}),
            json!({"finalizers": ["a/3", "a/2"]}),
            json!({"finalizers": ["a/3", "a/1", "a/2"]}),
        ),
        (
            "scalars are deleted",
            META,
            json!({"finalizers": ["a/1", "a/2"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["a/1"]}),
            json!({"finalizers": ["a/2"]}),
        ),
        (
            "deleting from a list that is not there",
            META,
            json!({}),
            json!({"$deleteFromPrimitiveList/finalizers": ["a/1"]}),
            json!({}),
        ),
        (
            "an order without a change",
            POD,
            containers(),
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!({"containers": [{"name": "b", "image": "2"}, {"name": "a", "image": "1"}]}),
        ),
        (
            "an order and a change",
            POD,
            containers(),
            json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}], "containers": [{"name": "c", "image": "9"}]}),
            json!({"containers": [{"name": "c", "image": "9"}, {"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}),
        ),
        (
            "an order with a deletion",
            POD,
            containers(),
            json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b", "image": "2"}]}),
        ),
        (
            "an order of scalars",
            META,
            json!({"finalizers": ["a/1", "a/2"]}),
            json!({"$setElementOrder/finalizers": ["a/2", "a/3", "a/1"], "finalizers": ["a/3"]}),
            json!({"finalizers": ["a/2", "a/3", "a/1"]}),
        ),
        (
            "only the listed keys stay",
            DEPLOYMENT,
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        ),
        (
            "volumes keep one source",
            POD,
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
        ),
        (
            "a budget's selector is replaced",
            "io.k8s.api.policy.v1.PodDisruptionBudgetSpec",
            json!({"selector": {"matchLabels": {"a": "1"}}}),
            json!({"selector": {"matchExpressions": []}}),
            json!({"selector": {"matchExpressions": []}}),
        ),
        (
            "something of another kind is replaced",
            META,
            json!({"labels": null}),
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"a": "1"}}),
        ),
        ("null is no patch at all", META, json!({"name": "x"}), json!(null), json!({"name": "x"})),
    ] {
        let result = applied(ty, document, patch).map(|it| it.to_string());
        assert_eq!(result, Ok(expected.to_string()), "{name}");
    }
}

#[test]
fn refusals_are_worded_as_upstream_words_them() {
    use PatchError::{BadRequest, Internal, Unprocessable};
    let labels = || json!({"labels": {"a": "1"}});
    let containers = || json!({"containers": [{"name": "a"}]});
    for (ty, document, patch, expected) in [
        (POD, containers(), json!({"containers": [{"image": "x"}]}),
            Internal("map: map[image:x] does not contain declared merge key: name".into())),
        (POD, containers(), json!({"containers": [{"$patch": "delete"}]}),
            Internal("map: map[$patch:delete] does not contain declared merge key: name".into())),
        (POD, containers(), json!({"containers": [{"$patch": "merge"}]}), Internal("merging lists cannot yet be specified in the patch".into())),
        (POD, containers(), json!({"containers": [{"$patch": "x", "name": "a"}]}),
            Internal("unknown patch type: x in map: map[$patch:x name:a]".into())),
        (POD, containers(), json!({"containers": ["x"]}),
            Internal("list element types are not identical: [[map[name:a]] [x]]".into())),
        (META, labels(), json!({"labels": {"$patch": 5}}), Internal("unknown patch type: %!s(int64=5) in map: map[$patch:5]".into())),
        (META, labels(), json!({"$deleteFromPrimitiveList": []}), BadRequest("invalid patch format of primitive list".into())),
        (META, labels(), json!({"$retainKeys": {}}), BadRequest("invalid patch format of retainKeys".into())),
        (META, labels(), json!({"$retainKeys": ["name"], "labels": {"b": "2"}}), BadRequest("invalid patch format of retainKeys".into())),
        (META, labels(), json!({"$setElementOrder": []}), BadRequest("invalid patch format of setElementOrder list".into())),
        (META, json!({"finalizers": ["a"]}), json!({"finalizers": [["b"]]}),
            Internal("list element types are not identical: [[a] [[b]]]".into())),
        (META, json!({"finalizers": []}), json!({"finalizers": [["b"]]}), Unprocessable("lists of lists are not supported".into())),
        (META, json!({"x": {}}), json!({"x": {}}),
            Internal("unable to find api field in struct ObjectMeta for the json field \"x\"".into())),
        ("io.k8s.api.core.v1.Pod", json!({"metadata": {"labels": {"a": {}}}}), json!({"metadata": {"labels": {"a": {}}}}),
            Internal("merging an object in json but data type is not struct, instead is: map".into())),
        (POD, containers(), json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}),
            Internal("The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n".into())),
        (POD, json!({}), json!([]), BadRequest("json: cannot unmarshal array into Go value of type map[string]interface {}".into())),
    ] {
        assert_eq!(applied(ty, document, patch.clone()), Err(expected), "{patch}");
    }
}
