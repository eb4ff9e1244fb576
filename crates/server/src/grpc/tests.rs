mod reflection;
mod streams;

use std::time::Duration;

use axum::body::Body;
use futures::{FutureExt, StreamExt, stream};
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use prost::Message;
use springtide_batching::Policy;
use springtide_open_inference::grpc::message::ModelStreamInferResponse;
use springtide_open_inference::grpc::message::model_infer_request::InferInputTensor;
use tonic::Code;
use tonic::client::Grpc;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tower::ServiceExt;

use super::*;
use crate::http::testing::{
    AT_ONCE, MODEL, REQUEST_MEMORY, WINDOW, app, get_path, ready_app, serving, serving_rows,
    until_waiting,
};
use crate::models::testing::{BEYOND, FakeBackend};

fn path(method: &str) -> PathAndQuery {
    format!("/inference.GRPCInferenceService/{method}")
        .parse()
        .unwrap()
}

async fn call<Q, A>(app: &Arc<App>, method: &str, request: Request<Q>) -> Result<A, GrpcStatus>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    let mut client = Grpc::new(router(Arc::clone(app)))
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    client.ready().await.unwrap();
    let answer = client
        .unary(request, path(method), ProstCodec::default())
        .await;
    answer.map(Response::into_inner)
}

fn request(rows: &[[f32; 2]]) -> ModelInferRequest {
    let raw: Vec<u8> = rows
        .iter()
        .flatten()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    ModelInferRequest {
        model_name: MODEL.to_owned(),
        id: "abc".to_owned(),
        inputs: vec![InferInputTensor {
            name: "features".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![i64::try_from(rows.len()).unwrap(), 2],
            ..Default::default()
        }],
        raw_input_contents: vec![raw.into()],
        ..Default::default()
    }
}

async fn infer(
    app: &Arc<App>,
    message: ModelInferRequest,
) -> Result<ModelInferResponse, GrpcStatus> {
    call(app, "ModelInfer", Request::new(message)).await
}

#[tokio::test]
async fn rows_are_answered_with_raw_contents() {
    let app = ready_app(AT_ONCE, 8);
    let answer = infer(&app, request(&[[1.0, 0.0], [2.0, 0.0]]))
        .await
        .unwrap();
    assert_eq!((&*answer.model_name, &*answer.model_version), (MODEL, "1"));
    assert_eq!(answer.id, "abc");
    assert_eq!(answer.outputs[0].name, "label");
    assert_eq!(answer.outputs[0].shape, [2]);
    let labels: Vec<u8> = [1_i64, 2]
        .iter()
        .flat_map(|label| label.to_le_bytes())
        .collect();
    assert_eq!(answer.raw_output_contents[0], labels);
}

#[tokio::test]
async fn errors_have_their_codes() {
    let app = ready_app(AT_ONCE, 8);
    let named = |name: &str, number: &str| ModelInferRequest {
        model_name: name.to_owned(),
        model_version: number.to_owned(),
        ..request(&[[1.0, 0.0]])
    };
    let mut short = request(&[[1.0, 0.0]]);
    short.raw_input_contents = vec!["short".into()];
    let mut flood = request(&[[1.0, 0.0]]);
    flood.outputs = vec![Default::default(); 1025];
    for (message, code, part) in [
        (
            named("other", ""),
            Code::NotFound,
            "there is no model other",
        ),
        (named(MODEL, "7"), Code::NotFound, "no version 7"),
        (
            short,
            Code::InvalidArgument,
            "input \"features\": 2 elements of 4 bytes",
        ),
        (flood, Code::InvalidArgument, "more than 1024 outputs"),
        (request(&[[-1.0, 0.0]]), Code::Internal, "the model failed"),
        (
            request(&[[1.0, 0.0]; 5]),
            Code::InvalidArgument,
            "at most 8 are allowed",
        ),
    ] {
        let refused = infer(&app, message).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(part), "{refused}");
    }
}

#[tokio::test]
async fn an_overload_has_a_time_to_retry_after() {
    let app = ready_app(WINDOW, 2);
    let waiting = tokio::spawn({
        let app = Arc::clone(&app);
        async move { infer(&app, request(&[[1.0, 0.0], [2.0, 0.0]])).await }
    });
    until_waiting(&app, 2).await;
    let refused = infer(&app, request(&[[1.0, 0.0]])).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn the_clients_deadline_is_kept() {
    let app = ready_app(Policy::Window(Duration::from_secs(4)), 8);
    let mut request = Request::new(request(&[[1.0, 0.0]]));
    request
        .metadata_mut()
        .insert("grpc-timeout", "100m".parse().unwrap());
    let began = tokio::time::Instant::now();
    let refused = call::<_, ModelInferResponse>(&app, "ModelInfer", request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_server_and_its_models_describe_themselves() {
    let app = ready_app(AT_ONCE, 8);
    let live: ServerLiveResponse = call(&app, "ServerLive", Request::new(ServerLiveRequest {}))
        .await
        .unwrap();
    let ready: ServerReadyResponse = call(&app, "ServerReady", Request::new(ServerReadyRequest {}))
        .await
        .unwrap();
    assert!(live.live && ready.ready);
    for (name, expected) in [(MODEL, true), ("other", false)] {
        let name = name.to_owned();
        let request = ModelReadyRequest {
            name,
            ..Default::default()
        };
        let ready: ModelReadyResponse = call(&app, "ModelReady", Request::new(request))
            .await
            .unwrap();
        assert_eq!(ready.ready, expected);
    }
    let server: ServerMetadataResponse = call(
        &app,
        "ServerMetadata",
        Request::new(ServerMetadataRequest {}),
    )
    .await
    .unwrap();
    assert_eq!(server.name, "springtide");
    let name = MODEL.to_owned();
    let request = ModelMetadataRequest {
        name: name.clone(),
        ..Default::default()
    };
    let metadata: ModelMetadataResponse = call(&app, "ModelMetadata", Request::new(request))
        .await
        .unwrap();
    assert_eq!(metadata.inputs[0].datatype, "FP32");
    let request = ModelConfigRequest {
        name: name.clone(),
        ..Default::default()
    };
    let answer: ModelConfigResponse = call(&app, "ModelConfig", Request::new(request))
        .await
        .unwrap();
    assert_eq!(answer.config.unwrap().max_batch_size, 4);
    let request = ModelStatisticsRequest {
        name,
        ..Default::default()
    };
    let answer: ModelStatisticsResponse = call(&app, "ModelStatistics", Request::new(request))
        .await
        .unwrap();
    assert_eq!(answer.model_stats[0].version, "1");
    let request = RepositoryIndexRequest {
        ready: true,
        ..Default::default()
    };
    let answer: RepositoryIndexResponse = call(&app, "RepositoryIndex", Request::new(request))
        .await
        .unwrap();
    assert_eq!(answer.models[0].state, "READY");
}

#[tokio::test]
async fn unknown_methods_are_unimplemented_with_a_message() {
    let app = ready_app(AT_ONCE, 8);
    let request = Request::new(ServerLiveRequest {});
    let refused = call::<_, ServerLiveResponse>(&app, "RepositoryModelLoad", request).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert_eq!(refused.message(), "this server has no such method");
    let mut client = Grpc::new(router(app));
    client.ready().await.unwrap();
    let codec = ProstCodec::<ServerLiveRequest, ServerLiveResponse>::default();
    let request = Request::new(ServerLiveRequest {});
    let refused = client
        .unary(request, "/other.Service/Call".parse().unwrap(), codec)
        .await;
    assert_eq!(
        refused.unwrap_err().message(),
        "this server has no such service"
    );
}

#[tokio::test]
async fn a_message_without_memory_is_rejected_by_the_service() {
    let app = ready_app(AT_ONCE, 8);
    let mut large = request(&[[1.0, 0.0]]);
    large.raw_input_contents = vec![vec![0; 2 * REQUEST_MEMORY].into()];
    let mut client = Grpc::new(router(Arc::clone(&app)));
    client.ready().await.unwrap();
    let codec = ProstCodec::<ModelInferRequest, ModelInferResponse>::default();
    let refused = client.unary(Request::new(large), path("ModelInfer"), codec);
    let refused = refused.await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(counted(&app, "", "rejected").await, 1);
}

/// Requests that ended like this.
async fn counted(app: &Arc<App>, model: &str, status: &str) -> u32 {
    let series = format!("ml_requests_total{{model=\"{model}\",status=\"{status}\"}} ");
    let text = get_path(app, "/metrics").await.text;
    let count = text.lines().find_map(|line| line.strip_prefix(&series));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_compressed_message_takes_the_memory_of_its_own_bytes() {
    let app = ready_app(AT_ONCE, 8);
    let mut random = fastrand::Rng::with_seed(7);
    let mut large = request(&[[1.0, 0.0]]);
    let bytes: Vec<u8> = (0..REQUEST_MEMORY / 4).map(|_| random.u8(..)).collect();
    large.raw_input_contents = vec![bytes.into()];
    let refused = infer(&app, large).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
}

#[tokio::test]
async fn calls_are_counted_once_whether_they_reach_the_service_or_not() {
    let app = ready_app(AT_ONCE, 8);
    infer(&app, request(&[[1.0, 0.0]])).await.unwrap();
    assert_eq!(counted(&app, MODEL, "success").await, 1);
    assert_eq!(counted(&app, "", "invalid").await, 0);
    let mut flood = request(&[[1.0, 0.0]]);
    flood.outputs = vec![Default::default(); 1025];
    infer(&app, flood).await.unwrap_err();
    assert_eq!(counted(&app, "", "invalid").await, 1);
    let call = http::Request::post("/inference.GRPCInferenceService/ModelInfer")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .body(Body::from_stream(stream::pending::<
            Result<Vec<u8>, std::io::Error>,
        >()));
    let call = router(Arc::clone(&app)).oneshot(call.unwrap());
    assert!(call.now_or_never().is_none());
    assert_eq!(counted(&app, "", "cancelled").await, 1);
}

#[tokio::test]
async fn a_large_response_keeps_its_memory_until_it_is_taken() {
    let app = serving_rows(FakeBackend::classifier(), 2_000);
    let message = request(&[[1.0, 0.0]; 2_000]).encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let call = http::Request::post("/inference.GRPCInferenceService/ModelInfer")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .body(Body::from([&[0], &length[..], &message].concat()));
    let answer = router(Arc::clone(&app)).oneshot(call.unwrap()).await;
    assert!(
        app.request_memory
            .empty_reservation()
            .grow(REQUEST_MEMORY)
            .is_err()
    );
    drop(answer);
    assert!(
        app.request_memory
            .empty_reservation()
            .grow(REQUEST_MEMORY)
            .is_ok()
    );
}

#[tokio::test]
async fn grpc_is_not_spoken_over_http1() {
    let app = ready_app(AT_ONCE, 8);
    let call = http::Request::post("/inference.GRPCInferenceService/ServerLive");
    let answer = router(app).oneshot(call.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.unwrap().status(), 505);
}

#[tokio::test]
async fn inputs_that_the_model_rejects_are_an_invalid_argument() {
    let app = ready_app(AT_ONCE, 8);
    let refused = infer(&app, request(&[[BEYOND, 0.0]])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("Gather"), "{refused}");
}

/// A message that says to be compressed and isn't.
fn corrupt(method: &str) -> http::Request<Body> {
    http::Request::post(format!("/inference.GRPCInferenceService/{method}"))
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("grpc-encoding", "gzip")
        .body(vec![1, 0, 0, 0, 4, b'n', b'o', b'n', b'e'].into())
        .unwrap()
}

#[tokio::test]
async fn a_message_that_can_not_be_decompressed_is_an_error_of_the_client() {
    let app = ready_app(AT_ONCE, 8);
    let refused = router(Arc::clone(&app)).oneshot(corrupt("ModelInfer"));
    let status = GrpcStatus::from_header_map(refused.await.unwrap().headers()).unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(
        status
            .message()
            .contains("doesn't match its content encoding"),
        "{status}"
    );
    let answer = router(app).oneshot(corrupt("ModelStreamInfer")).await;
    let mut body = answer.unwrap().into_body();
    let trailers = loop {
        if let Ok(trailers) = body.frame().await.unwrap().unwrap().into_trailers() {
            break trailers;
        }
    };
    let status = GrpcStatus::from_header_map(&trailers).unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}
