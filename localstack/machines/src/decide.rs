//! What to do about the machines: instances x machines x now -> actions.
//!
//! Pure. It never sees "no answer": the daemon passes the last complete answer
//! of EC2, and before the first one does not ask.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use crate::images;
use crate::model::{Instance, Lifecycle};

/// How long a machine may take to shut down in order.
pub(crate) const STOP_GRACE_MS: u64 = 20_000;

/// What there is of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// It runs.
    Running,
    /// It runs, but lost its network, which cannot be put back under it.
    Cut,
    /// It was asked to shut down.
    Stopping {
        /// When, in the daemon's own milliseconds.
        since_ms: u64,
    },
    /// Its disk is there, its init does not run.
    Stopped {
        /// Not to be started before this time, in the daemon's own milliseconds.
        not_before_ms: u64,
        /// Whether its namespace is still there, in which the kernel answers for it.
        plugged: bool,
    },
    /// An earlier action is still at work on it.
    Busy,
}

/// One step. Applying it and deciding again gives nothing more to do for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Boot a machine, on its old disk if it has one.
    Start(String),
    /// Ask it to shut down.
    Stop(String),
    /// End what is left of its processes and unplug it: it shut down, or did not
    /// within its time.
    End(String),
    /// End it and delete its disk.
    Remove(String),
    /// No machine can be made for this instance; said once.
    Refuse(String, String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(id) => write!(f, "start {id}"),
            Self::Stop(id) => write!(f, "stop {id}"),
            Self::End(id) => write!(f, "end {id}"),
            Self::Remove(id) => write!(f, "remove {id}"),
            Self::Refuse(id, why) => write!(f, "no machine for {id}: {why}"),
        }
    }
}

/// The actions that bring `machines` to what `instances` say, ordered by id.
pub(crate) fn decide(instances: &[Instance], machines: &BTreeMap<String, Body>, now_ms: u64) -> Vec<Action> {
    let wanted: BTreeMap<&str, &Instance> = instances.iter().map(|i| (i.id.as_str(), i)).collect();
    let holders = address_holders(instances);
    let mut actions = Vec::new();
    for (id, body) in machines {
        actions.extend(existing(id, *body, wanted.get(id.as_str()).copied(), &holders, now_ms));
    }
    for (id, instance) in wanted {
        if instance.lifecycle == Lifecycle::Running && !machines.contains_key(id) {
            actions.push(match refusal(instance, &holders) {
                None => Action::Start(id.to_owned()),
                Some(why) => Action::Refuse(id.to_owned(), why),
            });
        }
    }
    actions
}

/// What to do about a machine that has a disk already.
fn existing(
    id: &str,
    body: Body,
    instance: Option<&Instance>,
    holders: &BTreeMap<Ipv4Addr, &str>,
    now_ms: u64,
) -> Option<Action> {
    let lifecycle = instance.map_or(Lifecycle::Terminated, |i| i.lifecycle);
    match (body, lifecycle) {
        (Body::Busy, _) | (Body::Running, Lifecycle::Running) => None,
        (_, Lifecycle::Terminated) => Some(Action::Remove(id.to_owned())),
        (Body::Cut, _) => Some(Action::End(id.to_owned())),
        (Body::Running, Lifecycle::Stopped) => Some(Action::Stop(id.to_owned())),
        // Stopped and started again before it was down: it goes down first, as on AWS.
        (Body::Stopping { since_ms }, _) => {
            (now_ms.saturating_sub(since_ms) >= STOP_GRACE_MS).then(|| Action::End(id.to_owned()))
        }
        (Body::Stopped { plugged, .. }, Lifecycle::Stopped) => plugged.then(|| Action::End(id.to_owned())),
        (Body::Stopped { not_before_ms, .. }, Lifecycle::Running) => (now_ms >= not_before_ms
            && instance.is_some_and(|i| refusal(i, holders).is_none()))
        .then(|| Action::Start(id.to_owned())),
    }
}

/// The instance that has each private address: LocalStack counts addresses from
/// the start in every VPC, the host has one routing table.
fn address_holders(instances: &[Instance]) -> BTreeMap<Ipv4Addr, &str> {
    let mut alive: Vec<&Instance> =
        instances.iter().filter(|i| i.lifecycle != Lifecycle::Terminated).collect();
    alive.sort_by_key(|i| (i.launched_at_s, &i.id));
    let mut holders = BTreeMap::new();
    for instance in alive {
        holders.entry(instance.private_ip).or_insert(instance.id.as_str());
    }
    holders
}

/// Why there can be no machine for it, if so.
fn refusal(instance: &Instance, holders: &BTreeMap<Ipv4Addr, &str>) -> Option<String> {
    if let Err(why) = images::layers(&instance.image) {
        return Some(why);
    }
    let holder = holders.get(&instance.private_ip)?;
    (*holder != instance.id).then(|| {
        format!("{} is {holder}'s address already; give the VPCs different ranges", instance.private_ip)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::instance;

    fn with(lifecycle: Lifecycle) -> Instance {
        Instance { lifecycle, ..instance("i-1", "10.0.1.5") }
    }

    fn check(instances: &[Instance], body: Option<Body>, now_ms: u64, expected: &[&str]) {
        let machines = body.map(|b| ("i-1".to_owned(), b)).into_iter().collect();
        let got: Vec<String> = decide(instances, &machines, now_ms).iter().map(ToString::to_string).collect();
        assert_eq!(got, expected, "{instances:?} {body:?}");
    }

    #[test]
    fn each_pair_of_wanted_and_found_has_its_one_action() {
        use Lifecycle::{Running, Stopped, Terminated};
        let stopped = Body::Stopped { not_before_ms: 50, plugged: false };
        let plugged = Body::Stopped { not_before_ms: 50, plugged: true };
        let stopping = Body::Stopping { since_ms: 0 };
        check(&[with(Running)], None, 0, &["start i-1"]);
        check(&[with(Running)], Some(Body::Running), 0, &[]);
        check(&[with(Running)], Some(stopped), 49, &[]);
        check(&[with(Running)], Some(stopped), 50, &["start i-1"]);
        check(&[with(Running)], Some(stopping), 1, &[]);
        check(&[with(Stopped)], None, 0, &[]);
        check(&[with(Stopped)], Some(Body::Running), 0, &["stop i-1"]);
        check(&[with(Stopped)], Some(stopped), 0, &[]);
        check(&[with(Stopped)], Some(plugged), 0, &["end i-1"]);
        check(&[with(Running)], Some(plugged), 49, &[]);
        check(&[with(Stopped)], Some(stopping), 1, &[]);
        check(&[with(Stopped)], Some(stopping), STOP_GRACE_MS, &["end i-1"]);
        check(&[with(Terminated)], None, 0, &[]);
        check(&[with(Terminated)], Some(Body::Running), 0, &["remove i-1"]);
        check(&[with(Terminated)], Some(stopped), 0, &["remove i-1"]);
        check(&[with(Terminated)], Some(stopping), 0, &["remove i-1"]);
    }

    #[test]
    fn a_machine_whose_instance_is_no_longer_listed_goes() {
        check(&[], Some(Body::Running), 0, &["remove i-1"]);
        check(&[], Some(Body::Stopped { not_before_ms: 0, plugged: false }), 0, &["remove i-1"]);
    }

    #[test]
    fn a_machine_that_lost_its_network_is_ended_and_started_again() {
        check(&[with(Lifecycle::Running)], Some(Body::Cut), 0, &["end i-1"]);
        check(&[with(Lifecycle::Stopped)], Some(Body::Cut), 0, &["end i-1"]);
        check(&[], Some(Body::Cut), 0, &["remove i-1"]);
    }

    #[test]
    fn a_machine_at_work_is_left_alone() {
        check(&[], Some(Body::Busy), 0, &[]);
        check(&[with(Lifecycle::Running)], Some(Body::Busy), 0, &[]);
    }

    #[test]
    fn the_second_instance_with_an_address_is_refused_by_name_of_the_first() {
        let first = with(Lifecycle::Running);
        let second = Instance { launched_at_s: 2_000, ..instance("i-0", "10.0.1.5") };
        let got = decide(&[second, first], &BTreeMap::new(), 0);
        assert_eq!(got[1], Action::Start("i-1".to_owned()));
        assert!(got[0].to_string().contains("10.0.1.5 is i-1's address already"), "{got:?}");
    }

    #[test]
    fn an_address_is_free_again_once_its_instance_is_terminated() {
        let first = with(Lifecycle::Terminated);
        let second = Instance { launched_at_s: 2_000, ..instance("i-2", "10.0.1.5") };
        assert_eq!(decide(&[first, second], &BTreeMap::new(), 0), [Action::Start("i-2".to_owned())]);
    }

    #[test]
    fn an_image_without_a_body_is_refused() {
        let arm = Instance { image: images::ARM.to_owned(), ..with(Lifecycle::Running) };
        assert!(
            matches!(&decide(&[arm], &BTreeMap::new(), 0)[..], [Action::Refuse(_, why)] if why.contains("arm64"))
        );
    }
}
