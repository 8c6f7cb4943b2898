//! The real client: on endpoints of the tests' own, and on the one that AWS_ENDPOINT_URL names, where one is given.

mod credentials;
mod endpoint;
mod replies;
mod wire;

use base::SystemClock;

use super::*;
use crate::suite::{self, Kit};

/// The client, if the environment names an endpoint that is not AWS's; whoever
/// has one at hand (the fleet's test) runs these cases by setting it.
async fn given() -> Option<Ec2> {
    std::env::var_os("AWS_ENDPOINT_URL")?;
    Some(Ec2::connect(Some("us-east-1")).await.unwrap())
}

fn name() -> String {
    format!("suite-{}", &base::Ids::next(&base::RandomIds)[..8])
}

#[tokio::test]
async fn a_cluster_lives_and_leaves_nothing_on_the_given_endpoint() {
    let Some(ec2) = given().await else { return };
    let kit = Kit { cloud: &ec2, clock: &SystemClock, name: name(), polls: 15 };
    suite::questions(&kit).await;
    suite::whole_life(&kit).await;
}

#[tokio::test]
async fn a_dry_run_makes_nothing_on_the_given_endpoint() {
    let Some(ec2) = given().await else { return };
    let kit = Kit { cloud: &ec2, clock: &SystemClock, name: name(), polls: 15 };
    let cidr = suite::net("10.42.0.0/16");
    let call = Call::CreateVpc { slot: "vpc".into(), cidr, tags: kit.tags("vpc") };
    ec2.permission(&call).await.unwrap();
    assert!(ec2.inventory(&kit.name).await.unwrap().is_empty());
}
