//! The state that the handlers of all protocols share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::http::cors::Cors;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::models::Repository;
use crate::preparation::Preparation;
use crate::request_memory::RequestMemory;

/// The shared state of the handlers.
pub struct App {
    /// The phase of the server, and the predictions in flight.
    pub lifecycle: Lifecycle,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The memory for requests.
    pub request_memory: RequestMemory,
    /// Memory in use when the server became ready, in bytes. Later, memory that requests have used and the allocator
    /// keeps can't be distinguished from it.
    pub at_rest_bytes: OnceLock<u64>,
    /// Maximum bytes of one request of the Open Inference Protocol. Its model may set a lower maximum.
    pub max_request_bytes: usize,
    /// The models that serve.
    pub models: Arc<Repository>,
    /// The threads that prepare requests.
    pub preparation: Preparation,
    /// Time after which a request is answered with 504.
    pub request_timeout: Duration,
    /// The origins whose pages may read responses.
    pub cors: Cors,
    /// Whether the page for trying models is served.
    pub page: bool,
}
