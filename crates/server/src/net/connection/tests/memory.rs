//! Memory of requests, and those for which there is none.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_reserves_memory_until_its_response_is_taken() {
    let mut served = serve(None);
    assert_eq!(served.memory.used(), 0);
    served
        .client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nX-Y: zz\r\n\r\n")
        .await
        .unwrap();
    sleep(SECOND).await;
    let taken = served.memory.used();
    assert!(taken > REQUEST_BYTES + 512, "{taken}");
    served.answer().await;
    sleep(SECOND).await;
    assert_eq!(served.memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_memory_is_rejected_before_the_router() {
    let mut served = serve(None);
    let all = served.memory.reserve(MEMORY).unwrap();
    served.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = [0; 12];
    served.client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
    drop(all);
    let mut served = serve(None);
    assert!(served.get("/").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_response_without_memory_is_a_rejection() {
    let mut served = serve(None);
    let _most = served.memory.reserve(MEMORY - LARGE).unwrap();
    served.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = [0; 12];
    served.client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_rejections_is_disconnected() {
    let mut served = serve(None);
    let _all = served.memory.reserve(MEMORY).unwrap();
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let begin = [&PREFACE[..PREFACE.len() - 9], &settings].concat();
    served.client.write_all(&begin).await.unwrap();
    for number in 0..=u32::try_from(MAX_UNCOUNTED_REQUESTS).unwrap() {
        assert!(!served.ended.is_finished());
        let head = frame(HEADERS, ALL_HEADERS_AND_NO_BODY, 2 * number + 1, GET_SLOW);
        served.client.write_all(&head).await.unwrap();
        sleep(SECOND / 100).await;
    }
    assert!(served.ended.is_finished());
}
