//! Tests that need no pods, on a control plane without nodes.
//!
//! `make control-plane-test` starts one and runs it.

mod admission;
mod autoscalers;
mod behaviors;
mod bounded;
mod children;
mod deadlines;
mod former_autoscalers;
mod keda_without_keda;
mod kubelet;
mod operators;
mod paused;
mod platform;
mod pods_lost;
mod policy;
mod undone;
