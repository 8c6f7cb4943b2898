//! Who compacts.

use std::sync::Arc;
use std::time::Duration;

use base::{ManualClock, Shutdown};

use super::{Subject, get, next, put, watch};
use crate::compactor::{COMPACTION_KEY, Compactor, Turn};
use crate::{Range, Revision};

pub(super) async fn of_several_servers_one_compacts_at_each_interval(store: Subject) {
    let mut servers = [0; 3].map(|_| Compactor::new(Arc::clone(&store)));
    let mut marks = Vec::new();
    for interval in 0..4 {
        put(&store, "k", &format!("{interval}")).await;
        marks.push(store.current_revision().await.unwrap());
        let mut compacted = Vec::new();
        // Whoever comes first differs from time to time.
        servers.rotate_left(1);
        for server in &mut servers {
            if let Turn::Compacted(at) = server.turn().await.unwrap() {
                compacted.push(at);
            }
        }
        // The first interval only learns where the store stands.
        assert!(compacted.len() <= 1 && (interval == 0 || compacted.len() == 1), "{compacted:?}");
        for at in compacted {
            assert!(at <= marks[interval].next(), "history of the last interval stays");
            assert!(at >= marks[interval - 1], "what is older than two intervals goes");
            let before = store.range(Range::key("k").at(at.before())).await.unwrap_err();
            assert!(before.is_compacted(), "{before}");
            store.range(Range::key("k").at(at)).await.unwrap();
        }
    }
    assert_eq!(get(&store, "k").await.as_deref(), Some("3"));
    assert!(get(&store, COMPACTION_KEY).await.is_some());
}

pub(super) async fn the_compactor_runs_until_it_is_stopped(store: Subject) {
    let shutdown = Shutdown::new();
    let mut events = watch(&store, COMPACTION_KEY, Revision(2)).await;
    let running = tokio::spawn({
        let (compactor, shutdown) = (Compactor::new(Arc::clone(&store)), shutdown.clone());
        async move {
            // It moves when it is waited on: an hour takes no time.
            compactor.run(&ManualClock::default(), Duration::from_secs(3600), shutdown).await;
        }
    });
    for _ in 0..3 {
        next(&mut events).await;
    }
    shutdown.trigger();
    tokio::time::timeout(super::PATIENCE, running).await.unwrap().unwrap();
}
