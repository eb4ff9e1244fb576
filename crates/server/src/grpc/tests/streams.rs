//! Streams of inference requests and of health updates.

use super::*;

#[tokio::test]
async fn a_stream_is_answered_in_order_and_survives_errors() {
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
async fn requests_of_a_stream_run_concurrently_up_to_a_maximum() {
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
async fn a_watch_of_the_health_reports_the_drain_and_ends() {
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
