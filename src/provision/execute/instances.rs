//! Waiting for instances: one listing every few seconds, shared by all who wait.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cloud::CloudError;
use plan::model::{Instance, InstanceState};
use tokio::sync::watch;

use super::Context;
use super::error::ActionError;
use super::progress::Report;
use super::seams::NodeAddress;

/// How many listings in a row may fail before waiting is given up.
const FAILURES: u32 = 5;
/// A machine that takes longer than this to run is worth a remark.
const SLOW: Duration = Duration::from_secs(90);

type Listing = Result<BTreeMap<String, Instance>, Arc<CloudError>>;

/// Lists the cluster's instances while somebody waits for one.
pub(super) struct Poller<'a> {
    context: &'a Context<'a>,
    waiting: watch::Sender<usize>,
    latest: watch::Sender<Option<Arc<Listing>>>,
}

/// Somebody waits, until dropped.
struct Waiter<'a>(&'a watch::Sender<usize>);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

/// What a listing says of one instance.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    Ready(NodeAddress),
    NotYet { state: &'static str, likely_cause: Option<&'static str> },
    Ended(String),
}

impl<'a> Poller<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        Self { context, waiting: watch::Sender::new(0), latest: watch::Sender::new(None) }
    }

    /// Lists as long as it is polled; rests while nobody waits.
    pub(super) async fn run(&self) -> Infallible {
        let mut waiting = self.waiting.subscribe();
        loop {
            if waiting.wait_for(|n| *n > 0).await.is_err() {
                std::future::pending::<()>().await; // the sender is ours: it cannot be gone
            }
            let listed = self.context.cloud.instances(self.context.cluster).await;
            let by_id = |all: Vec<Instance>| all.into_iter().map(|i| (i.id.clone(), i)).collect();
            self.latest.send_replace(Some(Arc::new(listed.map(by_id).map_err(Arc::new))));
            self.context.clock.sleep(self.context.limits.poll).await;
        }
    }

    /// Waits until the instance `id` of `slot` runs and has its addresses.
    pub(super) async fn running(
        &self,
        slot: &str,
        id: &str,
        public: bool,
        report: &Report<'_>,
    ) -> Result<NodeAddress, ActionError> {
        self.waiting.send_modify(|n| *n += 1);
        let _waiter = Waiter(&self.waiting);
        let mut latest = self.latest.subscribe();
        let began = self.context.clock.now();
        let mut failures = 0;
        loop {
            let changed = self.context.shutdown.race(latest.changed()).await;
            changed.ok_or(ActionError::Interrupted)?.map_err(|_| ActionError::Interrupted)?;
            let Some(listing) = latest.borrow_and_update().clone() else { continue };
            let instance = match &*listing {
                Ok(instances) => instances.get(id),
                Err(error) => {
                    failures += 1;
                    if failures >= FAILURES {
                        return Err(ActionError::List(error.clone()));
                    }
                    continue; // no answer says nothing about the instance
                }
            };
            failures = 0;
            let waited = self.context.since(began);
            match look(instance, public, waited) {
                Sight::Ready(node) => return Ok(node),
                Sight::Ended(reason) => {
                    return Err(ActionError::Ended { slot: slot.to_owned(), id: id.to_owned(), reason });
                }
                Sight::NotYet { state, likely_cause } if waited >= self.context.limits.running => {
                    return Err(ActionError::Deadline {
                        label: report.label().to_owned(),
                        what: format!("{id} to run"),
                        seconds: waited.as_secs(),
                        last_state: state.to_owned(),
                        likely_cause: likely_cause.map(str::to_owned),
                    });
                }
                Sight::NotYet { state, likely_cause } => {
                    report.waiting(&format!("{id} to run"), state, likely_cause);
                }
            }
        }
    }
}

/// What a listing says of an instance that is to run, `waited` after it was asked for.
fn look(instance: Option<&Instance>, public: bool, waited: Duration) -> Sight {
    let slow = waited >= SLOW;
    let not_yet = |state, cause| Sight::NotYet { state, likely_cause: slow.then_some(cause) };
    let Some(instance) = instance else {
        return not_yet("not listed yet", "AWS lists new instances late, or somebody removed it");
    };
    match (instance.state, instance.private_address) {
        (InstanceState::Running, Some(private)) if !public || instance.public_address.is_some() => {
            Sight::Ready(NodeAddress {
                instance_id: instance.id.clone(),
                private,
                public: instance.public_address,
                instance_type: instance.instance_type.clone(),
                zone: instance.zone.clone(),
            })
        }
        (InstanceState::Running, Some(_)) => not_yet(
            "running, without a public address",
            "its subnet or account gives out no public addresses",
        ),
        (InstanceState::Running, None) => not_yet("running, without an address", "AWS is slow"),
        (InstanceState::Pending, _) => not_yet("pending", "AWS is short of this instance type in this zone"),
        (InstanceState::Stopping | InstanceState::Stopped, _) => not_yet(
            instance.state.as_str(),
            "somebody stopped it: start it, or terminate it to have it rebuilt",
        ),
        (InstanceState::ShuttingDown | InstanceState::Terminated, _) => {
            Sight::Ended(instance.state_reason.clone().unwrap_or_else(|| "AWS gave no reason".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::model::Tags;

    fn instance(state: InstanceState, private: bool, public: bool) -> Instance {
        Instance {
            id: "i-1".into(),
            state,
            state_reason: Some("Server.InternalError: x".into()),
            client_token: None,
            instance_type: "t3.small".into(),
            image: "ami-1".into(),
            zone: "us-east-1a".into(),
            vpc: None,
            subnet: None,
            security_groups: Vec::new(),
            private_address: private.then(|| [10, 0, 0, 4].into()),
            public_address: public.then(|| [203, 0, 113, 1].into()),
            launched_at: None,
            tags: Tags::default(),
        }
    }

    /// `look` in words.
    fn words(instance: Option<&Instance>, public: bool, waited: Duration) -> String {
        match look(instance, public, waited) {
            Sight::Ready(node) => format!("ready {} {:?}", node.private, node.public),
            Sight::NotYet { state, likely_cause: None } => state.to_owned(),
            Sight::NotYet { state, likely_cause: Some(cause) } => format!("{state} ({cause})"),
            Sight::Ended(reason) => format!("ended: {reason}"),
        }
    }

    #[test]
    fn a_machine_is_ready_when_it_runs_with_the_addresses_it_needs() {
        use InstanceState::{Pending, Running, ShuttingDown, Stopped, Terminated};
        let cases = [
            (Pending, true, true, true, "pending"),
            (Running, false, false, false, "running, without an address"),
            (Running, true, false, false, "ready 10.0.0.4 None"),
            (Running, true, false, true, "running, without a public address"),
            (Running, true, true, true, "ready 10.0.0.4 Some(203.0.113.1)"),
            (Stopped, true, false, false, "stopped"),
            (ShuttingDown, true, false, false, "ended: Server.InternalError: x"),
            (Terminated, false, false, false, "ended: Server.InternalError: x"),
        ];
        for (state, private, public, needs_public, expected) in cases {
            let instance = instance(state, private, public);
            assert_eq!(words(Some(&instance), needs_public, Duration::ZERO), expected);
        }
        assert_eq!(words(None, false, Duration::ZERO), "not listed yet");
    }

    #[test]
    fn a_long_wait_names_its_likely_cause() {
        let pending = instance(InstanceState::Pending, true, true);
        let said = words(Some(&pending), true, SLOW);
        assert_eq!(said, "pending (AWS is short of this instance type in this zone)");
        assert!(words(None, true, SLOW).contains("somebody removed it"));
    }
}
