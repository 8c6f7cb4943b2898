//! What the daemon remembers about one machine between polls.
//!
//! Only what the disk and the process table do not say: what was asked of it, how
//! often it ended, whether it has booted. A new daemon starts without and loses
//! nothing by it.

use std::time::{Duration, Instant};

use tokio::process::Child;

use crate::decide::{Action, Body};
use crate::machine;
use crate::process::Process;

/// A machine that keeps ending waits longer each time, up to this.
const LONGEST_PAUSE_MS: u64 = 30_000;
/// A machine that has run this long may end without a pause.
const SETTLED_MS: u64 = 60_000;
/// Version 1 of the metadata closes after this time even if cloud-init hangs.
const BOOT_LIMIT: Duration = Duration::from_secs(600);

/// What is remembered about a machine between polls.
#[derive(Default)]
pub(crate) struct Memory {
    /// An action is at work on it.
    pub(crate) busy: bool,
    /// Its cable went with a router that is no more.
    pub(crate) cut: bool,
    /// When it was asked to shut down.
    pub(crate) stopping_since_ms: Option<u64>,
    /// Its systemd-nspawn, as last seen.
    pub(crate) process: Option<Process>,
    /// Since when it has run, as far as this daemon knows.
    pub(crate) since: Option<Instant>,
    /// cloud-init has finished since then.
    pub(crate) booted: bool,
    /// Ends in a row that nobody asked for.
    pub(crate) failures: u32,
    /// It is not to be started before.
    pub(crate) not_before_ms: u64,
    /// Why there can be no machine, once said.
    pub(crate) refused: Option<String>,
    /// Its process, to be reaped.
    pub(crate) child: Option<Child>,
}

impl Memory {
    /// What there is, now that `running` was looked up; notices that it ended.
    pub(crate) fn body(&mut self, running: Option<Process>, plugged: bool, now_ms: u64) -> Body {
        match (running, self.stopping_since_ms) {
            (Some(_), Some(since_ms)) => Body::Stopping { since_ms },
            (Some(_), None) if self.cut || !plugged => Body::Cut,
            (Some(process), None) => {
                self.process = Some(process);
                // An adopted one has run for longer than that; it only counts as less settled.
                self.since.get_or_insert_with(Instant::now);
                Body::Running
            }
            (None, _) => {
                self.ended(now_ms);
                Body::Stopped { not_before_ms: self.not_before_ms, plugged }
            }
        }
    }

    fn ended(&mut self, now_ms: u64) {
        let asked = self.stopping_since_ms.take().is_some();
        let Some(since) = self.since.take() else { return };
        self.process = None;
        self.booted = false;
        if asked || since.elapsed() > Duration::from_millis(SETTLED_MS) {
            self.failures = 0;
            self.not_before_ms = 0;
        } else {
            self.pause(now_ms);
        }
    }

    /// Puts the next start off. The first end costs nothing: it is most likely a reboot.
    pub(crate) fn pause(&mut self, now_ms: u64) {
        let wait_ms = if self.failures == 0 { 0 } else { 500_u64 << self.failures.min(6) };
        self.failures += 1;
        self.not_before_ms = now_ms + wait_ms.min(LONGEST_PAUSE_MS);
    }

    /// Notes what a finished action leaves: the machine's process, to be watched and reaped.
    pub(crate) fn acted(&mut self, action: &Action, child: Option<Child>, process: Option<Process>) {
        self.child = child.or(self.child.take());
        self.cut = false;
        match action {
            Action::Start(_) => {
                self.process = process;
                self.since = Some(Instant::now());
                self.booted = false;
                self.stopping_since_ms = None;
            }
            Action::End(_) | Action::Remove(_) | Action::Stop(_) | Action::Refuse(..) => {}
        }
    }

    /// Whether cloud-init may still be asking for metadata the old way.
    pub(crate) fn is_booting(&mut self) -> bool {
        if self.booted {
            return false;
        }
        let (Some(process), Some(since)) = (self.process, self.since) else { return true };
        self.booted = since.elapsed() > BOOT_LIMIT || !machine::is_booting(process);
        !self.booted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Process {
        Process::of(std::process::id()).unwrap()
    }

    #[test]
    fn a_machine_that_keeps_ending_waits_longer_each_time_up_to_a_bound() {
        let mut memory = Memory::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            memory.acted(&Action::Start(String::new()), None, Some(own()));
            assert_eq!(memory.body(Some(own()), true, 0), Body::Running);
            let Body::Stopped { not_before_ms, .. } = memory.body(None, true, 0) else { panic!("it ended") };
            waits.push(not_before_ms);
        }
        assert_eq!(waits, [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn an_end_that_was_asked_for_forgives_the_earlier_ones() {
        let mut memory = Memory { failures: 3, not_before_ms: 99, ..Memory::default() };
        memory.acted(&Action::Start(String::new()), None, Some(own()));
        memory.stopping_since_ms = Some(5);
        assert_eq!(memory.body(Some(own()), true, 9), Body::Stopping { since_ms: 5 });
        assert_eq!(memory.body(None, true, 9), Body::Stopped { not_before_ms: 0, plugged: true });
    }

    #[test]
    fn a_machine_that_nobody_has_seen_start_counts_as_booting_until_it_is_seen() {
        assert!(Memory::default().is_booting());
        assert!(!Memory { booted: true, ..Memory::default() }.is_booting());
    }
}
