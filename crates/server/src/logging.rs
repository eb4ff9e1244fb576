//! Logs: one JSON object per line on standard error.

use tracing_subscriber::EnvFilter;

/// Sends the process's logs to standard error. `RUST_LOG` filters them; without it, or where it
/// can't be read, everything from level info up is shown.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
}
