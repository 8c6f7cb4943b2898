//! One action of a plan, from start to outcome.

use base::chain;
use plan::model::{Call, Ref};
use plan::{Action, Role, Step};

use super::error::{ActionError, Console, Failure};
use super::progress::{EventKind, Report};
use super::seams::NodeAddress;
use super::{Run, label, remember};

/// So much of a console tells why a boot failed and still fits a screen.
const CONSOLE_LINES: usize = 20;

impl Run<'_> {
    /// Does action `index` and tells of it.
    pub(super) async fn act(&self, index: usize) -> (usize, Result<(), Failure>) {
        let action = &self.plan.actions[index];
        let label = label::of_action(action);
        let report = Report::new(self.context.progress, self.context.clock, Some(index), &*label);
        report.tell(EventKind::Started);
        let result = match action {
            Action::Cloud { request, .. } => self.call(request, &report).await,
            Action::Bootstrap { slot, role, step } => {
                self.step(slot, *role, *step, &report).await.map(|()| None)
            }
        };
        report.tell(match &result {
            Ok(id) => EventKind::Done { id: id.clone() },
            Err(ActionError::Interrupted) => EventKind::Stopped,
            Err(error) => EventKind::Failed { error: chain(error) },
        });
        let error = match result {
            Ok(_) => return (index, Ok(())),
            Err(error) => error,
        };
        let console = match self.did_not_come_up(action, &error) {
            Some(instance) => Some(self.console(instance).await),
            None => None,
        };
        (index, Err(Failure { action: Some(index), label, error, console }))
    }

    /// The instance whose console tells more than the error does.
    fn did_not_come_up(&self, action: &Action, error: &ActionError) -> Option<String> {
        match (action, error) {
            (_, ActionError::Ended { id, .. }) => Some(id.clone()).filter(|id| !id.is_empty()),
            (Action::Bootstrap { slot, step: Step::Reach, .. }, ActionError::Step(_)) => {
                remember::lock(&self.nodes).get(slot).map(|node| node.instance_id.clone())
            }
            _ => None,
        }
    }

    async fn console(&self, instance: String) -> Console {
        let last_lines = match self.context.cloud.console_output(&instance).await {
            Ok(output) => {
                let lines: Vec<&str> = output.lines().collect();
                lines.get(lines.len().saturating_sub(CONSOLE_LINES)..).unwrap_or_default().join("\n")
            }
            Err(error) => chain(&error),
        };
        Console { instance, last_lines }
    }

    /// Makes one call, and for machines waits until they run. Gives the id of what was made.
    async fn call(&self, request: &Call<Ref>, report: &Report<'_>) -> Result<Option<String>, ActionError> {
        let call = self.resolve(request)?;
        if let Call::RunInstances(request) = &call {
            return self.launch(request, report).await.map(Some);
        }
        let outcome = self.calls.perform(&call, report).await?;
        if let Some(slot) = call.creates() {
            let Some(id) = &outcome.id else {
                return Err(ActionError::NoId { label: report.label().to_owned() });
            };
            remember::lock(&self.ids).insert(slot.to_owned(), id.clone());
        }
        if let Call::StartInstances { instances } = &call {
            for id in instances {
                self.poller.running(id, id, false, report).await?;
            }
        }
        Ok(outcome.id)
    }

    fn resolve(&self, request: &Call<Ref>) -> Result<Call<String>, ActionError> {
        let ids = remember::lock(&self.ids);
        request.try_map(|name| match name {
            Ref::Id(id) => Ok(id.clone()),
            Ref::Slot(slot) => {
                ids.get(slot).cloned().ok_or_else(|| ActionError::Unfilled { slot: slot.clone() })
            }
        })
    }

    async fn step(&self, slot: &str, role: Role, step: Step, report: &Report<'_>) -> Result<(), ActionError> {
        let node = self.node(slot, report).await?;
        let shutdown = self.context.shutdown;
        let permit = shutdown.race(self.step_permits.acquire()).await;
        let _permit = permit.ok_or(ActionError::Interrupted)?; // never closed
        let done = shutdown.race(self.steps.run(slot, role, step, &node, report)).await;
        done.ok_or(ActionError::Interrupted)?.map_err(ActionError::from)
    }

    /// Where the node of `slot` is, once it runs.
    async fn node(&self, slot: &str, report: &Report<'_>) -> Result<NodeAddress, ActionError> {
        if let Some(node) = remember::lock(&self.nodes).get(slot) {
            return Ok(node.clone());
        }
        let id = remember::lock(&self.ids).get(slot).cloned();
        let id = id.ok_or_else(|| ActionError::Unfilled { slot: slot.to_owned() })?;
        let node = self.poller.running(slot, &id, false, report).await?;
        remember::lock(&self.nodes).insert(slot.to_owned(), node.clone());
        Ok(node)
    }
}
