//! Makes one changing call, whatever AWS answers, so that it happens once.
//!
//! Its intent is on disk before the first try and stays open until the outcome
//! is known. A lost reply is looked for in listings before the call is
//! repeated; how long depends on what a second call would do ([`Repeat`]).

use std::sync::Arc;
use std::time::Duration;

use base::chain;
use cloud::{CloudError, Outcome};
use plan::model::Call;
use tokio::sync::Semaphore;

use super::backoff::Backoff;
use super::evidence::{self, Evidence, Repeat};
use super::progress::Report;
use super::verdict::{self, Verdict};
use super::{ActionError, Context, label, remember};

/// Makes calls, a bounded number at once.
pub(crate) struct Calls<'a> {
    context: &'a Context<'a>,
    permits: Semaphore,
    blocked: Blocked,
}

/// What a removal does that something else still stands in the way of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Try again: what is in the way is being removed beside it.
    Retry,
    /// Fail: the caller looks again.
    Fail,
}

/// A call whose intent is on disk.
pub(crate) struct Announced {
    pub(crate) seq: u64,
    pub(crate) call: Call<String>,
    /// It may have taken effect already.
    pub(crate) doubt: bool,
}

/// What to do after an answer.
enum Next {
    Finished(Result<Outcome, ActionError>),
    /// Call again; why.
    Again(CloudError),
}

impl<'a> Calls<'a> {
    pub(crate) fn new(context: &'a Context<'a>, blocked: Blocked) -> Self {
        Self { context, permits: Semaphore::new(context.limits.calls), blocked }
    }

    /// Announces `call` and makes it.
    pub(crate) async fn perform(
        &self,
        call: &Call<String>,
        report: &Report<'_>,
    ) -> Result<Outcome, ActionError> {
        if self.context.shutdown.is_triggered() {
            return Err(ActionError::Interrupted);
        }
        let seq = self.context.journal.intent(self.context.clock.now(), call)?;
        self.carry_out(Announced { seq, call: call.clone(), doubt: false }, report).await
    }

    /// Makes an announced call. One that may have taken effect is looked for first.
    pub(crate) async fn carry_out(
        &self,
        mut announced: Announced,
        report: &Report<'_>,
    ) -> Result<Outcome, ActionError> {
        if announced.doubt
            && let Some(result) = self.look_and_close(&announced, report).await?
        {
            return result;
        }
        let mut backoff = Backoff::new(self.context.limits.tries);
        loop {
            let error = match self.apply(&announced.call).await {
                Ok(outcome) => return self.finish(&announced, outcome),
                Err(error) => error,
            };
            let error = match self.after(&mut announced, error, report).await? {
                Next::Finished(result) => return result,
                Next::Again(error) => error,
            };
            let Some(delay) = backoff.next(self.context.ids) else {
                return self.give_up(&announced, error);
            };
            report.retrying(chain(&error), delay);
            self.pause(delay).await?;
        }
    }

    async fn apply(&self, call: &Call<String>) -> Result<Outcome, CloudError> {
        let _permit = self.permits.acquire().await; // never closed
        self.context.cloud.apply(call).await
    }

    async fn after(
        &self,
        announced: &mut Announced,
        error: CloudError,
        report: &Report<'_>,
    ) -> Result<Next, ActionError> {
        let verdict = verdict::judge(&announced.call, &error);
        Ok(match verdict {
            Verdict::Later | Verdict::NotYet => Next::Again(error),
            Verdict::Blocked if self.blocked == Blocked::Retry => Next::Again(error),
            Verdict::Unsure => {
                announced.doubt = true;
                self.note(announced, &error, true)?;
                match self.look_and_close(announced, report).await? {
                    Some(result) => Next::Finished(result),
                    None => Next::Again(error),
                }
            }
            Verdict::Gone | Verdict::Duplicate => self.compare(announced, error, verdict, report).await?,
            Verdict::Mismatch => {
                self.note(announced, &error, false)?;
                let label = label::of_call(&announced.call);
                Next::Finished(Err(ActionError::Mismatch { label, source: Box::new(error) }))
            }
            Verdict::Replace => {
                self.note(announced, &error, false)?;
                Next::Finished(Err(refused(announced, error)))
            }
            Verdict::Blocked | Verdict::Stop => Next::Finished(self.give_up(announced, error)),
        })
    }

    /// Looks for a call that may have taken effect. `None`: it may be made (again).
    async fn look_and_close(
        &self,
        announced: &Announced,
        report: &Report<'_>,
    ) -> Result<Option<Result<Outcome, ActionError>>, ActionError> {
        let listings = match evidence::repeat(&announced.call) {
            Repeat::Unprotected => self.context.limits.listings,
            Repeat::Harmless | Repeat::Token => 1,
        };
        Ok(match self.look(&announced.call, listings, report).await? {
            Evidence::Found(outcome) => Some(self.finish(announced, outcome)),
            Evidence::Ended(reason) => {
                let reason = reason.unwrap_or_else(|| "AWS gave no reason".to_owned());
                self.close(announced, &reason)?;
                let slot = announced.call.creates().unwrap_or_default().to_owned();
                Some(Err(ActionError::Ended { slot, id: String::new(), reason }))
            }
            Evidence::Differs(what) => {
                self.close(announced, &what)?;
                Some(Err(ActionError::Differs { label: label::of_call(&announced.call), what }))
            }
            Evidence::Absent => None,
        })
    }

    /// AWS says that what the call would make is there, or what it would remove is not: is that so?
    async fn compare(
        &self,
        announced: &mut Announced,
        error: CloudError,
        verdict: Verdict,
        report: &Report<'_>,
    ) -> Result<Next, ActionError> {
        if let Some(rest) = self.rest(&announced.call).await? {
            return Ok(match rest {
                None => Next::Finished(self.finish(announced, Outcome::default())),
                Some(rest) => {
                    announced.call = rest;
                    Next::Again(error)
                }
            });
        }
        if verdict == Verdict::Gone {
            return Ok(Next::Finished(self.finish(announced, Outcome::default())));
        }
        let what = match self.look(&announced.call, self.context.limits.listings, report).await? {
            Evidence::Found(outcome) => return Ok(Next::Finished(self.finish(announced, outcome))),
            Evidence::Differs(what) => what,
            Evidence::Ended(_) | Evidence::Absent => {
                format!(
                    "AWS says {} ({}), and no listing of this cluster shows it",
                    error.code, error.message
                )
            }
        };
        self.close(announced, &what)?;
        Ok(Next::Finished(Err(ActionError::Differs { label: label::of_call(&announced.call), what })))
    }

    /// For a call on several things at once: the part that is still to do,
    /// `Some(None)` if that is nothing. `None`: the call is about one thing.
    async fn rest(&self, call: &Call<String>) -> Result<Option<Option<Call<String>>>, ActionError> {
        if !evidence::is_batch(call) {
            return Ok(None);
        }
        let inventory = self.context.inventory().await?;
        Ok(Some(evidence::rest_of_batch(call, &inventory)))
    }

    /// What up to `listings` listings over the time of absence say of `call`.
    async fn look(
        &self,
        call: &Call<String>,
        listings: u32,
        report: &Report<'_>,
    ) -> Result<Evidence, ActionError> {
        let began = self.context.clock.now();
        let mut seen = 0;
        loop {
            let evidence = match call {
                Call::RunInstances(request) => {
                    evidence::of_launch(&request.client_token, &self.context.instances().await?)
                }
                _ => evidence::of_call(call, &self.context.inventory().await?),
            };
            seen += 1;
            let enough = listings == 1 || self.context.is_absent_since(began, seen);
            if evidence != Evidence::Absent || enough {
                return Ok(evidence);
            }
            report.waiting("AWS's lists", "they do not show whether the call took effect", None);
            self.pause(self.context.between_listings()).await?;
        }
    }

    /// It took effect: on disk in the journal, then in the state.
    pub(crate) fn finish(&self, announced: &Announced, outcome: Outcome) -> Result<Outcome, ActionError> {
        let now = self.context.clock.now();
        self.context.journal.done(now, announced.seq, &outcome)?;
        remember::record(self.context.store, now, &announced.call, &outcome)?;
        Ok(outcome)
    }

    /// No more tries. A launch that may have taken effect stays open: its token must not be forgotten.
    fn give_up(&self, announced: &Announced, error: CloudError) -> Result<Outcome, ActionError> {
        let unknown = announced.doubt && evidence::repeat(&announced.call) != Repeat::Harmless;
        self.note(announced, &error, unknown)?;
        Err(refused(announced, error))
    }

    fn note(&self, announced: &Announced, error: &CloudError, unknown: bool) -> Result<(), ActionError> {
        let now = self.context.clock.now();
        Ok(self.context.journal.failed(now, announced.seq, &chain(error), unknown)?)
    }

    fn close(&self, announced: &Announced, why: &str) -> Result<(), ActionError> {
        Ok(self.context.journal.failed(self.context.clock.now(), announced.seq, why, false)?)
    }

    async fn pause(&self, delay: Duration) -> Result<(), ActionError> {
        self.context.pause(delay).await
    }
}

fn refused(announced: &Announced, source: CloudError) -> ActionError {
    ActionError::Call { label: label::of_call(&announced.call), source: Box::new(source) }
}

impl Context<'_> {
    /// Everything of the cluster.
    pub(crate) async fn inventory(&self) -> Result<plan::model::Inventory, ActionError> {
        self.cloud.inventory(self.cluster).await.map_err(|e| ActionError::List(Arc::new(e)))
    }

    pub(crate) async fn instances(&self) -> Result<Vec<plan::model::Instance>, ActionError> {
        self.cloud.instances(self.cluster).await.map_err(|e| ActionError::List(Arc::new(e)))
    }

    /// Whether `seen` listings since `began` make an absence certain.
    pub(crate) fn is_absent_since(&self, began: jiff::Timestamp, seen: u32) -> bool {
        seen >= self.limits.listings && self.since(began) >= self.limits.absence
    }

    pub(crate) fn since(&self, began: jiff::Timestamp) -> Duration {
        Duration::try_from(self.clock.now().duration_since(began)).unwrap_or_default()
    }

    /// So that the last of the listings falls at the end of the time of absence.
    pub(crate) fn between_listings(&self) -> Duration {
        self.limits.absence / self.limits.listings.saturating_sub(1).max(1)
    }

    /// Waits, unless Ctrl-C comes first.
    pub(crate) async fn pause(&self, delay: Duration) -> Result<(), ActionError> {
        self.shutdown.race(self.clock.sleep(delay)).await.ok_or(ActionError::Interrupted)
    }
}
