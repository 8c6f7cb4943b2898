//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may
//! approve or sign for which signer, and that nobody asks for a master's certificate.

use api::field_error::quote;
use api::meta;
use api::status::Status;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Operation, Request, World};
use crate::Attributes;
use crate::authenticate::certificate::{Requested, requested};
use crate::user::MASTERS;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

fn concerns(request: &Request, subresource: &str, operation: Operation) -> bool {
    request.is_for(GROUP, "certificatesigningrequests")
        && request.subresource == subresource
        && request.operation == operation
}

pub(super) fn approval(request: &Request, object: &Value, world: &World) -> Result<(), Status> {
    let Some(old) = request.old.filter(|_| concerns(request, "approval", Operation::Update)) else {
        return Ok(());
    };
    may(request, object, world, "approve", meta::str_at(old, "spec.signerName"))
}

pub(super) fn signing(request: &Request, object: &Value, world: &World) -> Result<(), Status> {
    let Some(old) = request.old.filter(|_| concerns(request, "status", Operation::Update)) else {
        return Ok(());
    };
    let same = |path| meta::same_at(object, old, path);
    if same("status.certificate") && same("status.conditions") {
        return Ok(());
    }
    may(request, object, world, "sign", meta::str_at(old, "spec.signerName"))
}

/// Leave for the signer, or for all signers of its domain.
fn may(request: &Request, object: &Value, world: &World, verb: &str, signer: &str) -> Result<(), Status> {
    let domain = signer.split('/').next().unwrap_or_default();
    let wildcard = format!("{domain}/*");
    let asked = Attributes::resource(verb, GROUP, "signers");
    let allowed = |name: &str| world.authorizer.decide(request.user, &asked.named(name)).is_allowed();
    if allowed(signer) || allowed(&wildcard) {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {}", quote(signer));
    Err(request.forbidden(object, why))
}

pub(super) fn subject(request: &Request, object: &Value, _: &World) -> Result<(), Status> {
    let asked = meta::str_at(object, "spec.signerName") == CLIENT_SIGNER;
    if !asked || !concerns(request, "", Operation::Create) {
        return Ok(());
    }
    let requested = subject_of(object);
    let requested = requested.ok_or_else(|| {
        request.forbidden(object, "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST")
    })?;
    if requested.organisations.iter().any(|group| group == MASTERS) {
        let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
        return Err(request.forbidden(object, why));
    }
    Ok(())
}

/// Whom a CertificateSigningRequest asks a certificate for.
pub(super) fn subject_of(object: &Value) -> Option<Requested> {
    requested(&STANDARD.decode(meta::str_at(object, "spec.request")).ok()?)
}
