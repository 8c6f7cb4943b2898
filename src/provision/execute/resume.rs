//! Coming back after a crash, or just after another run: the listing, the
//! journal and the state made to agree before anything is decided.

use plan::model::{Call, InstanceState, Inventory};

use super::evidence::{self, Evidence, Repeat};
use super::progress::Report;
use super::{ActionError, Context, label, remember};
use crate::journal::Open;

/// Reads what there is, when it can be relied on.
///
/// AWS lists new resources late, so the listing is repeated until it shows
/// every id that the state knows and every open call of the journal, or the
/// time of absence has passed (for what AWS gave lately, a longer one). Calls found are closed; others too, except
/// launches: those stay open, and running a plan that fills their slot replays
/// them. Changes nothing in AWS.
///
/// # Errors
/// A listing that fails, or a state or journal that cannot be written.
pub async fn settle(context: &Context<'_>) -> Result<Inventory, ActionError> {
    recall(context)?;
    let report = Report::new(context.progress, context.clock, None, "looking");
    let began = context.clock.now();
    let mut listings = 0;
    loop {
        let inventory = context.inventory().await?;
        listings += 1;
        close_found(context, &inventory)?;
        forget_ended(context, &inventory)?;
        let certain = context.is_absent_since(began, listings) && !is_young_missing(context, &inventory);
        if certain || !is_waiting_useful(context, &inventory) {
            close_absent(context, &inventory)?;
            forget_absent(context, &inventory)?;
            return Ok(inventory);
        }
        report.waiting("AWS's lists", &missing_words(context, &inventory), None);
        context.pause(context.between_listings()).await?;
    }
}

/// What the lists do not show, in words.
fn missing_words(context: &Context<'_>, inventory: &Inventory) -> String {
    let ids = context.store.read(|state| unlisted(state, inventory));
    let calls = context.journal.open_calls();
    let calls = calls.iter().map(|open| label::of_call(&open.call));
    let words: Vec<String> = ids.into_iter().chain(calls).collect();
    format!("not to be seen yet: {}", words.join(", "))
}

/// What the journal knows and a crash kept from the state.
fn recall(context: &Context<'_>) -> Result<(), ActionError> {
    for (call, outcome) in context.journal.finished() {
        remember::record(context.store, context.clock.now(), &call, &outcome)?;
    }
    Ok(())
}

fn close_found(context: &Context<'_>, inventory: &Inventory) -> Result<(), ActionError> {
    for open in context.journal.open_calls() {
        let now = context.clock.now();
        match evidence::of_call(&open.call, inventory) {
            Evidence::Found(outcome) => {
                context.journal.done(now, open.seq, &outcome)?;
                remember::record(context.store, now, &open.call, &outcome)?;
            }
            Evidence::Ended(reason) => {
                let reason = reason.unwrap_or_else(|| "AWS gave no reason".to_owned());
                context.journal.failed(now, open.seq, &format!("the instance ended: {reason}"), false)?;
            }
            Evidence::Differs(what) => context.journal.failed(now, open.seq, &what, false)?,
            Evidence::Absent => {}
        }
    }
    Ok(())
}

/// Whether another listing may show something that this one did not.
fn is_waiting_useful(context: &Context<'_>, inventory: &Inventory) -> bool {
    let open = context.journal.open_calls();
    let unprotected = open.iter().any(|open| evidence::repeat(&open.call) != Repeat::Harmless);
    unprotected || context.store.read(|state| !unlisted(state, inventory).is_empty())
}

/// Whether something is missing that AWS gave so lately that its lists may not show it yet.
fn is_young_missing(context: &Context<'_>, inventory: &Inventory) -> bool {
    context.store.read(|state| {
        let missing = unlisted(state, inventory);
        let known =
            state.slots.values().filter(|slot| slot.id.as_ref().is_some_and(|id| missing.contains(id)));
        known.filter_map(|slot| slot.since).any(|since| context.since(since) < context.limits.young)
    })
}

fn unlisted(state: &crate::state::StateFile, inventory: &Inventory) -> Vec<String> {
    let known = state.slots.values().filter_map(|slot| slot.id.clone());
    known.filter(|id| !evidence::is_listed(id, inventory)).collect()
}

/// Terminated instances fill no slot.
fn forget_ended(context: &Context<'_>, inventory: &Inventory) -> Result<(), ActionError> {
    let ended = inventory.instances.iter().filter(|i| i.state == InstanceState::Terminated);
    forget(context, ended.map(|i| i.id.clone()).collect())
}

fn forget_absent(context: &Context<'_>, inventory: &Inventory) -> Result<(), ActionError> {
    forget(context, context.store.read(|state| unlisted(state, inventory)))
}

fn forget(context: &Context<'_>, ids: Vec<String>) -> Result<(), ActionError> {
    let known = |id: &String| context.store.read(|s| s.slots.values().any(|x| x.id.as_ref() == Some(id)));
    let ids: Vec<String> = ids.into_iter().filter(known).collect();
    if ids.is_empty() {
        return Ok(());
    }
    context.store.update(|state| ids.iter().for_each(|id| remember::forget(state, id)))?;
    Ok(())
}

/// Closes what is certain not to have happened, and what the next plan decides anew.
pub(crate) fn close_absent(context: &Context<'_>, inventory: &Inventory) -> Result<(), ActionError> {
    for open in context.journal.open_calls() {
        if may_still_appear(context, &open, inventory) {
            continue;
        }
        let why = "not to be seen in repeated listings";
        context.journal.failed(context.clock.now(), open.seq, why, false)?;
    }
    Ok(())
}

/// A launch whose reply was lost can appear as long as its subnet is there, for a while.
fn may_still_appear(context: &Context<'_>, open: &Open, inventory: &Inventory) -> bool {
    let Call::RunInstances(request) = &open.call else { return false };
    let subnet = inventory.subnets.iter().any(|s| s.id == request.subnet);
    subnet && context.since(open.at) < context.limits.lost_launch
}
