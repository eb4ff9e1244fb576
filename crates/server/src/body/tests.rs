use std::pin::pin;
use std::time::Duration;

use futures::{FutureExt, stream};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(5);

fn budget(total: usize) -> RequestMemory {
    RequestMemory::new(NonZeroUsize::new(total).unwrap())
}

fn free(budget: &RequestMemory) -> usize {
    budget.total() - budget.used()
}

fn announcing(length: usize) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_LENGTH, length.into())])
}

fn chunked(chunks: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Body {
    let chunks = chunks.into_iter().map(Ok::<_, std::io::Error>);
    Body::from_stream(stream::iter(chunks))
}

/// A body that never comes.
fn never() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
}

async fn read(
    budget: &RequestMemory,
    headers: &HeaderMap,
    body: Body,
) -> Result<BufferedBody, ReadError> {
    budget
        .read(headers, body, LIMIT, Instant::now() + PATIENCE)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_body_in_one_piece_is_not_copied_and_takes_its_length() {
    let budget = budget(LIMIT);
    let sent = Bytes::from(vec![7; 100]);
    let body = read(&budget, &announcing(100), Body::from(sent.clone()))
        .await
        .unwrap();
    assert_eq!(body.bytes.as_ptr(), sent.as_ptr());
    assert_eq!(free(&budget), LIMIT - 100);
    drop(body);
    assert_eq!(free(&budget), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_costs_nothing_until_it_comes() {
    let budget = budget(LIMIT);
    let silent = tokio::spawn({
        let budget = budget.clone();
        async move { read(&budget, &announcing(LIMIT), never()).await }
    });
    tokio::task::yield_now().await;
    let body = read(&budget, &announcing(LIMIT), Body::from(vec![0; LIMIT])).await;
    assert_eq!(body.unwrap().bytes.len(), LIMIT);
    assert_eq!(silent.await.unwrap().unwrap_err(), ReadError::TooSlow);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_room_is_refused_at_once_and_room_comes_back() {
    let budget = budget(LIMIT);
    let first = read(&budget, &announcing(600), Body::from(vec![0; 600]))
        .await
        .unwrap();
    let began = Instant::now();
    for body in [Body::from(vec![0; 500]), chunked(vec![vec![0; 50]; 10])] {
        let refused = read(&budget, &HeaderMap::new(), body).await;
        assert_eq!(
            refused.unwrap_err(),
            ReadError::MemoryExhausted(MemoryExhausted)
        );
        assert_eq!(free(&budget), 400, "what was read of it is given back");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(first);
    assert!(
        read(&budget, &HeaderMap::new(), Body::from(vec![0; 500]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_body_that_is_all_there_lets_others_run_before_it_is_read() {
    let budget = budget(LIMIT);
    let chunks = chunked(vec![vec![0]; LIMIT]);
    let headers = HeaderMap::new();
    let mut reading = pin!(read(&budget, &headers, chunks));
    assert!(reading.as_mut().now_or_never().is_none());
    assert_eq!(reading.await.unwrap().bytes.len(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_body_may_not_be_larger_than_the_whole_budget() {
    let refused = read(&budget(100), &HeaderMap::new(), Body::from(vec![0; 101])).await;
    assert_eq!(refused.unwrap_err(), ReadError::TooLarge { limit: 100 });
}

#[tokio::test(start_paused = true)]
async fn a_body_that_announces_too_much_is_not_waited_for() {
    let began = Instant::now();
    let refused = read(&budget(2 * LIMIT), &announcing(LIMIT + 1), never()).await;
    assert_eq!(refused.unwrap_err(), ReadError::TooLarge { limit: LIMIT });
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_incomplete() {
    let broken = stream::iter([
        Ok("{"),
        Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
    ]);
    let budget = budget(LIMIT);
    let read = read(&budget, &HeaderMap::new(), Body::from_stream(broken)).await;
    assert_eq!(read.unwrap_err(), ReadError::Incomplete);
    assert_eq!(free(&budget), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_is_too_slow() {
    let trickle = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Some((Ok::<_, std::io::Error>("x"), ()))
    });
    let began = Instant::now();
    let budget = budget(LIMIT);
    let read = read(&budget, &HeaderMap::new(), Body::from_stream(trickle)).await;
    assert_eq!(read.unwrap_err(), ReadError::TooSlow);
    assert_eq!(began.elapsed(), PATIENCE);
}

#[test]
fn a_part_grows_and_shrinks() {
    let budget = budget(10);
    let mut held = budget.hold();
    held.grow(8).unwrap();
    assert_eq!(held.grow(3), Err(MemoryExhausted));
    assert_eq!(free(&budget), 2, "a refusal takes nothing");
    held.shrink_to(3);
    assert_eq!(free(&budget), 7);
    held.shrink_to(5);
    assert_eq!(free(&budget), 7, "shrinking never grows");
    drop(held);
    assert_eq!(free(&budget), 10);
}

proptest! {
    /// However a body is cut, it comes whole or is refused for its size, holds no more than twice
    /// its length and gives everything back.
    #[test]
    fn chunks_make_up_the_body(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12),
        announce: bool,
    ) {
        let whole = chunks.concat();
        let budget = budget(10 * LIMIT);
        let headers = if announce { announcing(whole.len()) } else { HeaderMap::new() };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let result = runtime.block_on(read(&budget, &headers, chunked(chunks)));
        if whole.len() > LIMIT {
            prop_assert_eq!(result.unwrap_err(), ReadError::TooLarge { limit: LIMIT });
        } else {
            let body = result.unwrap();
            prop_assert_eq!(&body.bytes, &whole);
            let most = if announce { whole.len() } else { 2 * whole.len() };
            let held = 10 * LIMIT - free(&budget);
            prop_assert!(held >= whole.len() && held <= most, "{} for {}", held, whole.len());
        }
        prop_assert_eq!(free(&budget), 10 * LIMIT);
    }
}

#[test]
fn bytes_hold_their_part_until_the_last_of_them_is_gone() {
    let budget = budget(100_000);
    let mut held = budget.reserve(60_000).unwrap();
    assert_eq!(budget.reserve(60_000).unwrap_err(), MemoryExhausted);
    let mut large = held.split(50_000).keep(vec![7; 50_000].into());
    drop(held);
    assert_eq!(free(&budget), 50_000);
    let piece = large.split_to(10);
    drop(large);
    assert_eq!(free(&budget), 50_000);
    assert_eq!(piece, vec![7; 10]);
    drop(piece);
    assert_eq!(free(&budget), 100_000);
}

#[test]
fn a_part_is_split_without_taking_more() {
    let budget = budget(10);
    let mut held = budget.reserve(8).unwrap();
    let all = held.split(100);
    assert_eq!(free(&budget), 2);
    drop(held);
    assert_eq!(free(&budget), 2);
    drop(all);
    assert_eq!(free(&budget), 10);
}

#[test]
fn a_smaller_budget_refuses_until_enough_is_given_back() {
    let budget = budget(10);
    let mut held = budget.reserve(8).unwrap();
    budget.resize(NonZeroUsize::new(6).unwrap());
    assert_eq!(budget.reserve(1).unwrap_err(), MemoryExhausted);
    held.resize(5).unwrap();
    assert!(budget.reserve(1).is_ok());
    assert_eq!(held.resize(7), Err(MemoryExhausted));
}
