//! The operator over a fake API server: single passes, faults, and the running controller.

mod controller;
mod faults;
mod reconcile;
mod support;
