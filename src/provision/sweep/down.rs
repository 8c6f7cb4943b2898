//! `down`, failing at every point in turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Shutdown;
use cloud::fake::{Fault, Faults, Rules, When};

use super::process::Command;
use super::up::until_up;
use super::{End, Kill, World};
use crate::execute::Silent;

const RUNS: u32 = 6;

const FAULTS: [Fault; 8] = [
    Fault::Refuse("RequestLimitExceeded"),
    Fault::Refuse("InternalError"),
    Fault::Refuse("DependencyViolation"),
    Fault::Refuse("UnauthorizedOperation"),
    Fault::LoseRequest,
    Fault::LoseReply,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// A cluster that is up.
pub(super) async fn raised(rules: Rules) -> World {
    let world = World::new(rules);
    let way = Arc::new(Faults::new(world.account.clone()));
    until_up(&world, &way, Kill::Never, "raising").await;
    world
}

/// Runs `down` over `way` until it is done; the first process meets `kill`. Says how many runs it took.
pub(super) async fn until_gone(world: &World, way: &Arc<Faults>, kill: Kill, what: &str) -> u32 {
    let mut end = world.down(way, kill).await;
    for run in 1..RUNS {
        if matches!(end, End::Done) {
            world.assert_gone(what);
            world.assert_bystanders_untouched(what);
            return run;
        }
        end = world.down(way, Kill::Never).await;
    }
    panic!("{what}: not done after {RUNS} runs: {end:?}, {:#?}", way.log());
}

async fn sweep_calls(rules: fn() -> Rules) -> u32 {
    let world = raised(rules()).await;
    let way = Arc::new(Faults::new(world.account.clone()));
    until_gone(&world, &way, Kill::Never, "undisturbed").await;
    let mut count = 0;
    for call in 1..=way.changes() {
        for fault in FAULTS {
            let what = format!("call {call}: {fault:?}");
            let world = raised(rules()).await;
            let way = Arc::new(Faults::new(world.account.clone()).with(When::Change(call), fault));
            let runs = until_gone(&world, &way, Kill::Never, &what).await;
            let survivable = !matches!(
                fault,
                Fault::CrashBefore | Fault::CrashAfter | Fault::Refuse("UnauthorizedOperation")
            );
            assert!(!survivable || runs == 1, "{what}: one run had to be enough: {:#?}", way.log());
            count += 1;
        }
    }
    count
}

async fn sweep_kills(rules: fn() -> Rules) -> u32 {
    let world = raised(rules()).await;
    let way = Arc::new(Faults::new(world.account.clone()));
    until_gone(&world, &way, Kill::Never, "undisturbed").await;
    let mut count = 0;
    for n in 1..=world.writes.load(Ordering::Relaxed) {
        for kill in [Kill::AfterWrite(n), Kill::DuringWrite(n)] {
            let world = raised(rules()).await;
            let way = Arc::new(Faults::new(world.account.clone()));
            let runs = until_gone(&world, &way, kill, &format!("{kill:?}")).await;
            assert_eq!(runs, 2, "{kill:?}: {:#?}", way.log());
            count += 1;
        }
    }
    count
}

#[tokio::test]
async fn down_survives_a_fault_at_every_call() {
    let count = sweep_calls(Rules::prompt).await;
    println!("{count} faults");
}

#[tokio::test]
async fn down_survives_a_fault_at_every_call_where_everything_is_seen_late() {
    let count = sweep_calls(|| Rules::late(3)).await;
    println!("{count} faults");
}

#[tokio::test]
async fn down_survives_its_death_at_every_journal_write() {
    let count = sweep_kills(Rules::prompt).await;
    println!("{count} deaths");
}

#[tokio::test]
async fn down_survives_its_death_at_every_journal_write_where_everything_is_seen_late() {
    let count = sweep_kills(|| Rules::late(5)).await;
    println!("{count} deaths");
}

/// `up` dies at a call, and nobody goes on with it: `down` takes what there is.
async fn half_made(rules: fn() -> Rules) -> u32 {
    let whole = World::new(rules());
    let way = Arc::new(Faults::new(whole.account.clone()));
    until_up(&whole, &way, Kill::Never, "raising").await;
    let calls = way.changes();
    for call in 1..=calls {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            for keeps_state in [true, false] {
                let what = format!("up: call {call}: {fault:?}, state kept: {keeps_state}");
                let world = World::new(rules());
                let way = Arc::new(Faults::new(world.account.clone()).with(When::Change(call), fault));
                assert!(matches!(world.up(&way, Kill::Never).await, End::Killed), "{what}");
                if !keeps_state {
                    std::fs::remove_dir_all(world.folder().path()).unwrap();
                }
                let command = if keeps_state { Command::Down } else { Command::DownByName };
                let end = world.live(&way, Kill::Never, &Shutdown::new(), &Silent, command).await;
                match end {
                    End::Done => world.assert_gone(&what),
                    End::Failed(error) if !keeps_state && world.account.made.lock().unwrap().is_empty() => {
                        assert!(error.contains("found nothing of a cluster called shop"), "{what}: {error}");
                    }
                    other => panic!("{what}: {other:?}"),
                }
                assert_eq!(world.fake.left("shop"), Default::default(), "{what}");
                world.assert_bystanders_untouched(&what);
            }
        }
    }
    calls * 4
}

#[tokio::test]
async fn a_half_made_cluster_goes_whole_with_and_without_its_state() {
    println!("{} deaths", half_made(Rules::prompt).await);
}

#[tokio::test]
async fn a_half_made_cluster_goes_whole_where_everything_is_seen_late() {
    let deaths = half_made(|| Rules::late(7)).await + half_made(|| Rules::late(8)).await;
    println!("{} deaths", deaths + half_made(|| Rules::late(9)).await);
}
