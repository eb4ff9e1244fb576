//! Clients that send or take nothing, or little.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_first_head_has_ten_seconds_however_slowly_it_arrives() {
    let mut silent = serve(None);
    assert_eq!(silent.until_closed().await, 10 * SECOND);
    // The second one could become HTTP/2.
    for text in ["GET / HTTP/1.1\r\nX", "PRI * HTTP/2"] {
        let mut served = serve(None);
        let began = Instant::now();
        for letter in text.bytes() {
            sleep(SECOND / 2).await;
            served.client.write_u8(letter).await.unwrap();
        }
        assert_eq!(served.ended.await.unwrap() - began, 10 * SECOND, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_and_incomplete_heads_have_75_seconds() {
    let mut served = serve(None);
    served.get("/").await;
    sleep(40 * SECOND).await;
    served.get("/").await;
    served.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(served.until_closed().await, 75 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_idle_timeout_ends_a_connection() {
    for idle_timeout in [SECOND, 5 * SECOND, 600 * SECOND] {
        let mut served = serve_idle(None, ShutdownPhase::Running, idle_timeout);
        served.get("/").await;
        assert_eq!(served.until_closed().await, idle_timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_takes_long_is_not_idle() {
    let mut served = serve(None);
    assert!(served.get("/slow").await.ends_with("slow"));
    assert_eq!(served.until_closed().await, 75 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_taken_slowly_is_not_idle() {
    let mut served = serve(None);
    served.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let began = Instant::now();
    let mut received = 0;
    while received < LARGE {
        received += served.client.read(&mut [0; 8 * 1024]).await.unwrap();
        sleep(SECOND).await;
    }
    assert!(began.elapsed() > 100 * SECOND);
    assert!(served.get("/").await.ends_with("fast"));
}

#[tokio::test(start_paused = true)]
async fn an_evicted_connection_ends_at_once_or_after_its_response() {
    let mut idle = serve(None);
    idle.get("/").await;
    idle.activity.evict();
    assert_eq!(idle.until_closed().await, Duration::ZERO);

    let mut half = serve(None);
    half.get("/").await;
    half.send("GET / HT").await;
    half.activity.evict();
    assert_eq!(half.until_closed().await, Duration::ZERO);

    let mut sent = serve(None);
    sent.get("/").await;
    sent.activity.evict();
    assert!(asks_to_reconnect(&sent.get("/slow").await));
    assert_eq!(sent.until_closed().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_receives_a_response_byte_by_byte_is_disconnected() {
    let mut served = serve(None);
    served.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let began = Instant::now();
    while !served.ended.is_finished() {
        served.client.read_u8().await.unwrap();
        sleep(SECOND).await;
    }
    let took = served.ended.await.unwrap() - began;
    assert!(
        took >= MAX_STALL && took <= 2 * MAX_STALL + SECOND,
        "{took:?}"
    );
    assert!(served.activity.idle_since().is_some());
}
