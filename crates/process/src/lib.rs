//! What the operator and the server share as processes: listening, signals and logs.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use springtide_process::{listener, logging, signals::TerminationSignals};
//!
//! let filter = logging::filter_of_environment();
//! logging::start(filter, logging::Format::Json, std::io::stderr);
//! let mut signals = TerminationSignals::new()?;
//! let (_listener, address) = listener::listen(None, 0).map_err(|(_, error)| error)?;
//! tracing::info!(%address, "listening");
//! signals.received().await;
//! # Ok(())
//! # }
//! ```

pub mod listener;
pub mod logging;
pub mod signals;
