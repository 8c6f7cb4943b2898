//! The table of nftables: applied as a whole at first, then by its changes.

use proxy::Services;
use proxy::rules::{self, Node, State, TABLE};

use crate::tool::{ToolError, run};

/// What the kernel holds, as far as we put it there.
#[derive(Default)]
pub(crate) struct Firewall {
    applied: Option<State>,
}

impl Firewall {
    /// Brings the table to what the Services ask for.
    pub(crate) async fn apply(&mut self, services: &Services, node: &Node) -> Result<(), ToolError> {
        let wanted = rules::desired(services, node);
        let text = match &self.applied {
            Some(applied) => rules::change(applied, &wanted),
            None => rules::frame(node) + &rules::change(&State::default(), &wanted),
        };
        if text.is_empty() {
            return Ok(());
        }
        // Until it has worked nobody knows what is there: the next time all of it is replaced.
        self.applied = None;
        run("nft", &["-f", "-"], &text).await?;
        self.applied = Some(wanted);
        Ok(())
    }

    /// Looks whether the table is still there; one that somebody flushed is made anew at the next change.
    pub(crate) async fn look(&mut self) -> bool {
        let there = run("nft", &["list", "chain", "ip", TABLE, "find"], "").await;
        let whole = there.is_ok_and(|text| text.contains("vmap @services"));
        if !whole {
            self.applied = None;
        }
        whole
    }
}
