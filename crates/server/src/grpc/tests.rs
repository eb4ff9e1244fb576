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
async fn refusals_have_their_codes() {
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
async fn an_overloaded_server_says_when_to_try_again() {
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
async fn a_stream_is_answered_in_order_and_outlives_errors() {
    let app = ready_app(AT_ONCE, 8);
    let mut client = Grpc::new(router(Arc::clone(&app)));
    client.ready().await.unwrap();
    let labels = [1.0, -1.0, 2.0].map(|label| request(&[[label, 0.0]]));
    let requests = Request::new(stream::iter(labels));
    let codec = ProstCodec::<ModelInferRequest, ModelStreamInferResponse>::default();
    let answers = client
        .streaming(requests, path("ModelStreamInfer"), codec)
        .await
        .unwrap();
    let answers: Vec<_> = answers.into_inner().map(Result::unwrap).collect().await;
    let labels: Vec<_> = answers
        .iter()
        .map(|answer| {
            let response = answer.infer_response.as_ref().unwrap();
            assert_eq!(response.id, "abc");
            response.raw_output_contents.first().map(|label| label[0])
        })
        .collect();
    assert_eq!(labels, [Some(1), None, Some(2)]);
    assert_eq!(answers[1].error_message, "the model failed on this request");
}

#[tokio::test]
async fn requests_of_a_stream_run_at_the_same_time_and_no_more_than_a_few() {
    let backend = FakeBackend::classifier();
    let app = serving(backend.clone(), AT_ONCE, 1_000);
    let mut client = Grpc::new(router(Arc::clone(&app)));
    client.ready().await.unwrap();
    let (runs, held) = (backend.rows().len(), backend.hold());
    let (sent, taken) = futures::channel::mpsc::unbounded();
    let send = || sent.unbounded_send(request(&[[1.0, 0.0]])).unwrap();
    send();
    let codec = ProstCodec::<ModelInferRequest, ModelStreamInferResponse>::default();
    let answers = client.streaming(Request::new(taken), path("ModelStreamInfer"), codec);
    let mut answers = answers.await.unwrap().into_inner();
    // One runs by itself, and what else was read ahead waits.
    while backend.rows().len() == runs {
        assert!(answers.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    (1..100).for_each(|_| send());
    let waiting = || app.models.serving()[0].waiting_rows();
    while waiting() < 63 {
        assert!(answers.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        assert!(answers.next().now_or_never().is_none());
    }
    assert_eq!(waiting(), 63);
    drop((held, sent));
    let all = answers.map(Result::unwrap).collect::<Vec<_>>().await;
    assert_eq!(all.len(), 100);
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
async fn what_is_not_there_is_unimplemented_with_a_word() {
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
async fn a_message_without_memory_is_refused() {
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
async fn calls_are_counted_once_also_those_that_do_not_get_to_the_service() {
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
async fn streams_end_when_nothing_else_is_left() {
    let app = ready_app(AT_ONCE, 8);
    let mut client = Grpc::new(router(Arc::clone(&app)));
    client.ready().await.unwrap();
    let one = stream::iter([request(&[[1.0, 0.0]])]).chain(stream::pending());
    let codec = ProstCodec::<ModelInferRequest, ModelStreamInferResponse>::default();
    let answers = client.streaming(Request::new(one), path("ModelStreamInfer"), codec);
    let mut answers = answers.await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().is_ok());
    app.lifecycle.drain();
    app.lifecycle.end_streams();
    let ended = answers.next().await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn who_watches_the_health_is_told_of_the_drain_and_then_no_more() {
    let app = ready_app(AT_ONCE, 8);
    let mut client = HealthClient::new(router(Arc::clone(&app)));
    let mut watch = async |service: &str| {
        let service = service.to_owned();
        let answers = client.watch(HealthCheckRequest { service }).await;
        answers
            .unwrap()
            .into_inner()
            .map(|answer| answer.unwrap().status)
    };
    let (mut known, mut unknown) = (watch("").await, watch("other").await);
    assert_eq!(
        (known.next().await, unknown.next().await),
        (Some(1), Some(3))
    );
    app.lifecycle.drain();
    assert_eq!(known.next().await, Some(2));
    app.lifecycle.end_streams();
    assert_eq!((known.next().await, unknown.next().await), (None, None));
}

#[tokio::test]
async fn the_health_protocol_follows_the_phase() {
    let app = app();
    let mut client = HealthClient::new(router(Arc::clone(&app)));
    let mut check = async |service: &str| {
        let service = service.to_owned();
        let answer = client.check(HealthCheckRequest { service }).await;
        answer.map(|answer| answer.into_inner().status)
    };
    assert_eq!(check("").await.unwrap(), 2);
    app.lifecycle.ready();
    assert_eq!(check("").await.unwrap(), 1);
    assert_eq!(check("inference.GRPCInferenceService").await.unwrap(), 1);
    assert_eq!(check("other").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_large_answer_keeps_its_memory_until_it_is_taken() {
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
async fn a_request_that_ends_its_stream_is_counted() {
    let app = ready_app(AT_ONCE, 8);
    let mut flood = request(&[[1.0, 0.0]]);
    flood.outputs = vec![Default::default(); 1025];
    let mut client = Grpc::new(router(Arc::clone(&app)));
    client.ready().await.unwrap();
    let requests = Request::new(stream::iter([request(&[[1.0, 0.0]]), flood]));
    let codec = ProstCodec::<ModelInferRequest, ModelStreamInferResponse>::default();
    let answers = client.streaming(requests, path("ModelStreamInfer"), codec);
    let answers: Vec<_> = answers.await.unwrap().into_inner().collect().await;
    assert_eq!(
        answers[1].as_ref().unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(counted(&app, MODEL, "success").await, 1);
    assert_eq!(counted(&app, "", "invalid").await, 1);
}

#[tokio::test]
async fn what_the_model_does_not_take_is_an_invalid_argument() {
    let app = ready_app(AT_ONCE, 8);
    let refused = infer(&app, request(&[[BEYOND, 0.0]])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("Gather"), "{refused}");
}

/// Asks the reflection of one version, on a stream that stays open.
macro_rules! reflection {
    ($app:expr, $version:ident) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let ask = |question| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        let symbol = "inference.GRPCInferenceService.ModelInfer".to_owned();
        let questions = stream::iter([
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol(symbol)),
        ]);
        let mut client = ServerReflectionClient::new(router(Arc::clone($app)));
        let answers = client
            .server_reflection_info(questions.chain(stream::pending()))
            .await;
        let mut answers = answers.unwrap().into_inner();
        let first = answers.next().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::ListServicesResponse(services)) = first else {
            panic!("no services")
        };
        let services: Vec<_> = services.service.into_iter().map(|one| one.name).collect();
        for name in ["inference.GRPCInferenceService", "grpc.health.v1.Health"] {
            assert!(services.iter().any(|other| other == name), "{services:?}");
        }
        let second = answers.next().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::FileDescriptorResponse(file)) = second else {
            panic!("no descriptor")
        };
        let file = prost_types::FileDescriptorProto::decode(&*file.file_descriptor_proto[0]);
        assert_eq!(file.unwrap().package(), "inference");
        answers
    }};
}

#[tokio::test]
async fn both_reflections_tell_the_services_on_a_stream_that_stays_open() {
    let app = app();
    let mut v1 = reflection!(&app, v1);
    let mut v1alpha = reflection!(&app, v1alpha);
    assert!(v1.next().now_or_never().is_none(), "it may ask again");
    app.lifecycle.end_streams();
    assert!(v1.next().await.is_none());
    assert!(v1alpha.next().await.is_none());
}

#[tokio::test]
async fn a_call_of_the_reflection_without_room_for_its_answers_is_refused() {
    let app = app();
    let room = app
        .request_memory
        .reserve(app.request_memory.total() - 1)
        .unwrap();
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let call = || {
        http::Request::post(path)
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .body(Body::empty())
            .unwrap()
    };
    let refused = router(Arc::clone(&app)).oneshot(call()).await.unwrap();
    let status = GrpcStatus::from_header_map(refused.headers()).unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    drop(room);
    let answer = router(Arc::clone(&app)).oneshot(call()).await.unwrap();
    assert!(app.request_memory.used() > 0);
    drop(answer);
    assert_eq!(app.request_memory.used(), 0);
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
async fn a_message_that_can_not_be_decompressed_is_its_clients_fault() {
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
