//! What an object claims for itself alone: addresses and ports of Services. A claim is a key
//! of its own, put in the object's transaction if nobody has it.

use api::kind::{Claims, Pools};
use bytes::Bytes;
use serde_json::Value;

use crate::cache::feed::PREFIX;
use crate::exchange::Scope;
use crate::refusal::Result;
use crate::server::Server;

/// Chooses what an object claims and does not name; `old` is the object before it.
pub fn choose(server: &Server, scope: &Scope, new: &mut Value, old: Option<&Value>) -> Result<()> {
    if let Some(reserve) = scope.kind.strategy.reserve {
        let mut random = || server.random();
        let mut pools = Pools {
            addresses: server.service_network,
            ports: server.node_ports,
            taken: &|key| server.cache.is_claimed(key),
            random: &mut random,
        };
        reserve(new, old, &mut pools)?;
    }
    Ok(())
}

/// What a deleted object gives back.
#[must_use]
pub fn release(scope: &Scope, old: &Value) -> Claims {
    Claims::between(&scope.kind, Some(old), None)
}

/// The store's key of a claim.
#[must_use]
pub fn key(claim: &str) -> Bytes {
    format!("{PREFIX}{claim}").into()
}
