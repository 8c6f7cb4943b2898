//! The contract's words in etcd's, and back.

use bytes::Bytes;
use etcd_client::proto::PbTxnOpResponse;
use etcd_client::{Compare as Asked, CompareOp, DeleteOptions, GetOptions, PutOptions, TxnOp};

use crate::{
    Check, Compare, Event, EventKind, KeyRange, KeyValue, LeaseId, Op, OpResult, Previous, Range,
    RangeResponse, Revision, Txn, TxnResponse, limits,
};

/// Keys of a page at most.
pub(super) const PAGE_KEYS: usize = 1_000;

pub(super) fn txn(txn: &Txn) -> etcd_client::Txn {
    let compares: Vec<_> = txn.compares.iter().map(compare).collect();
    let ops = |ops: &[Op]| ops.iter().map(op).collect::<Vec<_>>();
    etcd_client::Txn::new().when(compares).and_then(ops(&txn.then)).or_else(ops(&txn.otherwise))
}

fn compare(compare: &Compare) -> Asked {
    let key = compare.key.to_vec();
    match &compare.check {
        Check::Absent => Asked::create_revision(key, CompareOp::Equal, 0),
        Check::Exists => Asked::create_revision(key, CompareOp::Greater, 0),
        Check::ModRevision(revision) => Asked::mod_revision(key, CompareOp::Equal, to_i64(*revision)),
        Check::CreateRevision(revision) => Asked::create_revision(key, CompareOp::Equal, to_i64(*revision)),
        Check::Value(value) => Asked::value(key, CompareOp::Equal, value.to_vec()),
    }
}

fn op(op: &Op) -> TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            let options = lease.map(|id| PutOptions::new().with_lease(id.0));
            TxnOp::put(key.to_vec(), value.to_vec(), options)
        }
        Op::Delete { key } => TxnOp::delete(key.to_vec(), None::<DeleteOptions>),
        Op::Get(range) => {
            let limit = if range.limit == 0 { PAGE_KEYS } else { range.limit };
            let (key, options) = get(range, limit);
            TxnOp::get(key, Some(options))
        }
    }
}

/// The first key of a range, and the rest of the question.
pub(super) fn get(range: &Range, limit: usize) -> (Vec<u8>, GetOptions) {
    let (start, end) = bounds(&range.keys);
    let mut options = GetOptions::new().with_limit(limit.try_into().unwrap_or(i64::MAX)).with_range(end);
    if let Some(revision) = range.revision {
        options = options.with_revision(to_i64(revision));
    }
    if range.keys_only {
        options = options.with_keys_only();
    }
    if range.count_only {
        options = options.with_count_only();
    }
    (start, options)
}

/// etcd's range: no key is empty, and an end of one zero byte means none.
fn bounds(keys: &KeyRange) -> (Vec<u8>, Vec<u8>) {
    let start = if keys.start.is_empty() { vec![0] } else { keys.start.to_vec() };
    (start, keys.end.as_ref().map_or_else(|| vec![0], |end| end.to_vec()))
}

fn to_i64(revision: Revision) -> i64 {
    revision.0.try_into().unwrap_or(i64::MAX)
}

pub(super) fn revision(revision: i64) -> Revision {
    Revision(revision.try_into().unwrap_or_default())
}

pub(super) fn txn_response(response: etcd_client::TxnResponse, asked: &Txn) -> TxnResponse {
    let made = response.header().map_or(Revision::ZERO, |header| revision(header.revision()));
    let succeeded = response.succeeded();
    let branch = if succeeded { &asked.then } else { &asked.otherwise };
    let results = response.0.responses.into_iter().zip(branch).filter_map(|(answer, op)| {
        Some(match (answer.response?, op) {
            (PbTxnOpResponse::ResponseDeleteRange(deleted), _) => {
                OpResult::Deleted { existed: deleted.deleted > 0 }
            }
            (PbTxnOpResponse::ResponseRange(found), Op::Get(range)) => {
                OpResult::Got(range_response(etcd_client::GetResponse(found), range))
            }
            _ => OpResult::Put,
        })
    });
    TxnResponse { succeeded, revision: made, results: results.collect() }
}

/// A page, cut where it is larger than a page may be.
pub(super) fn range_response(response: etcd_client::GetResponse, range: &Range) -> RangeResponse {
    let at = response.header().map_or(Revision::ZERO, |header| revision(header.revision()));
    let (mut more, count) = (response.more() && !range.count_only, response.count());
    let (mut items, mut bytes) = (Vec::new(), 0);
    for item in response.0.kvs {
        if bytes > limits::RANGE_BYTES {
            more = true;
            break;
        }
        bytes += item.key.len() + item.value.len();
        items.push(KeyValue {
            key: item.key.into(),
            value: item.value.into(),
            create_revision: revision(item.create_revision),
            mod_revision: revision(item.mod_revision),
            version: item.version.try_into().unwrap_or_default(),
            lease: lease(item.lease),
        });
    }
    RangeResponse { revision: at, items, more, count: count.try_into().unwrap_or_default() }
}

fn lease(id: i64) -> Option<LeaseId> {
    (id != 0).then_some(LeaseId(id))
}

/// An event with its revision; `None` for one without a key, which etcd does not send.
pub(super) fn event(event: etcd_client::Event, previous: bool) -> Option<(Revision, Event)> {
    let deleted = event.0.r#type == etcd_client::EventType::Delete as i32;
    let (current, before) = (event.0.kv?, event.0.prev_kv);
    let kind = if deleted {
        EventKind::Delete
    } else {
        EventKind::Put {
            value: Bytes::from(current.value),
            create_revision: revision(current.create_revision),
            version: current.version.try_into().unwrap_or_default(),
            lease: lease(current.lease),
        }
    };
    let previous = before.filter(|_| previous).map(|before| Previous {
        value: before.value.into(),
        mod_revision: revision(before.mod_revision),
        create_revision: revision(before.create_revision),
    });
    Some((revision(current.mod_revision), Event { key: current.key.into(), kind, previous }))
}
