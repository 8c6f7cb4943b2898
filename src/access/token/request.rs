//! TokenRequest: a token for a service account, bound to what the request names.

use std::fmt;
use std::sync::Arc;

use api::field_error::{At, Errors, quote};
use api::meta::{self, list_at, str_at};
use api::status::{Qualified, Status};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SecureRandom;
use serde_json::{Value, json};

use super::{Bound, Claims, Issuer, Reference, WARN_ONLY_SECONDS};
use crate::lookups::{Lookups, What};

const GROUP: &str = "authentication.k8s.io";
const KIND: Qualified<'static> = Qualified { group: GROUP, name: "TokenRequest" };
const SHORTEST_SECONDS: i64 = 10 * 60;
const LONGEST_SECONDS: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 60 * 60;
/// How long a pod's own token lives in truth.
const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// A request for a token.
pub struct Ask<'a> {
    /// Of the URL.
    pub namespace: &'a str,
    /// The service account, of the URL.
    pub account: &'a str,
    /// The TokenRequest, defaulted and admitted.
    pub request: &'a Value,
    /// A new UUID, by which the token is known to audit.
    pub id: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// What is given.
#[derive(Clone, PartialEq)]
pub struct Granted {
    /// The TokenRequest with its token. A secret.
    pub object: Value,
    /// For Warning headers.
    pub warnings: Vec<String>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Gives a token.
    pub fn request(
        &self,
        ask: &Ask,
        objects: &dyn Lookups,
        random: &dyn SecureRandom,
    ) -> Result<Granted, Status> {
        check_names(ask)?;
        let account = objects.get(What::ServiceAccount, ask.namespace, ask.account);
        let account = account.ok_or_else(|| missing("serviceaccounts", ask.account))?;
        check_uid(ask, meta::uid(&account))?;
        let mut spec = Spec::of(ask.request, &self.audiences);
        validate(ask.request, &spec)?;
        let bound = bound(ask, objects)?;
        let warnings = self.shorten(&mut spec);
        let claims = self.claims(ask, &account, bound, &spec);
        let token = self.sign(&claims, random);
        let token = token.map_err(|error| Status::internal(format!("failed to generate token: {error}")))?;
        Ok(Granted { object: answer(ask, &account, &spec, &token), warnings })
    }

    fn shorten(&self, spec: &mut Spec) -> Vec<String> {
        let asked = spec.seconds;
        let Some(longest) = self.longest_seconds.filter(|longest| asked > *longest) else {
            return Vec::new();
        };
        spec.seconds = longest;
        vec![format!("requested expiration of {asked} seconds shortened to {longest} seconds")]
    }

    fn claims(&self, ask: &Ask, account: &Value, bound: Bound, spec: &Spec) -> Claims {
        let of_pod = matches!(bound, Bound::Pod(..));
        let own = spec.audiences.iter().all(|audience| self.audiences.contains(audience));
        let extended = self.extend && of_pod && own && spec.seconds == WARN_ONLY_SECONDS;
        let longest = self.longest_seconds.unwrap_or(EXTENDED_SECONDS).max(spec.seconds);
        let seconds = if extended { EXTENDED_SECONDS.min(longest) } else { spec.seconds };
        Claims {
            issuer: self.url.clone(),
            audiences: spec.audiences.clone(),
            id: ask.id.to_owned(),
            bound,
            warn_after: extended.then(|| ask.now.as_second() + spec.seconds),
            ..Claims::new(ask.namespace, Reference::of(account), ask.now, seconds)
        }
    }
}

/// What is asked for, defaults filled in.
struct Spec {
    audiences: Vec<String>,
    seconds: i64,
}

impl Spec {
    fn of(request: &Value, own: &[String]) -> Spec {
        let audiences = list_at(request, "spec.audiences").iter().filter_map(Value::as_str);
        let audiences: Vec<String> = audiences.map(str::to_owned).collect();
        let seconds = meta::at(request, "spec.expirationSeconds").and_then(Value::as_i64);
        Spec {
            audiences: if audiences.is_empty() { own.to_vec() } else { audiences },
            seconds: seconds.unwrap_or(DEFAULT_SECONDS),
        }
    }
}

fn check_names(ask: &Ask) -> Result<(), Status> {
    let root = At::root(ask.request);
    let (name, namespace) = (root.get("metadata.name"), root.get("metadata.namespace"));
    let mut errors = Errors::new();
    if !namespace.str().is_empty() && namespace.str() != ask.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    if !name.str().is_empty() && name.str() != ask.account {
        errors.invalid(&name, "must match the service account name if specified");
        return Err(Status::invalid(KIND, ask.account, errors));
    }
    Ok(())
}

fn check_uid(ask: &Ask, own: &str) -> Result<(), Status> {
    let asked = meta::uid(ask.request);
    if asked.is_empty() || asked == own {
        return Ok(());
    }
    let why = format!(
        "the UID in the token request ({asked}) does not match the UID of the service account ({own})"
    );
    Err(Status::conflict(KIND, ask.account, &why))
}

fn validate(request: &Value, spec: &Spec) -> Result<(), Status> {
    let root = At::root(request);
    let mut errors = Errors::new();
    let seconds = root.get("spec.expirationSeconds");
    if spec.seconds < SHORTEST_SECONDS {
        errors.invalid(&seconds, "may not specify a duration less than 10 minutes");
    }
    if spec.seconds > LONGEST_SECONDS {
        errors.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
    }
    let attestations = root.get("spec.attestations");
    if is_webhook(request) {
        // Such tokens are an alpha feature, which is off.
        let why = "webhook bound requests require exactly one admissionReviewAPIGroups attestation";
        if attestations.entries().len() != 1 {
            errors.invalid_as(&attestations.path, attestations.value.cloned().unwrap_or_default(), why);
        }
    } else if !attestations.is_empty() {
        let why = "attestations may only be specified with a webhook bound object reference";
        errors = Errors::new();
        errors.invalid(&attestations, why);
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(KIND, "", errors)) }
}

fn is_webhook(request: &Value) -> bool {
    let of = |field: &str| str_at(request, &format!("spec.boundObjectRef.{field}"));
    let kind = matches!(of("kind"), "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration");
    kind && of("apiVersion") == "admissionregistration.k8s.io/v1"
}

/// What the token is bound to, as it is now.
fn bound(ask: &Ask, objects: &dyn Lookups) -> Result<Bound, Status> {
    let Some(reference) = meta::at(ask.request, "spec.boundObjectRef") else { return Ok(Bound::None) };
    let (kind, name) = (str_at(reference, "kind"), str_at(reference, "name"));
    let (group, version) = match str_at(reference, "apiVersion") {
        version if !version.contains('/') => ("", version),
        both => both.split_once('/').unwrap_or_default(),
    };
    let find = |what: What, plural: &'static str, namespace: &str| {
        objects.get(what, namespace, name).ok_or_else(|| missing(plural, name))
    };
    let (bound, object) = match (group, kind) {
        ("", "Pod") => {
            let pod = find(What::Pod, "pods", ask.namespace)?;
            check_pod(ask, &pod)?;
            (Bound::Pod(Reference::of(&pod), node_of(&pod, objects)), pod)
        }
        ("", "Node") => {
            let node = find(What::Node, "nodes", "")?;
            (Bound::Node(Reference::of(&node)), node)
        }
        ("", "Secret") => {
            let secret = find(What::Secret, "secrets", ask.namespace)?;
            (Bound::Secret(Reference::of(&secret)), secret)
        }
        _ => {
            let told = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(told));
        }
    };
    let claimed = str_at(reference, "uid");
    if !claimed.is_empty() && claimed != meta::uid(&object) {
        let why = format!(
            "the UID in the bound object reference ({claimed}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(Qualified { group, name: kind }, name, &why));
    }
    Ok(bound)
}

fn check_pod(ask: &Ask, pod: &Value) -> Result<(), Status> {
    if str_at(pod, "spec.serviceAccountName") == ask.account {
        return Ok(());
    }
    let account = quote(ask.account);
    Err(Status::bad_request(format!(
        "cannot bind token for serviceaccount {account} to pod running with different serviceaccount name."
    )))
}

/// The pod's node; by its name alone if there is no such object.
fn node_of(pod: &Value, objects: &dyn Lookups) -> Option<Reference> {
    let name = str_at(pod, "spec.nodeName");
    if name.is_empty() {
        return None;
    }
    let found: Option<Arc<Value>> = objects.get(What::Node, "", name);
    let by_name = || Reference { name: name.to_owned(), uid: String::new() };
    Some(found.map_or_else(by_name, |node| Reference::of(&node)))
}

/// The expiry is the one that was asked for, even where the token lives longer.
fn answer(ask: &Ask, account: &Value, spec: &Spec, token: &str) -> Value {
    let now = Timestamp::from_second(ask.now.as_second()).unwrap_or(ask.now);
    let until = now.checked_add(SignedDuration::from_secs(spec.seconds)).unwrap_or(Timestamp::MAX);
    json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": ask.account,
            "namespace": ask.namespace,
            "uid": meta::uid(account),
            "creationTimestamp": now.to_string(),
        },
        "spec": {
            "audiences": spec.audiences,
            "expirationSeconds": spec.seconds,
            "boundObjectRef": meta::at(ask.request, "spec.boundObjectRef"),
        },
        "status": {"token": token, "expirationTimestamp": until.to_string()},
    })
}

fn missing(plural: &str, name: &str) -> Status {
    Status::not_found(Qualified { group: "", name: plural }, name)
}
