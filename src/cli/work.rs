//! What `up` and `down` have in common: how they begin, what they execute with, how failures are told.

use base::{RandomIds, Shutdown};
use provision::execute::{self, Failure, Limits};
use provision::journal::Journal;
use provision::state::Store;

use super::arguments::Format;
use super::context::Context;
use super::progress::Screen;
use super::{interrupt, output};

const STOPPING: &str = "calls in flight are finished, nothing new is started (Ctrl-C again ends at once)";

/// A command that changes things, from its first look at the account on.
pub(crate) struct Work {
    /// Ctrl-C.
    pub(crate) shutdown: Shutdown,
    /// The account and the cluster in it.
    pub(crate) context: Context,
    /// Who is told.
    pub(crate) screen: Screen,
}

impl Work {
    /// Listens to Ctrl-C and finds out who we are and where.
    pub(crate) async fn begin(name: &str, region: Option<&str>, format: Format) -> anyhow::Result<Self> {
        let shutdown = Shutdown::new();
        interrupt::on_signal_saying(&shutdown, STOPPING)?;
        let context = Context::open(name, region).await?;
        Ok(Self { shutdown, context, screen: Screen::new(format) })
    }

    /// What execution works with.
    pub(crate) fn execution<'a>(&'a self, journal: &'a Journal, store: &'a Store) -> execute::Context<'a> {
        execute::Context {
            cluster: &self.context.name,
            cloud: &*self.context.cloud,
            journal,
            store,
            clock: &*self.context.clock,
            ids: &RandomIds,
            shutdown: &self.shutdown,
            progress: &self.screen,
            limits: Limits::default(),
        }
    }

    /// Whose account this is and where: the first lines of what is shown before anything is asked.
    pub(crate) fn heading(&self) -> String {
        let Context { name, caller, region, endpoint, .. } = &self.context;
        let mut text =
            format!("cluster {name} in account {} ({}), region {region}\n", caller.account, caller.arn);
        if let Some(endpoint) = endpoint {
            text.push_str(&format!("endpoint {endpoint}\n"));
        }
        text
    }

    /// Each thing that failed, with what AWS's table knows of it and the console of a machine that did not come up.
    pub(crate) fn tell(&self, failures: &[Failure]) {
        for failure in failures {
            self.screen.warn(&output::failure(&failure.label, &failure.error));
            if let Some(console) = &failure.console {
                self.screen.warn(&output::console(&console.instance, &console.last_lines));
            }
        }
    }
}
