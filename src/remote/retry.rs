//! Connecting to a machine that is still coming up.
//!
//! Owns which failures are worth another attempt and how long to wait between two.
//! Time and stopping come from the caller.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use base::{Clock, Shutdown};
use jiff::Timestamp;

use crate::{Remote, RemoteError, Session, Target};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A failed attempt that another one will follow.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Counted from 1.
    pub number: u32,
    /// Why it failed.
    pub error: &'a RemoteError,
    /// Time since the first attempt began.
    pub elapsed: Duration,
    /// Pause before the next attempt.
    pub pause: Duration,
}

/// Connects to `target`, trying again until `deadline` while the machine is not up,
/// is booting, or does not know our key yet. A wrong host key ends it at once.
///
/// An attempt that is under way at the deadline is finished, so this can overrun it by
/// the limits of one attempt. The pauses grow from a quarter of a second to two, spread
/// by slot so that a fleet does not knock in step.
pub async fn connect_until(
    remote: &dyn Remote,
    target: &Target,
    deadline: Timestamp,
    clock: &dyn Clock,
    shutdown: &Shutdown,
    on_attempt: &mut (dyn FnMut(&Attempt<'_>) + Send),
) -> Result<Box<dyn Session>, RemoteError> {
    let cancelled = || RemoteError::Cancelled { at: target.at() };
    let started = clock.now();
    for number in 1_u32.. {
        let error = match shutdown.race(remote.connect(target)).await {
            None => return Err(cancelled()),
            Some(Ok(session)) => return Ok(session),
            Some(Err(error)) if !error.may_pass() => return Err(error),
            Some(Err(error)) => error,
        };
        let elapsed = since(started, clock.now());
        let left = since(clock.now(), deadline);
        if left.is_zero() && number == 1 {
            return Err(error); // it was only looked once: nothing was given up
        }
        if left.is_zero() {
            return Err(RemoteError::GaveUp {
                at: target.at(),
                attempts: number,
                waited: elapsed,
                last: Box::new(error),
            });
        }
        let pause = pause(&target.slot, number).min(left);
        on_attempt(&Attempt { number, error: &error, elapsed, pause });
        if shutdown.race(clock.sleep(pause)).await.is_none() {
            break;
        }
    }
    Err(cancelled())
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// Between half and all of a pause that doubles every fourth attempt, chosen by slot and attempt.
fn pause(slot: &str, number: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << (number / 4).min(8)).min(LONGEST_PAUSE);
    let mut hasher = DefaultHasher::new();
    (slot, number).hash(&mut hasher);
    let part = u32::try_from(hasher.finish() % 512).unwrap_or(0);
    longest / 2 + longest.saturating_mul(part) / 1024
}
