//! Fills a slot with a running machine: one attempt after the other, each journaled whole.

use base::chain;
use plan::model::{Call, LaunchRequest};

use super::backoff::Backoff;
use super::calls::Announced;
use super::error::ActionError;
use super::progress::Report;
use super::seams::NodeAddress;
use super::verdict::{self, Verdict};
use super::{Run, remember};

impl Run<'_> {
    /// Asks for the machine of `request.slot` until one runs, or attempts are used up.
    pub(super) async fn launch(
        &self,
        request: &LaunchRequest<String>,
        report: &Report<'_>,
    ) -> Result<String, ActionError> {
        let mut backoff = Backoff::new(self.context.limits.attempts);
        loop {
            let error = match self.attempt(request, report).await {
                Ok(node) => {
                    let id = node.instance_id.clone();
                    remember::lock(&self.nodes).insert(request.slot.clone(), node);
                    return Ok(id);
                }
                Err(error) if is_worth_another(&error, request) => error,
                Err(error) => return Err(error),
            };
            let Some(delay) = backoff.next(self.context.ids) else { return Err(error) };
            report.retrying(chain(&error), delay);
            self.context.pause(delay).await?;
        }
    }

    /// One attempt: the open one of an earlier run, replayed as it stands, or a new one.
    async fn attempt(
        &self,
        request: &LaunchRequest<String>,
        report: &Report<'_>,
    ) -> Result<NodeAddress, ActionError> {
        let announced = match self.context.journal.open_launch(&request.slot) {
            Some((seq, journaled)) => Announced { seq, call: Call::RunInstances(journaled), doubt: true },
            None => {
                let call = Call::RunInstances(self.fresh(request).await?);
                if self.context.shutdown.is_triggered() {
                    return Err(ActionError::Interrupted);
                }
                let seq = self.context.journal.intent(self.context.clock.now(), &call)?;
                Announced { seq, call, doubt: false }
            }
        };
        let outcome = self.calls.carry_out(announced, report).await?;
        let Some(id) = outcome.id else {
            return Err(ActionError::NoId { label: report.label().to_owned() });
        };
        remember::lock(&self.ids).insert(request.slot.clone(), id.clone());
        self.poller.running(&request.slot, &id, request.public_address, report).await
    }

    /// The whole request of a new attempt. Its token is in the state before it is announced.
    async fn fresh(&self, request: &LaunchRequest<String>) -> Result<LaunchRequest<String>, ActionError> {
        let slot = &request.slot;
        let attempt = self.context.store.read(|s| s.slots.get(slot).map_or(0, |s| s.attempt)) + 1;
        let prepared = self.launcher.prepare(slot, attempt).await?;
        let token = self.context.ids.next();
        self.context.store.update(|state| {
            let slot = state.slot_mut(slot);
            (slot.id, slot.since) = (None, None);
            (slot.attempt, slot.client_token) = (attempt, Some(token.clone()));
        })?;
        Ok(LaunchRequest { client_token: token, user_data: prepared.user_data, ..request.clone() })
    }
}

/// Whether the machine failed to come up for a reason that another one need not have.
fn is_worth_another(error: &ActionError, request: &LaunchRequest<String>) -> bool {
    match error {
        ActionError::Ended { reason, .. } => verdict::is_worth_another(reason),
        ActionError::Call { source, .. } => {
            verdict::judge(&Call::RunInstances(request.clone()), source) == Verdict::Replace
        }
        _ => false,
    }
}
