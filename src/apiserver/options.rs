//! What a read asks for beside its path: upstream's `ListOptions`, read and judged.

use api::field_error::{Errors, Path};
use api::selector::{FieldSelector, LabelSelector};
use api::status::{Qualified, Status};
use store::Revision;

use crate::http::Query;
use crate::refusal::{Refusal, Result};

/// Which revision a read may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest: everything acknowledged before the request.
    Latest,
    /// Whatever is at hand.
    Any,
    /// At least this one.
    NotOlder(Revision),
    /// Exactly this one.
    Exact(Revision),
}

/// Options of a list or a watch.
#[derive(Debug, Clone)]
pub struct ListOptions {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
    /// At which revision.
    pub at: At,
    /// Whether a resourceVersion was given, and which.
    pub version: Option<Revision>,
    /// At most so many; 0 for all.
    pub limit: usize,
    /// Where to go on.
    pub continue_token: Option<String>,
    /// For how long.
    pub timeout_seconds: Option<u64>,
    /// Whether bookmarks are understood.
    pub bookmarks: bool,
    /// Whether a watch begins with what there is.
    pub initial_events: bool,
}

impl ListOptions {
    /// Reads the options of a list.
    pub fn of_list(query: &Query) -> Result<Self> {
        let mut options = Self::common(query)?;
        let matching = query.text("resourceVersionMatch");
        let mut errors = Errors::new();
        if !matching.is_empty() {
            let path = Path::of("resourceVersionMatch");
            if query.text("resourceVersion").is_empty() {
                errors
                    .forbidden(&path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if options.continue_token.is_some() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                unsupported(&mut errors, matching, &["Exact", "NotOlderThan", ""]);
            }
            if matching == "Exact" && query.text("resourceVersion") == "0" {
                let says = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.forbidden(&path, says);
            }
        }
        if query.get("sendInitialEvents").is_some() {
            errors.forbidden(&Path::of("sendInitialEvents"), "sendInitialEvents is forbidden for list");
        }
        refuse(errors)?;
        let version = version(query)
            .map_err(|says| Status::bad_request(format!("invalid resource version: {says}")))?;
        if options.continue_token.is_some() && version.is_some_and(|version| version.0 > 0) {
            let says = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(says).into());
        }
        options.at = match (version, matching) {
            (None, _) => At::Latest,
            (Some(Revision(0)), _) => At::Any,
            (Some(version), "Exact") => At::Exact(version),
            (Some(version), "") if options.limit > 0 => At::Exact(version),
            (Some(version), _) => At::NotOlder(version),
        };
        options.version = version;
        Ok(options)
    }

    /// Reads the options of a watch.
    pub fn of_watch(query: &Query) -> Result<Self> {
        let mut options = Self::common(query)?;
        let matching = query.text("resourceVersionMatch");
        let initial = query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
        let path = Path::of("resourceVersionMatch");
        let mut errors = Errors::new();
        if initial.is_some() && matching != "NotOlderThan" {
            errors
                .forbidden(&path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if !matching.is_empty() {
            if initial.is_none() {
                let says = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.forbidden(&path, says);
            }
            if matching != "NotOlderThan" {
                unsupported(&mut errors, matching, &["NotOlderThan"]);
            }
            if options.continue_token.is_some() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
        }
        refuse(errors)?;
        options.version = version(query).map_err(|says| Refusal::plain(500, "", says))?;
        let legacy = options.version.is_none_or(|version| version.0 == 0);
        options.initial_events = initial.unwrap_or(legacy);
        options.at = match options.version {
            None => At::Latest,
            Some(Revision(0)) => At::Any,
            Some(version) => At::NotOlder(version),
        };
        Ok(options)
    }

    fn common(query: &Query) -> Result<Self> {
        let bad = |error: api::selector::SelectorError| Status::bad_request(error.to_string());
        Ok(Self {
            labels: LabelSelector::parse(query.text("labelSelector")).map_err(bad)?,
            fields: FieldSelector::parse(query.text("fieldSelector")).map_err(bad)?,
            at: At::Latest,
            version: None,
            limit: number(query, "limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0),
            continue_token: Some(query.text("continue")).filter(|token| !token.is_empty()).map(str::to_owned),
            timeout_seconds: number(query, "timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok()),
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: false,
        })
    }
}

/// Reads the `resourceVersion` of a GET.
pub fn get_version(query: &Query) -> Result<At> {
    let version = version(query).map_err(|says| Refusal::plain(500, "", says))?;
    Ok(match version {
        None => At::Latest,
        Some(Revision(0)) => At::Any,
        Some(version) => At::NotOlder(version),
    })
}

/// A number of a query, as Go reads it.
pub fn number(query: &Query, name: &str) -> Result<Option<i64>> {
    let Some(text) = query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let says = format!("strconv.ParseInt: parsing {text:?}: {}", trouble(text));
            Err(Status::bad_request(says).into())
        }
    }
}

fn trouble(text: &str) -> &'static str {
    let digits = text.trim_start_matches(['+', '-']);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number { "value out of range" } else { "invalid syntax" }
}

fn version(query: &Query) -> std::result::Result<Option<Revision>, String> {
    let text = query.text("resourceVersion");
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.parse::<u64>().map(|version| Some(Revision(version)));
    parsed.map_err(|_| {
        let said = format!("strconv.ParseUint: parsing {text:?}: {}", trouble(text));
        format!("resourceVersion: Invalid value: {text:?}: {said}")
    })
}

fn unsupported(errors: &mut Errors, found: &str, known: &[&str]) {
    let value = serde_json::Value::from(found);
    let at = api::field_error::At::new(Some(&value), Path::of("resourceVersionMatch"));
    errors.not_supported(&at, known);
}

fn refuse(errors: Errors) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(Qualified { group: "meta.k8s.io", name: "ListOptions" }, "", errors).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> std::result::Result<At, String> {
        ListOptions::of_list(&Query::parse(query))
            .map(|o| o.at)
            .map_err(|r| format!("{} {}", r.0.code, r.0.message))
    }

    #[test]
    fn a_list_is_read_at_the_revision_that_upstreams_rules_give() {
        let cases = [
            ("", Ok(At::Latest)),
            ("resourceVersion=0", Ok(At::Any)),
            ("resourceVersion=7", Ok(At::NotOlder(Revision(7)))),
            ("resourceVersion=7&limit=5", Ok(At::Exact(Revision(7)))),
            ("resourceVersion=7&resourceVersionMatch=Exact", Ok(At::Exact(Revision(7)))),
            ("resourceVersion=7&resourceVersionMatch=NotOlderThan&limit=5", Ok(At::NotOlder(Revision(7)))),
            (
                "resourceVersion=x",
                Err("400 invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax".to_owned()),
            ),
            ("limit=y", Err("400 strconv.ParseInt: parsing \"y\": invalid syntax".to_owned())),
            (
                "resourceVersionMatch=Exact",
                Err("422 ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided".to_owned()),
            ),
            (
                "sendInitialEvents=true",
                Err("422 ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list".to_owned()),
            ),
            (
                "continue=x&resourceVersion=7",
                Err("400 specifying resource version is not allowed when using continue".to_owned()),
            ),
        ];
        for (query, expected) in cases {
            assert_eq!(list(query), expected, "{query}");
        }
    }

    #[test]
    fn a_watch_begins_with_what_there_is_where_upstreams_does() {
        for (query, expected) in [
            ("", true),
            ("resourceVersion=0", true),
            ("resourceVersion=7", false),
            ("resourceVersion=7&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true),
            ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", false),
        ] {
            let options = ListOptions::of_watch(&Query::parse(query)).expect(query);
            assert_eq!(options.initial_events, expected, "{query}");
        }
        let refused = ListOptions::of_watch(&Query::parse("sendInitialEvents=true")).expect_err("refused");
        assert_eq!(refused.0.code, 422);
    }
}
