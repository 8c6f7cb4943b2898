//! A pod's life as scenes: what is there, what is done next, what is told.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pod(policy: &str) -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "d", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": [{"name": "init", "image": "i"}, {"name": "side", "image": "i", "restartPolicy": "Always"}],
            "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
        },
    })
}

fn one(name: &str, attempt: u32, state: State) -> Container {
    let id = format!("{name}{attempt}");
    Container {
        id,
        name: name.to_owned(),
        attempt,
        sandbox: "s".to_owned(),
        state,
        image: ("i".to_owned(), "sha".to_owned()),
    }
}

fn ended(code: i32, from: i64, to: i64) -> State {
    State::Ended { code, reason: String::new(), message: String::new(), started: at(from), ended: at(to) }
}

fn observed(containers: Vec<Container>) -> Observed {
    let well = Startup { started: true, ready: true, failed: false };
    Observed {
        sandbox: Some(Sandbox { id: "s".to_owned(), ready: true, attempt: 0, ip: "10.0.0.2".to_owned() }),
        probes: containers.iter().map(|one| (one.id.clone(), well)).collect(),
        containers,
        accepted: Some(at(0)),
        ..Observed::default()
    }
}

fn said(actions: &[Action]) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::CreateSandbox(attempt) => format!("sandbox {attempt}"),
        Action::Start { name, attempt } => format!("start {name}{attempt}"),
        Action::Stop { id, unhealthy, .. } => {
            format!("stop {id}{}", if *unhealthy { " unhealthy" } else { "" })
        }
        Action::Remove(id) => format!("remove {id}"),
        Action::StopSandbox(id) => format!("stop sandbox {id}"),
        Action::RemoveSandbox(id) => format!("remove sandbox {id}"),
    };
    actions.iter().map(word).collect()
}

fn next(pod: &Value, observed: &Observed, ending: bool, second: i64) -> Vec<String> {
    said(&decide(pod, observed, ending, at(second)).actions)
}

#[test]
fn containers_start_in_order_and_end_in_reverse() {
    let pod = pod("Always");
    let run = |name| one(name, 0, State::Running(at(1)));
    let done = || one("init", 0, ended(0, 1, 2));
    let cases = [
        ("nothing is there", Observed::default(), false, vec!["sandbox 0"]),
        ("a sandbox", observed(vec![]), false, vec!["start init0"]),
        ("init runs", observed(vec![run("init")]), false, vec![]),
        ("init is done", observed(vec![done()]), false, vec!["start side0"]),
        ("the sidecar has started", observed(vec![done(), run("side")]), false, vec!["start a0", "start b0"]),
        ("all run", observed(vec![done(), run("side"), run("a"), run("b")]), false, vec![]),
        (
            "deleted",
            observed(vec![done(), run("side"), run("a"), run("b")]),
            true,
            vec!["stop a0", "stop b0"],
        ),
        (
            "its own are gone",
            observed(vec![done(), run("side"), one("a", 0, ended(0, 1, 2))]),
            true,
            vec!["stop side0"],
        ),
        ("all are gone", observed(vec![done()]), true, vec!["stop sandbox s"]),
    ];
    for (scene, observed, ending, expected) in cases {
        assert_eq!(next(&pod, &observed, ending, 10), expected, "{scene}");
    }
    let mut dead = observed(vec![]);
    dead.sandbox.as_mut().unwrap().ready = false;
    assert!(decide(&pod, &dead, true, at(9)).over);
    assert_eq!(next(&pod, &dead, false, 9), ["stop sandbox s", "sandbox 1"]);
}

#[test]
fn a_sidecar_that_has_not_started_holds_the_others_back() {
    let mut half = observed(vec![one("init", 0, ended(0, 1, 2)), one("side", 0, State::Running(at(1)))]);
    half.probes.get_mut("side0").unwrap().started = false;
    assert_eq!(next(&pod("Always"), &half, false, 5), Vec::<String>::new());
}

#[test]
fn crashes_are_answered_later_each_time_and_never_where_the_policy_says_so() {
    let mut plain = pod("Always");
    plain["spec"]["initContainers"] = json!([]);
    let with = |policy: &str, attempt, code, from, to| {
        let mut pod = plain.clone();
        pod["spec"]["restartPolicy"] = json!(policy);
        let observed =
            observed(vec![one("a", attempt, ended(code, from, to)), one("b", 0, State::Running(at(1)))]);
        (pod, observed)
    };
    let cases = [
        ("the first crash", with("Always", 0, 1, 1, 2), 2, vec!["start a1"]),
        ("the second too soon", with("Always", 1, 1, 1, 2), 11, vec![]),
        ("the second after ten seconds", with("Always", 1, 1, 1, 2), 12, vec!["start a2"]),
        ("the third", with("Always", 2, 1, 1, 2), 21, vec![]),
        ("it ran for long", with("Always", 5, 1, 1, 700), 700, vec!["start a6"]),
        ("it did well", with("OnFailure", 0, 0, 1, 2), 2, vec![]),
        ("never", with("Never", 0, 1, 1, 2), 2, vec![]),
    ];
    for (scene, (pod, observed), second, expected) in cases {
        assert_eq!(next(&pod, &observed, false, second), expected, "{scene}");
    }
    let (pod, observed) = with("Always", 1, 1, 1, 2);
    let waits = decide(&pod, &observed, false, at(5));
    assert_eq!((waits.again, &waits.backing_off[..]), (Some(at(12)), &["a".to_owned()][..]));
    let facts = Facts { backing_off: waits.backing_off, ..Facts::default() };
    let told = status(&pod, &observed, &facts, at(5));
    let a = &told["containerStatuses"][0];
    assert_eq!(a["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(a["state"]["waiting"]["message"], "back-off 10s restarting failed container=a pod=p_d(u)");
    assert_eq!(a["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(
        (&told["phase"], &told["conditions"][2]["message"]),
        (&json!("Running"), &json!("containers with unready status: [a]"))
    );
}

#[test]
fn an_unhealthy_container_is_stopped_to_be_started_again() {
    let mut plain = pod("Always");
    plain["spec"]["initContainers"] = json!([]);
    let mut sick = observed(vec![one("a", 0, State::Running(at(1))), one("b", 0, State::Running(at(1)))]);
    sick.probes.get_mut("b0").unwrap().failed = true;
    assert_eq!(next(&plain, &sick, false, 5), ["stop b0 unhealthy"]);
}

#[test]
fn phases_and_conditions_follow_the_containers() {
    let run = |name| one(name, 0, State::Running(at(1)));
    let done = |name, code| one(name, 0, ended(code, 1, 2));
    let all = |state: &dyn Fn(&'static str) -> Container| {
        vec![done("init", 0), run("side"), state("a"), state("b")]
    };
    let cases = [
        ("waits", "Always", Observed::default(), "Pending", "False"),
        ("initialises", "Always", observed(vec![run("init")]), "Pending", "False"),
        ("runs", "Always", observed(all(&run)), "Running", "True"),
        ("did well", "Never", observed(all(&|name| done(name, 0))), "Succeeded", "False"),
        ("failed", "Never", observed(all(&|name| done(name, 1))), "Failed", "False"),
        ("could not begin", "Never", observed(vec![done("init", 1)]), "Failed", "False"),
    ];
    for (scene, policy, observed, phase, ready) in cases {
        let told = status(&pod(policy), &observed, &Facts::default(), at(5));
        assert_eq!(
            (told["phase"].as_str(), told["conditions"][2]["status"].as_str()),
            (Some(phase), Some(ready)),
            "{scene}"
        );
    }
    let told = status(&pod("Always"), &observed(vec![run("init")]), &Facts::default(), at(5));
    assert_eq!(told["conditions"][1]["message"], "containers with incomplete status: [init side]");
    assert_eq!(told["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    let mut old = pod("Always");
    old["status"] = told;
    let again = status(&old, &observed(vec![run("init")]), &Facts::default(), at(50));
    assert_eq!(again["conditions"], old["status"]["conditions"], "times stay where nothing changed");
}

#[test]
fn a_deadline_ends_a_pod() {
    let mut late = pod("Always");
    late["spec"]["activeDeadlineSeconds"] = json!(10);
    let all = observed(vec![
        one("init", 0, ended(0, 1, 2)),
        one("side", 0, State::Running(at(1))),
        one("a", 0, State::Running(at(1))),
    ]);
    assert_eq!(decide(&late, &all, false, at(9)).again, Some(at(10)));
    assert_eq!(next(&late, &all, false, 10), ["stop a0"]);
    let told = status(&late, &all, &Facts::default(), at(10));
    assert_eq!((&told["phase"], &told["reason"]), (&json!("Failed"), &json!("DeadlineExceeded")));
}
