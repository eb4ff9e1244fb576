//! The gRPC health checking protocol, for Kubernetes' probes and for clients.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::app::App;
use crate::lifecycle::Phase;

/// The names of services that have a status: the empty one of the whole server, and inference.
const SERVICES: [&str; 2] = ["", "inference.GRPCInferenceService"];

/// Reports the phase of the server.
pub(super) struct HealthService {
    app: Arc<App>,
}

impl HealthService {
    pub(super) const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

const fn response(phase: Phase) -> HealthCheckResponse {
    let status = match phase {
        Phase::Ready => ServingStatus::Serving,
        Phase::Loading | Phase::Draining => ServingStatus::NotServing,
    };
    HealthCheckResponse {
        status: status as i32,
    }
}

/// The current phase and each later one.
fn phases(phases: watch::Receiver<Phase>) -> impl Stream<Item = Phase> {
    stream::unfold((phases, true), async |(mut phases, is_first)| {
        if !is_first {
            phases.changed().await.ok()?;
        }
        let phase = *phases.borrow_and_update();
        Some((phase, (phases, false)))
    })
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("this server has no such service"));
        }
        Ok(Response::new(response(self.app.lifecycle.phase())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let lifecycle = self.app.lifecycle.clone();
        let end = async move { lifecycle.streams_end().await };
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            // The protocol has this status because a service may be added later.
            let status = ServingStatus::ServiceUnknown as i32;
            let unknown = stream::iter([Ok(HealthCheckResponse { status })]);
            let unknown = unknown.chain(stream::pending()).take_until(end);
            return Ok(Response::new(unknown.boxed()));
        }
        let phases = phases(self.app.lifecycle.watch());
        let responses = phases.map(|phase| Ok(response(phase))).take_until(end);
        Ok(Response::new(responses.boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Lifecycle;

    #[tokio::test]
    async fn each_phase_is_reported() {
        let lifecycle = Lifecycle::default();
        let mut phases = Box::pin(phases(lifecycle.watch()));
        assert_eq!(phases.next().await, Some(Phase::Loading));
        lifecycle.ready();
        assert_eq!(phases.next().await, Some(Phase::Ready));
        lifecycle.drain();
        assert_eq!(phases.next().await, Some(Phase::Draining));
        drop(lifecycle);
        assert_eq!(phases.next().await, None);
    }
}
