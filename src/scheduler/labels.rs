//! Requirements on labels: those of nodes, and selectors of pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::selector::LabelSelector;
use serde_json::Value;

/// Labels of an object.
pub(crate) type Labels = BTreeMap<Arc<str>, Arc<str>>;

pub(crate) fn read(object: &Value) -> Labels {
    let pairs = object["metadata"]["labels"].as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into()))).collect()
}

/// A requirement of a node selector term.
#[derive(Debug, Clone)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

/// A node selector term: requirements on labels and on the node's name.
#[derive(Debug, Clone)]
pub(crate) struct NodeTerm {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

impl NodeTerm {
    pub(crate) fn read(term: &Value) -> Self {
        let all = |field: &str| term[field].as_array().into_iter().flatten().map(Requirement::read).collect();
        Self { labels: all("matchExpressions"), fields: all("matchFields") }
    }

    /// An empty term selects nothing.
    pub(crate) fn matches(&self, name: &str, labels: &Labels) -> bool {
        if self.labels.is_empty() && self.fields.is_empty() {
            return false;
        }
        let field = |r: &Requirement| r.key == "metadata.name" && r.holds(Some(name));
        self.labels.iter().all(|r| r.holds(labels.get(r.key.as_str()).map(|value| &**value)))
            && self.fields.iter().all(field)
    }
}

impl Requirement {
    fn read(requirement: &Value) -> Self {
        let text = |field: &str| requirement[field].as_str().unwrap_or_default().to_owned();
        let values = requirement["values"].as_array().into_iter().flatten();
        let values = values.filter_map(|value| value.as_str().map(str::to_owned)).collect();
        Self { key: text("key"), operator: text("operator"), values }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|one| one == value));
        let number = |text: &str| text.parse::<i64>().ok();
        let compare = |than: fn(i64, i64) -> bool| {
            let (value, bound) = (value.and_then(number), self.values.first().and_then(|text| number(text)));
            value.zip(bound).is_some_and(|(value, bound)| than(value, bound))
        };
        match self.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => compare(|value, bound| value > bound),
            "Lt" => compare(|value, bound| value < bound),
            _ => false,
        }
    }
}

/// Whether a selector selects these labels.
pub(crate) fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    selector.matches(|key| labels.get(key).map(|value| value.as_ref().into()))
}
