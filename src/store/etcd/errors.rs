//! What etcd and the way to it say, as ours: which side is at fault, and whether a write may
//! have been done all the same. Messages are those of etcd 3.4 to 3.7.

use std::error::Error;
use std::io;

use tonic::{Code, Status};

use crate::{Revision, StoreError, limits};

/// Whether a call changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// A failed attempt at one endpoint.
#[derive(Debug)]
pub(super) enum Fault {
    /// The store's answer: another endpoint would say the same.
    Answer(StoreError),
    /// This endpoint did not do it, another may.
    NotDone(String),
    /// A write that may have been done.
    Unknown(String),
    /// History before this is gone; etcd does not say how much.
    Compacted,
    /// The revision was not made yet; etcd does not say which is the last.
    Future,
    /// The answer was larger than we take.
    TooMuch,
}

/// Parts of messages that say that nothing was done, whatever their code.
const NOT_DONE: &[&str] = &["no leader", "raft proposal dropped", "not capable", "not supported for learner"];

pub(super) fn fault(at: &str, error: etcd_client::Error, kind: Kind) -> Fault {
    match error {
        etcd_client::Error::GRpcStatus(status) => of_status(at, &status, kind),
        error => unclear(error.to_string(), kind),
    }
}

fn of_status(at: &str, status: &Status, kind: Kind) -> Fault {
    let said = status.message();
    let at = || at.to_owned();
    if let Some(detail) = never_sent(status) {
        return detail
            .map_or_else(|detail| Fault::Answer(StoreError::Refused { at: at(), detail }), Fault::NotDone);
    }
    match status.code() {
        Code::OutOfRange if said.contains("has been compacted") => Fault::Compacted,
        Code::OutOfRange if said.contains("future revision") => Fault::Future,
        Code::OutOfRange if said.contains("message length too large") => Fault::TooMuch,
        Code::ResourceExhausted if said.contains("database space exceeded") => {
            Fault::Answer(StoreError::NoSpace {
                at: at(),
                detail: "its database has reached its quota".to_owned(),
                remedy: "defragment its members (`etcdctl defrag`) or raise --quota-backend-bytes, then \
                         `etcdctl alarm disarm`: writes are then taken again",
            })
        }
        Code::ResourceExhausted if said.contains("too many requests") => {
            Fault::Answer(StoreError::Overloaded { at: at(), detail: said.to_owned() })
        }
        Code::InvalidArgument if said.contains("too large") => Fault::Answer(StoreError::TooLarge {
            what: "the request, as etcd counts it,",
            bytes: limits::REQUEST_BYTES,
            limit: limits::REQUEST_BYTES,
        }),
        // gRPC's own limit, a little above etcd's.
        Code::ResourceExhausted if said.contains("larger than max") => Fault::Answer(StoreError::TooLarge {
            what: "the request, as etcd counts it,",
            bytes: limits::REQUEST_BYTES,
            limit: limits::REQUEST_BYTES,
        }),
        Code::PermissionDenied | Code::Unauthenticated => {
            Fault::Answer(StoreError::Refused { at: at(), detail: said.to_owned() })
        }
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound | Code::Unimplemented => {
            Fault::Answer(StoreError::Unexpected { at: at(), detail: said.to_owned() })
        }
        _ if NOT_DONE.iter().any(|part| said.contains(part)) => Fault::NotDone(said.to_owned()),
        _ => unclear(base::chain(status), kind),
    }
}

fn unclear(detail: String, kind: Kind) -> Fault {
    match kind {
        Kind::Read => Fault::NotDone(detail),
        Kind::Write => Fault::Unknown(detail),
    }
}

/// Whether an error is of the making of a connection: then no request went over it. `Err` where
/// the two sides do not trust each other.
fn never_sent(status: &Status) -> Option<Result<String, String>> {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    let mut connecting = false;
    let mut deepest = None;
    while let Some(error) = cause {
        // The transport names the step that failed; its types are not public.
        let said = error.to_string();
        connecting |= said.contains("tcp connect error") || said.contains("dns error");
        if let Some(error) = error.downcast_ref::<io::Error>() {
            connecting |= error.kind() == io::ErrorKind::ConnectionRefused;
            // On its way through HTTP/2 an error of TLS keeps its words alone.
            let distrust = error.kind() == io::ErrorKind::InvalidData
                && ["invalid peer certificate", "received fatal alert"]
                    .iter()
                    .any(|part| said.contains(part));
            if distrust || error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                return Some(Err(base::chain(error)));
            }
        }
        deepest = Some(said);
        cause = error.source();
    }
    connecting.then(|| Ok(deepest.unwrap_or_default()))
}

/// Compaction's error, once it is known how far it went.
pub(super) fn compacted(asked: Revision, at: Revision) -> StoreError {
    StoreError::Compacted { asked, at }
}
