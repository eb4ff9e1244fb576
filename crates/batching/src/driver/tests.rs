use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::*;
use crate::machine::{AT_ONCE, Overload, Policy};

/// Doubles numbers; fails on a batch with a negative one; blocks on each batch until it is let go.
struct Doubler {
    gate: Option<std_mpsc::Receiver<()>>,
}

const POISON: i32 = -1;
const PANIC: i32 = -2;

impl Worker for Doubler {
    type Input = i32;
    type Output = i32;
    type Error = &'static str;

    fn run(&mut self, inputs: &[&i32], _stop: &Stop) -> Result<Vec<i32>, &'static str> {
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        assert!(!inputs.contains(&&PANIC), "told to panic");
        if inputs.contains(&&POISON) {
            return Err("poison");
        }
        Ok(inputs.iter().map(|input| **input * 2).collect())
    }
}

#[derive(Default)]
struct Counts {
    batches: AtomicUsize,
    begun: AtomicUsize,
    expired: AtomicUsize,
    cancelled: AtomicUsize,
}

impl Observer for Counts {
    fn begins(&self, _waited: Duration) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn ran(&self, _rows: usize, _took: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    fn stopped(&self, _rows: usize, _after: Duration) {}

    fn left_queue(&self, reason: LeftQueue) {
        match reason {
            LeftQueue::Expired => &self.expired,
            LeftQueue::Cancelled => &self.cancelled,
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

type Doubling = Handle<(), Doubler>;

struct Bench {
    handle: Doubling,
    gate: std_mpsc::Sender<()>,
    counts: Arc<Counts>,
    driver: JoinHandle<Result<(), WorkerDied>>,
}

impl Bench {
    /// One worker; with a gate it runs a batch for each token.
    fn new(policy: Policy, gated: bool) -> Self {
        let config = Config {
            policy,
            max_rows: NonZeroUsize::new(4).unwrap(),
            max_queue_rows: NonZeroUsize::new(8).unwrap(),
        };
        let (gate, receiver) = std_mpsc::channel();
        let counts = Arc::new(Counts::default());
        let worker = Doubler {
            gate: gated.then_some(receiver),
        };
        let observer: Arc<dyn Observer> = Arc::<Counts>::clone(&counts);
        let (handle, driver) = Driver::start(config, worker, [], observer).unwrap();
        Self {
            handle,
            gate,
            counts,
            driver: tokio::spawn(driver.run()),
        }
    }

    fn submit(&self, input: i32) -> JoinHandle<Result<Answer<i32>, Failure<&'static str>>> {
        let handle = self.handle.clone();
        tokio::spawn(async move { handle.submit(submission(input)).await })
    }

    /// Waits until so many rows wait in the queue.
    async fn until_waiting(&self, rows: usize) {
        while self.handle.waiting_rows() != rows {
            tokio::task::yield_now().await;
        }
    }

    async fn until_begun(&self, requests: usize) {
        while self.counts.begun.load(Ordering::Relaxed) < requests {
            tokio::task::yield_now().await;
        }
    }
}

fn submission(input: i32) -> Submission<(), i32> {
    Submission {
        signature: (),
        rows: NonZeroUsize::MIN,
        deadline: tokio::time::Instant::now().into_std() + Duration::from_secs(5),
        input,
    }
}

#[tokio::test]
async fn a_lone_request_is_answered() {
    let bench = Bench::new(AT_ONCE, false);
    let answer = bench.handle.submit(submission(21)).await.unwrap();
    assert_eq!((answer.output, answer.batch_rows), (42, 1));
    bench.handle.close();
    bench.driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_that_queue_up_share_a_batch() {
    let bench = Bench::new(AT_ONCE, true);
    let first = bench.submit(1);
    bench.until_begun(1).await;
    let others = [2, 3, 4].map(|input| bench.submit(input));
    bench.until_waiting(3).await;
    bench.gate.send(()).unwrap();
    bench.gate.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().batch_rows, 1);
    for (other, expected) in others.into_iter().zip([4, 6, 8]) {
        let answer = other.await.unwrap().unwrap();
        assert_eq!((answer.output, answer.batch_rows), (expected, 3));
    }
    assert_eq!(bench.counts.batches.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_dropped_request_leaves_the_queue_at_once() {
    let bench = Bench::new(AT_ONCE, true);
    let running = bench.submit(1);
    bench.until_begun(1).await;
    let gone = bench.submit(2);
    bench.until_waiting(1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(bench.handle.waiting_rows(), 0);
    assert_eq!(bench.counts.cancelled.load(Ordering::Relaxed), 1);
    bench.gate.send(()).unwrap();
    running.await.unwrap().unwrap();
    bench.handle.close();
    bench.driver.await.unwrap().unwrap();
    assert_eq!(
        bench.counts.begun.load(Ordering::Relaxed),
        1,
        "the cancelled one never ran"
    );
}

#[tokio::test]
async fn only_the_poisoned_request_fails() {
    let bench = Bench::new(AT_ONCE, true);
    let first = bench.submit(0);
    bench.until_begun(1).await;
    let good = [1, 2].map(|input| bench.submit(input));
    bench.until_waiting(2).await;
    let poisoned = bench.submit(POISON);
    bench.until_waiting(3).await;
    for _batch in 0..8 {
        bench.gate.send(()).unwrap();
    }
    first.await.unwrap().unwrap();
    for (request, expected) in good.into_iter().zip([2, 4]) {
        assert_eq!(request.await.unwrap().unwrap().output, expected);
    }
    assert_eq!(poisoned.await.unwrap(), Err(Failure::Failed("poison")));
    assert_eq!(
        bench.counts.begun.load(Ordering::Relaxed),
        4,
        "each begins once, however often it runs"
    );
}

/// A worker's thread that is driven by hand, with the batch of these inputs and their receivers.
#[expect(clippy::type_complexity, reason = "named by its use only")]
fn by_hand(
    inputs: &[i32],
) -> (
    WorkerThread<(), Doubler>,
    Arc<Counts>,
    Vec<WorkerEntry<(), Doubler>>,
    Vec<oneshot::Receiver<Result<Answer<i32>, Failure<&'static str>>>>,
) {
    let config = Config {
        policy: AT_ONCE,
        max_rows: NonZeroUsize::new(4).unwrap(),
        max_queue_rows: NonZeroUsize::new(8).unwrap(),
    };
    let now = Instant::now();
    let mut machine = Machine::new(config, NonZeroUsize::new(2).unwrap());
    let mut receivers = Vec::new();
    for input in inputs {
        let (reply, receiver) = oneshot::channel();
        let job = Job {
            input: *input,
            reply,
        };
        let deadline = now + Duration::from_secs(5);
        machine
            .push(now, (), NonZeroUsize::MIN, deadline, job)
            .unwrap();
        receivers.push(receiver);
    }
    let Step::Run(batch) = machine.poll(now) else {
        panic!("nothing to run")
    };
    let counts = Arc::new(Counts::default());
    let observer: Arc<dyn Observer> = Arc::<Counts>::clone(&counts);
    let thread = WorkerThread {
        index: 0,
        worker: Doubler { gate: None },
        batches: std_mpsc::sync_channel(1).1,
        reports: mpsc::channel(1).0,
        shared: Arc::new(Shared {
            machine: Mutex::new(machine),
            wake: Notify::new(),
            observer,
        }),
    };
    (thread, counts, batch, receivers)
}

#[test]
fn a_client_that_leaves_just_before_its_batch_runs_is_cancelled() {
    let (mut thread, counts, batch, mut receivers) = by_hand(&[1, 2]);
    drop(receivers.remove(0));
    thread.run_batch(batch);
    assert_eq!(counts.cancelled.load(Ordering::Relaxed), 1);
    assert_eq!(counts.begun.load(Ordering::Relaxed), 1);
    let answer = receivers.remove(0).try_recv().unwrap().unwrap();
    assert_eq!((answer.output, answer.batch_rows), (4, 1));
}

#[tokio::test]
async fn the_halves_of_a_failed_batch_are_offered_to_idle_workers() {
    let (mut thread, _counts, batch, _receivers) = by_hand(&[1, POISON]);
    thread.run_batch(batch);
    assert_eq!(thread.shared.machine().waiting_rows(), 2);
    let woken = tokio::time::timeout(Duration::ZERO, thread.shared.wake.notified()).await;
    assert!(woken.is_ok());
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let bench = Bench::new(AT_ONCE, true);
    let mut accepted = vec![bench.submit(0)];
    bench.until_begun(1).await;
    accepted.extend((0..8).map(|input| bench.submit(input)));
    bench.until_waiting(8).await;
    let refused = bench.handle.submit(submission(9)).await;
    assert_eq!(
        refused,
        Err(Failure::Rejected(Rejection::Overloaded {
            cause: Overload::QueueFull { waiting: 8, max: 8 },
            retry_after: Duration::from_secs(1),
        }))
    );
    for _batch in 0..3 {
        bench.gate.send(()).unwrap();
    }
    for request in accepted {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_expires_in_a_window_without_running() {
    let bench = Bench::new(Policy::Window(Duration::from_secs(60)), false);
    let began = tokio::time::Instant::now();
    assert_eq!(
        bench.handle.submit(submission(1)).await,
        Err(Failure::TimedOut)
    );
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert_eq!(bench.handle.waiting_rows(), 0);
    assert_eq!(bench.counts.expired.load(Ordering::Relaxed), 1);
    assert_eq!(bench.counts.begun.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn closing_answers_what_was_accepted_and_refuses_the_rest() {
    let bench = Bench::new(Policy::Window(Duration::from_secs(60)), false);
    let accepted = [1, 2, 3].map(|input| bench.submit(input));
    bench.until_waiting(3).await;
    bench.handle.close();
    let refused = bench.handle.submit(submission(4)).await;
    assert_eq!(refused, Err(Failure::Rejected(Rejection::Closed)));
    for (request, expected) in accepted.into_iter().zip([2, 4, 6]) {
        assert_eq!(request.await.unwrap().unwrap().output, expected);
    }
    bench.driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_panics_ends_the_driver_and_its_requests() {
    let bench = Bench::new(AT_ONCE, false);
    assert_eq!(
        bench.handle.submit(submission(PANIC)).await,
        Err(Failure::Gone)
    );
    assert_eq!(bench.driver.await.unwrap(), Err(WorkerDied));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_concurrent_requests_each_get_their_own_answer() {
    let bench = Bench::new(AT_ONCE, false);
    let mut requests = tokio::task::JoinSet::new();
    for input in 0..2_000 {
        let handle = bench.handle.clone();
        requests.spawn(async move {
            loop {
                match handle.submit(submission(input)).await {
                    Ok(answer) => break (input, answer.output),
                    Err(Failure::Rejected(Rejection::Overloaded { .. })) => {
                        tokio::task::yield_now().await;
                    }
                    Err(failure) => panic!("{failure}"),
                }
            }
        });
    }
    while let Some(request) = requests.join_next().await {
        let (input, output) = request.unwrap();
        assert_eq!(output, input * 2);
    }
    assert_eq!(bench.handle.waiting_rows(), 0);
}
