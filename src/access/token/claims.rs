//! What a service account token says: the registered claims and the `kubernetes.io` one.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::user::service_account_name;
use api::meta::str_at;

/// An object by name and UID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`; empty where it is not known.
    pub uid: String,
}

impl Reference {
    /// Of an object.
    pub fn of(object: &Value) -> Reference {
        Reference {
            name: str_at(object, "metadata.name").to_owned(),
            uid: str_at(object, "metadata.uid").to_owned(),
        }
    }

    fn to_value(&self) -> Value {
        let mut value = Map::new();
        for (field, text) in [("name", &self.name), ("uid", &self.uid)] {
            if !text.is_empty() {
                value.insert(field.to_owned(), json!(text));
            }
        }
        Value::Object(value)
    }

    fn from_value(value: &Value) -> Reference {
        Reference { name: str_at(value, "name").to_owned(), uid: str_at(value, "uid").to_owned() }
    }
}

/// What a token lives and dies with besides its service account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Bound {
    /// Nothing.
    #[default]
    None,
    /// A pod, and the node it was on when the token was made.
    Pod(Reference, Option<Reference>),
    /// A secret.
    Secret(Reference),
    /// A node.
    Node(Reference),
}

/// All of a token's claims. Times are in seconds since 1970; an absent one is not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `aud`
    pub audiences: Vec<String>,
    /// `exp`
    pub expires: Option<i64>,
    /// `nbf`
    pub not_before: Option<i64>,
    /// `iat`
    pub issued: Option<i64>,
    /// `jti`
    pub id: String,
    /// `kubernetes.io`'s `namespace`
    pub namespace: String,
    /// `kubernetes.io`'s `serviceaccount`
    pub account: Reference,
    /// `kubernetes.io`'s `pod`, `node` and `secret`
    pub bound: Bound,
    /// `kubernetes.io`'s `warnafter`: when the asked-for expiry is over that was extended.
    pub warn_after: Option<i64>,
}

impl Claims {
    /// Claims for a service account from now on.
    pub fn new(namespace: &str, account: Reference, now: Timestamp, expires_seconds: i64) -> Claims {
        let issued = now.as_second();
        Claims {
            subject: service_account_name(namespace, &account.name),
            expires: Some(issued.saturating_add(expires_seconds)),
            not_before: Some(issued),
            issued: Some(issued),
            namespace: namespace.to_owned(),
            account,
            ..Claims::default()
        }
    }

    /// The payload, fields in the order that tokens have them.
    pub(super) fn to_value(&self) -> Value {
        let mut value = Map::new();
        let mut put = |field: &str, item: Option<Value>| {
            if let Some(item) = item {
                value.insert(field.to_owned(), item);
            }
        };
        put("aud", Some(json!(self.audiences)).filter(|_| !self.audiences.is_empty()));
        put("exp", self.expires.map(Value::from));
        put("iat", self.issued.map(Value::from));
        put("iss", Some(json!(self.issuer)));
        put("jti", Some(json!(self.id)).filter(|_| !self.id.is_empty()));
        put("kubernetes.io", Some(self.kubernetes()));
        put("nbf", self.not_before.map(Value::from));
        put("sub", Some(json!(self.subject)));
        Value::Object(value)
    }

    fn kubernetes(&self) -> Value {
        let (node, pod, secret) = match &self.bound {
            Bound::None => (None, None, None),
            Bound::Pod(pod, node) => (node.as_ref(), Some(pod), None),
            Bound::Secret(secret) => (None, None, Some(secret)),
            Bound::Node(node) => (Some(node), None, None),
        };
        let mut value = Map::new();
        let mut put = |field: &str, item: Option<Value>| {
            if let Some(item) = item {
                value.insert(field.to_owned(), item);
            }
        };
        put("namespace", Some(json!(self.namespace)));
        put("node", node.map(Reference::to_value));
        put("pod", pod.map(Reference::to_value));
        put("secret", secret.map(Reference::to_value));
        put("serviceaccount", Some(self.account.to_value()));
        put("warnafter", self.warn_after.map(Value::from));
        Value::Object(value)
    }

    /// Reads a payload; none if a claim is not of its type.
    pub(super) fn from_value(value: &Value) -> Option<Claims> {
        let kubernetes = value.get("kubernetes.io").unwrap_or(&Value::Null);
        let reference =
            |field: &str| kubernetes.get(field).filter(|v| !v.is_null()).map(Reference::from_value);
        let bound = match (reference("pod"), reference("node"), reference("secret")) {
            (Some(pod), node, None) => Bound::Pod(pod, node),
            (None, Some(node), None) => Bound::Node(node),
            (None, None, Some(secret)) => Bound::Secret(secret),
            (None, None, None) => Bound::None,
            // Nothing of ours is bound to a secret and to something else.
            (_, _, Some(_)) => return None,
        };
        Some(Claims {
            issuer: string(value, "iss")?,
            subject: string(value, "sub")?,
            audiences: audiences(value)?,
            expires: number(value, "exp")?,
            not_before: number(value, "nbf")?,
            issued: number(value, "iat")?,
            id: string(value, "jti")?,
            namespace: string(kubernetes, "namespace")?,
            account: reference("serviceaccount").unwrap_or_default(),
            bound,
            warn_after: number(kubernetes, "warnafter")?,
        })
    }
}

/// How far two clocks may be apart.
pub(super) const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

fn string(value: &Value, field: &str) -> Option<String> {
    match value.get(field) {
        None | Some(Value::Null) => Some(String::new()),
        Some(item) => item.as_str().map(str::to_owned),
    }
}

/// A numeric date, of which fractions are cut.
fn number(value: &Value, field: &str) -> Option<Option<i64>> {
    match value.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(seconds), _) => Some(Some(seconds)),
            (None, Some(float)) => Some(Some(float as i64)),
            (None, None) => None,
        },
        Some(_) => None,
    }
}

/// One audience or a list of them.
fn audiences(value: &Value) -> Option<Vec<String>> {
    match value.get("aud") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(one)) => Some(vec![one.clone()]),
        Some(Value::Array(many)) => many.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    }
}
