//! A kind's replicas as an autoscaling/v1 Scale, read from its object and written back.

use serde_json::{Value, json};

use super::rules::not_negative;
use super::table;
use crate::field_error::{At, Errors};
use crate::kind::{Kind, ScalePaths};
use crate::meta;
use crate::status::{Qualified, Status};

/// The Scale of an object.
#[must_use]
pub fn read(paths: &ScalePaths, object: &Value) -> Value {
    let mut metadata = json!({});
    for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        meta::restore(&mut metadata, object.get("metadata").unwrap_or(&Value::Null), name);
    }
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata});
    // A number that is 0 is left out of the spec, not of the status.
    scale["spec"] = match meta::int_at(object, paths.wanted) {
        0 => json!({}),
        wanted => json!({"replicas": wanted}),
    };
    scale["status"] = json!({"replicas": meta::int_at(object, paths.found)});
    let selector = match meta::at(object, paths.selector) {
        Some(Value::String(text)) => text.clone(),
        Some(map)
            if meta::at(map, "matchLabels").is_none() && meta::at(map, "matchExpressions").is_none() =>
        {
            table::labels(Some(map)).as_str().unwrap_or_default().to_owned()
        }
        other => table::selector(other).as_str().unwrap_or_default().to_owned(),
    };
    if !selector.is_empty() && selector != "<none>" {
        meta::put(&mut scale, "status.selector", selector);
    }
    scale
}

/// The object with the replicas that a Scale wants; its resourceVersion is the Scale's.
///
/// # Errors
/// `Invalid` of the Scale, or `Conflict` where it is of another object by the same name.
pub fn write(kind: &Kind, paths: &ScalePaths, object: &Value, scale: &Value) -> Result<Value, Status> {
    let (at, mut e) = (At::root(scale), Errors::new());
    not_negative(&at.get("spec.replicas"), &mut e);
    if !e.is_empty() {
        let qualified = Qualified { group: "autoscaling", name: "Scale" };
        return Err(Status::invalid(qualified, meta::name(object), e));
    }
    let (given, own) = (meta::uid(scale), meta::uid(object));
    if !given.is_empty() && given != own {
        let name = format!("{}/scale", kind.plural);
        let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {own}");
        return Err(Status::conflict(
            Qualified { group: &kind.group, name: &name },
            meta::name(object),
            &why,
        ));
    }
    let mut scaled = object.clone();
    meta::put(&mut scaled, paths.wanted, meta::int_at(scale, "spec.replicas"));
    meta::restore(&mut scaled, scale, "metadata.resourceVersion");
    Ok(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::registry;

    #[test]
    fn a_scale_is_read_and_written_back() {
        let registry = registry();
        let kind = registry.by_kind("apps", "v1", "Deployment").unwrap();
        let paths =
            ScalePaths { wanted: "spec.replicas", found: "status.replicas", selector: "spec.selector" };
        let object = json!({
            "metadata": {"name": "a", "uid": "1", "labels": {"x": "y"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["z", "y"]}]}},
            "status": {"replicas": 1},
        });
        let scale = read(&paths, &object);
        assert_eq!(
            scale,
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "a", "uid": "1"}, "spec": {"replicas": 2}, "status": {"replicas": 1, "selector": "a in (y,z),b=c"}})
        );
        let mut wanted = scale;
        wanted["spec"] = json!({});
        assert_eq!(write(kind, &paths, &object, &wanted).unwrap()["spec"]["replicas"], 0);
        wanted["spec"]["replicas"] = json!(-1);
        assert_eq!(
            write(kind, &paths, &object, &wanted).unwrap_err().message,
            "Scale.autoscaling \"a\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        );
        wanted = json!({"metadata": {"uid": "2"}});
        assert_eq!(write(kind, &paths, &object, &wanted).unwrap_err().code, 409);
    }
}
