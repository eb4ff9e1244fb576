//! What the handlers of all protocols share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::http::cors::Cors;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::models::Repository;
use crate::request_memory::RequestMemory;

/// What the handlers share.
pub struct App {
    /// Where the server stands.
    pub lifecycle: Lifecycle,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The memory for bodies.
    pub request_memory: RequestMemory,
    /// Bytes that were in memory when the server became ready: later, memory that requests have used and that is
    /// kept for the next ones can't be told from that.
    pub at_rest_bytes: OnceLock<u64>,
    /// Most bytes of one request, where its model doesn't say less.
    pub max_request_bytes: usize,
    /// The models that serve.
    pub models: Arc<Repository>,
    /// Time after which a request is answered with 504.
    pub request_timeout: Duration,
    /// Whose pages may read answers.
    pub cors: Cors,
}
