//! Comparing and changing.

use std::sync::Arc;

use base::{Class, Classified};
use tokio::task::JoinSet;

use super::{Subject, delete, get, put};
use crate::{Compare, LeaseId, Op, OpResult, Range, Revision, StoreError, Txn, limits};

pub(super) async fn a_new_store_stands_at_revision_one(store: Subject) {
    assert_eq!(store.current_revision().await.unwrap(), Revision(1));
    let all = store.range(Range::prefix("")).await.unwrap();
    assert_eq!((all.items.len(), all.count, all.more, all.revision), (0, 0, false, Revision(1)));
}

pub(super) async fn every_change_makes_one_revision_and_what_changes_nothing_makes_none(store: Subject) {
    assert_eq!(put(&store, "a", "1").await, Revision(2));
    assert_eq!(put(&store, "a", "1").await, Revision(3), "the same value again is a change");
    assert_eq!(delete(&store, "b").await, Revision(3), "what is not there cannot go");
    assert_eq!(delete(&store, "a").await, Revision(4));
    let read = store.txn(Txn::new().then(Op::get("a"))).await.unwrap();
    assert_eq!(read.revision, Revision(4));
    assert_eq!(store.current_revision().await.unwrap(), Revision(4));
}

pub(super) async fn conditions_choose_the_branch(store: Subject) {
    let created = put(&store, "k", "1").await;
    let changed = put(&store, "k", "2").await;
    let cases = [
        (Compare::absent("k"), false),
        (Compare::absent("other"), true),
        (Compare::exists("k"), true),
        (Compare::exists("other"), false),
        (Compare::mod_revision("k", changed), true),
        (Compare::mod_revision("k", created), false),
        (Compare::mod_revision("other", Revision::ZERO), true),
        (Compare::create_revision("k", created), true),
        (Compare::create_revision("k", changed), false),
        (Compare::create_revision("other", Revision::ZERO), true),
        (Compare::value("k", "2"), true),
        (Compare::value("k", "1"), false),
        (Compare::value("other", ""), false),
    ];
    for (compare, expected) in cases {
        let said = format!("{compare:?}");
        let txn = Txn::new().when(compare).otherwise(Op::get("k"));
        let response = store.txn(txn).await.unwrap();
        assert_eq!(response.succeeded, expected, "{said}");
        let found = response.found().map(|item| (item.mod_revision, item.create_revision, item.version));
        assert_eq!(found, (!expected).then_some((changed, created, 2)), "{said}");
    }
    let all = Txn::new().when(Compare::exists("k")).when(Compare::absent("k"));
    assert!(!store.txn(all).await.unwrap().succeeded, "all conditions must hold");
}

pub(super) async fn all_operations_of_a_transaction_share_its_revision(store: Subject) {
    put(&store, "old", "1").await;
    let mut txn = Txn::new().then(Op::delete("old")).then(Op::delete("missing"));
    for n in 0..limits::OPERATIONS - 2 {
        txn = txn.then(Op::put(format!("k{n:03}"), "v"));
    }
    let response = store.txn(txn).await.unwrap();
    assert_eq!(response.revision, Revision(3));
    let deleted: Vec<_> = response.results.iter().take(2).collect();
    assert_eq!(deleted, [&OpResult::Deleted { existed: true }, &OpResult::Deleted { existed: false }]);
    let all = store.range(Range::prefix("k")).await.unwrap();
    assert_eq!(all.items.len(), limits::OPERATIONS - 2);
    assert!(all.items.iter().all(|item| item.mod_revision == Revision(3) && item.version == 1));
    assert_eq!(get(&store, "old").await, None);
}

pub(super) async fn reads_of_a_branch_see_what_it_did_before_them(store: Subject) {
    put(&store, "k", "1").await;
    let txn = Txn::new().then(Op::get("k")).then(Op::put("k", "2")).then(Op::get("k"));
    let response = store.txn(txn).await.unwrap();
    let seen: Vec<_> = response
        .results
        .iter()
        .filter_map(|result| if let OpResult::Got(got) = result { got.items.first() } else { None })
        .map(|item| (item.value.to_vec(), item.mod_revision))
        .collect();
    assert_eq!(seen, [(b"1".to_vec(), Revision(2)), (b"2".to_vec(), Revision(3))]);
}

pub(super) async fn of_many_that_create_one_key_one_wins(store: Subject) {
    for round in 0..5 {
        let mut racers = JoinSet::new();
        for racer in 0..16 {
            let (store, key) = (Arc::clone(&store), format!("key{round}"));
            racers.spawn(async move {
                let txn = Txn::new()
                    .when(Compare::absent(key.clone()))
                    .then(Op::put(key.clone(), format!("{racer}")))
                    .otherwise(Op::get(key));
                let response = store.txn(txn).await.unwrap();
                let seen = response.found().map(|item| item.value.to_vec());
                (response.succeeded, seen.unwrap_or_else(|| format!("{racer}").into_bytes()))
            });
        }
        let outcomes = racers.join_all().await;
        assert_eq!(outcomes.iter().filter(|(won, _)| *won).count(), 1, "round {round}");
        assert!(outcomes.iter().all(|(_, seen)| *seen == outcomes[0].1), "all know who won: {outcomes:?}");
    }
}

pub(super) async fn counters_raised_by_many_lose_no_step(store: Subject) {
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for _ in 0..10 {
                raise(&store).await;
            }
        });
    }
    writers.join_all().await;
    assert_eq!(get(&store, "counter").await.as_deref(), Some("80"));
}

async fn raise(store: &Subject) {
    loop {
        let found = store.range(Range::key("counter")).await.unwrap();
        let (value, revision) = found.items.first().map_or((0, Revision::ZERO), |item| {
            (String::from_utf8(item.value.to_vec()).unwrap().parse().unwrap(), item.mod_revision)
        });
        let txn = Txn::new()
            .when(Compare::mod_revision("counter", revision))
            .then(Op::put("counter", format!("{}", value + 1)));
        if store.txn(txn).await.unwrap().succeeded {
            return;
        }
    }
}

pub(super) async fn limits_are_the_same_everywhere(store: Subject) {
    let puts = |count: usize| (0..count).fold(Txn::new(), |txn, n| txn.then(Op::put(format!("k{n}"), "v")));
    let sized = |bytes: usize| Txn::new().then(Op::put("key", vec![b'x'; bytes]));
    store.txn(puts(limits::OPERATIONS)).await.unwrap();
    let error = store.txn(puts(limits::OPERATIONS + 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::TooManyOperations { count: 129, .. }), "{error}");
    let largest = limits::REQUEST_BYTES - "key".len() - 2 * limits::ENCODING_BYTES;
    store.txn(sized(largest)).await.unwrap();
    let error = store.txn(sized(largest + 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert_eq!(error.class(), Class::Invalid);
}

pub(super) async fn refused_transactions_change_nothing(store: Subject) {
    put(&store, "k", "1").await;
    let twice = Txn::new().then(Op::put("a", "1")).then(Op::put("a", "2"));
    let no_lease = Txn::new().then(Op::put("a", "1")).then(Op::put_leased("b", "2", LeaseId(4711)));
    let future = Txn::new().then(Op::put("a", "1")).then(Op::Get(Range::key("k").at(Revision(1_000_000))));
    let empty = Txn::new().then(Op::put("a", "1")).then(Op::delete(""));
    for (txn, expected) in [
        (twice, "changes the key a twice"),
        (no_lease, "the lease 1267 does not exist"),
        (future, "lies in the future"),
        (empty, "a key is empty"),
    ] {
        let error = store.txn(txn).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(get(&store, "a").await, None);
    assert_eq!(store.current_revision().await.unwrap(), Revision(2));
}
