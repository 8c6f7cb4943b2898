//! A load of random calls on a store, written down so that it can be checked: what each call asked,
//! when it began and ended, and what came of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::Subject;
use super::linear::{Asked, Call, Outcome, Value, check};
use crate::{Compare, Op, StoreError, Txn};

/// Keys in use at a time.
const KEYS: u64 = 12;
/// Calls after which other keys are used: the search looks at all calls of a key.
const CALLS_PER_KEYS: u64 = 2_400;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Began {
        id: u64,
        key: String,
        asked: Asked,
    },
    Ended {
        id: u64,
        outcome: Outcome,
        revision: u64,
    },
    /// It was refused, and surely not done.
    Refused {
        id: u64,
        said: String,
    },
}

impl Line {
    /// As one line of text, for a pipe.
    pub(super) fn to_text(&self) -> String {
        let value = |value: &Value| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let mut text = String::from("history ");
        let _ = match self {
            Self::Began { id, key, asked: Asked::Read } => write!(text, "began {id} {key} read"),
            Self::Began { id, key, asked: Asked::Put(new) } => write!(text, "began {id} {key} put {new}"),
            Self::Began { id, key, asked: Asked::Swap(old, new) } => {
                write!(text, "began {id} {key} swap {} {new}", value(old))
            }
            Self::Began { id, key, asked: Asked::Delete } => write!(text, "began {id} {key} delete"),
            Self::Ended { id, outcome: Outcome::Saw(seen), revision } => {
                write!(text, "ended {id} {revision} saw {}", value(seen))
            }
            Self::Ended { id, outcome: Outcome::Done, revision } => {
                write!(text, "ended {id} {revision} done")
            }
            Self::Ended { id, outcome: Outcome::Unknown, .. } => write!(text, "ended {id} 0 unknown"),
            Self::Refused { id, said } => write!(text, "refused {id} {said}"),
        };
        text
    }

    /// A line that [`Line::to_text`] made, whole; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value = |text: &str| if text == "-" { Some(None) } else { text.parse().ok().map(Some) };
        let (kind, rest) = text.strip_prefix("history ")?.split_once(' ')?;
        let (id, rest) = rest.split_once(' ')?;
        let id = id.parse().ok()?;
        if kind == "refused" {
            return Some(Self::Refused { id, said: rest.to_owned() });
        }
        let words: Vec<_> = rest.split(' ').collect();
        Some(match (kind, &words[..]) {
            ("began", [key, "read"]) => Self::Began { id, key: (*key).to_owned(), asked: Asked::Read },
            ("began", [key, "delete"]) => Self::Began { id, key: (*key).to_owned(), asked: Asked::Delete },
            ("began", [key, "put", new]) => {
                Self::Began { id, key: (*key).to_owned(), asked: Asked::Put(new.parse().ok()?) }
            }
            ("began", [key, "swap", old, new]) => {
                Self::Began { id, key: (*key).to_owned(), asked: Asked::Swap(value(old)?, new.parse().ok()?) }
            }
            ("ended", [revision, "saw", seen]) => {
                Self::Ended { id, outcome: Outcome::Saw(value(seen)?), revision: revision.parse().ok()? }
            }
            ("ended", [revision, "done"]) => {
                Self::Ended { id, outcome: Outcome::Done, revision: revision.parse().ok()? }
            }
            ("ended", [_, "unknown"]) => Self::Ended { id, outcome: Outcome::Unknown, revision: 0 },
            _ => return None,
        })
    }
}

/// Where lines go. Called before a call is made and after it was answered.
pub(super) type Record = Arc<dyn Fn(Line) + Send + Sync>;

/// Makes `calls` calls in all by `clients` clients at once, with ids from `first` on. Stops
/// early where the store is closed.
pub(super) async fn run(store: Subject, record: Record, clients: u64, first: u64, calls: u64) {
    let next = Arc::new(AtomicU64::new(first));
    let mut running = JoinSet::new();
    for client in 0..clients {
        let (store, record, next) = (Arc::clone(&store), Arc::clone(&record), Arc::clone(&next));
        let mut random = Random(first.wrapping_mul(0x9e37_79b9) ^ (client + 1) << 20 | 1);
        running.spawn(async move {
            let mut known: HashMap<String, Value> = HashMap::new();
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if id >= first + calls {
                    return;
                }
                let key = format!("load/{}/{}", id / CALLS_PER_KEYS, random.below(KEYS));
                let asked = match random.below(20) {
                    0..8 => Asked::Read,
                    8..13 => Asked::Put(id),
                    13..18 => Asked::Swap(known.get(&key).copied().flatten(), id),
                    _ => Asked::Delete,
                };
                record(Line::Began { id, key: key.clone(), asked });
                match call(&store, &key, asked).await {
                    Ok((outcome, revision)) => {
                        let now = match (asked, outcome) {
                            (_, Outcome::Saw(seen)) => seen,
                            (Asked::Put(new) | Asked::Swap(_, new), _) => Some(new),
                            _ => None,
                        };
                        known.insert(key, now);
                        record(Line::Ended { id, outcome, revision });
                    }
                    Err(error) if error.outcome_unknown() => {
                        record(Line::Ended { id, outcome: Outcome::Unknown, revision: 0 });
                    }
                    Err(error @ StoreError::Closed { .. }) => panic!("{error}"),
                    Err(error) => record(Line::Refused { id, said: error.to_string() }),
                }
            }
        });
    }
    running.join_all().await;
}

async fn call(store: &Subject, key: &str, asked: Asked) -> Result<(Outcome, u64), StoreError> {
    let key = key.to_owned();
    let txn = match asked {
        Asked::Read => Txn::new().then(Op::get(key)),
        Asked::Put(value) => Txn::new().then(Op::put(key, encode(value))),
        Asked::Delete => Txn::new().then(Op::delete(key)),
        Asked::Swap(old, new) => {
            let expected = match old {
                Some(old) => Compare::value(key.clone(), encode(old)),
                None => Compare::absent(key.clone()),
            };
            Txn::new().when(expected).then(Op::put(key.clone(), encode(new))).otherwise(Op::get(key))
        }
    };
    let response = store.txn(txn).await?;
    let reads = asked == Asked::Read || !response.succeeded;
    let outcome =
        if reads { Outcome::Saw(response.found().map(|item| decode(&item.value))) } else { Outcome::Done };
    Ok((outcome, response.revision.0))
}

/// Values of a size that objects have.
fn encode(value: u64) -> Vec<u8> {
    format!("{value:0>400}").into_bytes()
}

pub(super) fn decode(value: &[u8]) -> u64 {
    String::from_utf8(value.to_vec()).unwrap().parse().unwrap()
}

/// Numbers that look random and are the same every time.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What a history was found to hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: usize,
    pub(super) unknown: usize,
    pub(super) refused: usize,
    /// Changes that were acknowledged: revision, key and value.
    pub(super) acknowledged: BTreeMap<u64, (String, Value)>,
}

/// Checks a whole history, key by key, and that revisions follow the order of calls.
pub(super) fn judge(lines: &[Line]) -> Tally {
    let mut tally = Tally::default();
    let mut open: HashMap<u64, (String, Asked, u64)> = HashMap::new();
    let mut keys: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    // The highest revision that anybody knew of when a call began.
    let (mut known, mut known_at) = (0_u64, HashMap::new());
    for (now, line) in lines.iter().enumerate() {
        let now = now as u64;
        match line {
            Line::Began { id, key, asked } => {
                assert!(open.insert(*id, (key.clone(), *asked, now)).is_none(), "call {id} began twice");
                known_at.insert(*id, known);
            }
            Line::Ended { id, outcome, revision } => {
                let (key, asked, from) = open.remove(id).expect("what ends has begun");
                tally.calls += 1;
                let changed = matches!(asked, Asked::Put(_) | Asked::Swap(..)) && *outcome == Outcome::Done;
                let order = if changed { *revision } else { 0 };
                let call = Call { asked, outcome: *outcome, from, to: now, revision: order };
                keys.entry(key.clone()).or_default().push(call);
                if *outcome == Outcome::Unknown {
                    tally.unknown += 1;
                    continue;
                }
                let before = known_at[id];
                assert!(*revision >= before, "call {id} saw revision {revision} after {before} was known");
                known = known.max(*revision);
                let value = match (asked, outcome) {
                    (Asked::Put(new) | Asked::Swap(_, new), Outcome::Done) => Some(new),
                    _ => continue,
                };
                assert!(*revision > before, "call {id} wrote at revision {revision}, and {before} was known");
                let earlier = tally.acknowledged.insert(*revision, (key, value));
                assert!(earlier.is_none(), "revision {revision} was given twice: {earlier:?}");
            }
            Line::Refused { id, .. } => {
                open.remove(id).expect("what is refused has begun");
                tally.refused += 1;
            }
        }
    }
    // What was under way when the end came.
    for (key, asked, from) in open.into_values() {
        tally.calls += 1;
        tally.unknown += 1;
        keys.entry(key).or_default().push(Call {
            asked,
            outcome: Outcome::Unknown,
            from,
            to: 0,
            revision: 0,
        });
    }
    for (key, calls) in &keys {
        if let Err(why) = check(calls) {
            panic!("the history of {key} is not linearizable: {why}");
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_from_text_and_half_lines_do_not() {
        let key = || "load/0/1".to_owned();
        let lines = [
            Line::Began { id: 1, key: key(), asked: Asked::Read },
            Line::Began { id: 2, key: key(), asked: Asked::Put(2) },
            Line::Began { id: 3, key: key(), asked: Asked::Swap(None, 3) },
            Line::Began { id: 4, key: key(), asked: Asked::Swap(Some(3), 4) },
            Line::Began { id: 5, key: key(), asked: Asked::Delete },
            Line::Ended { id: 1, outcome: Outcome::Saw(Some(7)), revision: 9 },
            Line::Ended { id: 2, outcome: Outcome::Done, revision: 10 },
            Line::Ended { id: 3, outcome: Outcome::Unknown, revision: 0 },
            Line::Refused { id: 4, said: "no space left".to_owned() },
        ];
        for line in lines {
            assert_eq!(Line::parse(&line.to_text()), Some(line));
        }
        for text in ["", "running 1 test", "history ended 5", "history began 6 key swap 1"] {
            assert_eq!(Line::parse(text), None);
        }
    }
}
