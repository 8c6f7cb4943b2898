//! PATCH: four kinds of patch, each laid over the object as it is, again until it fits.

use api::apply::{self, ApplyError, Options as ApplyOptions};
use api::decode::{self, Media, Strictness};
use api::field_error::{At, Errors, Path};
use api::kind::Part;
use api::patch::{self, PatchError};
use api::schema::{Schema, TypeId};
use api::status::{Qualified, Status};
use api::{canonical, meta};
use serde_json::Value;

use super::body::{media_type, read};
use super::commit::{self, Done, Target};
use super::create::object_created;
use super::options::{Kind, WriteOptions};
use super::steps::{Steps, place};
use super::update::{decide, named};
use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;
use crate::view::convert;

/// Which kind of patch a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, which knows lists.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Form {
    /// Reads the media type; custom resources know no strategic patch.
    pub fn of(exchange: &Exchange, structural: bool) -> Result<Self> {
        match media_type(exchange) {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if !structural => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => {
                let says = "415: Unsupported Media Type";
                Err(Refusal::plain(415, "UnsupportedMediaType", says).detailed())
            }
        }
    }
}

/// A patch that was read.
pub struct Patch {
    form: Form,
    body: Value,
}

impl Patch {
    /// Reads a patch.
    pub fn read(form: Form, bytes: &[u8]) -> Result<Self> {
        let body = if form == Form::Apply {
            let text = std::str::from_utf8(bytes).map_err(|error| bad(&error))?;
            serde_yaml::from_str(text).map_err(|error| bad(&error))?
        } else {
            serde_json::from_slice(bytes).map_err(|_| Status::bad_request("invalid JSON patch"))?
        };
        Ok(Self { form, body })
    }

    /// The patch as it was read.
    #[must_use]
    pub fn into_body(self) -> Value {
        self.body
    }

    /// Lays a patch of the first three forms over an object of a type, and reads the result as
    /// one. Unknown fields become warnings or a refusal.
    pub fn over(
        &self,
        exchange: &Exchange,
        schema: &Schema,
        ty: TypeId,
        object: &Value,
        strictness: Strictness,
    ) -> Result<Value> {
        let checks = strictness != Strictness::Ignore;
        let mut problems = match self.form {
            Form::Json if checks => patch::unknown_fields(&self.body).map_err(refused)?,
            Form::Merge if checks => {
                patch::check_merge(&self.body).map_err(refused)?;
                Vec::new()
            }
            _ => Vec::new(),
        };
        let patched = match self.form {
            Form::Json => patch::json(object, &self.body),
            Form::Merge => patch::merge(object, &self.body),
            Form::Strategic | Form::Apply => patch::strategic(schema, ty, object, &self.body),
        };
        let patched = patched.map_err(refused)?;
        let text = patched.to_string();
        let invalid = |says: &str| {
            let shown = match self.form {
                Form::Strategic => patch::printed(&self.body),
                // Upstream's library sorts what it took apart: the object's first level, and
                // mostly what is below it, metadata apart.
                _ => {
                    let mut sorted = patched.clone();
                    if let Value::Object(map) = &mut sorted {
                        map.sort_keys();
                        let below = map.iter_mut().filter(|(name, _)| *name != "metadata");
                        below.for_each(|(_, value)| value.sort_all_objects());
                    }
                    sorted.to_string()
                }
            };
            let value = Value::from(shown);
            let mut errors = Errors::new();
            errors.invalid(&At::new(Some(&value), Path::of("patch")), says);
            Refusal::from(Status::invalid(Qualified { group: "", name: "" }, "", errors))
        };
        same_kind(schema, object, &patched, text.as_bytes()).map_err(|says| invalid(&says))?;
        let lenient = if strictness == Strictness::Ignore { strictness } else { Strictness::Warn };
        let decoded = decode::decode(text.as_bytes(), Media::Json, schema, ty, lenient);
        let decoded = decoded.map_err(|error| invalid(&error.0))?;
        problems.extend(decoded.problems);
        if strictness == Strictness::Strict && !problems.is_empty() {
            return Err(invalid(&format!("strict decoding error: {}", problems.join(", "))));
        }
        problems.into_iter().for_each(|problem| exchange.warn(problem));
        Ok(decoded.value)
    }
}

/// What a patch makes another kind of is read as that kind, and is then none of this one.
fn same_kind(schema: &Schema, old: &Value, new: &Value, text: &[u8]) -> std::result::Result<(), String> {
    let (was, is) = ((&old["apiVersion"], &old["kind"]), (&new["apiVersion"], &new["kind"]));
    if was == is {
        return Ok(());
    }
    let (api_version, kind) = (is.0.as_str().unwrap_or_default(), is.1.as_str().unwrap_or_default());
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let Some(ty) = schema.find_kind(group, version, kind) else {
        return Err(format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme \"pkg/runtime/scheme.go:111\""
        ));
    };
    decode::decode(text, Media::Json, schema, ty, Strictness::Ignore).map_err(|error| error.0)?;
    Err(format!("a patch may not change the kind: {kind} of {api_version} is another one"))
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Status::bad_request(format!("error decoding patch: {error}")).into()
}

fn refused(error: PatchError) -> Refusal {
    match error {
        PatchError::BadRequest(says) => Status::bad_request(says).into(),
        PatchError::TooLarge(says) => Status::request_entity_too_large(&says).into(),
        PatchError::Unprocessable(says) => {
            tracing::debug!(%says, "a patch cannot be applied");
            Refusal::plain(422, "Invalid", PatchError::UNPROCESSABLE).detailed()
        }
        PatchError::Internal(says) => Refusal::plain(500, "", says),
    }
}

/// Answers with the object as it is now.
pub async fn patch(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    part: Option<&Part>,
) -> Result<Response> {
    let form = Form::of(exchange, scope.kind.schema.structural())?;
    let accepted = exchange.negotiate(true)?;
    let view = exchange.view(server, scope, &accepted)?;
    let bytes = read(exchange).await?;
    let options = WriteOptions::of(exchange, Kind::Patch(form == Form::Apply))?;
    let patch = Patch::read(form, &bytes)?;
    let done = patched(server, exchange, scope, part, &options, &patch).await?;
    let code = if matches!(done, Done::Put { created: true, .. }) { 201 } else { 200 };
    Ok(respond::object(code, &view.one(done.entry().bytes()), &accepted, exchange.takes_gzip()))
}

async fn patched(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    part: Option<&Part>,
    options: &WriteOptions,
    patch: &Patch,
) -> Result<Done> {
    let info = &exchange.info;
    let stamp = exchange.stamp();
    let steps =
        Steps { server, exchange, scope, part, subresource: &info.subresource, options, stamp: &stamp };
    let target =
        Target { scope, key: scope.key(&info.namespace, &info.name), dry_run: options.dry_run, lease: None };
    let mut absent = false;
    let done = commit::change(server, &target, |current| {
        let Some(current) = current else {
            absent = true;
            return Err(commit::not_found(scope, &info.name));
        };
        absent = false;
        let old = convert::from_storage(&scope.kind, &scope.version, current.value.clone());
        let mut new = match patch.form {
            Form::Apply => applied(&steps, Some(&old), &patch.body)?,
            _ => patch.over(exchange, &scope.kind.schema, scope.row()?.object, &old, options.strictness)?,
        };
        place(scope, &info.namespace, &mut new)?;
        named(&mut new, &info.name)?;
        steps.default(&mut new)?;
        decide(&steps, current, new, patch.form != Form::Apply)
    })
    .await;
    match done {
        Err(_) if absent && patch.form == Form::Apply && part.is_none() => {
            let mut new = applied(&steps, None, &patch.body)?;
            let uid = meta::uid(&new);
            if !uid.is_empty() {
                let says = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(Status::conflict(scope.kind.resource(), &info.name, &says).into());
            }
            place(scope, &info.namespace, &mut new)?;
            named(&mut new, &info.name)?;
            object_created(server, exchange, scope, options, new, false).await
        }
        done => done,
    }
}

/// Lays an applied configuration over the live object (both at the request's version).
fn applied(steps: &Steps<'_>, live: Option<&Value>, config: &Value) -> Result<Value> {
    let scope = steps.scope;
    let api_version = scope.api_version();
    let reset = steps.reset();
    let target = steps.target(&api_version, &reset)?;
    let options =
        ApplyOptions { manager: &steps.options.manager, force: steps.options.force, now: steps.stamp };
    match apply::apply(&target, live, config, options) {
        Ok(mut applied) => {
            canonical::normalise(&scope.kind.schema, scope.row()?.object, &mut applied.object);
            Ok(applied.object)
        }
        Err(error) => Err(not_applied(error)),
    }
}

/// The answer to an apply that is refused.
pub fn not_applied(error: ApplyError) -> Refusal {
    match error {
        ApplyError::BadRequest(says) => Status::bad_request(says).into(),
        ApplyError::Conflict(conflicts) => conflicts.status().into(),
        ApplyError::Internal(says) => Refusal::plain(500, "", says),
    }
}
