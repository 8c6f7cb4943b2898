//! The state folder: who may read it, who holds it, whose it is, and that
//! nothing secret leaves it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use crate::endpoint::{Endpoint, Refusal};
use crate::run::{CONFIG, Place, SECRET_KEY, collect};

/// A cluster whose machines AWS refused: there is a state, and nothing waits for SSH.
fn half_made(endpoint: &Endpoint) -> Place {
    let place = Place::at(endpoint);
    endpoint.refuse("RunInstances", Refusal::new("VcpuLimitExceeded", "No."));
    let run = place.run(&["up", "--yes"]);
    assert_eq!(run.code, Some(1), "{}", run.screen());
    place
}

/// Everything under a folder, itself included.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(all(&path)) } else { found.push(path) }
    }
    found
}

fn edit(place: &Place, field: &str, value: serde_json::Value) {
    let path = place.state().join("state.json");
    let mut state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("a state")).expect("JSON");
    assert!(state.get(field).is_some(), "no {field} in {state}");
    state[field] = value;
    std::fs::write(&path, state.to_string()).expect("a file");
}

#[test]
fn the_state_folder_is_its_owners_alone() {
    let place = half_made(&Endpoint::start());
    let found = all(&place.state());
    assert!(found.len() > 5, "{found:?}");
    for path in found {
        let mode = path.metadata().expect("its mode").permissions().mode() & 0o777;
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn a_second_up_names_who_holds_the_cluster() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    // Asked for again and again, so the first stays at it as long as we look.
    endpoint.refuse("RunInstances", Refusal::new("InsufficientAddressCapacity", "Not now."));
    let began = Instant::now();
    let mut command = place.command(&["up", "--yes"]);
    let mut first = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    endpoint.wait_for("RunInstances");
    let second = place.run(&["up", "--yes"]);
    let down = place.run(&["down", "--yes"]);
    let looking = place.run(&["pki"]);
    let pid = first.id();
    first.kill().expect("it can be ended");
    collect(first, began);
    assert!(second.err.contains(&format!("(process {pid} on ")), "{}", second.err);
    insta::assert_snapshot!(place.tidy(&second.screen()));
    let end = down.err.rfind("error:").expect("an error");
    assert!(down.err[end..].contains(&pid.to_string()), "{}", down.err);
    assert_eq!(looking.code, Some(0), "who only looks needs no lock: {}", looking.screen());
    // The lock goes with its process, however that ended.
    let third = place.run(&["down"]);
    assert!(third.err.contains("no terminal to ask on"), "{}", third.screen());
}

#[test]
fn a_state_of_another_account_region_or_endpoint_is_refused() {
    let endpoint = Endpoint::start();
    let place = half_made(&endpoint);
    let before = endpoint.changes().len();
    for (field, other) in
        [("account", "999988887777"), ("region", "eu-west-1"), ("endpoint", "http://127.0.0.1:1")]
    {
        let kept = std::fs::read(place.state().join("state.json")).unwrap();
        edit(&place, field, other.into());
        for command in
            [&["up", "--yes"][..], &["down", "--yes"], &["plan"], &["status"], &["pki"], &["ssh", "master-0"]]
        {
            let run = place.run(command);
            assert_eq!(run.code, Some(1), "{command:?}: {}", run.screen());
            assert!(run.err.contains(&format!("belongs to {field} {other}")), "{command:?}: {}", run.err);
        }
        insta::assert_snapshot!(format!("other_{field}"), place.screen(&["up", "--yes"]));
        std::fs::write(place.state().join("state.json"), kept).unwrap();
    }
    assert_eq!(endpoint.changes().len(), before);
}

#[test]
fn a_state_of_a_newer_format_or_a_damaged_one_is_refused() {
    let endpoint = Endpoint::start();
    let place = half_made(&endpoint);
    let before = endpoint.changes().len();
    edit(&place, "format", 99.into());
    insta::assert_snapshot!(place.screen(&["up", "--yes"]));
    insta::assert_snapshot!(place.screen(&["plan"]));
    std::fs::write(place.state().join("state.json"), "{\"format\": 1").unwrap();
    insta::assert_snapshot!(place.screen(&["up", "--yes"]));
    assert_eq!(endpoint.changes().len(), before);
}

#[test]
fn down_takes_a_cluster_away_with_and_without_its_keys_and_fails_where_there_is_none() {
    let (with_keys, without, empty) = (Endpoint::start(), Endpoint::start(), Endpoint::start());
    let nowhere = Place::at(&empty);
    let (known, orphan) = (half_made(&with_keys), half_made(&without));
    std::fs::remove_dir_all(orphan.state()).unwrap();
    let words = orphan.screen(&["up", "--yes"]);
    let uid = words.split("(uid ").nth(1).and_then(|rest| rest.split(')').next()).expect("the uid");
    insta::assert_snapshot!("keys_elsewhere", words.replace(uid, "[uid]"));
    insta::assert_snapshot!("down_without_a_terminal", known.screen(&["down"]));
    // Each waits as long as AWS may take to list what is new.
    let (first, second, third, fourth) = std::thread::scope(|scope| {
        let first = scope.spawn(|| known.run(&["down", "--yes"]));
        let second = scope.spawn(|| orphan.run(&["down", "--yes"]));
        let third = scope.spawn(|| nowhere.screen(&["down"]));
        let named = ["down", "--name", "other", "--region", "us-east-1", "--yes"];
        let fourth = scope.spawn(move || nowhere_too(&named));
        (first.join().unwrap(), second.join().unwrap(), third.join().unwrap(), fourth.join().unwrap())
    });
    insta::assert_snapshot!("down_found_nothing", third);
    insta::assert_snapshot!("down_found_nothing_by_name", fourth);
    assert_eq!(empty.changes(), Vec::<String>::new());
    assert!(!nowhere.state().exists(), "nothing is remembered of a cluster that is not there");
    let end = first.err.rfind("done:").expect("its last word");
    insta::assert_snapshot!("down_done", known.tidy(&first.err[end..]));
    for (run, endpoint, place) in [(first, with_keys, known), (second, without, orphan)] {
        assert_eq!(run.code, Some(0), "{}", run.screen());
        assert_eq!(endpoint.account(|account| account.resources.len()), 0);
        assert!(!place.state().exists());
    }
}

#[test]
fn a_down_without_keys_that_was_killed_is_gone_on_with_and_raises_nothing() {
    let endpoint = Endpoint::start();
    let place = half_made(&endpoint);
    std::fs::remove_dir_all(place.state()).unwrap();
    let killed = place.run(&["down", "--yes", "--crash-after", "1"]);
    assert_eq!(killed.code, None, "it was killed: {}", killed.screen());
    let left = endpoint.account(|account| account.resources.len());
    assert!(left > 0);
    insta::assert_snapshot!("up_after_a_down_without_keys", place.screen(&["up", "--yes"]));
    for command in ["plan", "pki"] {
        let run = place.run(&[command]);
        assert_eq!(run.code, Some(1), "the folder has no keys to look with: {}", run.screen());
    }
    assert_eq!(endpoint.account(|account| account.resources.len()), left, "nothing was made");
    let down = place.run(&["down", "--yes"]);
    assert_eq!(down.code, Some(0), "{}", down.screen());
    assert_eq!(endpoint.account(|account| account.resources.len()), 0);
    assert!(!place.state().exists());
}

#[test]
fn a_known_cluster_of_which_nothing_is_left_is_down() {
    let endpoint = Endpoint::start();
    let place = half_made(&endpoint);
    endpoint.account(|account| account.resources.clear());
    // What was made a moment ago would be waited for, as AWS may list it late.
    edit(&place, "slots", serde_json::json!({}));
    let run = place.run(&["down", "--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.screen());
    let end = run.err.rfind("done:").expect("its last word");
    insta::assert_snapshot!("down_of_what_is_gone", place.tidy(&run.err[end..]));
    assert!(!place.state().exists());
}

#[test]
fn a_range_that_machines_of_another_vpc_use_is_refused_where_private_addresses_are_dialled() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    endpoint.account(|account| {
        account.plant_as_it_is(
            "vpc",
            "vpc-0a",
            &[("vpcId", "vpc-0a"), ("cidrBlock", "10.20.0.0/16")],
            "first",
        );
    });
    let empty = place.run(&["plan"]);
    assert_eq!(empty.code, Some(2), "nobody lives there: {}", empty.screen());
    endpoint.account(|account| {
        let fields =
            [("instanceId", "i-0a"), ("state", "running"), ("vpcId", "vpc-0a"), ("address", "10.20.0.4")];
        account.plant_as_it_is("i", "i-0a", &fields, "first");
    });
    insta::assert_snapshot!("range_of_another_vpc", place.screen(&["plan"]));
    place.write("cluster.yaml", &format!("{CONFIG}network: {{cidr: 10.21.0.0/16}}\n"));
    let elsewhere = place.run(&["plan"]);
    assert_eq!(elsewhere.code, Some(2), "{}", elsewhere.screen());
}

/// A screen in an account with nothing in it.
fn nowhere_too(arguments: &[&str]) -> String {
    let endpoint = Endpoint::start();
    let screen = Place::at(&endpoint).screen(arguments);
    assert_eq!(endpoint.changes(), Vec::<String>::new());
    screen
}

#[test]
fn nothing_secret_is_printed() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    endpoint.refuse("RunInstances", Refusal::new("VcpuLimitExceeded", "No."));
    let place = place.with("CLUSTER_LOG", "debug");
    let runs: Vec<_> = [
        &["up", "--yes"][..],
        &["up", "--yes", "-o", "json"],
        &["plan", "-o", "json"],
        &["plan"],
        &["pki"],
        &["pki", "-o", "json"],
        &["status"],
        &["ssh", "master-0"],
        &["down"],
    ]
    .iter()
    .map(|arguments| place.run(arguments))
    .collect();
    let secrets: Vec<String> = all(&place.state().join("secrets"))
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| std::fs::read_to_string(path).expect("text"))
        .filter(|text| text.contains("PRIVATE KEY"))
        .map(|text| text.lines().nth(1).expect("a body").to_owned())
        .collect();
    assert!(secrets.len() >= 3, "{} keys", secrets.len());
    for run in runs {
        for text in [&run.out, &run.err] {
            assert!(!text.contains("PRIVATE KEY") && !text.contains(SECRET_KEY), "{text}");
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
        }
    }
}
