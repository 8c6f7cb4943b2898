//! How calls are made: once, bounded, all pages, and the same bytes for the same request.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{Clock as _, ManualClock};
use plan::model::Call;

use super::endpoint::{Endpoint, Form, Reply, client, error, success};
use crate::suite::{every_call, launch};
use crate::{ACTIONS, Cloud, Guard, ImageQuery, Permission, Verdict};

fn create_gateway() -> Call<String> {
    every_call().into_iter().find(|call| call.action_name() == "CreateInternetGateway").unwrap()
}

#[tokio::test]
async fn a_change_is_sent_once_whatever_happens_to_it() {
    for reply in [
        Reply::HangUp,
        error("ec2", 500, "InternalError", "An internal error has occurred"),
        error("ec2", 503, "Unavailable", "The server is overloaded"),
        Reply::Answer { status: 200, body: "<html>Sign in to the hotel</html>".into() },
        Reply::Answer { status: 502, body: "<html>Bad Gateway</html>".into() },
        success("CreateInternetGateway", ""),
    ] {
        let said = reply.clone();
        let endpoint = Endpoint::saying(move |_| said.clone()).await;
        let failed = endpoint.client(4).await.apply(&create_gateway()).await.unwrap_err();
        assert!(failed.outcome_unknown, "{reply:?}: {failed}");
        assert_eq!(failed.verdict(), Verdict::LookAgain);
        assert_eq!(endpoint.actions(), ["CreateInternetGateway"], "{reply:?}");
    }
}

#[tokio::test]
async fn what_was_refused_for_want_of_rate_or_capacity_did_nothing() {
    for (status, code) in
        [(503, "RequestLimitExceeded"), (500, "InsufficientInstanceCapacity"), (400, "Throttling")]
    {
        let endpoint = Endpoint::saying(move |_| error("ec2", status, code, "no")).await;
        let failed = endpoint.client(4).await.apply(&create_gateway()).await.unwrap_err();
        assert!(!failed.outcome_unknown, "{code}");
        assert_eq!(failed.verdict(), Verdict::Retry, "{code}");
        assert_eq!(endpoint.asked().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ec2 = client(&format!("http://{free}"), 1, Arc::new(ManualClock::default())).await;
    let failed = ec2.apply(&create_gateway()).await.unwrap_err();
    assert_eq!((failed.code.as_str(), failed.outcome_unknown), ("Connection", false), "{failed}");
    assert!(failed.message.contains("refused"), "{failed}");
}

#[tokio::test]
async fn a_read_is_tried_again_and_not_forever() {
    let endpoint =
        Endpoint::saying(|_| error("ec2", 503, "RequestLimitExceeded", "Request limit exceeded.")).await;
    let failed = endpoint.client(3).await.zones().await.unwrap_err();
    assert_eq!(failed.code, "RequestLimitExceeded");
    assert_eq!(endpoint.asked().len(), 3);
}

fn instance(id: usize, name: &str) -> String {
    format!(
        "<item><instancesSet><item><instanceId>i-{id:017x}</instanceId><instanceState><code>16</code>\
         <name>running</name></instanceState><tagSet><item><key>cluster-name</key><value>{name}</value></item>\
         </tagSet></item></instancesSet></item>"
    )
}

#[tokio::test]
async fn all_pages_are_read_and_what_is_not_ours_is_dropped() {
    let pages = |form: &Form| {
        let page: usize = form.get("NextToken").map_or(0, |token| token.parse().unwrap());
        let items: String =
            (0..5).map(|n| instance(page * 5 + n, if n == 3 { "other" } else { "demo" })).collect();
        let next = if page < 4 { format!("<nextToken>{}</nextToken>", page + 1) } else { String::new() };
        success("DescribeInstances", &format!("<reservationSet>{items}</reservationSet>{next}"))
    };
    let endpoint = Endpoint::saying(pages).await;
    let found = endpoint.client(1).await.instances("demo").await.unwrap();
    assert_eq!(found.len(), 20);
    assert!(found.is_sorted_by(|a, b| a.id < b.id));
    for form in endpoint.asked() {
        assert_eq!(form["Filter.1.Name"], "tag:cluster-name");
        assert_eq!(form["Filter.1.Value.1"], "demo");
    }
}

/// The parameters that matter, one a line.
fn lines(form: &Form) -> String {
    let plain = form.iter().filter(|(key, _)| key.as_str() != "Version");
    plain.map(|(key, value)| format!("{key} = {value}\n")).collect()
}

#[tokio::test]
async fn a_launch_asks_for_tokens_one_hop_and_one_encrypted_disk() {
    let answer = "<instancesSet><item><instanceId>i-1</instanceId></item></instancesSet>";
    let endpoint = Endpoint::saying(move |_| success("RunInstances", answer)).await;
    let ec2 = endpoint.client(1).await;
    let call = Call::RunInstances(launch("general-0"));
    assert_eq!(ec2.apply(&call).await.unwrap().id.as_deref(), Some("i-1"));
    ec2.apply(&call).await.unwrap();
    let asked = endpoint.asked();
    assert_eq!(asked[0], asked[1], "equal requests are equal on the wire");
    insta::assert_snapshot!(lines(&asked[0]));
}

#[tokio::test]
async fn rules_go_out_with_their_words_and_are_revoked_without() {
    let endpoint = Endpoint::saying(|form| success(&form["Action"], "<return>true</return>")).await;
    let ec2 = endpoint.client(1).await;
    let rules = crate::suite::rules("sg-peer");
    let group = "sg-1".to_owned();
    ec2.apply(&Call::AuthorizeSecurityGroupIngress { group: group.clone(), rules: rules.clone() })
        .await
        .unwrap();
    ec2.apply(&Call::RevokeSecurityGroupIngress { group, rules }).await.unwrap();
    let asked = endpoint.asked();
    insta::assert_snapshot!(lines(&asked[0]));
    assert!(!asked[1].keys().any(|key| key.contains("Description")));
}

#[tokio::test]
async fn a_dry_run_is_allowed_denied_or_unchecked() {
    let denied = "You are not authorized to perform this operation.";
    for (code, message, expected) in [
        ("DryRunOperation", "Request would have succeeded", Permission::Allowed),
        ("UnauthorizedOperation", denied, Permission::Denied(denied.into())),
        ("InvalidVpcID.NotFound", "no", Permission::Unchecked("InvalidVpcID.NotFound: no".into())),
    ] {
        let endpoint = Endpoint::saying(move |form| {
            assert_eq!(form["DryRun"], "true");
            match form["Action"].as_str() {
                "DescribeRouteTables" => error("ec2", 412, "DryRunOperation", "it would"),
                _ => error("ec2", 400, code, message),
            }
        })
        .await;
        assert_eq!(endpoint.client(1).await.permission(&create_gateway()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_endpoint_that_ignores_dry_runs_is_asked_for_no_change() {
    let endpoint = Endpoint::saying(|form| success(&form["Action"], "")).await;
    let answer = endpoint.client(1).await.permission(&create_gateway()).await.unwrap();
    assert!(matches!(answer, Permission::Unchecked(_)), "{answer:?}");
    assert_eq!(endpoint.actions(), ["DescribeRouteTables"]);
}

#[tokio::test]
async fn with_expired_credentials_no_permission_can_be_asked_for() {
    let endpoint = Endpoint::saying(|form| match form["Action"].as_str() {
        "DescribeRouteTables" => error("ec2", 412, "DryRunOperation", "it would"),
        _ => error("ec2", 400, "RequestExpired", "Request has expired."),
    })
    .await;
    let failed = endpoint.client(1).await.permission(&create_gateway()).await.unwrap_err();
    assert_eq!(failed.code, "RequestExpired");
}

/// Answers everything with as little as the client takes.
fn minimal(form: &Form) -> Reply {
    let action = form["Action"].as_str();
    let tags = "<tagSet><item><key>cluster-name</key><value>demo</value></item></tagSet>";
    let inner = match action {
        "GetCallerIdentity" => {
            let body = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/operator</Arn>\
                <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
            return Reply::Answer { status: 200, body: body.into() };
        }
        "DescribeVpcs" => format!("<vpcSet><item><vpcId>vpc-1</vpcId>{tags}</item></vpcSet>"),
        "DescribeKeyPairs" => {
            format!("<keySet><item><keyPairId>key-1</keyPairId><keyName>demo</keyName>{tags}</item></keySet>")
        }
        "CreateVpc" => "<vpc><vpcId>vpc-1</vpcId></vpc>".into(),
        "CreateInternetGateway" => {
            "<internetGateway><internetGatewayId>igw-1</internetGatewayId></internetGateway>".into()
        }
        "CreateRouteTable" => "<routeTable><routeTableId>rtb-1</routeTableId></routeTable>".into(),
        "CreateSubnet" => "<subnet><subnetId>subnet-1</subnetId></subnet>".into(),
        "AssociateRouteTable" => "<associationId>rtbassoc-1</associationId>".into(),
        "CreateSecurityGroup" => "<groupId>sg-1</groupId>".into(),
        "ImportKeyPair" => "<keyPairId>key-1</keyPairId>".into(),
        "RunInstances" => "<instancesSet><item><instanceId>i-1</instanceId></item></instancesSet>".into(),
        _ => String::new(),
    };
    success(action, &inner)
}

#[tokio::test]
async fn every_action_the_client_can_call_is_listed_and_none_else() {
    let endpoint = Endpoint::saying(minimal).await;
    let ec2 = endpoint.client(1).await;
    ec2.caller().await.unwrap();
    let seen = ec2.inventory("demo").await.unwrap();
    assert_eq!((seen.vpcs.len(), seen.key_pairs.len()), (1, 1));
    ec2.instances("demo").await.unwrap();
    ec2.image(&ImageQuery::Id("ami-1".into())).await.unwrap();
    ec2.zones().await.unwrap();
    ec2.instance_types(&["t3.small".to_owned()].into()).await.unwrap();
    ec2.console_output("i-1").await.unwrap();
    ec2.permission(&create_gateway()).await.unwrap();
    for call in every_call() {
        ec2.apply(&call).await.unwrap();
    }
    let called: BTreeSet<String> =
        endpoint
            .actions()
            .into_iter()
            .map(|action| {
                if action == "GetCallerIdentity" { format!("sts:{action}") } else { format!("ec2:{action}") }
            })
            .collect();
    let asked_for_by_aws = [Guard::TagsOnCreate, Guard::PassesRole];
    let listed: BTreeSet<String> = ACTIONS
        .iter()
        .filter(|action| !asked_for_by_aws.contains(&action.guard))
        .map(|action| action.name.to_owned())
        .collect();
    assert_eq!(called, listed);
    let changing = every_call().iter().map(Call::action_name).collect::<BTreeSet<_>>();
    assert_eq!(changing.len(), every_call().len());
}

#[tokio::test]
async fn changes_are_slowed_to_what_aws_takes() {
    let endpoint = Endpoint::saying(minimal).await;
    let clock = Arc::new(ManualClock::default());
    let ec2 = client(&endpoint.url(), 1, clock.clone()).await;
    for _ in 0..11 {
        ec2.apply(&Call::StartInstances { instances: vec!["i-1".into()] }).await.unwrap();
    }
    assert_eq!(clock.now().as_millisecond(), 3000, "five at once, then two a second");
}
