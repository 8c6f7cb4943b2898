//! Reading, also the past; compaction; leases.

use std::time::Duration;

use super::{PATIENCE, Subject, delete, get, next_events, put, short, watch};
use crate::{KeyRange, Op, Range, Revision, StoreError, Txn, limits};

pub(super) async fn ranges_are_ordered_limited_and_counted(store: Subject) {
    for key in ["b", "a/2", "a/1", "a/3", "a0"] {
        put(&store, key, key).await;
    }
    let page = store.range(Range::prefix("a/").limit(2)).await.unwrap();
    let keys: Vec<_> = page.items.iter().map(|item| item.key.clone()).collect();
    assert_eq!((keys, page.more, page.count), (vec!["a/1".into(), "a/2".into()], true, 3));
    let rest = Range::new(KeyRange::prefix("a/").after(&page.items[1].key)).at(page.revision);
    let rest = store.range(rest).await.unwrap();
    assert_eq!((rest.items.len(), rest.more, &rest.items[0].key[..]), (1, false, &b"a/3"[..]));
    let keys = store.range(Range::prefix("a/").keys_only()).await.unwrap();
    assert!(keys.items.iter().all(|item| item.value.is_empty() && item.mod_revision > Revision(1)));
    let count = store.range(Range::prefix("").count_only()).await.unwrap();
    assert_eq!((count.items.len(), count.count, count.more), (0, 5, false));
    let between = store.range(Range::new(KeyRange::between("a/2", "b"))).await.unwrap();
    assert_eq!(between.items.len(), 3);
    let nothing = store.range(Range::new(KeyRange::between("b", "a"))).await.unwrap();
    assert_eq!((nothing.items.len(), nothing.count), (0, 0));
}

pub(super) async fn the_past_can_be_read_until_it_is_compacted(store: Subject) {
    let first = put(&store, "k", "1").await;
    let second = put(&store, "k", "2").await;
    let third = delete(&store, "k").await;
    let values = [(first, Some("1")), (second, Some("2")), (third, None)];
    for (revision, expected) in values {
        assert_eq!(at(&store, revision).await.unwrap().as_deref(), expected);
    }
    store.compact(second).await.unwrap();
    let error = at(&store, first).await.unwrap_err();
    assert!(matches!(error, StoreError::Compacted { asked, .. } if asked == first), "{error}");
    for (revision, expected) in &values[1..] {
        assert_eq!(at(&store, *revision).await.unwrap().as_deref(), *expected, "{revision}");
    }
    let again = store.compact(second).await.unwrap_err();
    assert!(again.is_compacted(), "{again}");
}

async fn at(store: &Subject, revision: Revision) -> Result<Option<String>, StoreError> {
    let found = store.range(Range::key("k").at(revision)).await?;
    Ok(found.items.first().map(|item| String::from_utf8(item.value.to_vec()).unwrap()))
}

pub(super) async fn the_future_cannot_be_read(store: Subject) {
    put(&store, "k", "1").await;
    let error = store.range(Range::key("k").at(Revision(3))).await.unwrap_err();
    assert!(matches!(error, StoreError::FutureRevision { asked: Revision(3), .. }), "{error}");
    let error = store.compact(Revision(3)).await.unwrap_err();
    assert!(matches!(error, StoreError::FutureRevision { .. }), "{error}");
}

pub(super) async fn compaction_keeps_what_holds(store: Subject) {
    for n in 0..30 {
        put(&store, &format!("k{}", n % 7), &format!("v{n}")).await;
        if n % 4 == 0 {
            delete(&store, &format!("k{}", (n + 3) % 7)).await;
        }
    }
    let now = store.current_revision().await.unwrap();
    let before = store.range(Range::prefix("")).await.unwrap();
    store.compact(now).await.unwrap();
    let after = store.range(Range::prefix("")).await.unwrap();
    assert_eq!(before, after);
    assert_eq!(store.current_revision().await.unwrap(), now, "compaction is no change");
    assert_eq!(put(&store, "new", "1").await, now.next());
}

pub(super) async fn big_values_come_in_pages(store: Subject) {
    let value = vec![b'x'; 1 << 20];
    for n in 0..12 {
        store.txn(Txn::new().then(Op::put(format!("big/{n:02}"), value.clone()))).await.unwrap();
    }
    let (mut keys, mut range, mut pages) = (Vec::new(), KeyRange::prefix("big/"), 0);
    loop {
        let page = store.range(Range::new(range.clone()).limit(500)).await.unwrap();
        let bytes: usize = page.items.iter().map(|item| item.value.len()).sum();
        assert!(bytes <= limits::RANGE_BYTES + limits::REQUEST_BYTES, "{bytes} bytes in a page");
        keys.extend(page.items.iter().map(|item| item.key.clone()));
        pages += 1;
        if !page.more {
            break;
        }
        range = range.after(keys.last().unwrap());
    }
    assert_eq!(keys.len(), 12);
    assert!(keys.is_sorted() && pages > 1, "{pages} pages");
}

pub(super) async fn keys_end_with_their_lease(store: Subject) {
    let lease = store.grant_lease(Duration::from_secs(1)).await.unwrap();
    let other = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    let txn = Txn::new()
        .then(Op::put_leased("a", "1", lease))
        .then(Op::put_leased("b", "1", lease))
        .then(Op::put_leased("c", "1", other));
    let made = store.txn(txn).await.unwrap().revision;
    let mut events = watch(&store, "", made.next()).await;
    let ended = next_events(&mut events).await;
    let mut said: Vec<_> = ended.events.iter().map(short).collect();
    said.sort();
    assert_eq!(said, ["a deleted was 1", "b deleted was 1"], "in one revision");
    let error = store.keep_alive(lease).await.unwrap_err();
    assert!(matches!(error, StoreError::LeaseNotFound { id } if id == lease), "{error}");
    store.revoke_lease(other).await.unwrap();
    assert_eq!(
        next_events(&mut events).await.events.iter().map(short).collect::<Vec<_>>(),
        ["c deleted was 1"]
    );
    let error = store.revoke_lease(other).await.unwrap_err();
    assert!(matches!(error, StoreError::LeaseNotFound { .. }), "{error}");
}

pub(super) async fn a_lease_that_is_kept_alive_stays(store: Subject) {
    // The one that nobody keeps alive tells that the time of both was over.
    let kept = store.grant_lease(Duration::from_secs(2)).await.unwrap();
    let left = store.grant_lease(Duration::from_secs(2)).await.unwrap();
    let txn = Txn::new().then(Op::put_leased("kept", "1", kept)).then(Op::put_leased("left", "1", left));
    let made = store.txn(txn).await.unwrap().revision;
    let mut events = watch(&store, "", made.next()).await;
    let mut often = tokio::time::interval(Duration::from_millis(300));
    let ended = loop {
        tokio::select! {
            batch = tokio::time::timeout(PATIENCE, events.next()) => break batch.unwrap().unwrap(),
            _ = often.tick() => assert!(store.keep_alive(kept).await.unwrap() >= Duration::from_secs(1)),
        }
    };
    assert_eq!(ended.events.iter().map(short).collect::<Vec<_>>(), ["left deleted was 1"]);
    assert_eq!(get(&store, "kept").await.as_deref(), Some("1"));
}

pub(super) async fn a_key_leaves_its_lease_when_it_is_put_without_it(store: Subject) {
    let lease = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    store.txn(Txn::new().then(Op::put_leased("k", "1", lease))).await.unwrap();
    let leased = store.range(Range::key("k")).await.unwrap();
    assert_eq!(leased.items[0].lease, Some(lease));
    put(&store, "k", "2").await;
    store.revoke_lease(lease).await.unwrap();
    let left = store.range(Range::key("k")).await.unwrap();
    assert_eq!((left.items[0].lease, &left.items[0].value[..]), (None, &b"2"[..]));
}
