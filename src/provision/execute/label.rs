//! What an action is called on a progress line.

use std::fmt::Display;

use plan::Action;
use plan::model::Call;

/// The name of an action (`RunInstances master-0`, `master-0: packages`).
#[must_use]
pub fn of_action(action: &Action) -> String {
    match action {
        Action::Cloud { request, .. } => of_call(request),
        Action::Bootstrap { slot, step, .. } => format!("{slot}: {step}"),
    }
}

/// The name of a call: AWS's action and what it is about.
#[must_use]
pub fn of_call<R: Display>(call: &Call<R>) -> String {
    format!("{} {}", call.action_name(), subject(call))
}

fn subject<R: Display>(call: &Call<R>) -> String {
    if let Some(slot) = call.creates() {
        return slot.to_owned();
    }
    match call {
        Call::AttachInternetGateway { gateway, vpc } => format!("{gateway} to {vpc}"),
        Call::DetachInternetGateway { gateway, vpc } => format!("{gateway} from {vpc}"),
        Call::CreateRoute { table, cidr, .. } => format!("{cidr} in {table}"),
        Call::AssociateRouteTable { table, subnet } => format!("{table} with {subnet}"),
        Call::AuthorizeSecurityGroupIngress { group, rules }
        | Call::RevokeSecurityGroupIngress { group, rules } => match rules.as_slice() {
            [rule] => format!("{rule} on {group}"),
            rules => format!("{} rules on {group}", rules.len()),
        },
        Call::StartInstances { instances } | Call::TerminateInstances { instances } => {
            let names: Vec<String> = instances.iter().map(ToString::to_string).collect();
            names.join(" ")
        }
        Call::DeleteKeyPair { key_pair } => key_pair.to_string(),
        Call::DeleteVolume { volume } => volume.to_string(),
        Call::DeleteNetworkInterface { interface } => interface.to_string(),
        Call::DeleteSecurityGroup { group } => group.to_string(),
        Call::DisassociateRouteTable { association } => association.clone(),
        Call::DeleteRouteTable { table } => table.to_string(),
        Call::DeleteSubnet { subnet } => subnet.to_string(),
        Call::DeleteInternetGateway { gateway } => gateway.to_string(),
        Call::DeleteVpc { vpc } => vpc.to_string(),
        // The creations, named by their slot above.
        Call::CreateVpc { .. }
        | Call::CreateInternetGateway { .. }
        | Call::CreateRouteTable { .. }
        | Call::CreateSubnet { .. }
        | Call::CreateSecurityGroup { .. }
        | Call::ImportKeyPair { .. }
        | Call::RunInstances(_) => String::new(),
    }
}
