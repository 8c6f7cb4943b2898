//! The selectors of a review: as text or as requirements. What cannot be read is left out
//! and noted: without it a decision is about more, never about less.

use api::meta::{self, list_at, str_at};
use serde_json::Value;

use crate::FieldRequirement;

/// How much of a selector was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    All,
    Some,
}

impl Problem {
    pub(super) fn word(self) -> &'static str {
        match self {
            Problem::All => "ignored",
            Problem::Some => "partially ignored",
        }
    }
}

/// The terms that were read.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) terms: Vec<FieldRequirement>,
    pub(super) problem: Option<Problem>,
}

/// `fieldSelector` of resource attributes.
pub(super) fn fields(resource: &Value) -> Selected {
    let raw = str_at(resource, "fieldSelector.rawSelector");
    let requirements = list_at(resource, "fieldSelector.requirements");
    if requirements.is_empty() {
        return match parse(raw) {
            Some(terms) => Selected { terms, problem: None },
            None => Selected { terms: Vec::new(), problem: Some(Problem::All) },
        };
    }
    let terms: Vec<FieldRequirement> = requirements.iter().filter_map(term).collect();
    let problem = problem(terms.len(), requirements.len());
    Selected { terms, problem }
}

fn problem(read: usize, given: usize) -> Option<Problem> {
    match read {
        _ if read == given => None,
        0 => Some(Problem::All),
        _ => Some(Problem::Some),
    }
}

/// In or NotIn of exactly one value; nothing else is supported.
fn term(requirement: &Value) -> Option<FieldRequirement> {
    let equal = match str_at(requirement, "operator") {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    let [value] = list_at(requirement, "values") else { return None };
    let (field, value) = (str_at(requirement, "key").to_owned(), value.as_str()?.to_owned());
    Some(FieldRequirement { field, equal, value })
}

/// The text form: `a=b,c!=d`.
fn parse(raw: &str) -> Option<Vec<FieldRequirement>> {
    split(raw).into_iter().filter(|part| !part.is_empty()).map(parse_term).collect()
}

/// At commas that no backslash stands before.
fn split(raw: &str) -> Vec<&str> {
    let mut escaped = false;
    raw.split(|symbol| {
        let at_comma = symbol == ',' && !escaped;
        escaped = symbol == '\\' && !escaped;
        at_comma
    })
    .collect()
}

fn parse_term(part: &str) -> Option<FieldRequirement> {
    let at =
        part.find(['=', '!']).filter(|&at| part[at..].starts_with('=') || part[at..].starts_with("!="))?;
    let (field, rest) = part.split_at(at);
    let (equal, value) = match rest.strip_prefix("!=") {
        Some(value) => (false, value),
        None => (true, rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?),
    };
    Some(FieldRequirement { field: field.to_owned(), equal, value: unescaped(value)? })
}

fn unescaped(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut symbols = value.chars();
    while let Some(symbol) = symbols.next() {
        match symbol {
            '\\' => text.push(symbols.next().filter(|next| matches!(next, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

/// `labelSelector` of resource attributes: no authorizer here asks for its terms, only
/// whether they could be read is told.
pub(super) fn labels(resource: &Value) -> Option<Problem> {
    let selector = meta::at(resource, "labelSelector")?;
    let requirements = list_at(selector, "requirements");
    let known = |requirement: &&Value| {
        matches!(str_at(requirement, "operator"), "In" | "NotIn" | "Exists" | "DoesNotExist")
    };
    problem(requirements.iter().filter(known).count(), requirements.len())
}
