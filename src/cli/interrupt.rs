//! Ctrl-C and SIGTERM: the first stops gently, the second at once.

use base::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

use super::output;

/// Triggers `shutdown` at the first signal and ends the process at the second.
pub(crate) fn on_signal(shutdown: &Shutdown) -> anyhow::Result<()> {
    watch(shutdown, None)
}

/// The same, saying at the first signal what follows.
pub(crate) fn on_signal_saying(shutdown: &Shutdown, words: &'static str) -> anyhow::Result<()> {
    watch(shutdown, Some(words))
}

fn watch(shutdown: &Shutdown, words: Option<&'static str>) -> anyhow::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        for count in 1.. {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            }
            if count > 1 {
                std::process::exit(130);
            }
            if let Some(words) = words {
                eprintln!("\n{} {words}", output::paint("stopping:", output::YELLOW));
            }
            shutdown.trigger();
        }
    });
    Ok(())
}
