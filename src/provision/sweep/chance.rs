//! Faults by chance: any number of them, anywhere, over several processes, in worlds seen late.

use std::sync::Arc;

use cloud::fake::{Fault, Faults, Rules, When};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::down::until_gone;
use super::up::assert_up;
use super::{End, Kill, World};

/// Cases tried: a fixed number, so that time is too.
const CASES: u32 = 256;
/// After so many runs under faults the faults end.
const RUNS: usize = 5;

#[derive(Debug, Clone)]
struct Weather {
    seed: u64,
    late: bool,
    faults: Vec<(u32, Fault)>,
    kills: Vec<Kill>,
    dooms: Vec<&'static str>,
    scarce: u32,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Refuse("RequestLimitExceeded")),
        Just(Fault::Refuse("InternalError")),
        Just(Fault::Refuse("ServiceUnavailable")),
        Just(Fault::Refuse("UnauthorizedOperation")),
        Just(Fault::Refuse("ExpiredToken")),
        Just(Fault::Refuse("DependencyViolation")),
        Just(Fault::LoseRequest),
        Just(Fault::LoseReply),
        Just(Fault::CrashBefore),
        Just(Fault::CrashAfter),
    ]
}

fn kill() -> impl Strategy<Value = Kill> {
    prop_oneof![
        2 => Just(Kill::Never),
        2 => (1..60_u64).prop_map(Kill::AfterWrite),
        1 => (1..60_u64).prop_map(Kill::DuringWrite),
        1 => (1..30_u32).prop_map(Kill::BeforeStep),
        1 => (1..30_u32).prop_map(Kill::AfterStep),
        1 => (1..30_u32).prop_map(Kill::FailStep),
    ]
}

fn weather() -> impl Strategy<Value = Weather> {
    let doom = prop_oneof![
        Just("Server.InternalError: Internal error on launch"),
        Just("Client.VolumeLimitExceeded: Volume limit exceeded"),
    ];
    (
        any::<u64>(),
        any::<bool>(),
        prop::collection::vec((1..70_u32, fault()), 0..12),
        prop::collection::vec(kill(), RUNS),
        prop::collection::vec(doom, 0..2),
        0..3_u32,
    )
        .prop_map(|(seed, late, faults, kills, dooms, scarce)| Weather {
            seed,
            late,
            faults,
            kills,
            dooms,
            scarce,
        })
}

fn world(weather: &Weather) -> (World, Arc<Faults>) {
    let rules = if weather.late { Rules::late(weather.seed) } else { Rules::prompt() };
    let world = World::new(rules);
    weather.dooms.iter().for_each(|doom| world.fake.doom_next(doom));
    world.fake.exhaust("t3.small", "us-east-1a", weather.scarce);
    let faults = weather.faults.iter();
    let way =
        faults.fold(Faults::new(world.account.clone()), |way, (n, fault)| way.with(When::Change(*n), *fault));
    (world, Arc::new(way))
}

/// Runs `up` under faults, then without, then `down` in the same way.
async fn live_through(weather: Weather) {
    let what = format!("{weather:?}");
    let (world, way) = world(&weather);
    for kill in &weather.kills {
        if matches!(world.up(&way, *kill).await, End::Done) {
            break;
        }
    }
    let quiet = Arc::new(Faults::new(world.account.clone()));
    let mut end = End::Killed;
    for _ in 0..RUNS {
        end = world.up(&quiet, Kill::Never).await;
        if matches!(end, End::Done) {
            break;
        }
    }
    assert!(matches!(end, End::Done), "{what}: {end:?}");
    assert_up(&world, &what).await;
    if weather.dooms.is_empty() && weather.scarce == 0 {
        world.assert_nothing_made_twice(&what);
    }
    let faults = weather.faults.iter();
    let way =
        faults.fold(Faults::new(world.account.clone()), |way, (n, fault)| way.with(When::Change(*n), *fault));
    let way = Arc::new(way);
    for kill in &weather.kills {
        if matches!(world.down(&way, *kill).await, End::Done) {
            world.assert_gone(&what);
            return;
        }
    }
    until_gone(&world, &quiet, Kill::Never, &what).await;
}

#[test]
fn no_sequence_of_faults_leaves_a_duplicate_or_an_orphan() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let result = runner.run(&weather(), |weather| {
        runtime.block_on(live_through(weather));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
