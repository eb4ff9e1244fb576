//! The end-to-end suite: what a user relies on, on a real cluster.
//!
//! `make e2e` makes a cluster and runs it; on a cluster of yours:
//!
//! ```sh
//! KUBECONFIG=… cargo test -p springtide-e2e --test suite -- --test-threads=3 --nocapture
//! ```

mod autoscalers;
mod batching;
mod config_maps;
mod deletion;
mod engines;
mod examples;
mod fixed_replicas;
mod kubelet_waits;
mod memory_at_rest;
mod model_sources;
mod models;
mod no_fight;
mod operator;
mod outages;
mod rollout;
mod rollout_without_room;
mod scaling;
mod schedules;
mod sidecars;
mod signals;
