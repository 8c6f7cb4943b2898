//! What a write asks for beside its body: `dryRun`, `fieldValidation`, `fieldManager`, `force`.

use api::apply::{check_manager, check_patch_options, manager_name};
use api::decode::Strictness;
use api::field_error::{At, Errors, Path};
use api::status::{Qualified, Status};
use hyper::header::USER_AGENT;
use serde_json::Value;

use crate::exchange::Exchange;
use crate::refusal::Result;

/// Options of a write.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Whether nothing is to be stored.
    pub dry_run: bool,
    /// What becomes of unknown fields.
    pub strictness: Strictness,
    /// Who owns what is written.
    pub manager: String,
    /// Whether an apply takes over fields of others.
    pub force: bool,
}

/// What kind of write it is, by the name of its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `CreateOptions`
    Create,
    /// `UpdateOptions`
    Update,
    /// `PatchOptions`; whether the patch is an apply.
    Patch(bool),
}

impl WriteOptions {
    /// Reads and judges the options of a request.
    pub fn of(exchange: &Exchange, kind: Kind) -> Result<Self> {
        let query = &exchange.query;
        let mut errors = Errors::new();
        let given = query.text("fieldManager");
        let force = query.get("force").map(|_| query.flag("force"));
        match kind {
            Kind::Patch(applies) => errors.0.extend(check_patch_options(given, force, applies)),
            _ => errors.0.extend(check_manager(given, "fieldManager")),
        }
        let dry_run: Vec<_> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        check_dry_run(&dry_run, &mut errors);
        let validation = query.text("fieldValidation");
        let strictness = match validation {
            "" | "Warn" => Strictness::Warn,
            "Strict" => Strictness::Strict,
            "Ignore" => Strictness::Ignore,
            _ => {
                let value = Value::from(validation);
                let at = At::new(Some(&value), Path::of("fieldValidation"));
                errors.not_supported(&at, &["", "Ignore", "Strict", "Warn"]);
                Strictness::Ignore
            }
        };
        if !errors.is_empty() {
            let name = match kind {
                Kind::Create => "CreateOptions",
                Kind::Update => "UpdateOptions",
                Kind::Patch(_) => "PatchOptions",
            };
            return Err(Status::invalid(Qualified { group: "meta.k8s.io", name }, "", errors).into());
        }
        let agent = exchange.header(USER_AGENT).unwrap_or_default();
        let manager = manager_name(given, agent);
        Ok(Self { dry_run: !dry_run.is_empty(), strictness, manager, force: force == Some(true) })
    }
}

/// Judges `dryRun`: it is `All` or absent.
pub fn check_dry_run(values: &[&str], errors: &mut Errors) {
    if values.iter().any(|value| *value != "All") {
        let list: Value = values.iter().copied().collect();
        let at = At::new(Some(&list), Path::of("dryRun"));
        errors.not_supported(&at, &["All"]);
    }
}
