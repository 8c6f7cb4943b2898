//! `metadata.managedFields`: who owns what, read, kept by manager, and written in order.

use serde_json::{Map, Value};

use super::set::FieldSet;
use crate::field_error::go_json;

/// Most entries of updates; older ones are put together.
const MOST_UPDATES: usize = 10;
/// Who owns what was put together.
const ANCIENT: &str = "ancient-changes";

/// All entries of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ManagedFields {
    pub(super) entries: Vec<Entry>,
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) manager: Manager,
    pub(super) api_version: String,
    pub(super) time: Option<String>,
    pub(super) set: FieldSet,
}

/// Who writes, and how: the identity of an entry. Updates at another version are another's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) applies: bool,
    /// The version of an update; empty for an applier.
    pub(super) update_version: String,
    pub(super) subresource: String,
}

impl Manager {
    pub(super) fn new(name: &str, applies: bool, api_version: &str, subresource: &str) -> Self {
        let name = if name.is_empty() { "unknown" } else { name };
        let update_version = if applies { String::new() } else { api_version.to_owned() };
        Self { name: name.to_owned(), applies, update_version, subresource: subresource.to_owned() }
    }

    fn operation(&self) -> &'static str {
        if self.applies { "Apply" } else { "Update" }
    }

    /// The text by which upstream tells managers apart and sorts them.
    pub(super) fn identifier(&self) -> String {
        let mut members = Map::new();
        for (name, value) in [
            ("manager", self.name.as_str()),
            ("operation", self.operation()),
            ("apiVersion", &self.update_version),
            ("subresource", &self.subresource),
        ] {
            if !value.is_empty() {
                members.insert(name.into(), value.into());
            }
        }
        go_json(&Value::Object(members))
    }
}

impl ManagedFields {
    /// Reads the list; absent and null are empty.
    ///
    /// # Errors
    /// An entry that is not of its form, in upstream's words where it has some.
    pub fn read(list: Option<&Value>) -> Result<Self, String> {
        let items = match list {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(format!("expected a list of entries, got {other}")),
        };
        let mut all = Self::default();
        for (at, item) in items.iter().enumerate() {
            let entry = Entry::read(at, item)?;
            match all.entries.iter_mut().find(|it| it.manager == entry.manager) {
                Some(earlier) => *earlier = entry,
                None => all.entries.push(entry),
            }
        }
        Ok(all)
    }

    /// Writes the list, in upstream's order; nothing if there is no entry.
    #[must_use]
    pub fn written(mut self) -> Option<Value> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.sort_by(|a, b| {
            let operations = a.manager.operation().cmp(b.manager.operation());
            operations.then_with(|| a.order().cmp(&b.order()))
        });
        Some(Value::Array(self.entries.into_iter().map(Entry::written).collect()))
    }

    pub(super) fn take(&mut self, manager: &Manager) -> Option<Entry> {
        let at = self.entries.iter().position(|it| it.manager == *manager)?;
        Some(self.entries.remove(at))
    }

    pub(super) fn drop_empty(&mut self) {
        self.entries.retain(|it| !it.set.is_empty());
    }

    /// Puts the oldest updates of each version together, until few enough are left.
    pub(super) fn cap_updates(&mut self) {
        let mut updates: Vec<(String, String)> = Vec::new();
        for entry in self.entries.iter().filter(|it| !it.manager.applies) {
            updates.push((entry.time.clone().unwrap_or_default(), entry.manager.identifier()));
        }
        if updates.len() <= MOST_UPDATES {
            return;
        }
        updates.sort();
        let mut left = updates.len();
        let mut first_of: Vec<(String, String)> = Vec::new();
        for (_, identifier) in updates {
            if left <= MOST_UPDATES {
                break;
            }
            let Some(at) = self.entries.iter().position(|it| it.manager.identifier() == identifier) else {
                continue;
            };
            let version = self.entries[at].api_version.clone();
            let Some((_, first)) = first_of.iter().find(|(it, _)| *it == version) else {
                first_of.push((version, identifier));
                continue;
            };
            let bucket = Manager::new(ANCIENT, false, &version, "");
            let first = first.clone();
            let merged = self.entries.remove(at);
            let into = self.entries.iter().position(|it| it.manager == bucket);
            let into = into.or_else(|| self.entries.iter().position(|it| it.manager.identifier() == first));
            if let Some(entry) = into.and_then(|at| self.entries.get_mut(at)) {
                entry.manager = bucket;
                entry.set = std::mem::take(&mut entry.set).union(merged.set);
                entry.time = merged.time;
                left -= 1;
            }
        }
    }
}

impl Entry {
    /// What entries of one operation are sorted by. Times are text of one form.
    fn order(&self) -> (Option<&str>, &str, &str, &str) {
        (self.time.as_deref(), &self.manager.name, &self.api_version, &self.manager.subresource)
    }

    fn read(at: usize, item: &Value) -> Result<Self, String> {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let applies = match text("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err("operation must be `Apply` or `Update`".into()),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
            other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {at}")),
        }
        let set = FieldSet::read(item.get("fieldsV1").unwrap_or(&Value::Null))
            .map_err(|error| format!("error decoding set: {error}"))?;
        let update_version = if applies { String::new() } else { api_version.to_owned() };
        let manager = Manager {
            name: text("manager").to_owned(),
            applies,
            update_version,
            subresource: text("subresource").to_owned(),
        };
        let time = item.get("time").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { manager, api_version: api_version.to_owned(), time, set })
    }

    fn written(self) -> Value {
        let mut members = Map::with_capacity(7);
        let operation = self.manager.operation();
        let mut put = |name: &str, value: String| {
            if !value.is_empty() {
                members.insert(name.into(), value.into());
            }
        };
        put("manager", self.manager.name);
        put("operation", operation.to_owned());
        put("apiVersion", self.api_version);
        put("time", self.time.unwrap_or_default());
        put("fieldsType", "FieldsV1".into());
        members.insert("fieldsV1".into(), self.set.written());
        if !self.manager.subresource.is_empty() {
            members.insert("subresource".into(), self.manager.subresource.into());
        }
        Value::Object(members)
    }
}
