//! What is said and done when calls pass late, replies are lost, or somebody
//! presses Ctrl-C: nothing is made twice, and how to go on is told.

use std::process::Stdio;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::endpoint::{Endpoint, Refusal};
use crate::run::{CONFIG, Place, Run, collect};

/// A place with one machine to make.
fn place(endpoint: &Endpoint) -> Place {
    let place = Place::at(endpoint);
    place.write("cluster.yaml", &format!("{CONFIG}workers: []\n"));
    place
}

fn up(place: &Place) -> Run {
    place.run(&["up", "--yes", "--node-binary", &place.node_binary()])
}

/// What ends a run once everything before the machines is made.
fn no_machines(endpoint: &Endpoint) {
    endpoint.refuse("RunInstances", Refusal::new("VcpuLimitExceeded", "No."));
}

#[test]
fn what_passes_by_itself_is_asked_for_again_and_says_why() {
    let endpoint = Endpoint::start();
    let throttled = Refusal::new("RequestLimitExceeded", "Request limit exceeded.");
    endpoint.refuse("CreateVpc", Refusal { status: 503, times: 2, ..throttled });
    no_machines(&endpoint);
    let place = place(&endpoint);
    let run = up(&place);
    assert_eq!(endpoint.count("CreateVpc"), 3, "{}", run.err);
    let again: Vec<&str> = run.err.lines().filter(|line| line.contains(" again ")).collect();
    insta::assert_snapshot!(place.tidy(&again.join("\n")));
    assert!(run.err.contains("done CreateVpc"), "{}", run.err);
}

#[test]
fn a_lost_reply_is_looked_for_and_nothing_is_made_twice() {
    let endpoint = Endpoint::start();
    for action in ["CreateVpc", "CreateInternetGateway", "CreateSubnet", "ImportKeyPair"] {
        endpoint.lose_reply(action);
    }
    no_machines(&endpoint);
    let run = up(&place(&endpoint));
    for action in ["CreateVpc", "CreateInternetGateway", "CreateSubnet", "ImportKeyPair"] {
        assert_eq!(endpoint.count(action), 1, "{action}: {}", run.err);
        assert!(run.err.contains(&format!("done {action} ")), "{action}: {}", run.err);
    }
}

#[test]
fn a_launch_whose_reply_is_lost_is_one_machine() {
    let endpoint = Endpoint::start();
    endpoint.lose_reply("RunInstances");
    let ended = "Client.VolumeLimitExceeded: Volume limit exceeded";
    endpoint.account(|account| account.launches = ("terminated", "", ended.to_owned()));
    let run = up(&place(&endpoint));
    assert_eq!(endpoint.count("RunInstances"), 1, "{}", run.err);
    assert!(run.err.contains(ended), "{}", run.err);
    assert_eq!(run.code, Some(1));
}

#[test]
fn the_first_interrupt_ends_a_wait_and_says_how_to_go_on() {
    let endpoint = Endpoint::start();
    let place = place(&endpoint);
    let began = Instant::now();
    let mut command = place.command(&["up", "--yes"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let pid = Pid::from_child(&child);
    // The machine stays pending: the program waits.
    endpoint.wait_for("RunInstances");
    endpoint.wait_for_more("DescribeInstances");
    kill_process(pid, Signal::INT).expect("it is there");
    let interrupted = Instant::now();
    let run = collect(child, began);
    assert_eq!(run.code, Some(130), "{}", run.screen());
    assert!(interrupted.elapsed().as_secs() < 10, "{:?}", interrupted.elapsed());
    let end = run.err.find("stopping:").expect("what follows");
    insta::assert_snapshot!(place.tidy(&run.err[end..]));
}

#[test]
fn events_are_json_lines_and_errors_stay_readable() {
    let endpoint = Endpoint::start();
    no_machines(&endpoint);
    let place = place(&endpoint);
    let run = place.run(&["up", "--yes", "-o", "json"]);
    assert_eq!(run.code, Some(1));
    let events: Vec<serde_json::Value> =
        run.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let failed: Vec<_> = events.iter().filter(|event| event["event"] == "failed").collect();
    let [failed] = failed[..] else { panic!("{failed:?}") };
    assert_eq!(failed["label"], "RunInstances master-0");
    assert!(failed["error"].as_str().expect("text").contains("VcpuLimitExceeded: No."), "{failed}");
    let done = events.iter().filter(|event| event["event"] == "done").count();
    assert_eq!(done, 12, "{events:?}");
    insta::assert_snapshot!(place.tidy(&run.err));
}
