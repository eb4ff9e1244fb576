//! What a user relies on that needs no pod, on a control plane without nodes.
//!
//! `make control-plane-test` starts one and runs it.

mod admission;
mod bounded;
mod children;
mod former_autoscalers;
mod keda_without_keda;
mod operators;
mod paused;
mod platform;
mod policy;
mod undone;
