//! Whether a history of calls could have happened one after the other: Wing and Gong's search
//! with Lowe's memory, for one key that is read, put, compared-and-put and deleted.
//!
//! Pure: histories come from elsewhere. Each value is written at most once, which keeps the search short.

use std::collections::HashSet;

/// A key's value; `None`: it is not there.
pub(super) type Value = Option<u64>;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Read,
    Put(u64),
    /// Puts the second if the first is there.
    Swap(Value, u64),
    Delete,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A read saw this, or a swap that did not happen found it.
    Saw(Value),
    /// The change was made.
    Done,
    /// No answer: it may happen at any time after the call, or never.
    Unknown,
}

/// A call: from when to when by any clock that never runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) asked: Asked,
    pub(super) outcome: Outcome,
    pub(super) from: u64,
    /// Of no meaning where the outcome is unknown.
    pub(super) to: u64,
    /// The revision that an acknowledged put or swap was given; 0 where none is known.
    pub(super) revision: u64,
}

impl Call {
    /// The state after it, if it can happen in `state`.
    fn step(&self, state: Value) -> Option<Value> {
        match (self.asked, self.outcome) {
            (Asked::Read, Outcome::Saw(seen)) => (seen == state).then_some(state),
            (Asked::Put(value), Outcome::Done | Outcome::Unknown) => Some(Some(value)),
            (Asked::Delete, Outcome::Done | Outcome::Unknown) => Some(None),
            (Asked::Swap(expected, value), Outcome::Done | Outcome::Unknown) => {
                (expected == state).then_some(Some(value))
            }
            (Asked::Swap(expected, _), Outcome::Saw(seen)) => {
                (seen == state && expected != state).then_some(state)
            }
            // A read without answer changes nothing; the rest is not an answer to what was asked.
            _ => None,
        }
    }
}

/// Finds an order, or gives the calls that ended before it got stuck at its best.
pub(super) fn check(calls: &[Call]) -> Result<(), String> {
    let calls = &worth_a_search(calls)[..];
    let known = |call: &&Call| call.outcome != Outcome::Unknown;
    let must = calls.iter().filter(known).count();
    let mut search = Search::new(calls);
    let mut best = 0;
    loop {
        if search.done == must {
            return Ok(());
        }
        if !search.advance() && !search.back() {
            let mut sorted: Vec<_> = calls.iter().filter(known).collect();
            sorted.sort_by_key(|call| call.to);
            let near: Vec<_> = sorted.iter().skip(best.max(8) - 8).take(16).collect();
            return Err(format!("no order explains it; stuck behind {best} of {must} calls, near {near:#?}"));
        }
        best = best.max(search.done);
    }
}

/// All but changes of unknown outcome whose value nobody met: whatever is done after such a change
/// could be done without it, so an order with it is one without it.
fn worth_a_search(calls: &[Call]) -> Vec<Call> {
    let met = |call: &Call| match (call.asked, call.outcome) {
        (_, Outcome::Saw(Some(seen))) => Some(seen),
        (Asked::Swap(Some(expected), _), _) => Some(expected),
        _ => None,
    };
    let met: HashSet<u64> = calls.iter().filter_map(met).collect();
    let matters = |call: &&Call| match (call.asked, call.outcome) {
        (Asked::Read, Outcome::Unknown) => false,
        (Asked::Put(value) | Asked::Swap(_, value), Outcome::Unknown) => met.contains(&value),
        _ => true,
    };
    calls.iter().filter(matters).copied().collect()
}

struct Search<'a> {
    calls: &'a [Call],
    /// Those with an outcome first, each part by when they began: what may be left out is tried last.
    order: Vec<usize>,
    taken: Vec<bool>,
    state: Value,
    /// Calls that were taken, with the state before and the place in `order` to go on from.
    path: Vec<(usize, Value, usize)>,
    /// Where in `order` to look next.
    at: usize,
    /// Taken calls whose outcome is known.
    done: usize,
    seen: HashSet<(Vec<u64>, Value)>,
    mask: Vec<u64>,
}

impl<'a> Search<'a> {
    fn new(calls: &'a [Call]) -> Self {
        let mut order: Vec<_> = (0..calls.len()).collect();
        order.sort_by_key(|n| (calls[*n].outcome == Outcome::Unknown, calls[*n].from));
        Self {
            calls,
            order,
            taken: vec![false; calls.len()],
            state: None,
            path: Vec::new(),
            at: 0,
            done: 0,
            seen: HashSet::new(),
            mask: vec![0; calls.len().div_ceil(64)],
        }
    }

    /// The earliest end among calls not taken: what begins after it cannot be next.
    fn horizon(&self) -> u64 {
        let open = |n: &&usize| !self.taken[**n] && self.calls[**n].outcome != Outcome::Unknown;
        self.order.iter().filter(open).map(|n| self.calls[*n].to).min().unwrap_or(u64::MAX)
    }

    /// The lowest revision among changes not taken: the store's order is theirs.
    fn revision(&self) -> u64 {
        let left = self.calls.iter().zip(&self.taken).filter(|(call, taken)| !**taken && call.revision > 0);
        left.map(|(call, _)| call.revision).min().unwrap_or(u64::MAX)
    }

    /// Takes the next call that can happen now and leads to something new.
    fn advance(&mut self) -> bool {
        let (horizon, revision) = (self.horizon(), self.revision());
        while let Some(&n) = self.order.get(self.at) {
            self.at += 1;
            let call = &self.calls[n];
            if self.taken[n] || call.from > horizon || call.revision > revision {
                continue;
            }
            let Some(after) = call.step(self.state) else { continue };
            self.mask[n / 64] |= 1 << (n % 64);
            if self.seen.insert((self.mask.clone(), after)) {
                self.taken[n] = true;
                self.path.push((n, self.state, self.at));
                self.done += usize::from(call.outcome != Outcome::Unknown);
                (self.state, self.at) = (after, 0);
                return true;
            }
            self.mask[n / 64] &= !(1 << (n % 64));
        }
        false
    }

    /// Takes the last call back.
    fn back(&mut self) -> bool {
        let Some((n, state, at)) = self.path.pop() else { return false };
        self.taken[n] = false;
        self.mask[n / 64] &= !(1 << (n % 64));
        self.done -= usize::from(self.calls[n].outcome != Outcome::Unknown);
        (self.state, self.at) = (state, at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Asked::{Delete, Put, Read, Swap};
    use super::Outcome::{Done, Saw, Unknown};
    use super::*;
    use proptest::prelude::*;

    type Row = (Asked, Outcome, u64, u64);

    fn calls(rows: &[Row]) -> Vec<Call> {
        rows.iter()
            .map(|(asked, outcome, from, to)| Call {
                asked: *asked,
                outcome: *outcome,
                from: *from,
                to: *to,
                revision: 0,
            })
            .collect()
    }

    #[test]
    fn good_histories_pass_and_bad_ones_do_not() {
        let cases: &[(&str, bool, &[Row])] = &[
            ("nothing happened", true, &[]),
            ("what was put is read", true, &[(Put(1), Done, 0, 1), (Read, Saw(Some(1)), 2, 3)]),
            ("an acknowledged put is lost", false, &[(Put(1), Done, 0, 1), (Read, Saw(None), 2, 3)]),
            (
                "a read is stale",
                false,
                &[(Put(1), Done, 0, 1), (Put(2), Done, 2, 3), (Read, Saw(Some(1)), 4, 5)],
            ),
            (
                "a read beside a put sees either",
                true,
                &[(Put(1), Done, 0, 9), (Read, Saw(None), 1, 2), (Read, Saw(Some(1)), 3, 4)],
            ),
            (
                "a value comes and goes",
                false,
                &[(Put(1), Done, 0, 9), (Read, Saw(Some(1)), 1, 2), (Read, Saw(None), 3, 4)],
            ),
            (
                "an unknown put happens late",
                true,
                &[(Put(1), Unknown, 0, 0), (Read, Saw(None), 5, 6), (Read, Saw(Some(1)), 7, 8)],
            ),
            ("an unknown put never happens", true, &[(Put(1), Unknown, 0, 0), (Read, Saw(None), 5, 6)]),
            (
                "an unknown put happens twice",
                false,
                &[
                    (Put(1), Unknown, 0, 0),
                    (Read, Saw(Some(1)), 1, 2),
                    (Delete, Done, 3, 4),
                    (Read, Saw(None), 5, 6),
                    (Read, Saw(Some(1)), 7, 8),
                ],
            ),
            (
                "an unknown put happens before it is called",
                false,
                &[(Read, Saw(Some(1)), 0, 1), (Put(1), Unknown, 2, 0)],
            ),
            ("a value that nobody wrote", false, &[(Put(1), Done, 0, 1), (Read, Saw(Some(7)), 2, 3)]),
            (
                "two swaps from one value both win",
                false,
                &[(Put(1), Done, 0, 1), (Swap(Some(1), 2), Done, 2, 5), (Swap(Some(1), 3), Done, 2, 5)],
            ),
            (
                "one of two swaps wins, the other sees it",
                true,
                &[
                    (Put(1), Done, 0, 1),
                    (Swap(Some(1), 2), Done, 2, 5),
                    (Swap(Some(1), 3), Saw(Some(2)), 2, 5),
                ],
            ),
            (
                "a swap fails though it should not",
                false,
                &[(Put(1), Done, 0, 1), (Swap(Some(1), 2), Saw(Some(1)), 2, 3)],
            ),
            ("two create one key", false, &[(Swap(None, 1), Done, 0, 5), (Swap(None, 2), Done, 0, 5)]),
            (
                "a deletion is undone",
                false,
                &[(Put(1), Done, 0, 1), (Delete, Done, 2, 3), (Read, Saw(Some(1)), 4, 5)],
            ),
        ];
        for (name, good, rows) in cases {
            let found = check(&calls(rows));
            assert_eq!(found.is_ok(), *good, "{name}: {found:?}");
        }
    }

    #[test]
    fn changes_happen_in_the_order_of_their_revisions() {
        let change = |value, revision| Call { asked: Put(value), outcome: Done, from: 0, to: 9, revision };
        let read = Call { asked: Read, outcome: Saw(Some(1)), from: 10, to: 11, revision: 0 };
        assert!(check(&[change(1, 6), change(2, 5), read]).is_ok());
        assert!(check(&[change(1, 5), change(2, 6), read]).is_err());
    }

    proptest! {
        /// Histories made by really doing one call after another, each stretched in time around
        /// the moment it was done, pass; with one read turned to an old value they do not, if
        /// nothing ran beside it.
        #[test]
        fn histories_of_a_real_register_pass(
            steps in proptest::collection::vec((0_u8..4, 0_u64..30, 0_u64..30, 0_u8..16), 1..60),
        ) {
            let (mut state, mut history) = (None, Vec::new());
            for (n, (kind, early, late, known)) in steps.iter().enumerate() {
                let (n, at) = (n as u64, 100 + 10 * n as u64);
                let (asked, outcome) = match kind {
                    0 => (Read, Saw(state)),
                    1 => (Put(n), Done),
                    2 => (Swap(state, n), Done),
                    _ => (Delete, Done),
                };
                match asked {
                    Put(value) | Swap(_, value) => state = Some(value),
                    Delete => state = None,
                    Read => {}
                }
                let outcome = if *known > 0 || asked == Read { outcome } else { Unknown };
                history.push(Call { asked, outcome, from: at - early, to: at + late, revision: 0 });
            }
            prop_assert_eq!(check(&history), Ok(()));
            let end = 100 + 10 * steps.len() as u64 + 100;
            history.push(Call {
                asked: Read,
                outcome: Saw(Some(1_000)),
                from: end,
                to: end + 1,
                revision: 0,
            });
            prop_assert!(check(&history).is_err());
        }
    }
}
