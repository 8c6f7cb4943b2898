//! `metadata.managedFields`: who owns what, read, kept by manager, and written in order.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::set::FieldSet;
use crate::field_error::go_json;

/// Most entries of updates; older ones are put together.
const MOST_UPDATES: usize = 10;
/// Who owns what was put together.
const ANCIENT: &str = "ancient-changes";

/// All entries of an object.
#[derive(Debug, Clone, Default)]
pub struct ManagedFields {
    pub(super) entries: Vec<Entry>,
}

/// What one manager owns.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) manager: Manager,
    pub(super) api_version: String,
    pub(super) time: Option<String>,
    /// FieldsV1 as stored, until the set is needed: most entries are written back unread.
    text: Option<Value>,
    set: FieldSet,
}

/// Who writes, and how: the identity of an entry. Updates at another version are another's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
        let mut all = Self::stored(list.cloned())?;
        for entry in &mut all.entries {
            entry.decode()?;
        }
        Ok(all)
    }

    /// Reads a list as it is stored, which was written here: sets are read when needed.
    pub(super) fn stored(list: Option<Value>) -> Result<Self, String> {
        let items = match list {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(format!("expected a list of entries, got {other}")),
        };
        let mut all = Self::default();
        let mut places: BTreeMap<Manager, usize> = BTreeMap::new();
        for (at, item) in items.into_iter().enumerate() {
            let entry = Entry::read(at, item)?;
            match places.get(&entry.manager) {
                Some(earlier) => all.entries[*earlier] = entry,
                None => {
                    places.insert(entry.manager.clone(), all.entries.len());
                    all.entries.push(entry);
                }
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
        self.entries.retain(|it| !it.is_empty());
    }

    /// Puts the oldest updates of each version together, until few enough are left. The first
    /// of a version becomes the entry that all later ones go to, unless there is one already.
    pub(super) fn cap_updates(&mut self) {
        if self.entries.iter().filter(|it| !it.manager.applies).count() <= MOST_UPDATES {
            return;
        }
        let (appliers, updates): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.entries).into_iter().partition(|it| it.manager.applies);
        let mut updates: Vec<_> =
            updates.into_iter().map(|it| (it.time.clone(), it.manager.identifier(), it)).collect();
        updates.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        let mut updates: Vec<Option<Entry>> = updates.into_iter().map(|(.., entry)| Some(entry)).collect();

        let mut first_of: BTreeMap<String, usize> = BTreeMap::new();
        let mut buckets: BTreeMap<String, usize> = BTreeMap::new();
        for (at, entry) in updates.iter().enumerate().filter_map(|(at, it)| it.as_ref().map(|it| (at, it))) {
            if entry.manager == Manager::new(ANCIENT, false, &entry.api_version, "") {
                buckets.insert(entry.api_version.clone(), at);
            }
        }
        let mut left = updates.len();
        let mut merged: BTreeMap<usize, (Vec<FieldSet>, Option<String>)> = BTreeMap::new();
        for (at, update) in updates.iter_mut().enumerate() {
            let Some(version) = update.as_ref().map(|it| it.api_version.clone()) else { continue };
            if left <= MOST_UPDATES {
                break;
            }
            let Some(&first) = first_of.get(&version) else {
                first_of.insert(version, at);
                continue;
            };
            let into = buckets.get(&version).copied().unwrap_or(first);
            if into == at {
                continue;
            }
            if let Some(mut entry) = update.take() {
                let (sets, time) = merged.entry(into).or_default();
                sets.push(std::mem::take(entry.set_mut()));
                *time = entry.time;
                left -= 1;
            }
        }
        for (at, (sets, time)) in merged {
            if let Some(entry) = &mut updates[at] {
                entry.manager = Manager::new(ANCIENT, false, &entry.api_version, "");
                entry.time = time;
                entry.add(FieldSet::union_of(sets));
            }
        }
        self.entries = appliers;
        self.entries.extend(updates.into_iter().flatten());
    }
}

impl Entry {
    /// What entries of one operation are sorted by. Times are text of one form.
    fn order(&self) -> (Option<&str>, &str, &str, &str) {
        (self.time.as_deref(), &self.manager.name, &self.api_version, &self.manager.subresource)
    }

    pub(super) fn new(manager: Manager, api_version: &str, time: Option<String>, set: FieldSet) -> Self {
        Self { manager, api_version: api_version.to_owned(), time, text: None, set }
    }

    fn read(at: usize, mut item: Value) -> Result<Self, String> {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let applies = match text("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err("operation must be `Apply` or `Update`".into()),
        };
        let api_version = text("apiVersion").to_owned();
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
            other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {at}")),
        }
        let manager = Manager {
            name: text("manager").to_owned(),
            applies,
            update_version: if applies { String::new() } else { api_version.clone() },
            subresource: text("subresource").to_owned(),
        };
        let time = item.get("time").and_then(Value::as_str).map(str::to_owned);
        let text = Some(item.get_mut("fieldsV1").map(Value::take).unwrap_or_default());
        Ok(Self { manager, api_version, time, text, set: FieldSet::default() })
    }

    fn decode(&mut self) -> Result<(), String> {
        if let Some(text) = self.text.take() {
            self.set = FieldSet::read(&text).map_err(|error| format!("error decoding set: {error}"))?;
        }
        Ok(())
    }

    /// What is owned. A text that cannot be read owns nothing.
    pub(super) fn set(&self) -> Cow<'_, FieldSet> {
        match &self.text {
            None => Cow::Borrowed(&self.set),
            Some(text) => Cow::Owned(FieldSet::read(text).unwrap_or_default()),
        }
    }

    /// What is owned, to be changed.
    pub(super) fn set_mut(&mut self) -> &mut FieldSet {
        if let Some(text) = self.text.take() {
            self.set = FieldSet::read(&text).unwrap_or_default();
        }
        &mut self.set
    }

    pub(super) fn add(&mut self, set: FieldSet) {
        let own = self.set_mut();
        *own = std::mem::take(own).union(set);
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.text {
            None => self.set.is_empty(),
            Some(text) => text.as_object().is_none_or(Map::is_empty),
        }
    }

    /// Whether something of a set, given by its text, may be owned. Never wrongly no.
    pub(super) fn may_own(&self, fields: &Map<String, Value>) -> bool {
        match &self.text {
            None => true,
            Some(text) => text.as_object().is_some_and(|text| may_own(text, fields)),
        }
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
        members.insert("fieldsV1".into(), self.text.unwrap_or_else(|| self.set.written()));
        if !self.manager.subresource.is_empty() {
            members.insert("subresource".into(), self.manager.subresource.into());
        }
        Value::Object(members)
    }
}

fn may_own(own: &Map<String, Value>, fields: &Map<String, Value>) -> bool {
    let both = |own: &Value, below: &Value| match (own, below) {
        (Value::Object(own), Value::Object(below)) => {
            below.is_empty() || below.contains_key(".") || may_own(own, below)
        }
        _ => true,
    };
    // Whichever is shorter is gone through: there may be many entries.
    if own.len() < fields.len() {
        own.iter().any(|(element, own)| fields.get(element).is_some_and(|below| both(own, below)))
    } else {
        fields.iter().any(|(element, below)| own.get(element).is_some_and(|own| both(own, below)))
    }
}
