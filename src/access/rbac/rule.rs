//! One rule of a role (`PolicyRule`): what it allows, and what other rules it covers.

use serde_json::Value;

use crate::Attributes;
use crate::words::quote_list;

/// Verbs on resources of API groups, or verbs on bare paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `*` is every verb.
    pub verbs: Vec<String>,
    /// `*` is every group, the empty one the core group.
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// Empty allows every name.
    pub resource_names: Vec<String>,
    /// `/healthz`, `/metrics/*`, `*`.
    pub non_resource_urls: Vec<String>,
}

impl Rule {
    /// Reads a PolicyRule; what is not a list of text is empty.
    pub fn from_value(value: &Value) -> Rule {
        let list = |field: &str| -> Vec<String> {
            let items = value.get(field).and_then(Value::as_array);
            let texts = items.into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        Rule {
            verbs: list("verbs"),
            api_groups: list("apiGroups"),
            resources: list("resources"),
            resource_names: list("resourceNames"),
            non_resource_urls: list("nonResourceURLs"),
        }
    }

    /// The PolicyRule, without what is empty.
    pub fn to_value(&self) -> Value {
        let fields = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ];
        let told = fields.into_iter().filter(|(_, list)| !list.is_empty());
        Value::Object(told.map(|(field, list)| (field.to_owned(), list.clone().into())).collect())
    }

    /// Whether the rule allows the request.
    pub fn allows(&self, asked: &Attributes) -> bool {
        let verb = has_or_star(&self.verbs, asked.verb);
        if !asked.resource_request {
            return verb && self.non_resource_urls.iter().any(|own| url_covers(own, asked.path));
        }
        verb && has_or_star(&self.api_groups, asked.group)
            && self.resources.iter().any(|own| resource_matches(own, asked.resource, asked.subresource))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|own| own == asked.name))
    }

    /// Breaks the rule into rules of one verb, one resource (or path) and at most one name.
    pub fn atoms(&self) -> Vec<Rule> {
        let mut atoms = Vec::new();
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    self.push_atoms_of(group, resource, verb, &mut atoms);
                }
            }
        }
        for url in &self.non_resource_urls {
            for verb in &self.verbs {
                atoms.push(Rule {
                    verbs: vec![verb.clone()],
                    non_resource_urls: vec![url.clone()],
                    ..Rule::default()
                });
            }
        }
        atoms
    }

    fn push_atoms_of(&self, group: &str, resource: &str, verb: &str, atoms: &mut Vec<Rule>) {
        let bare = Rule {
            verbs: vec![verb.to_owned()],
            api_groups: vec![group.to_owned()],
            resources: vec![resource.to_owned()],
            ..Rule::default()
        };
        if self.resource_names.is_empty() {
            return atoms.push(bare);
        }
        let named = |name: &String| Rule { resource_names: vec![name.clone()], ..bare.clone() };
        atoms.extend(self.resource_names.iter().map(named));
    }

    /// Whether all that the atom allows is allowed by this rule.
    pub fn covers(&self, atom: &Rule) -> bool {
        let in_list = |list: &[String], wanted: &[String]| {
            list.iter().any(|own| own == "*") || wanted.iter().all(|item| list.contains(item))
        };
        let names = match (&self.resource_names[..], &atom.resource_names[..]) {
            ([], _) => true,
            (_, []) => false,
            (own, wanted) => wanted.iter().all(|name| own.contains(name)),
        };
        let covered = |url: &String| self.non_resource_urls.iter().any(|own| url_prefix_covers(own, url));
        names
            && in_list(&self.verbs, &atom.verbs)
            && in_list(&self.api_groups, &atom.api_groups)
            && atom.resources.iter().all(|wanted| self.covers_resource(wanted))
            && atom.non_resource_urls.iter().all(covered)
    }

    fn covers_resource(&self, wanted: &str) -> bool {
        let star_sub = wanted.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        let matches = |own: &String| own == "*" || own == wanted || Some(own) == star_sub.as_ref();
        self.resources.iter().any(matches)
    }

    /// The short form that messages on escalation use.
    pub fn describe(&self) -> String {
        let parts = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let told = parts.iter().filter(|(_, list)| !list.is_empty());
        let told: Vec<String> = told.map(|(name, list)| format!("{name}:{}", quote_list(list))).collect();
        format!("{{{}}}", told.join(", "))
    }
}

fn has_or_star(list: &[String], wanted: &str) -> bool {
    list.iter().any(|own| own == "*" || own == wanted)
}

/// `own` is `*`, the resource (with its subresource), or `*/subresource`.
fn resource_matches(own: &str, resource: &str, subresource: &str) -> bool {
    if own == "*" {
        return true;
    }
    if subresource.is_empty() {
        return own == resource;
    }
    own.rsplit_once('/').is_some_and(|_| {
        let rest = |prefix: &str| own.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
        rest(resource) == Some(subresource) || rest("*") == Some(subresource)
    })
}

/// `own` is the path or ends in `*` and begins it.
fn url_covers(own: &str, path: &str) -> bool {
    own == "*" || url_prefix_covers(own, path)
}

fn url_prefix_covers(own: &str, path: &str) -> bool {
    own == path || (own.ends_with('*') && path.starts_with(own.trim_end_matches('*')))
}
