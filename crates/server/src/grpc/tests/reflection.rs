//! The reflection service.

use super::*;

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
async fn both_reflections_list_the_services_on_an_open_stream() {
    let app = app();
    let mut v1 = reflection!(&app, v1);
    let mut v1alpha = reflection!(&app, v1alpha);
    assert!(v1.next().now_or_never().is_none(), "it may ask again");
    app.lifecycle.end_streams();
    assert!(v1.next().await.is_none());
    assert!(v1alpha.next().await.is_none());
}

#[tokio::test]
async fn a_reflection_call_without_memory_is_rejected() {
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
