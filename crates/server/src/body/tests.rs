use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

use futures::{FutureExt, stream};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(5);

fn memory(total: usize) -> RequestMemory {
    RequestMemory::new(NonZeroUsize::new(total).unwrap())
}

fn free(memory: &RequestMemory) -> usize {
    memory.total() - memory.used()
}

fn announcing(length: usize) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_LENGTH, length.into())])
}

fn chunked(chunks: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Body {
    let chunks = chunks.into_iter().map(Ok::<_, std::io::Error>);
    Body::from_stream(stream::iter(chunks))
}

/// A body that never arrives.
fn never() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
}

async fn read(
    memory: &RequestMemory,
    headers: &HeaderMap,
    body: Body,
) -> Result<BufferedBody, ReadError> {
    super::read(memory, headers, body, LIMIT, Instant::now() + TIMEOUT).await
}

#[tokio::test(start_paused = true)]
async fn a_body_in_one_chunk_is_not_copied_and_reserves_its_length() {
    let memory = memory(LIMIT);
    let sent = Bytes::from(vec![7; 100]);
    let body = read(&memory, &announcing(100), Body::from(sent.clone()))
        .await
        .unwrap();
    assert_eq!(body.bytes.as_ptr(), sent.as_ptr());
    assert_eq!(free(&memory), LIMIT - 100);
    drop(body);
    assert_eq!(free(&memory), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn an_announced_body_reserves_nothing_until_it_arrives() {
    let memory = memory(LIMIT);
    let silent = tokio::spawn({
        let memory = memory.clone();
        async move { read(&memory, &announcing(LIMIT), never()).await }
    });
    tokio::task::yield_now().await;
    let body = read(&memory, &announcing(LIMIT), Body::from(vec![0; LIMIT])).await;
    assert_eq!(body.unwrap().bytes.len(), LIMIT);
    assert_eq!(silent.await.unwrap().unwrap_err(), ReadError::TooSlow);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_memory_is_rejected_at_once_and_its_memory_is_freed() {
    let memory = memory(LIMIT);
    let first = read(&memory, &announcing(600), Body::from(vec![0; 600]))
        .await
        .unwrap();
    let began = Instant::now();
    for body in [Body::from(vec![0; 500]), chunked(vec![vec![0; 50]; 10])] {
        let refused = read(&memory, &HeaderMap::new(), body).await;
        assert_eq!(
            refused.unwrap_err(),
            ReadError::MemoryExhausted(MemoryExhausted)
        );
        assert_eq!(free(&memory), 400, "the part that was read is freed");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(first);
    assert!(
        read(&memory, &HeaderMap::new(), Body::from(vec![0; 500]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_body_that_is_available_at_once_lets_other_tasks_run() {
    let memory = memory(LIMIT);
    let chunks = chunked(vec![vec![0]; LIMIT]);
    let headers = HeaderMap::new();
    let mut reading = pin!(read(&memory, &headers, chunks));
    assert!(reading.as_mut().now_or_never().is_none());
    assert_eq!(reading.await.unwrap().bytes.len(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_body_may_not_be_larger_than_the_whole_memory() {
    let refused = read(&memory(100), &HeaderMap::new(), Body::from(vec![0; 101])).await;
    assert_eq!(refused.unwrap_err(), ReadError::TooLarge { limit: 100 });
}

#[tokio::test(start_paused = true)]
async fn a_body_that_announces_too_much_is_rejected_at_once() {
    let began = Instant::now();
    let refused = read(&memory(2 * LIMIT), &announcing(LIMIT + 1), never()).await;
    assert_eq!(refused.unwrap_err(), ReadError::TooLarge { limit: LIMIT });
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_incomplete() {
    let broken = stream::iter([
        Ok("{"),
        Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
    ]);
    let memory = memory(LIMIT);
    let read = read(&memory, &HeaderMap::new(), Body::from_stream(broken)).await;
    assert_eq!(read.unwrap_err(), ReadError::Incomplete);
    assert_eq!(free(&memory), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_too_slow() {
    let trickle = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Some((Ok::<_, std::io::Error>("x"), ()))
    });
    let began = Instant::now();
    let memory = memory(LIMIT);
    let read = read(&memory, &HeaderMap::new(), Body::from_stream(trickle)).await;
    assert_eq!(read.unwrap_err(), ReadError::TooSlow);
    assert_eq!(began.elapsed(), TIMEOUT);
}

proptest! {
    /// However a body is divided, it is complete or rejected for its size, reserves at most twice its length, and
    /// frees everything.
    #[test]
    fn chunks_make_up_the_body(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12),
        announce: bool,
    ) {
        let whole = chunks.concat();
        let memory = memory(10 * LIMIT);
        let headers = if announce { announcing(whole.len()) } else { HeaderMap::new() };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let result = runtime.block_on(read(&memory, &headers, chunked(chunks)));
        if whole.len() > LIMIT {
            prop_assert_eq!(result.unwrap_err(), ReadError::TooLarge { limit: LIMIT });
        } else {
            let body = result.unwrap();
            prop_assert_eq!(&body.bytes, &whole);
            let maximum = if announce { whole.len() } else { 2 * whole.len() };
            let held = 10 * LIMIT - free(&memory);
            prop_assert!(held >= whole.len() && held <= maximum, "{} for {}", held, whole.len());
        }
        prop_assert_eq!(free(&memory), 10 * LIMIT);
    }
}
