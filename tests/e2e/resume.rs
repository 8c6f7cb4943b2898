//! Every point can be resumed from: `up` and `down` killed, stopped and started again.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::ec2;
use crate::fleet::{Fleet, can_run, said};

const YAML: &str = "image:\n  owner: \"136693071363\"\n  name: cluster-debian-12-amd64-*\n";
/// More than any of the two makes journal writes.
const WRITES_AT_MOST: u32 = 60;

/// Kills the command after its first journal write, then after the second of the
/// next process, and so on, until it ends well. Gives how often it died.
fn rolling(fleet: &Fleet, command: &str) -> u32 {
    for deaths in 0..WRITES_AT_MOST {
        let after = (deaths + 1).to_string();
        let output = fleet.cluster(&[command, "--yes", "--crash-after", &after]);
        if output.status == 0 {
            return deaths;
        }
        assert_eq!(output.status, -1, "it died by itself:\n{}\n{}", output.out, output.err);
    }
    panic!("{command} did not end after {WRITES_AT_MOST} deaths");
}

#[test]
fn up_and_down_killed_at_one_journal_write_after_another_leave_nothing_twice_and_nothing_behind() {
    if !can_run("up_and_down_killed_at_one_journal_write_after_another") {
        return;
    }
    let fleet = Fleet::new("roll", 33, YAML);
    let deaths = rolling(&fleet, "up");
    assert!(deaths >= 5, "only {deaths} deaths: the journal is not written before calls");
    assert_eq!(ec2::live_slots(fleet.name), ["general-0", "master-0"]);
    let twice: Vec<_> = ec2::tagged(fleet.name).into_iter().filter(|(_, count)| *count > 2).collect();
    assert!(twice.is_empty(), "more than a cluster has: {twice:?}");
    assert_eq!(fleet.plan(), Vec::<String>::new());
    fleet.cluster(&["status"]).exits(0);
    let deaths = rolling(&fleet, "down");
    assert!(deaths >= 3, "only {deaths} deaths");
    for (kind, count) in ec2::tagged(fleet.name) {
        assert_eq!(count, 0, "{kind} still shows something");
    }
}

#[test]
fn ctrl_c_stops_at_once_says_what_bills_and_the_next_up_goes_on() {
    if !can_run("ctrl_c_stops_at_once") {
        return;
    }
    let fleet = Fleet::new("stop", 34, YAML);
    let mut command = fleet.command(&["up", "--yes"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while ec2::live_slots(fleet.name).len() < 2 {
        assert!(Instant::now() < deadline, "no instance was launched");
    }
    let interrupted = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is running");
    let output = said(&child.wait_with_output().expect("it ends"));
    let took = interrupted.elapsed();
    output.exits(130).says("billed meanwhile").says("`cluster up` goes on from here");
    assert!(took < Duration::from_secs(5), "it took {took:?} to stop");
    fleet.cluster(&["up", "--yes"]).exits(0);
    assert_eq!(ec2::live_slots(fleet.name), ["general-0", "master-0"]);
    lost_state(&fleet);
}

/// Without the state folder nothing can be gone on with, but everything can be removed.
fn lost_state(fleet: &Fleet) {
    std::fs::rename(fleet.state(), fleet.state().with_extension("elsewhere")).expect("it is moved away");
    fleet.cluster(&["up", "--yes"]).exits(1).says("its keys are not in");
    fleet.cluster(&["down", "--yes"]).exits(0).says("nothing of stop is left");
    for (kind, count) in ec2::tagged(fleet.name) {
        assert_eq!(count, 0, "{kind} still shows something");
    }
}

/// A fresh cluster for each kill point: long, so only where it is asked for.
#[test]
fn a_cluster_killed_at_every_journal_write_is_taken_up_from_there() {
    if std::env::var_os("CLUSTER_SWEEP").is_none() {
        println!("not asked for: `make sweep` runs a fresh cluster per kill point");
        return;
    }
    if !can_run("a_cluster_killed_at_every_journal_write") {
        return;
    }
    for after in 1..WRITES_AT_MOST {
        let fleet = Fleet::new("sweep", 35, YAML);
        let point = after.to_string();
        let finished = fleet.cluster(&["up", "--yes", "--crash-after", &point]).status == 0;
        fleet.cluster(&["up", "--yes"]).exits(0);
        assert_eq!(ec2::live_slots(fleet.name), ["general-0", "master-0"], "killed after write {after}");
        assert_eq!(fleet.plan(), Vec::<String>::new(), "killed after write {after}");
        fleet.cluster(&["down", "--yes", "--crash-after", &point]);
        if ec2::tagged(fleet.name).iter().any(|(_, count)| *count > 0) {
            fleet.cluster(&["down", "--yes"]).exits(0);
        }
        for (kind, count) in ec2::tagged(fleet.name) {
            assert_eq!(count, 0, "killed after write {after}: {kind} still shows something");
        }
        if finished {
            return;
        }
    }
}
