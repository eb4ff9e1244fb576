//! Serves an ONNX model over HTTP with dynamic batching, and fetches it before.
//!
//! What decides is pure and tested without a socket: [`request`] (what a body means), [`error`]
//! (what a client is told), [`fetch::attempt`] and [`fetch::location`] (what a source's answer
//! means). What talks is small: [`net`], [`http`], [`serve`] and the rest of [`fetch`].

pub mod body;
pub mod cli;
pub mod error;
pub mod fetch;
pub mod http;
pub mod lifecycle;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod predictor;
pub mod request;
pub mod response;
pub mod serve;
pub mod termination;
