//! The running controller, in paused time.

use std::time::Duration;

use clap::Parser;
use springtide_operator::{
    controller,
    readiness::{Readiness, Stage},
    settings::Settings,
};
use springtide_testkit::Call;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::support::Testbed;

/// Maximum time until a deleted child is restored.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A running controller.
pub(crate) struct Running {
    shutdown: watch::Sender<bool>,
    pub(crate) readiness: Readiness,
    controller: JoinHandle<()>,
}

/// Starts a controller, and waits until it knows all ModelServices.
pub(crate) async fn start(testbed: &Testbed) -> Running {
    let running = launch(testbed);
    let mut stage = running.readiness.subscribe();
    stage
        .wait_for(|stage| *stage == Stage::Acting)
        .await
        .unwrap();
    running
}

/// Starts a controller.
pub(crate) fn launch(testbed: &Testbed) -> Running {
    launch_with(testbed, &[])
}

/// Starts a controller with flags of the operator.
pub(crate) fn launch_with(testbed: &Testbed, flags: &[&str]) -> Running {
    let (shutdown, begun) = watch::channel(false);
    let readiness = Readiness::default();
    let (context, reached) = (testbed.context.clone(), readiness.clone());
    let settings = Settings::parse_from(["springtide-operator"].iter().chain(flags));
    let controller = tokio::spawn(async move {
        controller::run(context, &settings, &reached, begun).await;
    });
    Running {
        shutdown,
        readiness,
        controller,
    }
}

impl Running {
    /// Stops the controller, and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.send_replace(true);
        timeout(Duration::from_secs(25), self.controller)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Waits, in paused time, until a condition holds.
pub(crate) async fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until nothing has been written for 15 seconds.
pub(crate) async fn settled(testbed: &Testbed) {
    let mut version = None;
    while version != Some(testbed.fake.version()) {
        version = Some(testbed.fake.version());
        sleep(Duration::from_secs(15)).await;
    }
}

/// Calls since the last call of this function, without those that discover capabilities.
pub(crate) fn calls(testbed: &Testbed) -> Vec<Call> {
    let mut calls = testbed.fake.take_calls();
    let is_discovery = |path: &str| path.starts_with("/apis/") && path.split('/').count() == 4;
    calls.retain(|call| !is_discovery(&call.path));
    calls
}
