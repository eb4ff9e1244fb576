//! The Open Inference Protocol v2 over gRPC.

mod codec;
mod deadline;
mod framing;
mod message_body;
mod pending_call;
#[rustfmt::skip]
mod descriptor;
mod health;
mod inference;
mod reflection;
#[rustfmt::skip]
#[allow(clippy::all, clippy::doc_markdown, unreachable_pub, reason = "generated")]
mod service;
mod status;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::Response as HttpResponse;
use futures::stream::BoxStream;
use http::HeaderValue;
use springtide_open_inference::grpc::message::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse,
    ModelStatisticsRequest, ModelStatisticsResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status as GrpcStatus, Streaming};
use tonic_health::pb::health_server::HealthServer;

use self::health::HealthService;
use self::inference::{InferCall, Inference};
use self::pending_call::PendingCall;
use self::service::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use self::status::blame_client_for_corrupt;
pub(crate) use self::status::grpc_status;
use crate::app::App;
use crate::lifecycle::Phase;
use crate::net::IdleHandle;
use crate::v2::{
    find, index, model_config, model_metadata, server_metadata, serving, statistics, version,
};

/// The services, for a router of other endpoints on a port that speaks HTTP/2.
pub fn routes(app: Arc<App>) -> Router {
    let inference = GrpcInferenceServiceServer::new(Inference(Arc::clone(&app)))
        .max_decoding_message_size(app.max_request_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate);
    let health = HealthServer::new(HealthService::new(Arc::clone(&app)));
    Router::new()
        .route_service("/inference.GRPCInferenceService/{method}", inference)
        .route_service("/grpc.health.v1.Health/{method}", health)
        .merge(reflection::routes())
        .layer(middleware::map_response(explain_status))
        .layer(middleware::from_fn_with_state(
            app,
            message_body::limit_bodies,
        ))
}

/// The services only, for a port of their own.
pub fn router(app: Arc<App>) -> Router {
    routes(app).fallback(async || {
        let status = GrpcStatus::unimplemented("this server has no such service");
        status.into_http::<axum::body::Body>()
    })
}

/// Corrects the errors that tonic makes: unknown methods have no message, and messages that can't be
/// decompressed have the code of a failure of the server.
async fn explain_status(mut response: HttpResponse) -> HttpResponse {
    const UNKNOWN_METHOD: HeaderValue = HeaderValue::from_static("this server has no such method");
    let headers = response.headers_mut();
    let code = headers.get(GrpcStatus::GRPC_STATUS);
    match code.map(HeaderValue::as_bytes) {
        Some(b"12") if !headers.contains_key(GrpcStatus::GRPC_MESSAGE) => {
            headers.insert(GrpcStatus::GRPC_MESSAGE, UNKNOWN_METHOD);
        }
        Some(b"13") => {
            if let Some(status) = GrpcStatus::from_header_map(headers).map(blame_client_for_corrupt)
                && let Err(error) = status.add_header(headers)
            {
                tracing::debug!(odd = %error, "can't correct a gRPC status");
            }
        }
        _ => {}
    }
    response
}

/// The result of a method.
type GrpcResult<T> = Result<Response<T>, GrpcStatus>;

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    type ModelStreamInferStream = BoxStream<'static, stream::StreamResult>;

    async fn server_live(&self, _: Request<ServerLiveRequest>) -> GrpcResult<ServerLiveResponse> {
        let live = self.0.models.stuck().is_none();
        Ok(Response::new(ServerLiveResponse { live }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> GrpcResult<ServerReadyResponse> {
        let ready = self.0.lifecycle.phase() == Phase::Ready;
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> GrpcResult<ModelReadyResponse> {
        let request = request.get_ref();
        let ready = find(&self.0, &request.name, version(&request.version)).is_ok();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> GrpcResult<ServerMetadataResponse> {
        Ok(Response::new(server_metadata()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> GrpcResult<ModelMetadataResponse> {
        let model = self.find(&request.get_ref().name, &request.get_ref().version)?;
        Ok(Response::new(model_metadata(&self.0.models, &model)))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> GrpcResult<ModelInferResponse> {
        let timeout = self.time_left(&request);
        if let Some(pending) = request.extensions().get::<Arc<PendingCall>>() {
            pending.hand_over();
        }
        let message = request.into_inner();
        let result = self.infer(InferCall { message, timeout }).await;
        let (message, reservation) = result.map_err(|error| grpc_status(&error))?;
        let mut response = Response::new(message);
        response.extensions_mut().insert(Arc::new(reservation));
        Ok(response)
    }

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> GrpcResult<Self::ModelStreamInferStream> {
        let idle_handle = request.extensions().get::<IdleHandle>().cloned();
        let responses = stream::responses(self.clone(), request.into_inner(), idle_handle);
        Ok(Response::new(responses))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> GrpcResult<ModelConfigResponse> {
        let model = self.find(&request.get_ref().name, &request.get_ref().version)?;
        let config = Some(model_config(&model));
        Ok(Response::new(ModelConfigResponse { config }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> GrpcResult<ModelStatisticsResponse> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let models = serving(&self.0, &name, &version).map_err(|error| grpc_status(&error))?;
        Ok(Response::new(statistics(&models)))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> GrpcResult<RepositoryIndexResponse> {
        let models = index(&self.0.models, request.get_ref().ready);
        Ok(Response::new(RepositoryIndexResponse { models }))
    }
}

#[cfg(test)]
mod tests;
