//! Single scenes: what goes wrong once, and what a person is told.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Shutdown;
use cloud::Cloud as _;
use cloud::fake::{Fault, Faults, Rules, When};
use plan::model::{Call, InstanceState, Tags};
use plan::planner::desired::{KEY_PAIR, MASTERS};

use super::down::{raised, until_gone};
use super::process::Command;
use super::up::{assert_up, until_up};
use super::world::NAME;
use super::{End, Kill, World};
use crate::execute::{Event, EventKind, Progress};

fn quiet(world: &World) -> Arc<Faults> {
    Arc::new(Faults::new(world.account.clone()))
}

async fn fails(world: &World, command: Command) -> String {
    let end =
        world.live(&quiet(world), Kill::Never, &Shutdown::new(), &crate::execute::Silent, command).await;
    match end {
        End::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

fn instance_of(world: &World, slot: &str) -> String {
    let all = world.fake.world().instances;
    let live = all.iter().filter(|i| i.state.is_live() && i.tags.slot() == Some(slot));
    live.map(|i| i.id.clone()).next().unwrap()
}

#[tokio::test]
async fn a_zone_short_of_machines_is_asked_again_with_another_token() {
    let world = World::new(Rules::prompt());
    world.fake.exhaust("t3.small", "us-east-1a", 2);
    assert_eq!(until_up(&world, &quiet(&world), Kill::Never, "short").await, 1);
    assert_up(&world, "short").await;
    let attempts: u32 = world.state().slots.values().map(|slot| slot.attempt).sum();
    assert_eq!(attempts, 5, "three machines, two of them asked for again");
}

#[tokio::test]
async fn a_zone_without_machines_is_an_error_with_awss_words_and_a_later_run_goes_on() {
    let world = World::new(Rules::prompt());
    world.fake.exhaust("t3.small", "us-east-1a", 100);
    let error = fails(&world, Command::Up).await;
    assert!(error.contains("RunInstances ") && error.contains("InsufficientInstanceCapacity"), "{error}");
    world.fake.exhaust("t3.small", "us-east-1a", 0);
    until_up(&world, &quiet(&world), Kill::Never, "later").await;
    assert_up(&world, "later").await;
}

#[tokio::test]
async fn a_machine_that_dies_at_birth_by_awss_fault_is_replaced() {
    let world = World::new(Rules::prompt());
    world.fake.doom_next("Server.InternalError: Internal error on launch");
    world.fake.doom_next("Server.InsufficientInstanceCapacity: none left");
    assert_eq!(until_up(&world, &quiet(&world), Kill::Never, "doomed").await, 1);
    assert_up(&world, "doomed").await;
}

#[tokio::test]
async fn a_machine_that_dies_at_birth_by_the_accounts_fault_stops_with_the_reason() {
    let world = World::new(Rules::prompt());
    world.fake.doom_next("Client.VolumeLimitExceeded: Volume limit exceeded");
    let error = fails(&world, Command::Up).await;
    assert!(error.contains(" ended: Client.VolumeLimitExceeded: Volume limit exceeded"), "{error}");
    assert!(error.ends_with(": ]"), "AWS has no console of it: {error}");
    until_up(&world, &quiet(&world), Kill::Never, "after").await;
    assert_up(&world, "after").await;
}

#[tokio::test]
async fn a_machine_that_is_not_reached_shows_the_end_of_its_console() {
    let world = World::new(Rules::prompt());
    let boot: Vec<String> = (1..=50).map(|line| format!("line {line}")).collect();
    world.fake.print_on_consoles(&boot.join("\n"));
    let End::Failed(error) = world.up(&quiet(&world), Kill::FailStep(1)).await else { panic!("it went on") };
    let instance = instance_of(&world, error.split(':').next().unwrap());
    assert!(error.contains(&format!("reach failed (injected) [console of {instance}: line 31\n")), "{error}");
    assert!(error.ends_with("line 50]"), "{error}");
    until_up(&world, &quiet(&world), Kill::Never, "later").await;
    let End::Failed(error) = world_with_a_later_failure().await else { panic!("it went on") };
    assert!(!error.contains("console"), "a machine that was reached tells by itself: {error}");
}

async fn world_with_a_later_failure() -> End {
    let world = World::new(Rules::prompt());
    world.up(&quiet(&world), Kill::FailStep(9)).await
}

#[tokio::test]
async fn a_launch_whose_machine_died_while_nobody_looked_is_made_anew() {
    for remembered in [true, false] {
        let world = World::new(Rules::prompt());
        let way = Faults::new(world.account.clone()).with(When::Nth("RunInstances", 1), Fault::CrashAfter);
        assert!(matches!(world.up(&Arc::new(way), Kill::Never).await, End::Killed));
        let launched = world.account.made.lock().unwrap().clone();
        let (slot, ids) = launched.iter().find(|(_, ids)| ids[0].starts_with("i-")).unwrap();
        world.fake.kill(&ids[0]);
        world.clock.advance(Duration::from_secs(if remembered { 300 } else { 2 * 3600 }));
        until_up(&world, &quiet(&world), Kill::Never, "anew").await;
        assert_up(&world, "anew").await;
        assert_eq!(world.state().slots[slot].attempt, 2);
    }
}

#[tokio::test]
async fn a_launch_that_no_listing_shows_is_replayed_as_it_was() {
    for nth in 1..=3 {
        let world = World::new(Rules::prompt());
        // From the second on, others were launched and are known: unseen, they are waited for.
        let way = Faults::new(world.account.clone()).with(When::Nth("RunInstances", nth), Fault::CrashAfter);
        assert!(matches!(world.up(&Arc::new(way), Kill::Never).await, End::Killed));
        world.account.blind.store(10, Ordering::Relaxed);
        until_up(&world, &quiet(&world), Kill::Never, "blind").await;
        assert_up(&world, "blind").await;
        world.assert_nothing_made_twice("blind");
    }
}

#[tokio::test]
async fn a_lost_launch_is_not_forgotten_because_its_replay_was_refused() {
    let mut world = World::new(Rules::prompt());
    world.config.workers.clear();
    world.account.blind.store(20, Ordering::Relaxed);
    let way = Faults::new(world.account.clone())
        .with(When::Nth("RunInstances", 1), Fault::LoseReply)
        .with(When::Nth("RunInstances", 2), Fault::Refuse("ExpiredToken"));
    let way = Arc::new(way);
    assert!(matches!(world.up(&way, Kill::Never).await, End::Failed(_)));
    until_up(&world, &way, Kill::Never, "refused").await;
    world.assert_nothing_made_twice("refused");
    assert_eq!(world.state().slots["master-0"].attempt, 1);
}

#[tokio::test]
async fn an_error_of_awss_own_may_hide_a_success() {
    let creations =
        ["CreateVpc", "CreateInternetGateway", "CreateRouteTable", "CreateSubnet", "RunInstances"];
    for action in creations.into_iter().chain(["CreateRoute", "AuthorizeSecurityGroupIngress"]) {
        let world = World::new(Rules::prompt());
        *world.account.stumbles.lock().unwrap() = Some(action);
        assert_eq!(until_up(&world, &quiet(&world), Kill::Never, action).await, 1, "{action}");
        assert_up(&world, action).await;
        world.assert_nothing_made_twice(action);
    }
}

#[tokio::test]
async fn a_token_that_stands_for_a_dead_machine_is_not_used_again() {
    let world = World::new(Rules::prompt());
    let refused = Fault::Refuse("IdempotentInstanceTerminated");
    let way = Faults::new(world.account.clone()).with(When::Nth("RunInstances", 1), refused);
    assert_eq!(until_up(&world, &Arc::new(way), Kill::Never, "dead token").await, 1);
    assert_up(&world, "dead token").await;
}

#[tokio::test]
async fn a_token_that_stands_for_another_request_stops_with_a_clear_error() {
    let world = World::new(Rules::prompt());
    let refused = Fault::Refuse("IdempotentParameterMismatch");
    let way = Faults::new(world.account.clone()).with(When::Nth("RunInstances", 1), refused);
    let End::Failed(error) = world.up(&Arc::new(way), Kill::Never).await else { panic!("it went on") };
    assert!(error.contains("AWS has another request under the same token"), "{error}");
}

#[tokio::test]
async fn somebody_elses_key_pair_of_our_name_is_never_taken_for_ours() {
    let world = World::new(Rules::prompt());
    let theirs = Call::ImportKeyPair {
        slot: KEY_PAIR.into(),
        name: world.desired().resource_name(KEY_PAIR),
        public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINOTOURS".into(),
        tags: Tags::default(),
    };
    let key = world.fake.apply(&theirs).await.unwrap().id.unwrap();
    let error = fails(&world, Command::Up).await;
    assert!(error.contains("ImportKeyPair key-pair: AWS says InvalidKeyPair.Duplicate"), "{error}");
    assert!(error.contains("remove it, or give the cluster another name"), "{error}");
    assert!(world.fake.world().key_pairs.iter().any(|k| k.id == key && k.tags == Tags::default()));
}

#[tokio::test]
async fn somebody_elses_group_of_our_name_is_never_taken_for_ours() {
    let world = World::new(Rules::prompt());
    let way =
        Faults::new(world.account.clone()).with(When::Nth("CreateSecurityGroup", 1), Fault::CrashBefore);
    assert!(matches!(world.up(&Arc::new(way), Kill::Never).await, End::Killed));
    let theirs = Call::CreateSecurityGroup {
        slot: MASTERS.into(),
        vpc: world.fake.world().vpcs.iter().find(|vpc| vpc.tags.belongs_to(NAME)).unwrap().id.clone(),
        name: world.desired().resource_name(MASTERS),
        description: "theirs".into(),
        tags: Tags::default(),
    };
    let group = world.fake.apply(&theirs).await.unwrap().id.unwrap();
    let error = fails(&world, Command::Up).await;
    let named = format!("{group} is there and has the same name and is not this cluster's");
    assert!(error.contains(&named), "{error}");
    world.fake.apply(&Call::DeleteSecurityGroup { group }).await.unwrap();
    until_up(&world, &quiet(&world), Kill::Never, "after").await;
    assert_up(&world, "after").await;
}

/// Presses Ctrl-C when the nth thing begins, and remembers what is told.
struct Finger {
    at: usize,
    shutdown: Shutdown,
    events: Mutex<Vec<Event>>,
}

impl Finger {
    fn new(at: usize) -> Self {
        Self { at, shutdown: Shutdown::new(), events: Mutex::default() }
    }
}

impl Progress for Finger {
    fn event(&self, event: Event) {
        let mut events = self.events.lock().unwrap();
        events.push(event);
        let started = events.iter().filter(|e| e.kind == EventKind::Started).count();
        if started == self.at {
            self.shutdown.trigger();
        }
    }
}

#[tokio::test]
async fn ctrl_c_starts_nothing_new_and_loses_nothing() {
    for at in 1..=40 {
        let world = World::new(Rules::prompt());
        let finger = Finger::new(at);
        let way = quiet(&world);
        let end = world.live(&way, Kill::Never, &finger.shutdown, &finger, Command::Up).await;
        let End::Failed(error) = end else { panic!("{at}: {end:?}") };
        assert!(error.contains("run the same command again"), "{error}");
        let events = finger.events.lock().unwrap().clone();
        let started = events.iter().filter(|e| e.kind == EventKind::Started).count();
        let started_with = at + world.limits.calls;
        assert!(started <= started_with, "{at}: {started} things were started");
        let ended = |e: &&Event| matches!(e.kind, EventKind::Done { .. } | EventKind::Stopped);
        assert_eq!(events.iter().filter(ended).count(), started, "{at}: each was let finish");
        let journal = crate::journal::Journal::open(&world.folder().journal()).unwrap();
        assert_eq!(journal.open_calls(), [], "{at}");
        drop(journal);
        until_up(&world, &quiet(&world), Kill::Never, "again").await;
        assert_up(&world, "again").await;
        world.assert_nothing_made_twice("again");
    }
}

#[tokio::test]
async fn ctrl_c_in_down_can_be_taken_up_again() {
    for at in 1..=12 {
        let world = raised(Rules::prompt()).await;
        let finger = Finger::new(at);
        let end = world.live(&quiet(&world), Kill::Never, &finger.shutdown, &finger, Command::Down).await;
        assert!(matches!(&end, End::Failed(error) if error.contains("run `cluster down` again")), "{end:?}");
        until_gone(&world, &quiet(&world), Kill::Never, "again").await;
    }
}

#[tokio::test]
async fn what_is_not_ours_stops_down_is_named_and_not_touched() {
    let world = raised(Rules::prompt()).await;
    let subnet = world.fake.world().subnets.iter().find(|s| s.tags.belongs_to(NAME)).unwrap().id.clone();
    let vpc = world.fake.world().vpcs.iter().find(|v| v.tags.belongs_to(NAME)).unwrap().id.clone();
    let interface = world.fake.plant_interface(&subnet, "AWS Lambda VPC ENI-resize").unwrap();
    let group = world.fake.plant_group(&vpc);
    let error = fails(&world, Command::Down).await;
    let named = format!(
        "the network interface {interface} (it uses an address of {subnet}: AWS Lambda VPC ENI-resize)"
    );
    assert!(error.contains(&named) && error.contains(&group), "{error}");
    let left = world.fake.world();
    assert!(left.network_interfaces.iter().any(|i| i.id == interface));
    assert!(
        !left.instances.iter().any(|i| i.state.is_live() && i.tags.belongs_to(NAME)),
        "machines are gone"
    );
    world.fake.unplant_interface(&interface);
    world.fake.apply(&Call::DeleteSecurityGroup { group }).await.unwrap();
    until_gone(&world, &quiet(&world), Kill::Never, "after").await;
}

#[tokio::test]
async fn what_aws_never_lets_go_of_ends_in_its_own_words() {
    let world = raised(Rules::prompt()).await;
    let mut way = Faults::new(world.account.clone());
    for n in 1..=500 {
        way = way.with(When::Nth("DeleteVpc", n), Fault::Refuse("DependencyViolation"));
    }
    let End::Failed(error) = world.down(&Arc::new(way), Kill::Never).await else { panic!("it is gone") };
    assert!(error.contains("nothing has changed for 30") && error.contains("DeleteVpc vpc-"), "{error}");
    assert!(error.contains("DependencyViolation"), "{error}");
    until_gone(&world, &quiet(&world), Kill::Never, "after").await;
}

#[tokio::test]
async fn nothing_to_remove_is_a_failure_that_says_where_it_looked() {
    let world = World::new(Rules::prompt());
    let error = fails(&world, Command::DownByName).await;
    assert_eq!(
        error,
        "found nothing of a cluster called shop in account 123456789012, region us-east-1: check the name, the credentials and the region"
    );
    world.assert_bystanders_untouched("nothing");
}

#[tokio::test]
async fn a_cluster_whose_state_is_here_and_of_which_nothing_is_left_is_down() {
    let world = World::new(Rules::prompt());
    assert!(matches!(world.down(&quiet(&world), Kill::Never).await, End::Done));
    world.assert_gone("its state");
    world.assert_bystanders_untouched("nothing");
}

#[tokio::test]
async fn an_interface_that_somebody_holds_a_while_is_waited_for() {
    let world = raised(Rules { shutting_down: Duration::from_secs(200), ..Rules::prompt() }).await;
    assert_eq!(until_gone(&world, &quiet(&world), Kill::Never, "slow").await, 1);
}

#[tokio::test]
async fn a_lost_worker_is_rebuilt_and_a_lost_master_is_refused() {
    let world = raised(Rules::prompt()).await;
    let worker = instance_of(&world, "general-1");
    world.fake.kill(&worker);
    world.clock.advance(Duration::from_secs(300));
    until_up(&world, &quiet(&world), Kill::Never, "rebuilt").await;
    assert_up(&world, "rebuilt").await;
    assert_ne!(instance_of(&world, "general-1"), worker);
    let master = instance_of(&world, "master-0");
    world.fake.kill(&master);
    world.clock.advance(Duration::from_secs(2 * 3600));
    for _ in 0..2 {
        let error = fails(&world, Command::Up).await;
        assert!(error.contains(&format!("master-0 ({master}) is gone")), "{error}");
    }
}

#[tokio::test]
async fn a_stopped_machine_is_started_and_waited_for() {
    let world = raised(Rules::prompt()).await;
    world.fake.stop(&instance_of(&world, "general-0"));
    world.clock.advance(Duration::from_secs(300));
    until_up(&world, &quiet(&world), Kill::Never, "started").await;
    assert_up(&world, "started").await;
    let states: Vec<InstanceState> = world.fake.world().instances.iter().map(|i| i.state).collect();
    assert!(states.iter().all(|state| *state == InstanceState::Running), "{states:?}");
}

#[tokio::test]
async fn a_machine_that_never_runs_ends_with_its_last_state_and_the_likely_cause() {
    let world = World::new(Rules { pending: Duration::from_hours(1), ..Rules::prompt() });
    let error = fails(&world, Command::Up).await;
    assert!(
        error.contains("last seen: pending (AWS is short of this instance type in this zone)"),
        "{error}"
    );
    world.clock.advance(Duration::from_hours(1));
    until_up(&world, &quiet(&world), Kill::Never, "later").await;
    assert_up(&world, "later").await;
    world.assert_nothing_made_twice("later");
}

#[tokio::test]
async fn all_who_wait_share_one_listing_and_calls_in_flight_are_bounded() {
    let mut world =
        World::new(Rules { pending: Duration::from_secs(60), vcpus: 200, vpcs: 9, ..Rules::prompt() });
    world.config.workers[0].count = 30;
    let way = quiet(&world);
    assert!(matches!(world.up(&way, Kill::Never).await, End::Done));
    let listings = way.calls()["DescribeInstances"];
    assert!((20..60).contains(&listings), "{listings} listings for 31 machines that take 60 s");
    let busiest = world.busiest.load(Ordering::Relaxed);
    assert_eq!(busiest, world.limits.calls);
}

#[tokio::test]
async fn another_clusters_uid_is_not_ours_to_remove() {
    let world = raised(Rules::prompt()).await;
    let theirs = Call::CreateVpc {
        slot: "vpc".into(),
        cidr: "10.99.0.0/16".parse().unwrap(),
        tags: Tags::of_slot(NAME, "fedcba9876543210", "vpc"),
    };
    let theirs = world.fake.apply(&theirs).await.unwrap().id.unwrap();
    assert!(matches!(world.down(&quiet(&world), Kill::Never).await, End::Done));
    let left: Vec<String> = world.fake.world().vpcs.iter().map(|vpc| vpc.id.clone()).collect();
    assert!(left.contains(&theirs));
    assert_eq!(world.fake.left(NAME).len(), 1);
}

#[tokio::test]
async fn every_action_tells_when_it_begins_and_how_it_ends() {
    let world = World::new(Rules::prompt());
    let finger = Finger::new(usize::MAX);
    let end = world.live(&quiet(&world), Kill::Never, &finger.shutdown, &finger, Command::Up).await;
    assert!(matches!(end, End::Done), "{end:?}");
    let events = finger.events.lock().unwrap();
    let of = |f: fn(&EventKind) -> bool| {
        let mut actions: Vec<usize> = events.iter().filter(|e| f(&e.kind)).filter_map(|e| e.action).collect();
        actions.sort_unstable();
        actions
    };
    let started = of(|kind| *kind == EventKind::Started);
    assert_eq!(started, (0..started.len()).collect::<Vec<_>>());
    assert_eq!(of(|kind| matches!(kind, EventKind::Done { .. })), started);
    let waiting = events.iter().find(|e| matches!(e.kind, EventKind::Waiting { .. })).unwrap();
    let json = serde_json::to_value(waiting).unwrap();
    assert_eq!(json["event"], "waiting");
    assert!(json["label"].as_str().unwrap().starts_with("RunInstances "), "{json}");
    assert_eq!(json["lastState"], "pending");
    assert!(json["elapsedMs"].is_u64() && json["what"].as_str().unwrap().starts_with("i-"), "{json}");
}
