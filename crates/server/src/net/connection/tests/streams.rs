//! HTTP/2: streams, and clients that neither take nor answer.

use super::*;
use crate::net::activity::IdleHandle;

#[tokio::test(start_paused = true)]
async fn over_http2_a_rejection_ends_the_connection_after_its_active_requests() {
    for path in ["/refused", "/exhausted"] {
        let mut served = serve(Some(AGE)).http2().await;
        assert_eq!(served.get(path).await.unwrap(), "fast");
        let slow = tokio::spawn(served.get("/slow"));
        sleep(REJECTION_AGE).await;
        assert_eq!(served.get(path).await.unwrap(), "fast");
        sleep(SECOND).await;
        assert!(served.get("/").await.is_err(), "it was sent away");
        assert_eq!(slow.await.unwrap().unwrap(), "slow");
        served.client.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn http2_uses_the_same_port_and_its_requests_run_concurrently() {
    let mut http2 = serve(None).http2().await;
    let slow = tokio::spawn(http2.get("/slow"));
    assert_eq!(http2.get("/").await.unwrap(), "fast");
    assert!(http2.activity.idle_since().is_none());
    assert_eq!(slow.await.unwrap().unwrap(), "slow");
    assert!(http2.activity.idle_since().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_old_http2_connection_sends_goaway_and_loses_nothing() {
    let mut http2 = serve(Some(AGE)).http2().await;
    assert_eq!(http2.get("/").await.unwrap(), "fast");
    let slow = tokio::spawn(http2.get("/slow"));
    sleep(AGE - SECOND).await;
    assert_eq!(http2.get("/").await.unwrap(), "fast");
    sleep(2 * SECOND).await;
    assert!(http2.get("/").await.is_err(), "the client knows");
    assert_eq!(slow.await.unwrap().unwrap(), "slow");
    http2.ended.await.unwrap();
    http2.client.await.unwrap();
}

/// The next frame: its type, flags, stream and payload.
async fn next_frame(client: &mut DuplexStream) -> (u8, u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    client.read_exact(&mut head).await.unwrap();
    let [high, middle, low, kind, flags, stream @ ..] = head;
    let length = u32::from_be_bytes([0, high, middle, low]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut payload).await.unwrap();
    (kind, flags, u32::from_be_bytes(stream), payload)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_crosses_the_last_goaway_does_not_end_the_connection() {
    let mut served = serve(Some(AGE));
    let slow = |stream| frame(HEADERS, ALL_HEADERS_AND_NO_BODY, stream, GET_SLOW);
    served
        .client
        .write_all(&[PREFACE, &slow(1)].concat())
        .await
        .unwrap();
    let mut goes_away = false;
    loop {
        match next_frame(&mut served.client).await {
            (GOAWAY, _, _, payload) if goes_away => {
                assert_eq!(payload, [0, 0, 0, 1, 0, 0, 0, 0], "the last is 1, no error");
            }
            (GOAWAY, ..) => goes_away = true,
            (PING, 0, 0, payload) => {
                let mut answer = frame(PING, ACK, 0, &payload);
                if goes_away {
                    // Another request, and room for its answer, from before GOAWAY was read.
                    answer.extend(slow(3));
                    answer.extend(frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 5]));
                }
                // The last PING comes together with the answer and the end of the connection.
                let _ended = served.client.write_all(&answer).await;
            }
            (DATA, _, 1, payload) => break assert_eq!(payload, b"slow"),
            _ => {}
        }
    }
    assert!(goes_away);
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_without_requests_is_idle_though_its_client_answers_pings() {
    let mut http2 = serve(None).http2().await;
    let began = Instant::now();
    http2.get("/").await.unwrap();
    http2.ended.await.unwrap();
    assert_eq!(began.elapsed(), 75 * SECOND);
    http2.client.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_http2_client_is_detected_during_its_request() {
    let mut served = serve(None);
    let request = frame(HEADERS, ALL_HEADERS_AND_NO_BODY, 1, GET_SLOW);
    let text = [PREFACE, &request].concat();
    // Then nothing, not even answers to pings.
    served.client.write_all(&text).await.unwrap();
    let began = Instant::now();
    served.ended.await.unwrap();
    assert_eq!(began.elapsed(), PING_INTERVAL + PING_TIMEOUT);
    assert!(
        served.activity.idle_since().is_some(),
        "the request is given up"
    );
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_does_not_take_a_response_is_disconnected_though_it_takes_others() {
    let mut http2 = serve(None).http2().await;
    let began = Instant::now();
    let large = Request::get("http://x/large").body(Empty::new()).unwrap();
    let untaken = http2.sender.send_request(large).await.unwrap();
    while http2.get("/").await.is_ok() {
        sleep(SECOND).await;
    }
    drop(untaken);
    let took = http2.ended.await.unwrap() - began;
    assert!(
        took >= MAX_STALL && took <= 2 * MAX_STALL + SECOND,
        "{took:?}"
    );
    assert!(http2.activity.idle_since().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_takes_a_response_slowly_receives_all_of_it() {
    let mut http2 = serve(None).http2().await;
    assert_eq!(http2.get("/stream").await.unwrap(), "first second");

    let large = Request::get("http://x/large").body(Empty::new()).unwrap();
    let mut body = http2.sender.send_request(large).await.unwrap().into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame.unwrap().into_data().unwrap().len();
        sleep(SECOND).await;
    }
    assert_eq!(received, LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_resets_all_its_requests_is_disconnected() {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let mut served = serve(None);
    let mut frames = Vec::from(PREFACE);
    for stream in (1..1_000).step_by(2) {
        frames.extend(frame(HEADERS, ALL_HEADERS_AND_NO_BODY, stream, GET_SLOW));
        frames.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    served.client.write_all(&frames).await.unwrap();
    timeout(SECOND, served.ended).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_evicted_only_while_it_is_the_clients_turn() {
    let mut http2 = serve(None).http2().await;
    let stream = Request::get("http://x/stream").body(Empty::new()).unwrap();
    let mut answer = http2.sender.send_request(stream).await.unwrap().into_body();
    sleep(SECOND).await;
    let now = Instant::now();
    assert_eq!(http2.activity.evictable_since(now), None);
    let idle_handle = IdleHandle::new(&http2.activity, 0);
    let waiting = idle_handle.idle();
    assert_eq!(http2.activity.evictable_since(now), Some(now));
    drop(waiting);
    http2.activity.evict();
    sleep(SECOND).await;
    assert!(!http2.ended.is_finished(), "the request is active");
    let _waiting = idle_handle.idle();
    timeout(SECOND, http2.ended).await.unwrap().unwrap();
    assert!(answer.frame().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_request_may_have_256_headers_and_no_more() {
    for (count, status) in [(256, 200), (257, 431)] {
        let mut http2 = serve(None).http2().await;
        let mut request = Request::get("http://x/");
        for number in 0..count {
            request = request.header(format!("x-{number}"), "");
        }
        let request = request.body(Empty::new()).unwrap();
        let answer = http2.sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{count}");
    }
}
