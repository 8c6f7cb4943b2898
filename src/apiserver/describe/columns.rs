//! What the columns of Tables tell, in the API's own documentation; made once for each kind.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use api::kind::{About, Kind};
use api::table;
use apidocs::Descriptions;
use serde_json::Value;

/// Columns by group and kind.
#[derive(Debug, Default)]
pub struct Columns(RwLock<BTreeMap<Named, Arc<[Value]>>>);

/// A group and a kind.
type Named = (Arc<str>, Arc<str>);

impl Columns {
    /// The columns of a kind, as Tables define them.
    pub fn of(&self, kind: &Kind) -> Arc<[Value]> {
        let key = (Arc::clone(&kind.group), Arc::clone(&kind.kind));
        if let Some(found) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(found);
        }
        let of_types = kind.table.columns.iter().any(|column| matches!(column.about, About::Field(..)));
        let described = of_types.then(Descriptions::load);
        let about = |of: &str, field: &str| {
            let definition = definition(kind, of)?;
            described.as_ref()?.get(&definition, field).map(str::to_owned)
        };
        let made: Arc<[Value]> =
            table::columns(kind, |of, field| about(of, field).unwrap_or_default()).into();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&made));
        made
    }

    /// Forgets a kind, whose row changes.
    pub fn forget(&self, kind: &Kind) {
        let key = (Arc::clone(&kind.group), Arc::clone(&kind.kind));
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

/// The definition of a type by its short name: beside the kind's own, or wherever it is.
fn definition(kind: &Kind, name: &str) -> Option<String> {
    let own = &kind.schema.object(kind.stored.object).definition;
    let beside = own.rsplit_once('.').map(|(package, _)| format!("{package}.{name}"));
    if let Some(beside) = beside.filter(|beside| kind.schema.find(beside).is_some()) {
        return Some(beside);
    }
    let mut all = kind.schema.definitions();
    all.find(|(definition, _)| definition.rsplit_once('.').is_some_and(|(_, last)| last == name))
        .map(|(definition, _)| definition.to_owned())
}
