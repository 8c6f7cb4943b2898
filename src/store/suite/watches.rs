//! Watching: every revision once, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Subject, delete, next, next_events, put, short, watch};
use crate::{EventKind, KeyRange, Op, Revision, StoreError, Txn, WatchRequest};

pub(super) async fn a_watch_tells_each_change_with_what_was_before(store: Subject) {
    let mut events = watch(&store, "a/", Revision(1)).await;
    put(&store, "a/1", "x").await;
    put(&store, "b", "elsewhere").await;
    put(&store, "a/1", "y").await;
    delete(&store, "a/1").await;
    put(&store, "a/1", "z").await;
    let mut said = Vec::new();
    while said.len() < 4 {
        let batch = next_events(&mut events).await;
        for event in &batch.events {
            let created = event.create_revision();
            let before = event.previous.as_ref().map(|previous| previous.mod_revision.0);
            said.push(format!("{} {} created {created} before {before:?}", batch.revision, short(event)));
        }
    }
    assert_eq!(
        said,
        [
            "2 a/1=x created 2 before None",
            "4 a/1=y was x created 2 before Some(2)",
            "5 a/1 deleted was y created 2 before Some(4)",
            "6 a/1=z created 6 before None",
        ]
    );
    let mut plain = store
        .watch(WatchRequest { keys: KeyRange::key("a/1"), from: Revision(4), previous: false })
        .await
        .unwrap();
    let first = next_events(&mut plain).await;
    assert_eq!(first.events[0].previous, None);
    assert!(matches!(first.events[0].kind, EventKind::Put { version: 2, .. }));
}

pub(super) async fn a_watch_from_the_past_has_no_gap_to_the_present(store: Subject) {
    for n in 0..20 {
        put(&store, "k", &format!("{n}")).await;
    }
    let mut events = watch(&store, "k", Revision(5)).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for n in 20..40 {
                put(&store, "k", &format!("{n}")).await;
            }
        }
    });
    for revision in 5..=41 {
        let batch = next_events(&mut events).await;
        assert_eq!(batch.revision, Revision(revision));
        let expected = format!("k={} was {}", revision - 2, revision - 3);
        assert_eq!(batch.events.iter().map(short).collect::<Vec<_>>(), [expected]);
    }
    writer.await.unwrap();
}

pub(super) async fn a_transaction_comes_as_one_batch(store: Subject) {
    put(&store, "a", "0").await;
    let mut events = watch(&store, "", Revision(3)).await;
    let txn = Txn::new().then(Op::put("c", "1")).then(Op::delete("a")).then(Op::put("b", "2"));
    store.txn(txn).await.unwrap();
    let batch = next_events(&mut events).await;
    assert_eq!(batch.revision, Revision(3));
    assert_eq!(batch.events.iter().map(short).collect::<Vec<_>>(), ["c=1", "a deleted was 0", "b=2"]);
}

pub(super) async fn a_watch_reaches_revisions_that_changed_other_keys(store: Subject) {
    let mut events = watch(&store, "mine/", Revision(2)).await;
    for n in 0..10 {
        put(&store, &format!("other/{n}"), "1").await;
    }
    let now = store.current_revision().await.unwrap();
    while events.reached() < now {
        let batch = next(&mut events).await;
        assert_eq!(batch.events, []);
    }
    assert_eq!(events.reached(), now);
}

pub(super) async fn a_watch_of_the_compacted_past_is_refused(store: Subject) {
    for n in 0..5 {
        put(&store, "k", &format!("{n}")).await;
    }
    store.compact(Revision(5)).await.unwrap();
    let asked = store.watch(WatchRequest::new(KeyRange::prefix("k"), Revision(3))).await;
    // A backend that asks its server says so with the first batch.
    let error = match asked {
        Ok(mut watch) => watch.next().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, StoreError::Compacted { at: Revision(5), .. }), "{error}");
    assert!(error.is_compacted());
    let mut behind = watch(&store, "k", Revision(6)).await;
    assert_eq!(next_events(&mut behind).await.events.iter().map(short).collect::<Vec<_>>(), ["k=4 was 3"]);
}

pub(super) async fn a_watch_may_begin_in_the_future(store: Subject) {
    let mut events = watch(&store, "", Revision(4)).await;
    for n in 0..3 {
        put(&store, "k", &format!("{n}")).await;
    }
    let batch = next_events(&mut events).await;
    assert_eq!((batch.revision, short(&batch.events[0])), (Revision(4), "k=2 was 1".to_owned()));
}

pub(super) async fn a_dropped_call_for_the_next_batch_loses_none(store: Subject) {
    let mut events = watch(&store, "k", Revision(2)).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for n in 0..100 {
                put(&store, "k", &format!("{n}")).await;
            }
        }
    });
    let mut expected = 2;
    while expected <= 101 {
        // Polled once or twice, then dropped, over and over.
        let polled = tokio::select! {
            biased;
            batch = events.next() => Some(batch.unwrap()),
            () = tokio::task::yield_now() => None,
        };
        for batch in polled.into_iter().filter(|batch| !batch.events.is_empty()) {
            assert_eq!(batch.revision, Revision(expected));
            expected += 1;
        }
    }
    writer.await.unwrap();
}

/// Writers change keys of their own while watches begin, read a while and are taken up again by
/// another that begins behind the last batch: together each sees the history of every key.
pub(super) async fn watches_that_come_and_go_under_load_miss_and_repeat_nothing(store: Subject) {
    const WRITES: u64 = 40;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for n in 0..WRITES {
                put(&store, &format!("k{writer}"), &format!("{n}")).await;
            }
        });
    }
    let last = 1 + 8 * WRITES;
    let mut readers = JoinSet::new();
    for reader in 0..6 {
        let store = Arc::clone(&store);
        readers.spawn(async move {
            let (mut reached, mut seen) = (Revision(1), BTreeMap::<_, Vec<u64>>::new());
            while reached < Revision(last) {
                let mut events = watch(&store, "k", reached.next()).await;
                for _ in 0..=(20 + reader * 7) {
                    let batch = next(&mut events).await;
                    assert!(batch.revision > reached, "{} after {reached}", batch.revision);
                    reached = batch.revision;
                    for event in batch.events {
                        let EventKind::Put { value, .. } = &event.kind else { panic!("nothing is deleted") };
                        let value = String::from_utf8(value.to_vec()).unwrap().parse().unwrap();
                        seen.entry(event.key).or_default().push(value);
                    }
                    if reached >= Revision(last) {
                        break;
                    }
                }
            }
            seen
        });
    }
    writers.join_all().await;
    for seen in readers.join_all().await {
        assert_eq!(seen.len(), 8);
        for (key, values) in seen {
            assert_eq!(values, (0..WRITES).collect::<Vec<_>>(), "{key:?}");
        }
    }
}

pub(super) async fn a_watch_that_nobody_reads_holds_up_nobody(store: Subject) {
    let mut idle = watch(&store, "", Revision(2)).await;
    let value = "x".repeat(200_000);
    for _ in 0..100 {
        put(&store, "k", &value).await;
    }
    let mut other = watch(&store, "", Revision(100)).await;
    assert_eq!(next_events(&mut other).await.revision, Revision(100));
    for revision in 2..=101 {
        assert_eq!(next_events(&mut idle).await.revision, Revision(revision));
    }
}
