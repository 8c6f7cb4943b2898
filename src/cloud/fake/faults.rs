//! Faults on the way to a cloud: refusals, lost requests and replies, and the death of the caller.
//!
//! Wraps any [`Cloud`], so the same sweep runs over the fake and over a real
//! endpoint. Changing calls are counted from 1, in the order they arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ipnet::Ipv4Net;
use plan::model::{Call, Instance, Inventory};

use crate::error::CloudError;
use crate::seam::{Caller, Cloud, Image, ImageQuery, InstanceType, Neighbour, Outcome, Permission, Zone};

/// The error code by which a test knows that the process is to count as dead.
pub const CRASH: &str = "Crash";

/// Which call a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The nth changing call.
    Change(u32),
    /// Each nth changing call.
    EachChange(u32),
    /// The nth call of one action (`RunInstances`; for reads `Inventory`,
    /// `DescribeInstances`, `GetCallerIdentity`, `DescribeImages`,
    /// `DescribeAvailabilityZones`, `DescribeInstanceTypes`, `GetConsoleOutput`).
    Nth(&'static str, u32),
}

/// What happens to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this code and does nothing.
    Refuse(&'static str),
    /// It never arrives; the caller cannot know.
    LoseRequest,
    /// It takes effect; the reply is lost.
    LoseReply,
    /// The caller dies before it.
    CrashBefore,
    /// It takes effect; the caller dies before it learns.
    CrashAfter,
}

#[derive(Default)]
struct State {
    faults: Vec<(When, Fault)>,
    changes: u32,
    calls: BTreeMap<String, u32>,
    log: Vec<String>,
    crashed: bool,
}

/// A cloud behind a faulty way.
pub struct Faults {
    cloud: Arc<dyn Cloud>,
    state: Mutex<State>,
}

impl Faults {
    /// A way without faults: it only counts.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>) -> Self {
        Self { cloud, state: Mutex::new(State::default()) }
    }

    /// Adds a fault. Of several that fit one call the first added holds.
    #[must_use]
    pub fn with(self, when: When, fault: Fault) -> Self {
        self.lock().faults.push((when, fault));
        self
    }

    /// Changing calls so far, faulty ones included.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.lock().changes
    }

    /// Calls so far, by action.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u32> {
        self.lock().calls.clone()
    }

    /// Changing calls so far with what came of each, a line each.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// Whether a crash has been met. Until [`Faults::revive`] every call then fails with [`CRASH`].
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.lock().crashed
    }

    /// The process is started again.
    pub fn revive(&self) {
        self.lock().crashed = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and gives the fault it meets.
    fn meet(&self, action: &'static str, changing: bool) -> Result<Option<Fault>, CloudError> {
        let mut state = self.lock();
        if state.crashed {
            return Err(crash(action));
        }
        let nth = {
            let count = state.calls.entry(action.to_owned()).or_insert(0);
            *count += 1;
            *count
        };
        state.changes += u32::from(changing);
        let change = state.changes;
        let fits = |when: &When| match *when {
            When::Change(n) => changing && change == n,
            When::EachChange(n) => changing && n > 0 && change.is_multiple_of(n),
            When::Nth(name, n) => name == action && nth == n,
        };
        let fault = state.faults.iter().find(|(when, _)| fits(when)).map(|(_, fault)| *fault);
        if fault == Some(Fault::CrashBefore) {
            state.crashed = true;
            state.log.push(format!("{action}: crash before"));
            return Err(crash(action));
        }
        Ok(fault)
    }

    /// Before a reading call: a read that is lost is only an error.
    fn read(&self, action: &'static str) -> Result<(), CloudError> {
        match self.meet(action, false)? {
            None => Ok(()),
            Some(Fault::Refuse(code)) => Err(refusal(action, code)),
            Some(Fault::CrashBefore | Fault::CrashAfter) => {
                self.lock().crashed = true;
                Err(crash(action))
            }
            Some(Fault::LoseRequest | Fault::LoseReply) => {
                Err(CloudError::refused(action, "Timeout", "no reply in time (injected)"))
            }
        }
    }
}

fn crash(action: &str) -> CloudError {
    CloudError::lost(action, CRASH, "the process is dead (injected)")
}

fn refusal(action: &str, code: &str) -> CloudError {
    CloudError::refused(action, code, "injected")
}

#[async_trait]
impl Cloud for Faults {
    async fn apply(&self, call: &Call<String>) -> Result<Outcome, CloudError> {
        let action = call.action_name();
        let fault = self.meet(action, true)?;
        let result = match fault {
            Some(Fault::Refuse(code)) => Err(refusal(action, code)),
            Some(Fault::LoseRequest) => {
                Err(CloudError::lost(action, "Timeout", "the request was lost (injected)"))
            }
            _ => self.cloud.apply(call).await,
        };
        let mut state = self.lock();
        state.log.push(match (&result, fault) {
            (Ok(outcome), _) => format!("{action}: {}", outcome.id.as_deref().unwrap_or("done")),
            (Err(error), _) => error.to_string(),
        });
        match fault {
            Some(Fault::LoseReply) => {
                Err(CloudError::lost(action, "Timeout", "the reply was lost (injected)"))
            }
            Some(Fault::CrashAfter) => {
                state.crashed = true;
                Err(crash(action))
            }
            // Another call's crash: this one's answer reaches nobody either.
            _ if state.crashed => Err(crash(action)),
            _ => result,
        }
    }

    async fn permission(&self, call: &Call<String>) -> Result<Permission, CloudError> {
        self.read("DryRun")?;
        self.cloud.permission(call).await
    }

    async fn caller(&self) -> Result<Caller, CloudError> {
        self.read("GetCallerIdentity")?;
        self.cloud.caller().await
    }

    async fn inventory(&self, name: &str) -> Result<Inventory, CloudError> {
        self.read("Inventory")?;
        self.cloud.inventory(name).await
    }

    async fn instances(&self, name: &str) -> Result<Vec<Instance>, CloudError> {
        self.read("DescribeInstances")?;
        self.cloud.instances(name).await
    }

    async fn image(&self, query: &ImageQuery) -> Result<Option<Image>, CloudError> {
        self.read("DescribeImages")?;
        self.cloud.image(query).await
    }

    async fn neighbours(&self, name: &str, cidr: Ipv4Net) -> Result<Vec<Neighbour>, CloudError> {
        self.read("DescribeVpcs")?;
        self.cloud.neighbours(name, cidr).await
    }

    async fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        self.read("DescribeAvailabilityZones")?;
        self.cloud.zones().await
    }

    async fn instance_types(&self, names: &BTreeSet<String>) -> Result<Vec<InstanceType>, CloudError> {
        self.read("DescribeInstanceTypes")?;
        self.cloud.instance_types(names).await
    }

    async fn console_output(&self, instance: &str) -> Result<String, CloudError> {
        self.read("GetConsoleOutput")?;
        self.cloud.console_output(instance).await
    }
}
