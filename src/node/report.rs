//! Results of checks, as JSON with a version or as text.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::NodeError;

/// Version of the JSON form; it changes when a reader would misunderstand.
const FORMAT: u32 = 1;

/// Results in the order they were obtained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    /// Whether every check passed.
    pub ok: bool,
    /// Each check.
    pub checks: Vec<Check>,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What was checked, such as `etcd`.
    pub name: String,
    /// Whether it passed.
    pub ok: bool,
    /// One line for a person: the finding, or the whole chain of errors.
    pub summary: String,
    /// The finding's own fields; absent after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl Default for Report {
    fn default() -> Self {
        Self { version: FORMAT, ok: true, checks: Vec::new() }
    }
}

impl Report {
    /// A report without checks, which is fine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding. `judge` says whether it is a good one.
    pub fn add<T: Serialize + fmt::Display>(
        &mut self,
        name: &str,
        result: Result<T, NodeError>,
        judge: impl FnOnce(&T) -> bool,
    ) {
        let (ok, summary, details) = match result {
            Ok(finding) => (judge(&finding), finding.to_string(), serde_json::to_value(&finding).ok()),
            Err(error) => (false, base::chain(&error), None),
        };
        self.ok &= ok;
        self.checks.push(Check { name: name.to_owned(), ok, summary, details });
    }

    /// The JSON form, one line.
    pub fn json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl fmt::Display for Report {
    /// A line for each check: `ok` or `FAILED`, its name, its summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let verdict = if check.ok { "ok" } else { "FAILED" };
            writeln!(f, "{verdict:<6} {}: {}", check.name, check.summary)?;
        }
        Ok(())
    }
}
