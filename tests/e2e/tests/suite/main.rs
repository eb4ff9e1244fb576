//! The end-to-end suite on a real cluster.
//!
//! `make e2e` creates a cluster and runs the suite. On an existing cluster:
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
