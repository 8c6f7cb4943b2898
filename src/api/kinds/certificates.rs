//! CertificateSigningRequest: who asked is written by the server, what it says stays.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

use super::Row;
use super::rules::required;
use super::table::{AGE, NAME, age, or_none, text};
use crate::field_error::{At, Errors, Path, quote};
use crate::kind::{About, Context, Part, Read, Selectable, Strategy};
use crate::names::{dns1123_label, dns1123_subdomain, signed_rule};
use crate::{meta, time};

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            name: |_, _| Vec::new(),
            prepare_create,
            prepare_update: |new, old, _| {
                meta::restore(new, old, "spec");
                meta::restore(new, old, "status");
            },
            validate,
            validate_update: |new, old, e| update(new, old, Writes::Neither, e),
            ..Strategy::GENERIC
        },
        parts: &[
            (
                "status",
                Part {
                    prepare: prepare_status,
                    validate: |new, old, e| update(new, old, Writes::Certificate, e),
                    warn: |_, _| Vec::new(),
                },
            ),
            (
                "approval",
                Part {
                    prepare: |new, old, context| {
                        timestamps(new, old, context);
                        let conditions = meta::at(new, "status.conditions").cloned();
                        meta::restore(new, old, "spec");
                        meta::restore(new, old, "status");
                        if let Some(conditions) = conditions {
                            meta::put(new, "status.conditions", conditions);
                        }
                    },
                    validate: |new, old, e| update(new, old, Writes::Approval, e),
                    warn: |_, _| Vec::new(),
                },
            ),
        ],
        columns: &[
            NAME,
            AGE,
            text("SignerName", About::Field("CertificateSigningRequestSpec", "signerName")),
            text("Requestor", About::Field("CertificateSigningRequestSpec", "request")),
            text("RequestedDuration", About::Field("CertificateSigningRequestSpec", "expirationSeconds")),
            text("Condition", About::Field("CertificateSigningRequestStatus", "conditions")),
        ],
        cells: |o, now| {
            let seconds = meta::at(o, "spec.expirationSeconds").and_then(Value::as_i64);
            vec![
                meta::name(o).into(),
                age(o, now),
                or_none(meta::str_at(o, "spec.signerName")),
                meta::str_at(o, "spec.username").into(),
                seconds.map_or_else(|| "<none>".to_owned(), time::span).into(),
                state(o).into(),
            ]
        },
        selectable: &[Selectable { name: Cow::Borrowed("spec.signerName"), read: Read::Path("") }],
        ..Row::new("certificates.k8s.io", "CertificateSigningRequest")
    },
    Row {
        strategy: Strategy {
            name: signed_rule,
            validate: bundle,
            validate_update: |new, old, e| {
                bundle(new, e);
                let (signer, was) = (new.get("spec.signerName"), old.get("spec.signerName"));
                if signer.str() != was.str() {
                    e.invalid(&signer, "field is immutable");
                }
            },
            ..Strategy::GENERIC
        },
        selectable: &[Selectable { name: Cow::Borrowed("spec.signerName"), read: Read::Path("") }],
        ..Row::new("certificates.k8s.io", "ClusterTrustBundle")
    },
];

/// A bundle of a signer is named after it.
fn bundle(bundle: &At<'_>, e: &mut Errors) {
    let (name, signer) = (bundle.get("metadata.name"), bundle.get("spec.signerName"));
    let prefix = format!("{}:", signer.str().replace('/', ":"));
    if signer.str().is_empty() && name.str().contains(':') {
        e.invalid(&name, "ClusterTrustBundle without signer name must not have \":\" in its name");
    } else if !signer.str().is_empty() && !name.str().starts_with(&prefix) {
        let says = format!(
            "ClusterTrustBundle for signerName {:?} must be named with prefix {prefix:?}",
            signer.str()
        );
        e.invalid(&name, says);
    }
}

fn state(request: &Value) -> String {
    let has = |kind: &str| {
        meta::list_at(request, "status.conditions").iter().any(|c| meta::str_at(c, "type") == kind)
    };
    let first = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if meta::str_at(request, "status.certificate").is_empty() { "" } else { ",Issued" };
    format!("{first}{failed}{issued}")
}

fn prepare_create(new: &mut Value, context: &Context<'_>) {
    for name in ["username", "uid", "groups", "extra"] {
        meta::remove(new, &format!("spec.{name}"));
    }
    meta::put(new, "spec.username", context.user);
    if !context.uid.is_empty() {
        meta::put(new, "spec.uid", context.uid);
    }
    if !context.groups.is_empty() {
        meta::put(new, "spec.groups", context.groups.to_vec());
    }
    if !context.extra.is_empty() {
        meta::put(new, "spec.extra", json!(context.extra));
    }
    meta::put(new, "status", json!({}));
}

/// A status may not touch what was approved or denied.
fn prepare_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    meta::restore(new, old, "spec");
    for kind in ["Approved", "Denied"] {
        let was = of_kind(old, kind);
        let now: Vec<&mut Value> = meta::at_mut(new, "status.conditions")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .filter(|c| meta::str_at(c, "type") == kind)
            .collect();
        if was.len() == now.len() {
            now.into_iter().zip(was).for_each(|(now, was)| now.clone_from(was));
        }
    }
    timestamps(new, old, context);
}

fn of_kind<'a>(request: &'a Value, kind: &str) -> Vec<&'a Value> {
    meta::list_at(request, "status.conditions").iter().filter(|c| meta::str_at(c, "type") == kind).collect()
}

fn timestamps(new: &mut Value, old: &Value, context: &Context<'_>) {
    let list = meta::at_mut(new, "status.conditions").and_then(Value::as_array_mut);
    for condition in list.into_iter().flatten() {
        let same = |was: &&Value| {
            was.get("type") == condition.get("type") && was.get("status") == condition.get("status")
        };
        let before = meta::list_at(old, "status.conditions").iter().find(same);
        let since = before.map_or("", |was| meta::str_at(was, "lastTransitionTime")).to_owned();
        let since = if since.is_empty() { context.now.to_owned() } else { since };
        meta::put_default(condition, "lastUpdateTime", context.now);
        meta::put_default(condition, "lastTransitionTime", since);
    }
}

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

fn validate(request: &At<'_>, e: &mut Errors) {
    let spec = request.get("spec");
    if let Err(why) = read(spec.get("request").str()) {
        e.invalid_as(&spec.get("request").path, spec.get("request").value.cloned().unwrap_or_default(), why);
    }
    let usages = spec.get("usages");
    required(&usages, e);
    for usage in usages.items() {
        e.one_of(&usage, USAGES);
    }
    let mut seen = Vec::new();
    for usage in usages.items() {
        if seen.contains(&usage.str()) {
            e.duplicate(&usage.path, usage.str());
        }
        seen.push(usage.str());
    }
    let signer = spec.get("signerName");
    if signer.is("kubernetes.io/legacy-unknown") {
        e.invalid(&signer, "the legacy signerName is not allowed via this API version");
    } else {
        signer_name(&signer, e);
    }
    let seconds = spec.get("expirationSeconds");
    if seconds.opt_int().is_some_and(|n| n < 600) {
        e.invalid(&seconds, "may not specify a duration less than 600 seconds (10 minutes)");
    }
    conditions(request, e);
}

/// A request in PEM, in base64: its form is checked here; its signature by who signs.
fn read(text: &str) -> Result<(), String> {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let block = Pem::iter_from_buffer(&bytes).next().and_then(Result::ok);
    let block = block.filter(|block| block.label == "CERTIFICATE REQUEST");
    let Some(block) = block else { return Err("PEM block type must be CERTIFICATE REQUEST".to_owned()) };
    match X509CertificationRequest::from_der(&block.contents) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("asn1: structure error: {error}")),
    }
}

/// `domain.example/path`.
fn signer_name(at: &At<'_>, e: &mut Errors) {
    if !required(at, e) {
        return;
    }
    let parts: Vec<&str> = at.str().split('/').collect();
    let [domain, path] = parts[..] else {
        return e
            .invalid(at, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
    };
    if domain.len() > 253 {
        e.too_long(&at.path, 253);
    }
    let wrong = |text: &str, rule: fn(&str) -> Vec<String>| {
        text.split('.').map(|label| (label.to_owned(), rule(label))).find(|(_, wrong)| !wrong.is_empty())
    };
    for (text, rule) in [(domain, dns1123_label as fn(&str) -> Vec<String>), (path, dns1123_subdomain)] {
        if let Some((label, messages)) = wrong(text, rule) {
            let says = messages.into_iter().map(|m| format!("validating label {}: {m}", quote(&label)));
            e.invalid_each_as(at, text, says);
        }
        if text == domain && !domain.contains('.') {
            e.invalid_as(&at.path, domain, "should be a domain with at least two segments separated by dots");
        }
    }
    if at.str().len() > 571 {
        e.too_long(&at.path, 571);
    }
}

fn conditions(request: &At<'_>, e: &mut Errors) {
    let at = request.get("status.conditions");
    let mut seen: Vec<&str> = Vec::new();
    for condition in at.items() {
        let (kind, status) = (condition.get("type"), condition.get("status"));
        required(&kind, e);
        let decided = ["Approved", "Denied", "Failed"].contains(&kind.str());
        if required(&status, e) {
            e.one_of(&status, if decided { &["True"] } else { &["False", "True", "Unknown"] });
        }
        if seen.contains(&kind.str()) {
            e.duplicate(&kind.path, kind.str());
        }
        seen.push(kind.str());
    }
}

/// What a write may add.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    Neither,
    Certificate,
    Approval,
}

fn update(new: &At<'_>, old: &At<'_>, writes: Writes, e: &mut Errors) {
    validate(new, e);
    let (Some(now), Some(was)) = (new.value, old.value) else { return };
    let path = Path::of("status.conditions");
    for kind in ["Approved", "Denied", "Failed"] {
        if of_kind(now, kind).len() < of_kind(was, kind).len() {
            e.forbidden(&path, format!("updates may not remove a condition of type {}", quote(kind)));
        }
    }
    for kind in ["Approved", "Denied"].iter().filter(|_| writes != Writes::Approval) {
        let (now, was) = (of_kind(now, kind), of_kind(was, kind));
        if now.len() > was.len() {
            e.forbidden(&path, format!("updates may not add a condition of type {}", quote(kind)));
        } else if now.len() == was.len() && now != was {
            e.forbidden(&path, format!("updates may not modify a condition of type {}", quote(kind)));
        }
    }
    let (certificate, before) = (new.get("status.certificate"), old.get("status.certificate"));
    if certificate.str() != before.str() {
        if writes != Writes::Certificate {
            e.forbidden(&certificate.path, "updates may not set certificate content");
        } else if !before.is_empty() {
            e.forbidden(&certificate.path, "updates may not modify existing certificate content");
        }
    }
    let wrong = (certificate.str() != before.str()).then(|| issued_wrong(certificate.str())).flatten();
    if let Some(wrong) = wrong {
        e.invalid_as(&certificate.path, "<certificate data>", wrong);
    }
    let has = |kind: &str| !of_kind(now, kind).is_empty();
    let had = |kind: &str| !of_kind(was, kind).is_empty();
    if has("Approved") && has("Denied") && !(had("Approved") && had("Denied")) {
        let member = |kind: &str| format!("conditions[{{\"type\": \"{kind}\"}}]");
        let (a, d) = (member("Approved"), member("Denied"));
        e.invalid_as(&path, format!("{{{a}, {d}}}"), format!("must specify at most one of: `{a}`, `{d}`"));
    }
}

/// What is wrong with certificates that were issued, in base64.
fn issued_wrong(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let mut any = bytes.is_empty();
    for block in Pem::iter_from_buffer(&bytes).map_while(Result::ok) {
        if block.label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {}", quote(&block.label)));
        }
        if X509Certificate::from_der(&block.contents).is_err() {
            return Some("x509: malformed certificate".into());
        }
        any = true;
    }
    (!any).then(|| "must contain at least one CERTIFICATE PEM block".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{changed, created};
    use super::*;

    /// An Ed25519 request, whose signature nobody checks here.
    fn request() -> String {
        let pem = include_str!("certificates/request.pem");
        STANDARD.encode(pem)
    }

    fn object(spec: Value) -> Value {
        let mut whole = json!({"request": request(), "usages": ["client auth"], "signerName": "a.b/c"});
        for (name, value) in spec.as_object().unwrap() {
            whole[name] = value.clone();
        }
        json!({"spec": whole})
    }

    #[test]
    fn who_asked_is_written_by_the_server() {
        let made = created(
            "certificates.k8s.io",
            "CertificateSigningRequest",
            object(json!({"username": "root", "uid": "0"})),
        )
        .unwrap();
        assert_eq!(
            (&made["spec"]["username"], &made["spec"]["groups"]),
            (&json!("somebody"), &json!(["system:authenticated"]))
        );
        assert_eq!(meta::at(&made, "spec.uid"), None);
    }

    #[test]
    fn requests_are_refused_for_what_is_wrong_with_them() {
        let refused = |spec| {
            created("certificates.k8s.io", "CertificateSigningRequest", object(spec))
                .err()
                .unwrap_or_default()
        };
        let table = [
            (json!({"usages": []}), vec!["spec.usages: Required value"]),
            (
                json!({"signerName": "a"}),
                vec![
                    "spec.signerName: Invalid value: \"a\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
                ],
            ),
            (
                json!({"signerName": "a/b"}),
                vec![
                    "spec.signerName: Invalid value: \"a\": should be a domain with at least two segments separated by dots",
                ],
            ),
            (
                json!({"expirationSeconds": 1}),
                vec![
                    "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 seconds (10 minutes)",
                ],
            ),
            (
                json!({"request": "YQ=="}),
                vec!["spec.request: Invalid value: \"YQ==\": PEM block type must be CERTIFICATE REQUEST"],
            ),
        ];
        for (spec, wrong) in table {
            assert_eq!(refused(spec.clone()), wrong, "{spec}");
        }
    }

    #[test]
    fn approval_is_given_through_its_own_door() {
        let old = object(json!({}));
        let mut new = old.clone();
        new["status"] =
            json!({"conditions": [{"type": "Approved", "status": "True"}], "certificate": "YQ=="});
        let write = |part| {
            changed("certificates.k8s.io", "CertificateSigningRequest", part, new.clone(), old.clone())
        };
        let made = write(Some("approval")).unwrap();
        assert_eq!(made["status"]["conditions"][0]["lastUpdateTime"], "2026-01-01T00:00:00Z");
        assert_eq!(meta::at(&made, "status.certificate"), None);
        assert_eq!(
            write(Some("status")).unwrap_err(),
            [
                "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"",
                "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block",
            ]
        );
        assert_eq!(meta::at(&write(None).unwrap(), "status"), None);
    }
}
