//! Bodies that nobody reads.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_unread_body_is_discarded_before_the_next_request() {
    let mut served = serve(None);
    // More than arrives at once: the handlers here read none of it.
    let length = 1024 * 1024;
    served
        .send(&format!(
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
    served.client.write_all(&vec![b'x'; length]).await.unwrap();
    assert!(!asks_to_reconnect(&served.answer().await));
    assert!(!asks_to_reconnect(&served.get("/").await));
}

#[tokio::test(start_paused = true)]
async fn an_unread_body_that_was_not_sent_ends_the_connection() {
    for (fields, waits) in [
        ("Content-Length: 9\r\n", SECOND),
        ("Transfer-Encoding: chunked\r\n", SECOND),
        // It waits for a word before it sends.
        (
            "Content-Length: 9\r\nExpect: 100-continue\r\n",
            Duration::ZERO,
        ),
    ] {
        let mut served = serve(None);
        let began = Instant::now();
        served
            .send(&format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"))
            .await;
        assert!(asks_to_reconnect(&served.answer().await), "{fields}");
        assert_eq!(began.elapsed(), waits);
        assert_eq!(served.until_closed().await, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_ends_its_connection_and_the_response_announces_it() {
    let mut served = serve(None);
    served
        .send("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnumber\r\n")
        .await;
    assert!(asks_to_reconnect(&served.answer().await));
    assert_eq!(served.until_closed().await, Duration::ZERO);
}
