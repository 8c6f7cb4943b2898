//! OpenAPI documents made of the registry and the tables: one of version 3 for each group and
//! version, and one of version 2 for all.
//!
//! Clients find in them how fields merge (`kubectl apply`, `diff`), whether the server checks
//! fields (`fieldValidation` of a PATCH), and what `kubectl explain` shows. Their prose is not
//! here: [`Describe`] brings it, and a document without it is valid all the same. Documents are
//! large; whoever serves them keeps their bytes and makes them again when the registry changes.

use serde_json::{Map, Value, json};

use crate::kind::Registry;

mod components;
mod paths;
mod v2;

pub use v2::document as document_v2;

/// The description of a definition (`io.k8s.api.core.v1.Pod`), or of a field of it where the
/// second text is not empty.
pub type Describe<'a> = &'a dyn Fn(&str, &str) -> Option<&'a str>;

/// The version that documents say they describe.
const VERSION: &str = "1.37";

/// The OpenAPI 3 document of what is served under a group and version; nothing where nothing is.
#[must_use]
pub fn document(registry: &Registry, group: &str, version: &str, describe: Describe<'_>) -> Option<Value> {
    let kinds = paths::served(registry, group, version);
    if kinds.is_empty() {
        return None;
    }
    let mut components = components::Components::new(group, version, describe);
    let mut paths = Map::new();
    for kind in kinds {
        paths::add(kind, version, &mut components, &mut paths);
    }
    paths::root(group, version, &mut components, &mut paths);
    paths.sort_keys();
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": components.finish(),
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
            }},
        },
    }))
}

/// Where a group and version lie below `/` and below `/openapi/v3/`: `api/v1`, `apis/apps/v1`.
#[must_use]
pub fn place(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The index at `/openapi/v3`: for each place, the address with the hash of its document's bytes.
#[must_use]
pub fn index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let entry = |(place, hash): (&str, &str)| {
        (place.to_owned(), json!({"serverRelativeURL": format!("/openapi/v3/{place}?hash={hash}")}))
    };
    json!({"paths": documents.into_iter().map(entry).collect::<Map<_, _>>()})
}

#[cfg(test)]
mod tests;
