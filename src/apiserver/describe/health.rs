//! `/healthz`, `/livez`, `/readyz`: named checks, each also under its own path.

use crate::http::{Query, Response};
use crate::respond;

/// A named check and what it found.
pub struct Check {
    /// Its name in the path.
    pub name: &'static str,
    /// What is wrong; nothing if it is well. Said to who asks for this check alone, and logged.
    pub problem: Option<String>,
}

/// Answers for the endpoint `root` (`healthz`), or for the one check of it that `only` names.
#[must_use]
pub fn answer(root: &str, only: Option<&str>, checks: &[Check], query: &Query) -> Response {
    if let Some(only) = only {
        return match checks.iter().find(|check| check.name == only) {
            Some(Check { problem: None, .. }) => respond::text(200, "ok"),
            Some(Check { problem: Some(problem), .. }) => {
                respond::text(500, format!("internal server error: {problem}\n"))
            }
            None => respond::text(404, "404 page not found\n"),
        };
    }
    let excluded: Vec<_> = query.all("exclude").collect();
    let mut lines = String::new();
    let mut failed = false;
    for check in checks {
        let line = match &check.problem {
            _ if excluded.contains(&check.name) => format!("[+]{} excluded: ok\n", check.name),
            None => format!("[+]{} ok\n", check.name),
            Some(problem) => {
                failed = true;
                tracing::warn!(check = check.name, %problem, "a health check fails");
                format!("[-]{} failed: reason withheld\n", check.name)
            }
        };
        lines.push_str(&line);
    }
    let unknown: Vec<_> =
        excluded.iter().filter(|name| !checks.iter().any(|check| check.name == **name)).collect();
    if !unknown.is_empty() {
        let named: Vec<_> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let named = named.join(",");
        lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {named}\n"));
    }
    if failed {
        return respond::text(500, format!("{lines}{root} check failed\n"));
    }
    if query.get("verbose").is_none() {
        return respond::text(200, "ok");
    }
    respond::text(200, format!("{lines}{root} check passed\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(only: Option<&str>, query: &str) -> (u16, String) {
        let checks = [
            Check { name: "ping", problem: None },
            Check { name: "store", problem: Some("is away".to_owned()) },
        ];
        let response = answer("readyz", only, &checks, &Query::parse(query));
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body");
        (code, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn checks_are_told_together_and_alone() {
        assert_eq!(
            said(None, "").await,
            (500, "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n".to_owned())
        );
        assert_eq!(said(None, "exclude=store").await, (200, "ok".to_owned()));
        let verbose = "[+]ping ok\n[+]store excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\nreadyz check passed\n";
        assert_eq!(said(None, "verbose&exclude=store&exclude=x").await, (200, verbose.to_owned()));
        assert_eq!(said(Some("ping"), "").await, (200, "ok".to_owned()));
        assert_eq!(said(Some("store"), "").await.0, 500);
        assert_eq!(said(Some("nope"), "").await.0, 404);
    }
}
