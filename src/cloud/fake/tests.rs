//! The fake keeps AWS's rules.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, ManualClock};
use plan::model::{Call, InstanceState, LaunchRequest};

use super::*;
use crate::suite::{self, Kit, Made};

struct Bench {
    clock: Arc<ManualClock>,
    fake: Arc<Fake>,
}

fn bench(rules: Rules) -> Bench {
    let clock = Arc::new(ManualClock::default());
    let fake = Arc::new(Fake::new(clock.clone(), rules));
    Bench { clock, fake }
}

impl Bench {
    fn kit(&self) -> Kit<'_> {
        Kit { cloud: &*self.fake, clock: &*self.clock, name: "demo".into(), polls: 120 }
    }

    async fn code(&self, call: Call<String>) -> String {
        self.fake.apply(&call).await.map_or_else(|e| e.code, |_| "ok".to_owned())
    }

    async fn launched(&self, made: &Made, slot: &str) -> String {
        let request = self.kit().launch(made, slot, slot).await;
        self.fake.apply(&Call::RunInstances(request)).await.unwrap().id.unwrap()
    }

    fn state(&self, id: &str) -> InstanceState {
        self.fake.world().instances.into_iter().find(|i| i.id == id).unwrap().state
    }
}

#[tokio::test]
async fn a_cluster_lives_and_leaves_nothing_on_a_good_day() {
    let bench = bench(Rules::prompt());
    let before = bench.fake.world();
    suite::questions(&bench.kit()).await;
    suite::whole_life(&bench.kit()).await;
    assert!(bench.fake.left("demo").is_empty(), "{:?}", bench.fake.left("demo"));
    bench.clock.advance(Duration::from_hours(2));
    assert_eq!(bench.fake.world(), before);
}

#[tokio::test]
async fn a_cluster_lives_and_leaves_nothing_where_everything_is_seen_late() {
    for seed in 0..50 {
        let bench = bench(Rules::late(seed));
        suite::whole_life(&bench.kit()).await;
        assert!(bench.fake.left("demo").is_empty(), "seed {seed}: {:?}", bench.fake.left("demo"));
    }
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted() {
    let bench = bench(Rules::prompt());
    let made = bench.kit().network().await;
    let rules = suite::rules(&made.peer);
    bench
        .fake
        .apply(&Call::AuthorizeSecurityGroupIngress { group: made.group.clone(), rules })
        .await
        .unwrap();
    let instance = bench.launched(&made, "master-0").await;
    let (vpc, gateway) = (made.vpc.clone(), made.gateway.clone());
    let blocked = [
        Call::DeleteVpc { vpc: vpc.clone() },
        Call::DeleteSubnet { subnet: made.subnet.clone() },
        Call::DeleteSecurityGroup { group: made.group.clone() },
        Call::DeleteSecurityGroup { group: made.peer.clone() },
        Call::DeleteRouteTable { table: made.table.clone() },
        Call::DeleteInternetGateway { gateway: gateway.clone() },
        Call::DetachInternetGateway { gateway: gateway.clone(), vpc: vpc.clone() },
    ];
    for call in &blocked {
        assert_eq!(bench.code(call.clone()).await, "DependencyViolation", "{}", call.action_name());
    }
    bench.fake.apply(&Call::TerminateInstances { instances: vec![instance.clone()] }).await.unwrap();
    assert_eq!(bench.state(&instance), InstanceState::ShuttingDown);
    let subnet = made.subnet.clone();
    assert_eq!(bench.code(Call::DeleteSubnet { subnet: subnet.clone() }).await, "DependencyViolation");
    bench.clock.advance(Rules::prompt().shutting_down);
    assert_eq!(bench.code(Call::DeleteSubnet { subnet }).await, "ok");
    assert_eq!(bench.code(Call::DetachInternetGateway { gateway, vpc }).await, "ok");
}

#[tokio::test]
async fn a_foreign_interface_or_group_holds_the_vpc() {
    let bench = bench(Rules::prompt());
    let made = bench.kit().network().await;
    let interface = bench.fake.plant_interface(&made.subnet, "ELB app/shop/1").unwrap();
    let subnet = made.subnet.clone();
    assert_eq!(bench.code(Call::DeleteSubnet { subnet: subnet.clone() }).await, "DependencyViolation");
    let seen = bench.fake.inventory("demo").await.unwrap();
    assert_eq!(seen.network_interfaces[0].description, "ELB app/shop/1");
    bench.fake.unplant_interface(&interface);
    assert_eq!(bench.code(Call::DeleteSubnet { subnet }).await, "ok");
    bench.fake.plant_group(&made.vpc);
    assert_eq!(bench.code(Call::DeleteVpc { vpc: made.vpc }).await, "DependencyViolation");
}

#[tokio::test]
async fn a_client_token_stands_for_one_request_and_one_instance() {
    let bench = bench(Rules::prompt());
    let made = bench.kit().network().await;
    let request = bench.kit().launch(&made, "master-0", "token").await;
    let first = bench.fake.apply(&Call::RunInstances(request.clone())).await.unwrap();
    let again = bench.fake.apply(&Call::RunInstances(request.clone())).await.unwrap();
    assert_eq!(first, again);
    let mut other = request.clone();
    other.user_data.push(' ');
    assert_eq!(bench.code(Call::RunInstances(other)).await, "IdempotentParameterMismatch");
    bench.fake.kill(&first.id.unwrap());
    assert_eq!(bench.code(Call::RunInstances(request.clone())).await, "ok");
    bench.clock.advance(Rules::prompt().shutting_down);
    assert_eq!(bench.code(Call::RunInstances(request.clone())).await, "IdempotentInstanceTerminated");
    bench.clock.advance(Duration::from_hours(2));
    assert_eq!(bench.code(Call::RunInstances(request)).await, "IdempotentInstanceTerminated");
}

#[tokio::test]
async fn a_doomed_instance_ends_with_its_reason_and_leaves_nothing() {
    let bench = bench(Rules::prompt());
    let made = bench.kit().network().await;
    bench.fake.doom_next("Client.VolumeLimitExceeded: Volume limit exceeded");
    let id = bench.launched(&made, "general-0").await;
    assert_eq!(bench.state(&id), InstanceState::Pending);
    bench.clock.advance(Rules::prompt().pending);
    let seen = bench.fake.instances("demo").await.unwrap();
    assert_eq!(seen[0].state, InstanceState::Terminated);
    assert!(seen[0].state_reason.as_ref().unwrap().starts_with("Client.VolumeLimitExceeded"));
    assert!(bench.fake.world().network_interfaces.is_empty());
    assert!(bench.fake.world().volumes.is_empty());
}

#[tokio::test]
async fn what_is_there_already_is_a_duplicate() {
    let bench = bench(Rules::prompt());
    let kit = bench.kit();
    let made = kit.network().await;
    let rules = suite::rules(&made.peer);
    let authorize =
        Call::AuthorizeSecurityGroupIngress { group: made.group.clone(), rules: rules[..1].to_vec() };
    assert_eq!(bench.code(authorize.clone()).await, "ok");
    let (zone, cidr) = ("us-east-1a".to_owned(), suite::net("10.42.8.0/24"));
    let (vpc, tags) = (made.vpc.clone(), kit.tags("again"));
    let name = "demo-masters".to_owned();
    let table = [
        (authorize, "InvalidPermission.Duplicate"),
        (
            Call::CreateRoute {
                table: made.table.clone(),
                cidr: suite::net("0.0.0.0/0"),
                gateway: made.gateway.clone(),
            },
            "RouteAlreadyExists",
        ),
        (
            Call::CreateSubnet { slot: "x".into(), vpc: vpc.clone(), cidr, zone, tags: tags.clone() },
            "InvalidSubnet.Conflict",
        ),
        (
            Call::CreateSecurityGroup {
                slot: "x".into(),
                vpc: vpc.clone(),
                name,
                description: String::new(),
                tags: tags.clone(),
            },
            "InvalidGroup.Duplicate",
        ),
        (
            Call::ImportKeyPair {
                slot: "x".into(),
                name: "demo-key".into(),
                public_key: suite::KEY.into(),
                tags: tags.clone(),
            },
            "InvalidKeyPair.Duplicate",
        ),
        (
            Call::AssociateRouteTable { table: made.table.clone(), subnet: made.subnet.clone() },
            "Resource.AlreadyAssociated",
        ),
        (Call::AttachInternetGateway { gateway: made.gateway, vpc }, "Resource.AlreadyAssociated"),
    ];
    for (call, code) in table {
        let action = call.action_name();
        let error = bench.fake.apply(&call).await.unwrap_err();
        assert_eq!(error.code, code, "{action}");
        assert!(error.is_duplicate(), "{action}");
    }
}

#[tokio::test]
async fn limits_and_capacity_end() {
    let bench = bench(Rules { vpcs: 2, vcpus: 4, ..Rules::prompt() });
    let made = bench.kit().network().await;
    let tags = bench.kit().tags("vpc");
    let second = Call::CreateVpc { slot: "vpc".into(), cidr: suite::net("10.43.0.0/16"), tags };
    assert_eq!(bench.code(second).await, "VpcLimitExceeded");
    bench.fake.exhaust("t3.small", "us-east-1a", 1);
    let request = bench.kit().launch(&made, "general-0", "zero").await;
    assert_eq!(bench.code(Call::RunInstances(request.clone())).await, "InsufficientInstanceCapacity");
    let elsewhere = LaunchRequest { instance_type: "t3.medium".into(), ..request.clone() };
    assert_eq!(bench.code(Call::RunInstances(elsewhere)).await, "IdempotentParameterMismatch");
    assert_eq!(bench.code(Call::RunInstances(request)).await, "ok");
    bench.launched(&made, "general-1").await;
    let third = bench.kit().launch(&made, "general-2", "two").await;
    assert_eq!(bench.code(Call::RunInstances(third)).await, "VcpuLimitExceeded");
}

#[tokio::test]
async fn a_bystander_is_never_listed_and_a_denied_action_is_named() {
    let bench = bench(Rules::prompt());
    bench.fake.plant_bystander();
    assert!(bench.fake.inventory("demo").await.unwrap().is_empty());
    bench.fake.deny("CreateVpc");
    let call = Call::CreateVpc {
        slot: "vpc".into(),
        cidr: suite::net("10.42.0.0/16"),
        tags: bench.kit().tags("vpc"),
    };
    assert!(
        matches!(bench.fake.permission(&call).await, Ok(Permission::Denied(words)) if words.contains("ec2:CreateVpc"))
    );
    let gateway = Call::CreateInternetGateway { slot: "gateway".into(), tags: bench.kit().tags("gateway") };
    assert_eq!(bench.fake.permission(&gateway).await, Ok(Permission::Allowed));
    assert!(bench.fake.world().internet_gateways.is_empty(), "a dry run makes nothing");
}

#[tokio::test]
async fn a_lost_reply_takes_effect_and_a_lost_request_does_not() {
    let bench = bench(Rules::prompt());
    let gateway = Call::CreateInternetGateway { slot: "gateway".into(), tags: bench.kit().tags("gateway") };
    let way = Faults::new(bench.fake.clone())
        .with(When::Change(1), Fault::LoseRequest)
        .with(When::Nth("CreateInternetGateway", 2), Fault::LoseReply)
        .with(When::Change(3), Fault::Refuse("RequestLimitExceeded"));
    for gateways in [0, 1] {
        let error = way.apply(&gateway).await.unwrap_err();
        assert!(error.outcome_unknown);
        assert_eq!(bench.fake.world().internet_gateways.len(), gateways);
    }
    let error = way.apply(&gateway).await.unwrap_err();
    assert_eq!(error.verdict(), crate::Verdict::Retry);
    assert_eq!(way.changes(), 3);
    assert_eq!(way.calls()["CreateInternetGateway"], 3);
}

#[tokio::test]
async fn after_a_crash_no_call_arrives_until_the_process_starts_again() {
    let bench = bench(Rules::prompt());
    let gateway = Call::CreateInternetGateway { slot: "gateway".into(), tags: bench.kit().tags("gateway") };
    let way = Faults::new(bench.fake.clone()).with(When::Change(1), Fault::CrashAfter);
    assert_eq!(way.apply(&gateway).await.unwrap_err().code, CRASH);
    assert_eq!(way.inventory("demo").await.unwrap_err().code, CRASH);
    assert!(way.crashed());
    assert_eq!(bench.fake.world().internet_gateways.len(), 1);
    way.revive();
    assert_eq!(way.inventory("demo").await.unwrap().internet_gateways.len(), 1);
}

#[tokio::test]
async fn equal_seeds_give_equal_worlds() {
    let mut worlds = Vec::new();
    for _ in 0..2 {
        let bench = bench(Rules::late(7));
        let made = bench.kit().network().await;
        assert!(bench.clock.now() >= jiff::Timestamp::UNIX_EPOCH && !made.vpc.is_empty());
        worlds.push(bench.fake.world());
    }
    assert_eq!(worlds[0], worlds[1]);
}
