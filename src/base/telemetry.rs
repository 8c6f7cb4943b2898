//! Where spans and events go: standard error, filtered by `CLUSTER_LOG`.

use tracing_subscriber::EnvFilter;

/// Starts telemetry for the whole process. `directive` (such as `info`) holds
/// where the environment's `CLUSTER_LOG` says nothing. A second call changes nothing.
pub fn init(directive: &str) {
    let filter = EnvFilter::try_from_env("CLUSTER_LOG").unwrap_or_else(|_| EnvFilter::new(directive));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}
