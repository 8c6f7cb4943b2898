//! What each command shows where there is no terminal: whole screens, as snapshots.

use crate::endpoint::{Endpoint, Refusal};
use crate::run::{CONFIG, Place};

macro_rules! screen {
    ($place:expr, $($argument:expr),+) => {
        insta::assert_snapshot!($place.screen(&[$($argument),+]))
    };
}

#[test]
fn init_takes_the_folders_name_and_never_replaces_a_file() {
    let place = Place::empty();
    screen!(place, "init");
    insta::assert_snapshot!(std::fs::read_to_string(place.work().join("cluster.yaml")).unwrap());
    screen!(place, "init", "other");
    let kept = std::fs::read_to_string(place.work().join("cluster.yaml")).unwrap();
    assert!(kept.contains("name: work\n"), "{kept}");
    screen!(place, "init", "other", "--file", "missing/cluster.yaml");
}

#[test]
fn init_refuses_a_name_that_cannot_be_one() {
    let place = Place::empty();
    screen!(place, "init", "My_Cluster");
    assert!(!place.work().join("cluster.yaml").exists());
}

#[test]
fn the_schema_is_one_json_document_that_names_every_field() {
    let run = Place::empty().run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    let fields: Vec<&String> = schema["properties"].as_object().expect("properties").keys().collect();
    insta::assert_snapshot!(fields.iter().map(|field| field.as_str()).collect::<Vec<_>>().join("\n"));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

#[test]
fn every_command_explains_itself() {
    let place = Place::empty();
    let commands =
        ["init", "schema", "plan", "up", "status", "ssh", "pki", "down", "server", "completions", "man"];
    for command in commands {
        insta::assert_snapshot!(format!("help_{command}"), place.screen(&[command, "--help"]));
    }
    for command in ["save", "restore"] {
        let screen = place.screen(&["snapshot", command, "--help"]);
        insta::assert_snapshot!(format!("help_snapshot_{command}"), screen);
    }
    insta::assert_snapshot!("help", place.screen(&["--help"]));
    insta::assert_snapshot!("help_short", place.screen(&["-h"]));
    insta::assert_snapshot!("version", place.screen(&["--version"]));
    insta::assert_snapshot!("no_command", place.screen(&[]));
    insta::assert_snapshot!("wrong_command", place.screen(&["pln"]));
}

#[test]
fn completions_and_manual_pages_are_those_of_every_command() {
    let place = Place::empty();
    let run = place.run(&["completions", "bash"]);
    for word in ["complete -F _cluster", "--node-binary", "completions"] {
        assert!(run.out.contains(word), "{word}");
    }
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let run = place.run(&["man"]);
    assert!(run.out.contains(".TH cluster 1") && run.err.is_empty(), "{}", run.out);
    let run = place.run(&["man", "pages"]);
    assert_eq!(run.code, Some(0));
    let mut pages: Vec<String> = std::fs::read_dir(place.work().join("pages"))
        .expect("the folder")
        .map(|entry| entry.expect("a page").file_name().to_string_lossy().into_owned())
        .collect();
    pages.sort();
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn a_fresh_account_is_planned_in_words() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    screen!(place, "plan");
    assert!(endpoint.changes().is_empty());
}

#[test]
fn a_fresh_account_is_planned_for_programs() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    place.write("cluster.yaml", &format!("{CONFIG}workers: []\n"));
    let run = place.run(&["plan", "-o", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!((run.code, run.err.as_str()), (Some(2), ""));
    let shape = serde_json::json!({
        "format": plan["format"], "cluster": plan["cluster"], "account": plan["account"],
        "region": plan["region"], "notes": plan["notes"], "unchecked": plan["unchecked"],
        "denied": plan["denied"], "first": plan["actions"][0],
        "last": plan["actions"].as_array().and_then(|all| all.last()),
        "actions": plan["actions"].as_array().map(Vec::len),
    });
    insta::assert_snapshot!(serde_json::to_string_pretty(&shape).unwrap());
}

#[test]
fn up_asks_and_without_a_terminal_refuses_before_anything_changes() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    screen!(place, "up");
    assert_eq!(endpoint.changes(), Vec::<String>::new());
    assert!(!place.state().exists(), "no keys are kept of a cluster that was not wanted");
}

#[test]
fn what_up_left_is_planned_on_from_and_gone_on_with() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    place.write("cluster.yaml", &format!("{CONFIG}workers: []\n"));
    let message = "You have requested more vCPU capacity than your current vCPU limit of 1 allows.";
    endpoint.refuse("RunInstances", Refusal::new("VcpuLimitExceeded", message));
    let run = place.run(&["up", "--yes"]);
    let (_, done) = run.err.split_once("without traffic and taxes\n").expect("the summary");
    let mut lines: Vec<String> = done.lines().map(str::to_owned).collect();
    // What needs nothing of each other is done in any order.
    let end = lines.iter().rposition(|line| line.contains(" done ")).expect("something done");
    lines[..=end].sort_by_key(|line| line.split_once(" done ").map(|(_, what)| what.to_owned()));
    insta::assert_snapshot!(place.tidy(&lines.join("\n")));
    screen!(place, "plan");
    let before = endpoint.changes().len();
    let run = place.run(&["up", "--yes"]);
    let changes = endpoint.changes();
    assert_eq!(changes[before..], ["RunInstances"], "{}", run.err);
}

#[test]
fn what_aws_would_refuse_is_said_before_anything_is_made() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    let message = "You are not authorized to perform this operation. User: arn:aws:iam::111122223333:user/ada is not authorized to perform: ec2:RunInstances on resource: arn:aws:ec2:us-east-1:111122223333:instance/* because no identity-based policy allows the ec2:RunInstances action. Encoded authorization failure message: kSmZ9vGbx";
    let refusal = Refusal::new("UnauthorizedOperation", message);
    endpoint.refuse("RunInstances", Refusal { status: 403, dry_runs: true, ..refusal });
    let run = place.run(&["up", "--yes"]);
    let end = run.err.rfind("error:").expect("an error");
    insta::assert_snapshot!(place.tidy(&run.err[end..]));
    let run = place.run(&["plan"]);
    let end = run.out.rfind("calls to AWS").expect("the end of the plan");
    insta::assert_snapshot!(place.tidy(&format!("{}{}", &run.out[end..], run.err)));
    assert_eq!(run.code, Some(1));
    assert_eq!(endpoint.changes(), Vec::<String>::new());
}

#[test]
fn down_without_a_file_asks_for_the_name() {
    let place = Place::at(&Endpoint::start());
    std::fs::remove_file(place.work().join("cluster.yaml")).unwrap();
    screen!(place, "down");
}

#[test]
fn commands_before_the_first_up_say_what_makes_a_cluster() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    screen!(place, "status");
    screen!(place, "status", "-o", "json");
    screen!(place, "pki");
    screen!(place, "ssh", "master-0");
}

#[test]
fn ssh_to_a_node_that_is_not_there_or_does_not_run_says_so() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    endpoint.refuse("RunInstances", Refusal::new("Unsupported", "No."));
    place.run(&["up", "--yes"]);
    endpoint.account(|account| account.plant("master-0", "stopped"));
    screen!(place, "ssh", "master-7");
    screen!(place, "ssh", "master-0");
    screen!(place, "status");
    endpoint.account(|account| account.plant("general-0", "running"));
    let run = place.run(&["status"]);
    // What is heard there depends on what listens on this machine's loopback.
    assert!(run.out.contains("\ngeneral-0: reach: general-0 (127.0.0.9:22) "), "{}", run.out);
    assert_eq!(run.code, Some(1));
    let run = place.run(&["pki"]);
    assert!(run.out.starts_with("CERTIFICATE") && run.code == Some(0), "{}", run.screen());
}
