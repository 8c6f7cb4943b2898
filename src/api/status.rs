//! metav1.Status: how every request that is not answered by an object ends, with upstream's
//! reasons, codes and messages.

use std::fmt::{self, Display};

use serde_json::{Map, Value};

use crate::field_error::{Errors, quote};

/// A group with one of its resources (plural) or kinds: `deployments.apps`, `pods`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Qualified<'a> {
    /// The API group; "" for core.
    pub group: &'a str,
    /// A plural, or a kind.
    pub name: &'a str,
}

impl Display for Qualified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// The HTTP status; 0 in the answer to a delete, where upstream prints none.
    pub code: u16,
    /// A word for programs; "" for success.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
    /// Where an expired list can go on; "" elsewhere.
    pub continue_token: String,
}

/// What a [`Status`] is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// The name of the object.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its resource, or where upstream says so its kind.
    pub kind: String,
    /// Its UID.
    pub uid: String,
    /// Each thing that was wrong.
    pub causes: Vec<Cause>,
    /// When to come again.
    pub retry_after_seconds: u32,
}

/// One thing that was wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cause {
    /// A word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The field, if it is one's fault.
    pub field: String,
}

impl Status {
    fn failure(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), ..Self::default() }
    }

    fn about(mut self, what: Qualified<'_>, name: &str) -> Self {
        self.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: what.group.to_owned(),
            kind: what.name.to_owned(),
            ..Details::default()
        }));
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// Adds what was wrong in detail.
    #[must_use]
    pub fn because(mut self, causes: Vec<Cause>) -> Self {
        self.details.get_or_insert_default().causes.extend(causes);
        self
    }

    /// A delete that is done: Success, naming what is gone.
    #[must_use]
    pub fn deleted(what: Qualified<'_>, name: &str, uid: &str) -> Self {
        let mut status = Self::default().about(what, name);
        uid.clone_into(&mut status.details.get_or_insert_default().uid);
        status
    }

    /// 404.
    #[must_use]
    pub fn not_found(what: Qualified<'_>, name: &str) -> Self {
        Self::failure(404, "NotFound", format!("{what} {} not found", quote(name))).about(what, name)
    }

    /// 404 for a path that leads nowhere.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::failure(404, "NotFound", "the server could not find the requested resource")
            .about(Qualified { group: "", name: "" }, "")
    }

    /// 409.
    #[must_use]
    pub fn already_exists(what: Qualified<'_>, name: &str) -> Self {
        let message = format!("{what} {} already exists", quote(name));
        Self::failure(409, "AlreadyExists", message).about(what, name)
    }

    /// 409: each generated name was taken.
    #[must_use]
    pub fn generate_name_conflict(what: Qualified<'_>, name: &str) -> Self {
        let message = format!(
            "{what} {} already exists, the server was not able to generate a unique name for the object",
            quote(name)
        );
        Self::failure(409, "AlreadyExists", message).about(what, name).retry_after(1)
    }

    /// 401.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 403. `what` without a name is a path or the like.
    #[must_use]
    pub fn forbidden(what: Qualified<'_>, name: &str, why: &str) -> Self {
        let message = match (what.name.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} {} is forbidden: {why}", quote(name)),
        };
        Self::failure(403, "Forbidden", message).about(what, name)
    }

    /// 409: the object is not what the client thought.
    #[must_use]
    pub fn conflict(what: Qualified<'_>, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {what} {}: {why}", quote(name));
        Self::failure(409, "Conflict", message).about(what, name)
    }

    /// 409: the object was changed since it was read.
    #[must_use]
    pub fn modified(what: Qualified<'_>, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(what, name, why)
    }

    /// 409: apply met fields of other managers.
    #[must_use]
    pub fn apply_conflict(causes: Vec<Cause>, message: String) -> Self {
        Self::failure(409, "Conflict", message).because(causes)
    }

    /// 410: no longer there.
    #[must_use]
    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(410, "Gone", message)
    }

    /// 410: the resourceVersion or continue token is older than what is kept.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 422: `kind` is a kind, not a plural.
    #[must_use]
    pub fn invalid(kind: Qualified<'_>, name: &str, errors: Errors) -> Self {
        let errors = errors.distinct();
        let causes = errors.0.iter().map(|error| Cause {
            reason: error.kind.reason().to_owned(),
            message: error.body(),
            field: error.path.clone(),
        });
        let causes = causes.collect();
        let lines = errors.lines();
        let named = format!("{kind} {} is invalid", quote(name));
        let message = match &lines[..] {
            [] => named,
            [one] => format!("{named}: {one}"),
            more => format!("{named}: [{}]", more.join(", ")),
        };
        Self::failure(422, "Invalid", message).about(kind, name).because(causes)
    }

    /// 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 429: a server's own limit; eviction's refusal.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let status = Self::failure(429, "TooManyRequests", message);
        status.because(Vec::new()).retry_after(retry_after_seconds)
    }

    /// 503.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
    }

    /// 405: this resource has no such verb.
    #[must_use]
    pub fn method_not_supported(what: Qualified<'_>, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind {}", quote(&what.to_string()));
        Self::failure(405, "MethodNotAllowed", message).about(what, "")
    }

    /// 405: this path has no such verb.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::failure(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .about(Qualified { group: "", name: "" }, "")
    }

    /// 406: none of the media types asked for can be made.
    #[must_use]
    pub fn not_acceptable(available: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", available.join(", "));
        Self::failure(406, "NotAcceptable", message)
    }

    /// 415: the body's media type cannot be read.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(415, "UnsupportedMediaType", message)
    }

    /// 413.
    #[must_use]
    pub fn request_entity_too_large(message: &str) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
    }

    /// 500: come again.
    #[must_use]
    pub fn server_timeout(what: Qualified<'_>, operation: &str, retry_after_seconds: u32) -> Self {
        let message = format!(
            "The {operation} operation against {what} could not be completed at this time, please try again."
        );
        let status = Self::failure(500, "ServerTimeout", message);
        status.about(what, operation).retry_after(retry_after_seconds)
    }

    /// 504.
    #[must_use]
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        let status = Self::failure(504, "Timeout", format!("Timeout: {message}"));
        status.because(Vec::new()).retry_after(retry_after_seconds)
    }

    /// 500.
    #[must_use]
    pub fn internal(error: impl Display) -> Self {
        let cause = Cause { message: error.to_string(), ..Cause::default() };
        Self::failure(500, "InternalError", format!("Internal error occurred: {error}")).because(vec![cause])
    }

    /// 500 without a reason: what upstream makes of an error that has none.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::failure(500, "", message)
    }

    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code < 400
    }

    /// The HTTP status to answer with.
    #[must_use]
    pub fn http_code(&self) -> u16 {
        if self.code == 0 { 200 } else { self.code }
    }

    /// The object, in upstream's order.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let outcome = if self.is_success() { "Success" } else { "Failure" };
        let mut object = Map::new();
        object.insert("kind".to_owned(), "Status".into());
        object.insert("apiVersion".to_owned(), "v1".into());
        let mut metadata = Map::new();
        put(&mut metadata, "continue", &self.continue_token);
        object.insert("metadata".to_owned(), metadata.into());
        object.insert("status".to_owned(), outcome.into());
        put(&mut object, "message", &self.message);
        put(&mut object, "reason", self.reason);
        if let Some(details) = &self.details {
            object.insert("details".to_owned(), details.to_value());
        }
        if self.code != 0 {
            object.insert("code".to_owned(), self.code.into());
        }
        Value::Object(object)
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Details {
    fn to_value(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "name", &self.name);
        put(&mut object, "group", &self.group);
        put(&mut object, "kind", &self.kind);
        put(&mut object, "uid", &self.uid);
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|cause| {
                let mut object = Map::new();
                put(&mut object, "reason", &cause.reason);
                put(&mut object, "message", &cause.message);
                put(&mut object, "field", &cause.field);
                Value::Object(object)
            });
            object.insert("causes".to_owned(), causes.collect());
        }
        if self.retry_after_seconds != 0 {
            object.insert("retryAfterSeconds".to_owned(), self.retry_after_seconds.into());
        }
        Value::Object(object)
    }
}

fn put(object: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        object.insert(name.to_owned(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field_error::Path;

    const PODS: Qualified<'_> = Qualified { group: "", name: "pods" };
    const DEPLOYMENTS: Qualified<'_> = Qualified { group: "apps", name: "deployments" };

    #[test]
    fn statuses_are_printed_as_upstream_prints_them() {
        let mut two = Errors::new();
        two.required(&Path::of("spec.selector"), "");
        two.forbidden(&Path::of("spec.x"), "no");
        let table = [
            (
                Status::not_found(DEPLOYMENTS, "web"),
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"web\" not found","reason":"NotFound","details":{"name":"web","group":"apps","kind":"deployments"},"code":404}"#,
            ),
            (
                Status::modified(PODS, "a"),
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes to the latest version and try again","reason":"Conflict","details":{"name":"a","kind":"pods"},"code":409}"#,
            ),
            (
                Status::deleted(PODS, "a", "u"),
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"a","kind":"pods","uid":"u"}}"#,
            ),
            (
                Status::invalid(Qualified { group: "apps", name: "Deployment" }, "web", two),
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Deployment.apps \"web\" is invalid: [spec.selector: Required value, spec.x: Forbidden: no]","reason":"Invalid","details":{"name":"web","group":"apps","kind":"Deployment","causes":[{"reason":"FieldValueRequired","message":"Required value","field":"spec.selector"},{"reason":"FieldValueForbidden","message":"Forbidden: no","field":"spec.x"}]},"code":422}"#,
            ),
            (
                Status::too_many_requests("slow", 10),
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"slow","reason":"TooManyRequests","details":{"retryAfterSeconds":10},"code":429}"#,
            ),
            (
                Status::no_such_path(),
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#,
            ),
            (
                Status::unknown("x"),
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"x","code":500}"#,
            ),
            (
                Status::internal("x"),
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Internal error occurred: x","reason":"InternalError","details":{"causes":[{"message":"x"}]},"code":500}"#,
            ),
        ];
        for (status, printed) in table {
            assert_eq!(status.to_value().to_string(), printed);
        }
    }

    #[test]
    fn forbidden_says_as_much_as_is_known() {
        assert_eq!(Status::forbidden(PODS, "", "no").message, "pods is forbidden: no");
        assert_eq!(Status::forbidden(PODS, "a", "no").message, "pods \"a\" is forbidden: no");
        assert_eq!(Status::forbidden(Qualified { group: "", name: "" }, "", "no").message, "forbidden: no");
    }
}
