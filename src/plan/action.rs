//! A plan: the actions `up` runs, what each waits for, and how they read.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::model::{Call, Ref};
use crate::step::{Role, Step};

/// One thing `up` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum Action {
    /// One call to AWS.
    #[serde(rename_all = "camelCase")]
    Cloud {
        /// The call, resources that do not exist yet named by slot.
        request: Call<Ref>,
        /// Why, where it is not plain from the call itself.
        reason: Option<String>,
    },
    /// One bootstrap step on one node. The first waits for the instance to run.
    #[serde(rename_all = "camelCase")]
    Bootstrap {
        /// The node's slot.
        slot: String,
        /// What the node is for.
        role: Role,
        /// The step.
        step: Step,
    },
}

/// The actions between what is and what should be. Empty means: nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// In an order in which running them one by one would work.
    pub actions: Vec<Action>,
    /// What a person should know beside them.
    pub notes: Vec<String>,
}

impl Plan {
    /// For each action, the indices of those that must have succeeded before it starts.
    ///
    /// - a call waits for the calls that create the slots it names;
    /// - a launch waits also for every route, association and rule, so that a
    ///   machine is reachable the moment it boots;
    /// - a node's first step waits for its launch, for starts, and likewise for
    ///   what makes it reachable; each further one for the one before; a worker's
    ///   binary step waits for every master's artifacts step;
    /// - removing a duplicate or a rule waits for nothing.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Vec<usize>> {
        let creators = self.creators();
        let mut last_step: BTreeMap<&str, usize> = BTreeMap::new();
        let mut result = Vec::with_capacity(self.actions.len());
        for (index, action) in self.actions.iter().enumerate() {
            let mut needs = match action {
                Action::Cloud { request, .. } => self.needs_of_call(request, &creators),
                Action::Bootstrap { slot, role, step } => {
                    let mut needs: Vec<usize> = match last_step.insert(slot, index) {
                        Some(previous) => vec![previous],
                        None => self.first_step_needs(slot, &creators),
                    };
                    if *step == Step::Binary && *role == Role::Worker {
                        needs.extend(self.artifact_steps());
                    }
                    needs
                }
            };
            needs.sort_unstable();
            needs.dedup();
            result.push(needs);
        }
        result
    }

    /// A node is talked to once it is launched or started, and once the rules
    /// and routes by which it is reached are what they should be.
    fn first_step_needs(&self, slot: &str, creators: &BTreeMap<&str, usize>) -> Vec<usize> {
        let starts = self
            .positions(|action| matches!(action, Action::Cloud { request: Call::StartInstances { .. }, .. }));
        creators.get(slot).copied().into_iter().chain(starts).chain(self.reachability()).collect()
    }

    /// Which action fills each slot.
    fn creators(&self) -> BTreeMap<&str, usize> {
        let mut creators = BTreeMap::new();
        for (index, action) in self.actions.iter().enumerate() {
            if let Action::Cloud { request, .. } = action
                && let Some(slot) = request.creates()
            {
                creators.insert(slot, index);
            }
        }
        creators
    }

    fn needs_of_call(&self, call: &Call<Ref>, creators: &BTreeMap<&str, usize>) -> Vec<usize> {
        let mut needs = Vec::new();
        let named: Result<Call<()>, std::convert::Infallible> = call.try_map(|name| {
            if let Ref::Slot(slot) = name {
                needs.extend(creators.get(slot.as_str()));
            }
            Ok(())
        });
        let Ok(_) = named;
        if matches!(call, Call::RunInstances(_)) {
            needs.extend(self.reachability());
        }
        if let Call::CreateRoute { gateway, .. } = call {
            needs.extend(self.attachment_of(gateway));
        }
        needs
    }

    /// The actions that make a machine reachable, and the key pair's.
    fn reachability(&self) -> impl Iterator<Item = usize> + '_ {
        self.positions(|action| {
            matches!(
                action,
                Action::Cloud {
                    request: Call::CreateRoute { .. }
                        | Call::AssociateRouteTable { .. }
                        | Call::AuthorizeSecurityGroupIngress { .. }
                        | Call::ImportKeyPair { .. },
                    ..
                }
            )
        })
    }

    fn attachment_of<'a>(&'a self, gateway: &'a Ref) -> impl Iterator<Item = usize> + 'a {
        self.positions(move |action| {
            matches!(action, Action::Cloud { request: Call::AttachInternetGateway { gateway: g, .. }, .. } if g == gateway)
        })
    }

    fn artifact_steps(&self) -> impl Iterator<Item = usize> + '_ {
        self.positions(|action| matches!(action, Action::Bootstrap { step: Step::Artifacts, .. }))
    }

    fn positions<'a>(&'a self, f: impl Fn(&Action) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
        self.actions.iter().enumerate().filter(move |(_, action)| f(action)).map(|(index, _)| index)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cloud { request, reason: None } => write!(f, "{request}"),
            Self::Cloud { request, reason: Some(reason) } => write!(f, "{request} ({reason})"),
            Self::Bootstrap { slot, step, .. } => write!(f, "{slot}: {step} ({})", step.purpose()),
        }
    }
}
