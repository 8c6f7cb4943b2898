//! Upstream's records against the built server: every case is played and compared.
//!
//! `tests/oracle/record` runs the same player against upstream and keeps what it answers.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::client::Server;
use crate::commands::{self, Script};
use crate::compare::{self, ALLOWED_AT_MOST, Allowed};
use crate::server::Running;
use crate::table::{self, Group};
use crate::{normal, play, records};

/// A case shows at most so many of its differences.
const SHOWN: usize = 12;
const REQUESTS_AT_LEAST: usize = 250;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn chosen(name: &str) -> bool {
    std::env::var("CLUSTER_ORACLE_ONLY").map_or(true, |only| only.split(',').any(|one| one == name))
}

/// One group's cases as a server answers them, in symbols, and what was refused that makes ready.
fn answers(server: &Server, group: &Group) -> (Vec<(String, Vec<Value>)>, Vec<String>) {
    let played = runtime().block_on(play::group(server, group));
    let refused = played.iter().flat_map(|case| {
        case.refused.iter().map(|what| format!("{}/{}: refused: {what}", group.name, case.name))
    });
    let refused = refused.collect();
    (played.iter().map(|case| (case.name.clone(), normal::normalise(case))).collect(), refused)
}

/// What a set of answers belongs to.
struct Source<'a> {
    name: String,
    about: &'a str,
}

fn of_group(group: &Group) -> Source<'_> {
    Source { name: group.name.clone(), about: &group.about }
}

fn of_script(script: &Script) -> Source<'_> {
    Source { name: format!("clients-{}", script.name), about: &script.about }
}

#[test]
fn the_built_server_answers_as_upstream_was_recorded() {
    if let Some(folder) = std::env::var_os("CLUSTER_ORACLE_RECORD") {
        return record(&Running::upstream(Path::new(&folder)));
    }
    let running = started();
    let admin = running.server();
    let mut verdict = Verdict::new();
    for group in table::groups().iter().filter(|group| chosen(&group.name)) {
        let (answers, refused) = answers(&admin, group);
        verdict.source(&of_group(group), &answers);
        verdict.refused(&refused);
    }
    verdict.end(&running);
}

#[test]
fn real_clients_print_what_they_print_against_upstream() {
    if std::env::var_os("CLUSTER_ORACLE_RECORD").is_some() {
        return;
    }
    let Some(clients) = commands::clients() else { return };
    let running = started();
    let mut verdict = Verdict::new();
    for script in commands::scripts().iter().filter(|script| chosen(&of_script(script).name)) {
        verdict.source(&of_script(script), &commands::play(&running, &clients, script));
    }
    verdict.end(&running);
}

/// The built server, or the one that is told of.
fn started() -> Running {
    let other = std::env::var_os("CLUSTER_ORACLE_AGAINST");
    other.map_or_else(Running::start, |folder| Running::upstream(Path::new(&folder)))
}

fn record(running: &Running) {
    let server = running.server();
    for group in table::groups().iter().filter(|group| chosen(&group.name)) {
        let (answers, refused) = answers(&server, group);
        records::write(&group.name, &answers);
        assert!(refused.is_empty(), "the table is wrong:\n{}", refused.join("\n"));
    }
    let clients = commands::clients().expect("kubectl, helm and the Python client");
    for script in commands::scripts() {
        let name = of_script(&script).name;
        if chosen(&name) {
            records::write(&name, &commands::play(running, &clients, &script));
        }
    }
}

/// What was found, against what is expected.
struct Verdict {
    allowed: Vec<Allowed>,
    not_yet: std::collections::BTreeMap<String, String>,
    report: String,
    same: usize,
    waiting: usize,
}

impl Verdict {
    fn new() -> Self {
        let (allowed, not_yet) = (compare::allowed(), compare::not_yet());
        Self { allowed, not_yet, report: String::new(), same: 0, waiting: 0 }
    }

    fn source(&mut self, source: &Source<'_>, answers: &[(String, Vec<Value>)]) {
        let recorded = records::read(&source.name);
        for (name, ours) in answers {
            let case = format!("{}/{name}", source.name);
            let upstream = recorded.get(name).unwrap_or_else(|| panic!("{case} has no record"));
            let found: Vec<_> = compare::differences(upstream, ours)
                .into_iter()
                .filter(|difference| !self.allowed.iter().any(|row| row.covers(&case, &difference.path)))
                .collect();
            self.case(&case, source, &found);
        }
    }

    /// Told only where something fails: a case that makes ready and passes is no matter.
    fn refused(&mut self, refused: &[String]) {
        if !self.report.is_empty() {
            refused.iter().for_each(|what| self.report.push_str(&format!("{what}\n")));
        }
    }

    fn case(&mut self, case: &str, source: &Source<'_>, found: &[compare::Difference]) {
        match (found.is_empty(), self.not_yet.get(case)) {
            (true, None) => self.same += 1,
            (false, Some(_)) => self.waiting += 1,
            (true, Some(_)) => {
                let _ = writeln!(self.report, "{case}: passes: strike it from tests/oracle/not-yet.yaml");
            }
            (false, None) => {
                let _ =
                    writeln!(self.report, "{case} ({}): {} differences", source.about.trim(), found.len());
                for difference in found.iter().take(SHOWN) {
                    let _ = writeln!(self.report, "    {difference}");
                }
            }
        }
    }

    /// Ends the test where a case is not as it should be.
    fn end(&self, running: &Running) {
        let summary = format!("{} cases as upstream's, {} not yet", self.same, self.waiting);
        println!("{summary}");
        let log = running.log();
        assert!(!log.contains("panicked at"), "the server panicked:\n{log}");
        assert!(self.report.is_empty(), "{}\n{summary}", self.report);
    }
}

#[test]
fn the_table_is_whole_and_every_case_has_its_record() {
    let groups = table::groups();
    let mut requests = 0;
    for group in &groups {
        let names: BTreeSet<&str> = group.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), group.cases.len(), "{}: two cases share a name", group.name);
        let recorded = records::read(&group.name);
        let recorded: BTreeSet<&str> = recorded.keys().map(String::as_str).collect();
        assert_eq!(names, recorded, "{}: cases and records differ; tests/oracle/record", group.name);
        requests += group.cases.iter().flat_map(|case| &case.steps).filter(|step| !step.quiet).count();
    }
    assert!(requests >= REQUESTS_AT_LEAST, "only {requests} requests are recorded");
}

#[test]
fn few_differences_stay_and_each_says_why() {
    let allowed = compare::allowed();
    assert!(allowed.len() <= ALLOWED_AT_MOST, "{} differences are allowed", allowed.len());
    assert!(allowed.iter().all(|row| row.reason.len() > 20), "a difference gives no reason");
}

#[test]
fn no_case_waits_that_is_not_in_the_table() {
    let groups = table::groups();
    let mut known: BTreeSet<String> = groups
        .iter()
        .flat_map(|group| group.cases.iter().map(|case| format!("{}/{}", group.name, case.name)))
        .collect();
    for script in commands::scripts() {
        let name = of_script(&script).name;
        known.extend(records::read(&name).into_keys().map(|command| format!("{name}/{command}")));
    }
    for case in compare::not_yet().keys() {
        assert!(known.contains(case), "not-yet.yaml names {case}, which is no case");
    }
}
