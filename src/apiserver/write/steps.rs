//! What happens to an object on its way into a transaction, in upstream's order: defaults,
//! managedFields, admission, the kind's rules, claims, canonical form.

use std::time::Duration;

use access::admission::{self, Operation, World};
use api::apply::{self, Reset};
use api::kind::{Claims, Context, Part};
use api::kinds::flow;
use api::status::Status;
use api::{canonical, meta};
use serde_json::Value;

use super::claims;
use super::options::WriteOptions;
use crate::exchange::{Exchange, Scope};
use crate::gate::objects::Objects;
use crate::refusal::Result;
use crate::server::Server;
use crate::view::convert;

/// All that the steps need beside the objects.
pub struct Steps<'a> {
    /// The server, for its cache and gates.
    pub server: &'a Server,
    /// The request.
    pub exchange: &'a Exchange,
    /// The kind.
    pub scope: &'a Scope,
    /// The part that is written, if not the object itself.
    pub part: Option<&'a Part>,
    /// The name of the subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The request's options.
    pub options: &'a WriteOptions,
    /// Now.
    pub stamp: &'a str,
}

impl Steps<'_> {
    fn context(&self) -> Context<'_> {
        let user = &self.exchange.user;
        Context {
            user: &user.name,
            uid: &user.uid,
            groups: &user.groups,
            extra: &user.extra,
            now: self.stamp,
        }
    }

    /// Static defaults, then those that depend on other fields.
    pub fn default(&self, object: &mut Value) -> Result<()> {
        let (schema, ty) = (&self.scope.kind.schema, self.scope.row()?.object);
        api::default::fill(schema, ty, object);
        (self.scope.kind.strategy.default)(object);
        canonical::normalise(schema, ty, object);
        Ok(())
    }

    /// Records who owns what is written. `old` and `new` are at the request's version.
    pub fn own(&self, old: Option<&Value>, new: &mut Value) -> Result<()> {
        let api_version = self.scope.api_version();
        let reset = self.reset();
        let target = self.target(&api_version, &reset)?;
        if let Err(error) = apply::update(&target, old, new, &self.options.manager, self.stamp) {
            tracing::warn!(%error, "ownership of fields is not known");
        }
        Ok(())
    }

    /// What is written, as managedFields know it.
    pub fn target<'t>(&'t self, api_version: &'t str, reset: &'t Reset) -> Result<apply::Target<'t>> {
        Ok(apply::Target {
            schema: &self.scope.kind.schema,
            ty: self.scope.row()?.object,
            api_version,
            kind: &self.scope.kind.kind,
            subresource: self.subresource,
            reset,
            versions: &*self.scope.kind,
        })
    }

    /// What is put back by this door, and so is not owned by who writes through it.
    pub fn reset(&self) -> Reset {
        let kind = &self.scope.kind;
        Reset::of(&kind.group, &kind.kind, self.subresource, kind.subresource("status").is_some())
    }

    /// A new object (at the request's version) made ready to be put, with what it claims.
    pub fn created(&self, object: Value) -> Result<(Value, Claims)> {
        let kind = &self.scope.kind;
        let mut object = convert::to_storage(kind, &self.scope.version, object);
        claims::choose(self.server, self.scope, &mut object, None)?;
        flow::prepare_create(kind, &mut object, &self.context());
        canonical::normalise(&kind.schema, kind.stored.object, &mut object);
        flow::validate_create(kind, &object)?;
        self.admit_last(Operation::Create, &object, None)?;
        self.warn(&object, None);
        let claims = Claims::between(kind, None, Some(&object));
        Ok((object, claims))
    }

    /// A changed object (at the request's version) made ready to be put in the place of `old`
    /// (in the form that is kept).
    pub fn changed(&self, new: Value, old: &Value) -> Result<(Value, Claims)> {
        let kind = &self.scope.kind;
        let mut new = convert::to_storage(kind, &self.scope.version, new);
        if self.part.is_none() {
            claims::choose(self.server, self.scope, &mut new, Some(old))?;
        }
        flow::prepare_update(kind, self.part, &mut new, old, &self.context());
        canonical::normalise(&kind.schema, kind.stored.object, &mut new);
        let mut bare = old.clone();
        meta::remove(&mut bare, "metadata.resourceVersion");
        flow::validate_update(kind, self.part, &new, old)?;
        self.admit_last(Operation::Update, &new, Some(old))?;
        let claims = Claims::between(kind, Some(old), Some(&new));
        self.warn(&new, Some(old));
        apply::keep_times(&bare, &mut new);
        meta::remove(&mut new, "metadata.resourceVersion");
        canonical::normalise(&kind.schema, kind.stored.object, &mut new);
        Ok((new, claims))
    }

    fn warn(&self, new: &Value, old: Option<&Value>) {
        for warning in flow::warnings(&self.scope.kind, self.part, new, old) {
            self.exchange.warn(warning);
        }
    }

    /// Lets admission change an object (at the request's version), or refuse it.
    pub fn admit(&self, operation: Operation, object: &mut Value, old: Option<&Value>) -> Result<()> {
        let mut name = self.exchange.info.name.clone();
        if name.is_empty() {
            meta::name(object).clone_into(&mut name);
        }
        self.with_world(operation, &name, old, |request, world| admission::mutate(request, object, world))
    }

    fn admit_last(&self, operation: Operation, object: &Value, old: Option<&Value>) -> Result<()> {
        let name = meta::name(object).to_owned();
        self.with_world(operation, &name, old, |request, world| admission::validate(request, object, world))
    }

    fn with_world(
        &self,
        operation: Operation,
        name: &str,
        old: Option<&Value>,
        look: impl FnOnce(&admission::Request<'_>, &World<'_>) -> std::result::Result<(), Status>,
    ) -> Result<()> {
        let request = self.request(operation, name, old);
        let objects = Objects(&self.server.cache);
        self.server.gate.with(|authorizer| look(&request, &World { objects: &objects, authorizer }))?;
        Ok(())
    }

    fn request<'r>(
        &'r self,
        operation: Operation,
        name: &'r str,
        old: Option<&'r Value>,
    ) -> admission::Request<'r> {
        let info = &self.exchange.info;
        let own = info.namespace.is_empty() && *self.scope.kind.kind == *"Namespace";
        admission::Request {
            user: &self.exchange.user,
            operation,
            group: &info.group,
            version: &info.version,
            resource: &info.resource,
            subresource: self.subresource,
            namespace: if own { name } else { &info.namespace },
            name,
            old,
            dry_run: self.options.dry_run,
            random: self.server.random(),
        }
    }

    /// Waits, as long as upstream does, for what a new object needs and a controller is about
    /// to make: the account of a namespace that is a moment old.
    pub async fn wait_for_needs(&self, object: &Value) {
        let name = meta::name(object);
        let needed = || {
            let request = self.request(Operation::Create, name, None);
            admission::awaited(&request, object, &Objects(&self.server.cache))
        };
        let Some(first) = needed() else { return };
        let mut progress = self.server.cache.progress();
        let appears = async { while needed().is_some() && progress.changed().await.is_ok() {} };
        let patience = Duration::from_millis(first.patience_ms);
        // What does not appear is refused by admission, in its own words.
        let _ = tokio::time::timeout(patience, appears).await;
    }
}

/// Fills or checks an object's namespace by the URL's.
pub fn place(scope: &Scope, namespace: &str, object: &mut Value) -> Result<()> {
    let wanted = if scope.kind.namespaced { namespace } else { "" };
    let given = meta::namespace(object).to_owned();
    if given.is_empty() && !wanted.is_empty() {
        meta::put(object, "metadata.namespace", wanted);
    } else if wanted.is_empty() {
        meta::remove(object, "metadata.namespace");
    } else if given != wanted {
        let says = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(says).into());
    }
    Ok(())
}
