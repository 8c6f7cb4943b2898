//! What AWS's refusals mean for a call that changes something.
//!
//! Only what decides between going on and stopping is here; the rest is the
//! cloud's table.

use cloud::CloudError;
use plan::model::Call;

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did not happen and may work later: wait, call again.
    Later,
    /// It may have happened: look, then decide.
    Unsure,
    /// What it names is too new to be seen: wait, call again.
    NotYet,
    /// What it would make is there: success if it is equal.
    Duplicate,
    /// What it would remove is not there: success.
    Gone,
    /// Something else still depends on it.
    Blocked,
    /// This machine cannot be had this way: ask for it anew.
    Replace,
    /// The same token was used for another request.
    Mismatch,
    /// Nothing this program does will help.
    Stop,
}

/// Judges `error`, which AWS or the connection gave for `call`.
pub(crate) fn judge(call: &Call<String>, error: &CloudError) -> Verdict {
    if error.outcome_unknown {
        return Verdict::Unsure;
    }
    match error.code.as_str() {
        // An error of AWS's own may come after the work was done.
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Unavailable" => return Verdict::Unsure,
        "IdempotentParameterMismatch" => return Verdict::Mismatch,
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" => return Verdict::Replace,
        _ if is_blocked(error) => return Verdict::Blocked,
        "IncorrectInstanceState" | "IncorrectState" | "InvalidVpcState" => return Verdict::Later,
        _ => {}
    }
    if error.is_not_found() {
        return match is_removal(call) {
            true => Verdict::Gone,
            false if names_ours(&error.code) => Verdict::NotYet,
            false => Verdict::Stop,
        };
    }
    if error.is_duplicate() {
        return Verdict::Duplicate;
    }
    match error.verdict() {
        cloud::Verdict::Retry => Verdict::Later,
        cloud::Verdict::Replace if matches!(call, Call::RunInstances(_)) => Verdict::Replace,
        cloud::Verdict::Replace | cloud::Verdict::LookAgain | cloud::Verdict::Stop => Verdict::Stop,
    }
}

/// Whether something still depends on what a removal would take away.
pub(crate) fn is_blocked(error: &CloudError) -> bool {
    let in_use =
        ["DependencyViolation", "InvalidGroup.InUse", "VolumeInUse", "InvalidNetworkInterface.InUse"];
    in_use.contains(&error.code.as_str())
        // AWS's answer to deleting an interface that is attached.
        || (error.operation == "DeleteNetworkInterface" && error.code == "InvalidParameterValue")
}

/// Judges why an instance ended by itself (`Server.InternalError: …`): worth another attempt?
pub(crate) fn is_worth_another(state_reason: &str) -> bool {
    let (code, message) = state_reason.split_once(": ").unwrap_or((state_reason, ""));
    cloud::advice(code, message).verdict == cloud::Verdict::Replace
}

/// Whether `code` is about a kind of thing that this program makes, so that it may only be too new.
fn names_ours(code: &str) -> bool {
    matches!(
        code,
        "InvalidVpcID.NotFound"
            | "InvalidSubnetID.NotFound"
            | "InvalidGroup.NotFound"
            | "InvalidSecurityGroupID.NotFound"
            | "InvalidRouteTableID.NotFound"
            | "InvalidInternetGatewayID.NotFound"
            | "InvalidGatewayID.NotFound"
            | "InvalidKeyPair.NotFound"
            | "InvalidInstanceID.NotFound"
    )
}

/// Whether `call` only takes away.
pub(crate) fn is_removal(call: &Call<String>) -> bool {
    matches!(
        call,
        Call::RevokeSecurityGroupIngress { .. }
            | Call::TerminateInstances { .. }
            | Call::DeleteKeyPair { .. }
            | Call::DeleteVolume { .. }
            | Call::DeleteNetworkInterface { .. }
            | Call::DeleteSecurityGroup { .. }
            | Call::DisassociateRouteTable { .. }
            | Call::DeleteRouteTable { .. }
            | Call::DeleteSubnet { .. }
            | Call::DetachInternetGateway { .. }
            | Call::DeleteInternetGateway { .. }
            | Call::DeleteVpc { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::model::Tags;

    fn vpc() -> Call<String> {
        let cidr = "10.0.0.0/16".parse().unwrap();
        Call::CreateVpc { slot: "vpc".into(), cidr, tags: Tags::default() }
    }

    fn route() -> Call<String> {
        Call::CreateRoute {
            table: "rtb-1".into(),
            cidr: "0.0.0.0/0".parse().unwrap(),
            gateway: "igw-1".into(),
        }
    }

    fn detach() -> Call<String> {
        Call::DetachInternetGateway { gateway: "igw-1".into(), vpc: "vpc-1".into() }
    }

    fn delete() -> Call<String> {
        Call::DeleteVpc { vpc: "vpc-1".into() }
    }

    #[test]
    fn each_refusal_means_one_thing_for_one_call() {
        let cases: [(Call<String>, &str, Verdict); 16] = [
            (vpc(), "RequestLimitExceeded", Verdict::Later),
            (vpc(), "InternalError", Verdict::Unsure),
            (vpc(), "ServiceUnavailable", Verdict::Unsure),
            (vpc(), "VpcLimitExceeded", Verdict::Stop),
            (vpc(), "UnauthorizedOperation", Verdict::Stop),
            (vpc(), "SomethingNobodyForesaw", Verdict::Stop),
            (route(), "InvalidRouteTableID.NotFound", Verdict::NotYet),
            (route(), "InvalidGatewayID.NotFound", Verdict::NotYet),
            (route(), "RouteAlreadyExists", Verdict::Duplicate),
            (route(), "InvalidAMIID.NotFound", Verdict::Stop),
            (detach(), "Gateway.NotAttached", Verdict::Gone),
            (detach(), "DependencyViolation", Verdict::Blocked),
            (delete(), "InvalidVpcID.NotFound", Verdict::Gone),
            (delete(), "DependencyViolation", Verdict::Blocked),
            (delete(), "ExpiredToken", Verdict::Stop),
            (delete(), "IncorrectState", Verdict::Later),
        ];
        for (call, code, expected) in cases {
            let error = CloudError::refused(call.action_name(), code, "");
            assert_eq!(judge(&call, &error), expected, "{} {code}", call.action_name());
        }
    }

    #[test]
    fn a_lost_reply_is_never_certain_whatever_its_code() {
        for code in ["Timeout", "Connection", "UnauthorizedOperation"] {
            assert_eq!(judge(&vpc(), &CloudError::lost("CreateVpc", code, "")), Verdict::Unsure);
        }
    }

    #[test]
    fn only_awss_own_faults_are_worth_another_machine() {
        let cases = [
            ("Server.InternalError: Internal error on launch", true),
            ("Server.InsufficientInstanceCapacity: none left", true),
            ("Client.VolumeLimitExceeded: Volume limit exceeded", false),
            ("Client.InternalError: Client error on launch", false),
            ("Client.UserInitiatedShutdown: User initiated shutdown", false),
            ("AWS gave no reason", false),
        ];
        for (reason, expected) in cases {
            assert_eq!(is_worth_another(reason), expected, "{reason}");
        }
    }
}
