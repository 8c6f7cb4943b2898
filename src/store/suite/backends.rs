//! Each test of the suite on each backend.

use std::path::PathBuf;
use std::sync::Arc;

use super::Subject;
use crate::{Embedded, EmbeddedOptions};

/// A fresh embedded store; the folder goes with it.
pub(super) fn embedded() -> (tempfile::TempDir, Subject) {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { folder: PathBuf::from(folder.path()) };
    let store = Embedded::open(&options).unwrap();
    (folder, Arc::new(store))
}

/// Two etcds at a time are enough for two cores.
async fn turn() -> tokio::sync::SemaphorePermit<'static> {
    static TURNS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);
    TURNS.acquire().await.unwrap()
}

macro_rules! suite {
    ($($module:ident: $($test:ident),+;)+) => {
        mod on_embedded {
            $($(
                #[tokio::test]
                async fn $test() {
                    let (_folder, store) = super::embedded();
                    super::super::$module::$test(store).await;
                }
            )+)+
        }

        mod on_etcd {
            $($(
                #[tokio::test]
                async fn $test() {
                    for binary in super::super::servers::binaries() {
                        let _turn = super::turn().await;
                        let server = super::super::servers::Server::start(&binary, &[]).await;
                        eprintln!("on {}", server.binary().display());
                        super::super::$module::$test(std::sync::Arc::new(server.store().await)).await;
                    }
                }
            )+)+
        }
    };
}

suite! {
    transactions:
        a_new_store_stands_at_revision_one,
        every_change_makes_one_revision_and_what_changes_nothing_makes_none,
        conditions_choose_the_branch,
        all_operations_of_a_transaction_share_its_revision,
        reads_of_a_branch_see_what_it_did_before_them,
        of_many_that_create_one_key_one_wins,
        counters_raised_by_many_lose_no_step,
        limits_are_the_same_everywhere,
        refused_transactions_change_nothing;
    history:
        ranges_are_ordered_limited_and_counted,
        the_past_can_be_read_until_it_is_compacted,
        the_future_cannot_be_read,
        compaction_keeps_what_holds,
        big_values_come_in_pages,
        keys_end_with_their_lease,
        a_lease_that_is_kept_alive_stays,
        a_key_leaves_its_lease_when_it_is_put_without_it;
    watches:
        a_watch_tells_each_change_with_what_was_before,
        a_watch_from_the_past_has_no_gap_to_the_present,
        a_transaction_comes_as_one_batch,
        a_watch_reaches_revisions_that_changed_other_keys,
        a_watch_of_the_compacted_past_is_refused,
        a_watch_may_begin_in_the_future,
        a_dropped_call_for_the_next_batch_loses_none,
        watches_that_come_and_go_under_load_miss_and_repeat_nothing,
        a_watch_that_nobody_reads_holds_up_nobody;
    compaction:
        of_several_servers_one_compacts_at_each_interval,
        the_compactor_runs_until_it_is_stopped;
}
