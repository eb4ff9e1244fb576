//! The Open Inference Protocol v2 over gRPC.

mod arrival;
mod body;
mod codec;
mod cursor;
mod deadline;
#[rustfmt::skip]
mod descriptor;
mod health;
mod reflection;
#[rustfmt::skip]
#[allow(clippy::all, clippy::doc_markdown, unreachable_pub, reason = "generated")]
mod service;
mod status;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::middleware;
use axum::response::Response as HttpResponse;
use futures::stream::BoxStream;
use http::HeaderValue;
use prost::Message as _;
use springtide_inference::Signature;
use springtide_open_inference::grpc::message::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse,
    ModelStatisticsRequest, ModelStatisticsResponse, ModelStreamInferResponse,
    RepositoryIndexRequest, RepositoryIndexResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use springtide_open_inference::{Limits, grpc};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status as GrpcStatus, Streaming};
use tonic_health::pb::health_server::HealthServer;

use self::arrival::Arrival;
use self::health::HealthService;
use self::service::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
pub(crate) use self::status::refused;
use self::status::unless_corrupt;
use crate::app::App;
use crate::body::Held;
use crate::lifecycle::Phase;
use crate::metrics::{Call, Rejected, Status};
use crate::models::Model;
use crate::net::Patience;
use crate::v2::{
    Most, Refusal, find, index, model_config, model_metadata, parse_bytes, run, series,
    server_metadata, serving, statistics, version,
};

/// The services, to be merged into a router of other endpoints on a port that speaks HTTP/2.
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
        .layer(middleware::map_response(in_our_words))
        .layer(middleware::from_fn_with_state(app, body::within_bounds))
}

/// The services alone, for a port of their own.
pub fn router(app: Arc<App>) -> Router {
    routes(app).fallback(async || {
        let status = GrpcStatus::unimplemented("there is no such service here");
        status.into_http::<axum::body::Body>()
    })
}

/// Says better what tonic refuses by itself: methods that aren't there without a word, and messages
/// that can't be decompressed as if the server had failed.
async fn in_our_words(mut response: HttpResponse) -> HttpResponse {
    const NOT_THERE: HeaderValue = HeaderValue::from_static("this server has no such method");
    let headers = response.headers_mut();
    let code = headers.get(GrpcStatus::GRPC_STATUS);
    match code.map(HeaderValue::as_bytes) {
        Some(b"12") if !headers.contains_key(GrpcStatus::GRPC_MESSAGE) => {
            headers.insert(GrpcStatus::GRPC_MESSAGE, NOT_THERE);
        }
        Some(b"13") => {
            if let Some(status) = GrpcStatus::from_header_map(headers).map(unless_corrupt)
                && let Err(odd) = status.add_header(headers)
            {
                tracing::debug!(%odd, "a status stays as it is");
            }
        }
        _ => {}
    }
    response
}

/// The service on the models.
#[derive(Clone)]
struct Inference(Arc<App>);

/// A request for inference, with what its transport says of it.
struct Incoming {
    message: ModelInferRequest,
    timeout: Duration,
}

impl Inference {
    fn find(&self, name: &str, model_version: &str) -> Result<Arc<Model>, GrpcStatus> {
        find(&self.0, name, version(model_version)).map_err(|refusal| refused(&refusal))
    }

    /// The time that is left of the client's or the server's, whichever is shorter.
    fn time_left<T>(&self, request: &Request<T>) -> Duration {
        let timeout = self.0.request_timeout;
        let timeout = deadline::of(request.metadata()).map_or(timeout, |own| own.min(timeout));
        let arrival = request.extensions().get::<Arc<Arrival>>();
        timeout.saturating_sub(arrival.map_or(Duration::ZERO, |arrival| arrival.elapsed()))
    }

    /// Answers a request, and counts it.
    async fn infer(&self, incoming: Incoming) -> Result<(ModelInferResponse, Held), Refusal> {
        let app = &self.0;
        let _in_flight = app.lifecycle.enter();
        let Incoming { message, timeout } = incoming;
        let model = find(app, &message.model_name, version(&message.model_version));
        let mut call = Call::arrival(series(app, &model));
        let answer = async {
            let model = model?;
            let limits = Limits::new(model.signature(), model.max_rows());
            let held = app.bodies.hold_bytes(cost(model.signature(), &message))?;
            let request = grpc::request(message, &limits)?;
            let answer = run(&model, request, held, &mut call, timeout).await?;
            let response = grpc::response(&answer.response(&model)?);
            let bytes = response.raw_output_contents.iter().map(Bytes::len).sum();
            Ok((response, app.bodies.hold_bytes(bytes)?))
        };
        let answer = answer.await;
        call.end(match &answer {
            Ok(_) => Status::Success,
            Err(refusal) => Refusal::status(refusal),
        });
        answer
    }

    /// Counts a request of a stream that was refused before its model was known. A stream that
    /// breaks off between two requests is none.
    fn count_unread(&self, status: &GrpcStatus) {
        let status = match status.code() {
            Code::ResourceExhausted => Status::Rejected(Rejected::NoRoomForBody),
            Code::InvalidArgument | Code::OutOfRange | Code::DeadlineExceeded | Code::Internal => {
                Status::Invalid
            }
            _ => return,
        };
        Call::arrival(Arc::clone(self.0.metrics.of_no_model())).end(status);
    }

    /// Answers a request of a stream, with the memory of the answer. There an error ends the request, not the
    /// stream.
    async fn infer_in_stream(
        &self,
        message: ModelInferRequest,
    ) -> (ModelStreamInferResponse, Option<Held>) {
        let id = message.id.clone();
        let timeout = self.0.request_timeout;
        match self.infer(Incoming { message, timeout }).await {
            Ok((response, held)) => {
                let answer = ModelStreamInferResponse {
                    error_message: String::new(),
                    infer_response: Some(grpc::final_response(response)),
                };
                (answer, Some(held))
            }
            Err(refusal) => {
                let answer = ModelStreamInferResponse {
                    error_message: refusal.message(),
                    infer_response: Some(ModelInferResponse {
                        id,
                        ..ModelInferResponse::default()
                    }),
                };
                (answer, None)
            }
        }
    }
}

/// What a message and what is read of it take in memory.
fn cost(signature: &Signature, message: &ModelInferRequest) -> usize {
    let bytes = message.encoded_len();
    let raw: usize = message.raw_input_contents.iter().map(Bytes::len).sum();
    // A typed number takes a byte at least, a typed text two, a raw one the four of its length.
    let typed = bytes.saturating_sub(raw);
    let most = Most {
        bytes,
        numbers: raw + size_of::<u64>() * typed,
        texts: typed / 2 + raw / 4,
    };
    bytes + parse_bytes(signature, &most)
}

type Answer<T> = Result<Response<T>, GrpcStatus>;

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    type ModelStreamInferStream = BoxStream<'static, stream::Answer>;

    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        let live = self.0.models.stuck().is_none();
        Ok(Response::new(ServerLiveResponse { live }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        let ready = self.0.lifecycle.phase() == Phase::Ready;
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let request = request.get_ref();
        let ready = find(&self.0, &request.name, version(&request.version)).is_ok();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(server_metadata()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Answer<ModelMetadataResponse> {
        let model = self.find(&request.get_ref().name, &request.get_ref().version)?;
        Ok(Response::new(model_metadata(&self.0.models, &model)))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        let timeout = self.time_left(&request);
        if let Some(arrival) = request.extensions().get::<Arc<Arrival>>() {
            arrival.is_served();
        }
        let message = request.into_inner();
        let answer = self.infer(Incoming { message, timeout }).await;
        let (answer, held) = answer.map_err(|refusal| refused(&refusal))?;
        let mut response = Response::new(answer);
        response.extensions_mut().insert(Arc::new(held));
        Ok(response)
    }

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        let patience = request.extensions().get::<Patience>().cloned();
        let answers = stream::answers(self.clone(), request.into_inner(), patience);
        Ok(Response::new(answers))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Answer<ModelConfigResponse> {
        let model = self.find(&request.get_ref().name, &request.get_ref().version)?;
        let config = Some(model_config(&model));
        Ok(Response::new(ModelConfigResponse { config }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Answer<ModelStatisticsResponse> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let models = serving(&self.0, &name, &version).map_err(|refusal| refused(&refusal))?;
        Ok(Response::new(statistics(&models)))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Answer<RepositoryIndexResponse> {
        let models = index(&self.0.models, request.get_ref().ready);
        Ok(Response::new(RepositoryIndexResponse { models }))
    }
}

#[cfg(test)]
mod tests;
