//! Plans, statuses and events, from the outside.

mod golden;
mod invariants;
mod ownership;
mod replicas;
mod status;
mod support;
mod switching;
mod validation;
