//! Hostile input for everything that takes input: objects that real answers hold, broken in
//! all the ways that a tree or its text can be broken.
//!
//! Each target runs for FUZZ_SECONDS (1 by default) from FUZZ_SEED (1). A failure names the
//! round's own seed; FUZZ_SEED with it and FUZZ_SECONDS=0 runs that round alone.
// What drives the tests may look at the clock, the environment and files; what is tested may not.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Small random numbers that a seed repeats (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }
}

/// Objects out of recorded answers, the same one once.
static CORPUS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/records");
    let mut texts = std::collections::BTreeSet::new();
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        // Records have a sign for what differs from run to run.
        for line in text.replace("<now>", targets::NOW).lines() {
            collect(&serde_json::from_str(line).unwrap_or_default(), &mut texts);
        }
    }
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
});

fn collect(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(map) => {
            if map.get("kind").is_some_and(Value::is_string) && map.contains_key("metadata") {
                found.insert(value.to_string());
            }
            map.values().for_each(|value| collect(value, found));
        }
        _ => {}
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs rounds of one target until its time is up.
fn rounds(name: &str, target: impl Fn(&mut Random, &[Value])) {
    let corpus = &*CORPUS;
    assert!(corpus.len() > 100, "the recorded answers hold {} objects", corpus.len());
    let (mut seed, limit) = (number("FUZZ_SEED", 1), Duration::from_secs(number("FUZZ_SECONDS", 1)));
    let (began, mut count) = (Instant::now(), 0_u64);
    loop {
        let round = catch_unwind(AssertUnwindSafe(|| target(&mut Random::new(seed), corpus)));
        if let Err(panic) = round {
            println!("{name} failed: FUZZ_SEED={seed} FUZZ_SECONDS=0 repeats it");
            resume_unwind(panic);
        }
        count += 1;
        seed = seed.wrapping_add(1);
        if began.elapsed() >= limit {
            println!("{name}: {count} rounds");
            return;
        }
    }
}
