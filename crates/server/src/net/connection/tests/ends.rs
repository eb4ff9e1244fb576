//! How connections end: by their age, by a rejection and with the server.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_first_response_after_its_age_ends_a_connection() {
    let mut served = serve(Some(AGE));
    for _second in 0..29 {
        assert!(!asks_to_reconnect(&served.get("/").await));
        sleep(SECOND).await;
    }
    sleep(2 * SECOND).await;
    assert!(asks_to_reconnect(&served.get("/").await));
    assert_eq!(served.until_closed().await, Duration::ZERO);
    served.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rejection_ends_a_connection_that_is_not_new() {
    let mut served = serve(Some(AGE));
    assert!(!asks_to_reconnect(&served.get("/refused").await));
    sleep(REJECTION_AGE).await;
    assert!(!asks_to_reconnect(&served.get("/").await));
    assert!(asks_to_reconnect(&served.get("/refused").await));
    assert_eq!(served.until_closed().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_a_maximum_age_a_rejection_ends_no_connection() {
    let mut served = serve(None);
    sleep(REJECTION_AGE).await;
    assert!(!asks_to_reconnect(&served.get("/refused").await));
    assert!(served.get("/").await.ends_with("fast"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_sent_before_the_age_is_answered_after_it() {
    let mut served = serve(Some(AGE));
    let answer = served.get("/slow").await;
    assert!(
        asks_to_reconnect(&answer) && answer.ends_with("slow"),
        "{answer}"
    );
    assert_eq!(served.until_closed().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_old_idle_connection_is_not_closed_into_its_clients_next_request() {
    let mut served = serve(Some(AGE));
    served.get("/").await;
    sleep(70 * SECOND).await;
    assert!(asks_to_reconnect(&served.get("/").await));
}

#[tokio::test(start_paused = true)]
async fn without_an_age_a_connection_lasts() {
    let mut served = serve(None);
    for _minute in 0..600 {
        assert!(!asks_to_reconnect(&served.get("/").await));
        sleep(60 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_server_drains_clients_are_asked_to_reconnect() {
    let mut served = serve(None);
    assert!(!asks_to_reconnect(&served.get("/").await));
    served.shutdown.send_replace(ShutdownPhase::AskReconnect);
    sleep(SECOND).await;
    assert!(asks_to_reconnect(&served.get("/").await));

    let mut http2 = serve(None).http2().await;
    http2.get("/").await.unwrap();
    http2.shutdown.send_replace(ShutdownPhase::AskReconnect);
    http2.ended.await.unwrap();
    http2.client.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_that_begin_during_the_drain_have_their_first_request_answered() {
    let mut served = serve_at(None, ShutdownPhase::AskReconnect);
    assert!(asks_to_reconnect(&served.get("/").await));

    let mut http2 = serve_at(None, ShutdownPhase::AskReconnect).http2().await;
    assert_eq!(http2.get("/slow").await.unwrap(), "slow");
    http2.ended.await.unwrap();
    http2.client.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_the_end_idle_connections_are_closed_and_requests_answered() {
    let mut idle = serve(None);
    idle.get("/").await;
    idle.shutdown.send_replace(ShutdownPhase::FinishRequests);
    assert_eq!(idle.until_closed().await, Duration::ZERO);

    let mut busy = serve(None);
    busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(SECOND).await;
    busy.shutdown.send_replace(ShutdownPhase::FinishRequests);
    assert!(asks_to_reconnect(&busy.answer().await));
    assert_eq!(busy.until_closed().await, Duration::ZERO);

    let orphan = serve(None);
    drop(orphan.shutdown);
    orphan.ended.await.unwrap();
}
