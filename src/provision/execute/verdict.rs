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
