//! `up`, failing at every point in turn.

use std::sync::Arc;

use cloud::fake::{Fault, Faults, Rules, When};

use super::world::NAME;
use super::{End, Kill, World};

/// How often a command may have to be run again before that is a failure of its own.
const RUNS: u32 = 6;

/// What AWS, the way to it and the machine can do to one call.
const FAULTS: [Fault; 7] = [
    Fault::Refuse("RequestLimitExceeded"),
    Fault::Refuse("InternalError"),
    Fault::Refuse("UnauthorizedOperation"),
    Fault::LoseRequest,
    Fault::LoseReply,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// How many calls, journal writes and steps one undisturbed `up` makes.
struct Extent {
    calls: u32,
    writes: u64,
    steps: u32,
}

async fn extent(rules: Rules) -> Extent {
    let world = World::new(rules);
    let way = Arc::new(Faults::new(world.account.clone()));
    let end = world.up(&way, Kill::Never).await;
    assert!(matches!(end, End::Done), "{end:?}");
    world.assert_complete("undisturbed");
    world.assert_nothing_made_twice("undisturbed");
    let steps = world.nodes.lock().unwrap().values().map(|done| done.len()).sum::<usize>();
    let writes = world.writes.load(std::sync::atomic::Ordering::Relaxed);
    Extent { calls: way.changes(), writes, steps: steps.try_into().unwrap() }
}

/// Runs `up` over `way` until it is done; the first process meets `kill`. Says how many runs it took.
pub(super) async fn until_up(world: &World, way: &Arc<Faults>, kill: Kill, what: &str) -> u32 {
    let mut end = world.up(way, kill).await;
    for run in 1..RUNS {
        if matches!(end, End::Done) {
            return run;
        }
        end = world.up(way, Kill::Never).await;
    }
    panic!("{what}: not done after {RUNS} runs: {end:?}, {:#?}", way.log());
}

/// Everything is there once, and planning again gives nothing to do.
pub(super) async fn assert_up(world: &World, what: &str) {
    world.assert_complete(what);
    world.assert_bystanders_untouched(what);
    let quiet = Arc::new(Faults::new(world.account.clone()));
    let end = world.up(&quiet, Kill::Never).await;
    assert!(matches!(end, End::Done), "{what}: {end:?}");
    assert_eq!(quiet.log(), Vec::<String>::new(), "{what}: a second up had something to do");
    let folder = world.folder();
    let journal = crate::journal::Journal::open(&folder.journal()).unwrap();
    assert_eq!(journal.open_calls(), [], "{what}: the journal is open");
    let state = world.state();
    let left = world.fake.left(NAME);
    let slots = left.keys().filter_map(|kind| kind.split_once(' ')).map(|(_, slot)| slot);
    for slot in slots {
        assert!(state.slots.get(slot).is_some_and(|s| s.id.is_some()), "{what}: {slot} is not in the state");
    }
}

async fn sweep_calls(rules: fn() -> Rules) -> u32 {
    let calls = extent(rules()).await.calls;
    let mut count = 0;
    for call in 1..=calls {
        for fault in FAULTS {
            let what = format!("call {call}: {fault:?}");
            let world = World::new(rules());
            let way = Arc::new(Faults::new(world.account.clone()).with(When::Change(call), fault));
            let runs = until_up(&world, &way, Kill::Never, &what).await;
            let survivable = !matches!(
                fault,
                Fault::CrashBefore | Fault::CrashAfter | Fault::Refuse("UnauthorizedOperation")
            );
            assert!(!survivable || runs == 1, "{what}: one run had to be enough: {:#?}", way.log());
            assert_up(&world, &what).await;
            world.assert_nothing_made_twice(&what);
            count += 1;
        }
    }
    count
}

async fn sweep_kills(rules: fn() -> Rules) -> u32 {
    let Extent { writes, steps, .. } = extent(rules()).await;
    let writes = (1..=writes).flat_map(|n| [Kill::AfterWrite(n), Kill::DuringWrite(n)]);
    let steps = (1..=steps).flat_map(|n| [Kill::BeforeStep(n), Kill::AfterStep(n), Kill::FailStep(n)]);
    let mut count = 0;
    for kill in writes.chain(steps) {
        let what = format!("{kill:?}");
        let world = World::new(rules());
        let way = Arc::new(Faults::new(world.account.clone()));
        let runs = until_up(&world, &way, kill, &what).await;
        assert_eq!(runs, 2, "{what}: {:#?}", way.log());
        assert_up(&world, &what).await;
        world.assert_nothing_made_twice(&what);
        count += 1;
    }
    count
}

/// A listing fails, or is the last thing a process asked for.
async fn sweep_reads(rules: fn() -> Rules) -> u32 {
    let world = World::new(rules());
    let way = Arc::new(Faults::new(world.account.clone()));
    until_up(&world, &way, Kill::Never, "undisturbed").await;
    let mut count = 0;
    for action in ["Inventory", "DescribeInstances"] {
        for n in 1..=way.calls()[action] {
            for fault in [Fault::Refuse("RequestLimitExceeded"), Fault::LoseReply, Fault::CrashAfter] {
                let what = format!("{action} {n}: {fault:?}");
                let world = World::new(rules());
                // A reply lost before: listing is how it is found.
                let way = Faults::new(world.account.clone()).with(When::Nth(action, n), fault);
                let way = Arc::new(way.with(When::Change(n + 2), Fault::LoseReply));
                until_up(&world, &way, Kill::Never, &what).await;
                assert_up(&world, &what).await;
                world.assert_nothing_made_twice(&what);
                count += 1;
            }
        }
    }
    count
}

#[tokio::test]
async fn up_survives_a_fault_at_every_listing() {
    println!("{} faults", sweep_reads(Rules::prompt).await + sweep_reads(|| Rules::late(11)).await);
}

#[tokio::test]
async fn up_survives_a_fault_at_every_call() {
    let count = sweep_calls(Rules::prompt).await;
    println!("{count} faults");
}

#[tokio::test]
async fn up_survives_a_fault_at_every_call_where_everything_is_seen_late() {
    let count = sweep_calls(|| Rules::late(3)).await;
    println!("{count} faults");
}

#[tokio::test]
async fn up_survives_its_death_at_every_journal_write_and_step() {
    let count = sweep_kills(Rules::prompt).await;
    println!("{count} deaths");
}

#[tokio::test]
async fn up_survives_its_death_at_every_journal_write_and_step_where_everything_is_seen_late() {
    let count = sweep_kills(|| Rules::late(5)).await;
    println!("{count} deaths");
}
