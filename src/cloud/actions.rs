//! Every AWS action the program can call, and how IAM can narrow it: the one list that
//! the IAM policy in infra/ is compared with.

use serde::Serialize;

/// How a policy can hold an action to the cluster's own resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// It reads; Describe calls know no resources.
    Read,
    /// It makes a resource, tagged from the start: condition `aws:RequestTag/cluster-name`.
    /// What it names beside (a VPC, a subnet) is held by `aws:ResourceTag/cluster-name`.
    Creates,
    /// It changes, removes or looks into one resource: condition `aws:ResourceTag/cluster-name`.
    Changes,
    /// Never called by itself: AWS asks for it when a call above tags what it makes
    /// (condition `ec2:CreateAction`).
    TagsOnCreate,
    /// Never called by itself: AWS asks for it when a launch names an instance
    /// profile (condition `iam:PassedToService`).
    PassesRole,
}

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Action {
    /// As IAM writes it (`ec2:CreateVpc`).
    pub name: &'static str,
    /// How it can be narrowed.
    pub guard: Guard,
}

const fn action(name: &'static str, guard: Guard) -> Action {
    Action { name, guard }
}

/// All of them.
pub static ACTIONS: &[Action] = &[
    action("sts:GetCallerIdentity", Guard::Read),
    action("ec2:DescribeAvailabilityZones", Guard::Read),
    action("ec2:DescribeImages", Guard::Read),
    action("ec2:DescribeInstanceTypeOfferings", Guard::Read),
    action("ec2:DescribeInstanceTypes", Guard::Read),
    action("ec2:DescribeInstances", Guard::Read),
    action("ec2:DescribeInternetGateways", Guard::Read),
    action("ec2:DescribeKeyPairs", Guard::Read),
    action("ec2:DescribeNetworkInterfaces", Guard::Read),
    action("ec2:DescribeRouteTables", Guard::Read),
    action("ec2:DescribeSecurityGroups", Guard::Read),
    action("ec2:DescribeSubnets", Guard::Read),
    action("ec2:DescribeVolumes", Guard::Read),
    action("ec2:DescribeVpcs", Guard::Read),
    action("ec2:GetConsoleOutput", Guard::Changes),
    action("ec2:CreateVpc", Guard::Creates),
    action("ec2:CreateInternetGateway", Guard::Creates),
    action("ec2:CreateRouteTable", Guard::Creates),
    action("ec2:CreateSubnet", Guard::Creates),
    action("ec2:CreateSecurityGroup", Guard::Creates),
    action("ec2:ImportKeyPair", Guard::Creates),
    action("ec2:RunInstances", Guard::Creates),
    action("ec2:AttachInternetGateway", Guard::Changes),
    action("ec2:CreateRoute", Guard::Changes),
    action("ec2:AssociateRouteTable", Guard::Changes),
    action("ec2:AuthorizeSecurityGroupIngress", Guard::Changes),
    action("ec2:RevokeSecurityGroupIngress", Guard::Changes),
    action("ec2:StartInstances", Guard::Changes),
    action("ec2:TerminateInstances", Guard::Changes),
    action("ec2:DeleteKeyPair", Guard::Changes),
    action("ec2:DeleteVolume", Guard::Changes),
    action("ec2:DeleteNetworkInterface", Guard::Changes),
    action("ec2:DeleteSecurityGroup", Guard::Changes),
    action("ec2:DisassociateRouteTable", Guard::Changes),
    action("ec2:DeleteRouteTable", Guard::Changes),
    action("ec2:DeleteSubnet", Guard::Changes),
    action("ec2:DetachInternetGateway", Guard::Changes),
    action("ec2:DeleteInternetGateway", Guard::Changes),
    action("ec2:DeleteVpc", Guard::Changes),
    action("ec2:CreateTags", Guard::TagsOnCreate),
    action("iam:PassRole", Guard::PassesRole),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn statements() -> Vec<Value> {
        let policy: Value = serde_json::from_str(include_str!("../../infra/policy.json")).unwrap();
        policy["Statement"].as_array().unwrap().clone()
    }

    fn actions(statement: &Value) -> Vec<String> {
        match &statement["Action"] {
            Value::String(one) => vec![one.clone()],
            many => many.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        }
    }

    #[test]
    fn the_policy_allows_exactly_what_can_be_called() {
        let allowed: BTreeSet<String> = statements().iter().flat_map(actions).collect();
        let called: BTreeSet<String> = ACTIONS.iter().map(|action| action.name.to_owned()).collect();
        assert_eq!(allowed, called);
    }

    #[test]
    fn the_policy_guards_each_action_as_the_table_says() {
        for statement in statements() {
            let condition = statement["Condition"].to_string();
            for name in actions(&statement) {
                let Some(action) = ACTIONS.iter().find(|action| action.name == name) else {
                    panic!("{name} is not called")
                };
                let from_image = statement["Sid"] == "LaunchFromAnyImage";
                let held = match action.guard {
                    Guard::Read => true,
                    Guard::Creates => condition.contains("/cluster-name") || from_image,
                    Guard::Changes => condition.contains("aws:ResourceTag/cluster-name"),
                    Guard::TagsOnCreate => condition.contains("ec2:CreateAction"),
                    Guard::PassesRole => condition.contains("iam:PassedToService"),
                };
                assert!(held, "{name} in {}", statement["Sid"]);
            }
        }
    }
}
