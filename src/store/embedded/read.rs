//! Reading keys: choose by the index, then take values from disk.

use bytes::Bytes;
use redb::ReadableTable;

use super::disk::Disk;
use super::index::{Index, Version};
use super::state::Shared;
use crate::{KeyValue, LeaseId, Range, RangeResponse, Revision, StoreError, limits};

/// Keys of a page at most; one that was not limited goes on behind it.
const PAGE_KEYS: usize = 10_000;

/// What a range found in the index.
pub(super) struct Picked {
    found: Vec<(Bytes, Version)>,
    count: u64,
}

/// Finds the keys of `range` that live at `at`.
pub(super) fn pick(index: &Index, range: &Range, at: u64) -> Picked {
    let limit = if range.count_only { 0 } else { page(range) };
    let mut picked = Picked { found: Vec::new(), count: 0 };
    for (key, version) in index.range(&range.keys, at) {
        if picked.found.len() < limit {
            picked.found.push((key.clone(), *version));
        }
        picked.count += 1;
    }
    picked
}

fn page(range: &Range) -> usize {
    if range.limit == 0 { PAGE_KEYS } else { range.limit.min(PAGE_KEYS) }
}

/// Adds the values, up to a page's bytes.
pub(super) fn fill(
    disk: &Disk,
    table: &impl ReadableTable<[u8; 12], &'static [u8]>,
    range: &Range,
    picked: Picked,
    revision: u64,
) -> Result<RangeResponse, StoreError> {
    let (mut items, mut bytes) = (Vec::with_capacity(picked.found.len()), 0);
    for (key, version) in picked.found {
        if bytes > limits::RANGE_BYTES {
            break;
        }
        let value = if range.keys_only {
            Bytes::new()
        } else {
            disk.record(table, version.number)?.value.unwrap_or_default()
        };
        bytes += key.len() + value.len();
        items.push(key_value(key, value, &version));
    }
    let more = !range.count_only && (items.len() as u64) < picked.count;
    Ok(RangeResponse { revision: Revision(revision), items, more, count: picked.count })
}

fn key_value(key: Bytes, value: Bytes, version: &Version) -> KeyValue {
    KeyValue {
        key,
        value,
        create_revision: Revision(version.create),
        mod_revision: Revision(version.number.revision),
        version: version.version,
        lease: lease(version.lease),
    }
}

pub(super) fn lease(id: i64) -> Option<LeaseId> {
    (id != 0).then_some(LeaseId(id))
}

/// A range as of what is durable. Blocks on the disk.
pub(super) fn range(shared: &Shared, range: &Range) -> Result<RangeResponse, StoreError> {
    let disk = shared.disk();
    let disk = disk.as_ref().ok_or_else(|| shared.closed())?;
    loop {
        let current = shared.durable();
        let at = range.revision.map_or(current, |revision| revision.0);
        if at > current {
            return Err(StoreError::FutureRevision { asked: Revision(at), current: Revision(current) });
        }
        // Taken before the index is looked at: what that shows cannot have left this yet.
        let table = disk.table()?;
        let picked = {
            let state = shared.state();
            if at < state.compacted {
                if range.revision.is_none() {
                    continue;
                }
                return Err(StoreError::Compacted { asked: Revision(at), at: Revision(state.compacted) });
            }
            pick(&state.index, range, at)
        };
        return fill(disk, &table, range, picked, current);
    }
}
