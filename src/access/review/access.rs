//! SubjectAccessReview, LocalSubjectAccessReview and SelfSubjectAccessReview.

use std::collections::BTreeMap;

use api::field_error::{At, Errors};
use api::kinds::reviews;
use api::meta::{self, str_at};
use api::status::{Qualified, Status};
use serde_json::{Map, Value, json};

use super::selectors::{self, Selected};
use crate::{Attributes, Authorizer, Decision, User};

const OTHER_NAMESPACE: &str =
    "the namespace of the provided object does not match the namespace sent on the request";

/// May somebody do something?
pub fn subject_access(authorizer: &Authorizer, review: Value) -> Result<Value, Status> {
    check(&review, reviews::of_anybody)?;
    let user = subject(&review);
    Ok(answered(authorizer, &user, review))
}

/// The same about one namespace, which is the URL's, for who may ask about no other.
pub fn local_subject_access(
    authorizer: &Authorizer,
    namespace: &str,
    mut review: Value,
) -> Result<Value, Status> {
    match meta::namespace(&review) {
        "" => meta::put(&mut review, "metadata.namespace", namespace),
        own if own == namespace => {}
        _ => return Err(Status::bad_request(OTHER_NAMESPACE)),
    }
    check(&review, reviews::in_a_namespace)?;
    let user = subject(&review);
    Ok(answered(authorizer, &user, review))
}

/// May I?
pub fn self_subject_access(authorizer: &Authorizer, user: &User, review: Value) -> Result<Value, Status> {
    check(&review, reviews::of_oneself)?;
    Ok(answered(authorizer, user, review))
}

/// 422. Upstream forgets the kind on the way.
fn check(review: &Value, rules: fn(&At<'_>, &mut Errors)) -> Result<(), Status> {
    let mut errors = Errors::new();
    rules(&At::root(review), &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(Qualified { group: "authorization.k8s.io", name: "" }, "", errors))
}

fn subject(review: &Value) -> User {
    let texts = |list: &Value| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra = meta::at(review, "spec.extra").and_then(Value::as_object).into_iter().flatten();
    let extra: BTreeMap<String, Vec<String>> =
        extra.map(|(key, values)| (key.clone(), texts(values))).collect();
    User {
        name: str_at(review, "spec.user").to_owned(),
        uid: str_at(review, "spec.uid").to_owned(),
        groups: meta::at(review, "spec.groups").map(texts).unwrap_or_default(),
        extra,
    }
}

fn answered(authorizer: &Authorizer, user: &User, mut review: Value) -> Value {
    let status = match meta::at(&review, "spec.resourceAttributes") {
        Some(resource) => {
            let fields = selectors::fields(resource);
            let labels = selectors::labels(resource);
            let decision = authorizer.decide(user, &resource_attributes(resource, &fields));
            status(&decision, &[("fieldSelector", fields.problem), ("labelSelector", labels)])
        }
        None => {
            let of = |field: &str| str_at(&review, &format!("spec.nonResourceAttributes.{field}")).to_owned();
            let (verb, path) = (of("verb"), of("path"));
            status(&authorizer.decide(user, &Attributes::path(&verb, &path)), &[])
        }
    };
    meta::put(&mut review, "status", status);
    review
}

fn resource_attributes<'a>(resource: &'a Value, fields: &'a Selected) -> Attributes<'a> {
    let version = str_at(resource, "version");
    Attributes {
        verb: str_at(resource, "verb"),
        group: str_at(resource, "group"),
        version: if version.is_empty() { "*" } else { version },
        resource: str_at(resource, "resource"),
        subresource: str_at(resource, "subresource"),
        namespace: str_at(resource, "namespace"),
        name: str_at(resource, "name"),
        resource_request: true,
        field_selector: &fields.terms,
        path: "",
    }
}

fn status(decision: &Decision, selectors: &[(&str, Option<selectors::Problem>)]) -> Value {
    let mut status = Map::new();
    status.insert("allowed".to_owned(), json!(decision.is_allowed()));
    if !decision.reason().is_empty() {
        status.insert("reason".to_owned(), json!(decision.reason()));
    }
    let told = selectors.iter().filter_map(|(name, problem)| {
        let how = problem.as_ref()?.word();
        Some(format!("spec.resourceAttributes.{name} {how} due to parse error"))
    });
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        status.insert("evaluationError".to_owned(), json!(told.join("; ")));
    }
    Value::Object(status)
}
