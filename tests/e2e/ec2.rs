//! EC2's query API by hand: what somebody else does to the account behind the cluster's back.

use std::process::Command;

/// LocalStack reads no more of the signature than account and region.
const AUTHORIZATION: &str = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=none";

/// One call: `Action=…&Name=value`. The answer is XML.
pub(crate) fn call(query: &str) -> String {
    match answer(query) {
        Ok(xml) => xml,
        Err(words) => panic!("{query}: {words}"),
    }
}

fn answer(query: &str) -> Result<String, String> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("tests/e2e/run sets the endpoint");
    let output = Command::new("curl")
        .args(["-fsS", "--max-time", "20", "-H", AUTHORIZATION, "-d"])
        .arg(format!("Version=2016-11-15&{query}"))
        .arg(endpoint)
        .output()
        .expect("curl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The text of the first `<tag>` in an answer.
pub(crate) fn first(xml: &str, tag: &str) -> String {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let text = xml.split(&open).nth(1).and_then(|rest| rest.split(&close).next());
    text.unwrap_or_else(|| panic!("no <{tag}> in {xml}")).to_owned()
}

/// How often `<tag>` is in an answer.
pub(crate) fn count(xml: &str, tag: &str) -> usize {
    xml.matches(&format!("<{tag}>")).count()
}

/// A VPC, a group and an instance that are nobody's business, and their ids.
pub(crate) struct Bystanders {
    vpc: String,
    group: String,
    instance: String,
}

impl Bystanders {
    pub(crate) fn new() -> Self {
        let vpc = first(&call("Action=CreateVpc&CidrBlock=10.99.0.0/16"), "vpcId");
        let subnet = call(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.99.1.0/24"));
        let subnet = first(&subnet, "subnetId");
        let group =
            call(&format!("Action=CreateSecurityGroup&GroupName=bystander&GroupDescription=b&VpcId={vpc}"));
        let group = first(&group, "groupId");
        // An arm64 image: EC2's record of an instance is enough, it needs no machine.
        let images = call(
            "Action=DescribeImages&Owner.1=136693071363&Filter.1.Name=architecture&Filter.1.Value.1=arm64",
        );
        let run = call(&format!(
            "Action=RunInstances&ImageId={}&MinCount=1&MaxCount=1&InstanceType=t4g.small&SubnetId={subnet}",
            first(&images, "imageId")
        ));
        Self { vpc, group, instance: first(&run, "instanceId") }
    }

    /// Ends the test unless all three are still what they were.
    pub(crate) fn are_untouched(&self) {
        let instance = call(&format!("Action=DescribeInstances&InstanceId.1={}", self.instance));
        assert!(instance.contains("<name>running</name>"), "the bystander instance: {instance}");
        call(&format!("Action=DescribeVpcs&VpcId.1={}", self.vpc));
        call(&format!("Action=DescribeSecurityGroups&GroupId.1={}", self.group));
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        // Perhaps after a failed test: a second failure here would hide the first.
        let _ = answer(&format!("Action=TerminateInstances&InstanceId.1={}", self.instance));
    }
}

/// Live instances of a cluster by EC2's own list: slot by slot, each once per instance.
pub(crate) fn live_slots(cluster: &str) -> Vec<String> {
    let xml = call(&format!(
        "Action=DescribeInstances&Filter.1.Name=tag:cluster-name&Filter.1.Value.1={cluster}&Filter.2.Name=instance-state-name&Filter.2.Value.1=running&Filter.2.Value.2=pending&Filter.2.Value.3=stopped"
    ));
    let mut slots: Vec<String> =
        xml.split("<key>cluster-slot</key>").skip(1).map(|rest| first(rest, "value")).collect();
    slots.sort();
    slots
}

/// How many resources of each kind carry the cluster's name.
pub(crate) fn tagged(cluster: &str) -> Vec<(&'static str, usize)> {
    let kinds = [
        "DescribeVpcs",
        "DescribeSubnets",
        "DescribeInternetGateways",
        "DescribeRouteTables",
        "DescribeSecurityGroups",
        "DescribeKeyPairs",
        "DescribeVolumes",
    ];
    let filter = format!("Filter.1.Name=tag:cluster-name&Filter.1.Value.1={cluster}");
    kinds
        .into_iter()
        .map(|action| {
            let xml = call(&format!("Action={action}&{filter}"));
            // Each resource of a cluster carries four tags.
            (action, count(&xml, "key") / 4)
        })
        .collect()
}
