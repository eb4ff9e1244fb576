mod checks;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::job::Job;
use super::shared::now;
use super::*;
use crate::cancel::CancelHandle;
use crate::cost_model::Arrival;
use crate::scheduler::sentinel::CheckResult;
use crate::scheduler::{Overload, Policy, Rejection, Sharing};

/// Doubles numbers; fails on a batch with a negative one.
#[derive(Default)]
struct Doubler {
    /// Blocks on each batch until it is let go.
    gate: Option<std_mpsc::Receiver<()>>,
    /// Blocks on each batch of two until another worker has one too.
    pairs: Option<Arc<Barrier>>,
}

const POISON: i32 = -1;
const PANIC: i32 = -2;
/// Runs until it is stopped.
const ENDLESS: i32 = -3;

impl Worker for Doubler {
    type Input = i32;
    type Output = i32;
    type Error = &'static str;

    fn run(&mut self, inputs: &[&i32], cancel: &CancelHandle) -> Result<Vec<i32>, &'static str> {
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        if let Some(pairs) = &self.pairs
            && inputs.len() == 2
        {
            pairs.wait();
        }
        assert!(!inputs.contains(&&PANIC), "told to panic");
        if inputs.contains(&&ENDLESS) {
            let (sender, receiver) = std_mpsc::channel();
            cancel.on_cancel(move || sender.send(()).unwrap());
            receiver.recv().unwrap();
            return Err("stopped");
        }
        if inputs.contains(&&POISON) {
            return Err("poison");
        }
        Ok(inputs.iter().map(|input| **input * 2).collect())
    }

    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Default)]
struct Counts {
    arrived: AtomicUsize,
    batches: AtomicUsize,
    begun: AtomicUsize,
    expired: AtomicUsize,
    cancelled: AtomicUsize,
    stopped: AtomicUsize,
}

impl Observer for Counts {
    fn arrived(&self, arrival: &Arrival) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "tests have few rows"
        )]
        let rows = arrival.rows() as usize;
        self.arrived.fetch_add(rows, Ordering::Relaxed);
    }

    fn begins(&self, _waited: Duration) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn ran(&self, _rows: usize, _took: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    fn stopped(&self, _rows: usize, _after: Duration) {
        self.stopped.fetch_add(1, Ordering::Relaxed);
    }

    fn exited_queue(&self, reason: QueueExit) {
        match reason {
            QueueExit::Expired => &self.expired,
            QueueExit::Cancelled => &self.cancelled,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    fn checked(&self, check: CheckResult) {
        panic!("{check:?}, though nothing is checked");
    }
}

type Doubling = Handle<(), Doubler>;

struct Fixture {
    handle: Doubling,
    gate: std_mpsc::Sender<()>,
    counts: Arc<Counts>,
    driver: JoinHandle<Result<(), WorkerDied>>,
}

impl Fixture {
    /// One worker; with a gate it runs a batch for each token.
    fn new(policy: Policy, gated: bool) -> Self {
        let config = Config {
            policy,
            max_rows: NonZeroUsize::new(4).unwrap(),
            max_queue_rows: NonZeroUsize::new(8).unwrap(),
            sharing: Sharing::Unchecked,
            objective: None,
        };
        let (gate, receiver) = std_mpsc::channel();
        let counts = Arc::new(Counts::default());
        let worker = Doubler {
            gate: gated.then_some(receiver),
            pairs: None,
        };
        let observer: Arc<dyn Observer> = Arc::<Counts>::clone(&counts);
        let (handle, driver) = Driver::start(config, worker, [], &[], observer).unwrap();
        Self {
            handle,
            gate,
            counts,
            driver: tokio::spawn(driver.run()),
        }
    }

    fn submit(&self, input: i32) -> JoinHandle<Result<Response<i32>, Failure<&'static str>>> {
        let handle = self.handle.clone();
        tokio::spawn(async move { handle.submit(submission(input)).await })
    }

    /// Waits until this number of rows is queued.
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
        elements: 1,
        deadline: tokio::time::Instant::now().into_std() + Duration::from_secs(5),
        input,
    }
}

#[tokio::test]
async fn a_lone_request_is_answered() {
    let fixture = Fixture::new(Policy::AT_ONCE, false);
    let answer = fixture.handle.submit(submission(21)).await.unwrap();
    assert_eq!((answer.output, answer.batch_rows), (42, 1));
    fixture.handle.close();
    fixture.driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_that_queue_up_share_a_batch() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let first = fixture.submit(1);
    fixture.until_begun(1).await;
    let others = [2, 3, 4].map(|input| fixture.submit(input));
    fixture.until_waiting(3).await;
    fixture.gate.send(()).unwrap();
    fixture.gate.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().batch_rows, 1);
    for (other, expected) in others.into_iter().zip([4, 6, 8]) {
        let answer = other.await.unwrap().unwrap();
        assert_eq!((answer.output, answer.batch_rows), (expected, 3));
    }
    assert_eq!(fixture.counts.batches.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_dropped_request_leaves_the_queue_at_once() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let running = fixture.submit(1);
    fixture.until_begun(1).await;
    let gone = fixture.submit(2);
    fixture.until_waiting(1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(fixture.handle.waiting_rows(), 0);
    assert_eq!(fixture.counts.cancelled.load(Ordering::Relaxed), 1);
    fixture.gate.send(()).unwrap();
    running.await.unwrap().unwrap();
    fixture.handle.close();
    fixture.driver.await.unwrap().unwrap();
    assert_eq!(
        fixture.counts.begun.load(Ordering::Relaxed),
        1,
        "the cancelled one never ran"
    );
}

#[tokio::test]
async fn only_the_poisoned_request_fails() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let first = fixture.submit(0);
    fixture.until_begun(1).await;
    let good = [1, 2].map(|input| fixture.submit(input));
    fixture.until_waiting(2).await;
    let poisoned = fixture.submit(POISON);
    fixture.until_waiting(3).await;
    for _batch in 0..8 {
        fixture.gate.send(()).unwrap();
    }
    first.await.unwrap().unwrap();
    for (request, expected) in good.into_iter().zip([2, 4]) {
        assert_eq!(request.await.unwrap().unwrap().output, expected);
    }
    assert_eq!(poisoned.await.unwrap(), Err(Failure::Failed("poison")));
    assert_eq!(
        fixture.counts.begun.load(Ordering::Relaxed),
        4,
        "each begins once, however often it runs"
    );
}

type Receiver = oneshot::Receiver<Result<Response<i32>, Failure<&'static str>>>;

#[test]
fn a_client_that_leaves_just_before_its_batch_runs_is_cancelled() {
    let config = Config {
        policy: Policy::AT_ONCE,
        max_rows: NonZeroUsize::new(4).unwrap(),
        max_queue_rows: NonZeroUsize::new(8).unwrap(),
        sharing: Sharing::Unchecked,
        objective: None,
    };
    let counts = Arc::new(Counts::default());
    let observer: Arc<dyn Observer> = Arc::<Counts>::clone(&counts);
    let shared = Arc::new(Shared::new(config, NonZeroUsize::MIN, &[], observer).0);
    let mut thread = WorkerThread {
        worker: Doubler::default(),
        shared: Arc::clone(&shared),
        cpu_time: Duration::ZERO,
    };
    let push = |input| -> Receiver {
        let (reply, receiver) = oneshot::channel();
        let job = Job {
            elements: 1,
            input,
            reply,
        };
        let deadline = now() + Duration::from_secs(5);
        let mut state = shared.lock();
        let pushed = state
            .scheduler
            .push(now(), (), NonZeroUsize::MIN, deadline, job);
        pushed.unwrap();
        receiver
    };
    let (leaves, mut stays) = (push(1), push(2));
    let Some(shared::Task::Run(batch)) = shared.next_task() else {
        panic!("two requests wait");
    };
    drop(leaves);
    thread.run_batch(batch);
    assert_eq!(counts.cancelled.load(Ordering::Relaxed), 1);
    assert_eq!(counts.begun.load(Ordering::Relaxed), 1);
    let answer = stays.try_recv().unwrap().unwrap();
    assert_eq!((answer.output, answer.batch_rows), (4, 1));
}

#[tokio::test]
async fn the_halves_of_a_failed_batch_run_on_idle_workers() {
    let config = Config {
        policy: Policy::Window(Duration::from_secs(60)),
        max_rows: NonZeroUsize::new(4).unwrap(),
        max_queue_rows: NonZeroUsize::new(8).unwrap(),
        sharing: Sharing::Unchecked,
        objective: None,
    };
    let pairs = Arc::new(Barrier::new(2));
    let worker = || Doubler {
        gate: None,
        pairs: Some(Arc::clone(&pairs)),
    };
    let observer = Arc::new(Counts::default());
    let (handle, driver) = Driver::start(config, worker(), [worker()], &[], observer).unwrap();
    let driver = tokio::spawn(driver.run());
    let submit = |input| {
        let handle: Doubling = handle.clone();
        tokio::spawn(async move { handle.submit(submission(input)).await })
    };
    let good = [1, 2, 3].map(submit);
    let poisoned = submit(POISON);
    for (request, expected) in good.into_iter().zip([2, 4, 6]) {
        assert_eq!(request.await.unwrap().unwrap().output, expected);
    }
    assert_eq!(poisoned.await.unwrap(), Err(Failure::Failed("poison")));
    handle.close();
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_running_batch_is_stopped_when_all_of_its_clients_have_gone() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let first = fixture.submit(0);
    fixture.until_begun(1).await;
    let leaving = [1, ENDLESS].map(|input| fixture.submit(input));
    fixture.until_waiting(2).await;
    fixture.gate.send(()).unwrap();
    first.await.unwrap().unwrap();
    fixture.until_begun(3).await;
    fixture.gate.send(()).unwrap();
    for request in leaving {
        assert_eq!(fixture.counts.stopped.load(Ordering::Relaxed), 0);
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    let next = fixture.submit(2);
    fixture.gate.send(()).unwrap();
    assert_eq!(next.await.unwrap().unwrap().output, 4);
    let counts = &fixture.counts;
    assert_eq!(counts.stopped.load(Ordering::Relaxed), 1);
    assert_eq!(
        counts.batches.load(Ordering::Relaxed),
        2,
        "it isn't run in halves"
    );
    fixture.handle.close();
    fixture.driver.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_running_batch_is_stopped_when_the_time_of_all_of_its_clients_is_up() {
    let fixture = Fixture::new(Policy::AT_ONCE, false);
    let endless = fixture.submit(ENDLESS);
    fixture.until_begun(1).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let endless = endless.await.unwrap();
    assert_eq!(endless, Err(Failure::TimedOut));
    fixture.handle.close();
    fixture.driver.await.unwrap().unwrap();
    assert_eq!(fixture.counts.stopped.load(Ordering::Relaxed), 1);
    assert_eq!(fixture.counts.expired.load(Ordering::Relaxed), 0, "it ran");
}

#[tokio::test]
async fn a_batch_with_a_client_left_runs_to_its_end() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let first = fixture.submit(0);
    fixture.until_begun(1).await;
    let (leaves, stays) = (fixture.submit(1), fixture.submit(2));
    fixture.until_waiting(2).await;
    fixture.gate.send(()).unwrap();
    first.await.unwrap().unwrap();
    fixture.until_begun(3).await;
    leaves.abort();
    assert!(leaves.await.unwrap_err().is_cancelled());
    fixture.gate.send(()).unwrap();
    let answer = stays.await.unwrap().unwrap();
    assert_eq!((answer.output, answer.batch_rows), (4, 2));
    assert_eq!(fixture.counts.stopped.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_refused_for_overload_has_arrived_too() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let first = fixture.submit(0);
    fixture.until_begun(1).await;
    let waiting: Vec<_> = (1..=8).map(|input| fixture.submit(input)).collect();
    fixture.until_waiting(8).await;
    let refused = fixture.submit(9).await.unwrap().unwrap_err();
    assert!(
        matches!(refused, Failure::Rejected(Rejection::Overloaded { .. })),
        "{refused:?}"
    );
    assert_eq!(
        fixture.counts.arrived.load(Ordering::Relaxed),
        0,
        "no cost is known"
    );
    for _batch in 0..3 {
        fixture.gate.send(()).unwrap();
    }
    for request in [first].into_iter().chain(waiting) {
        request.await.unwrap().unwrap();
    }
    let last = fixture.submit(10);
    fixture.gate.send(()).unwrap();
    last.await.unwrap().unwrap();
    assert_eq!(fixture.counts.arrived.load(Ordering::Relaxed), 11);
    fixture.handle.close();
    let closed = fixture.submit(11).await.unwrap();
    assert_eq!(closed, Err(Failure::Rejected(Rejection::Closed)));
    assert_eq!(
        fixture.counts.arrived.load(Ordering::Relaxed),
        11,
        "others will get it"
    );
}

#[tokio::test]
async fn an_answer_says_how_long_it_waited_and_ran() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let began = Instant::now();
    let first = fixture.submit(1);
    fixture.until_begun(1).await;
    let second = fixture.submit(2);
    fixture.until_waiting(1).await;
    fixture.gate.send(()).unwrap();
    let first = first.await.unwrap().unwrap();
    fixture.gate.send(()).unwrap();
    let second = second.await.unwrap().unwrap();
    let all = began.elapsed();
    assert!(second.queued <= first.queued + first.compute + all);
    assert!(first.queued + first.compute + second.compute <= all);
    assert!(first.compute > Duration::ZERO && second.queued > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_window_ends_by_itself() {
    let fixture = Fixture::new(Policy::Window(Duration::from_secs(2)), false);
    let request = fixture.submit(3);
    fixture.until_waiting(1).await;
    tokio::time::advance(Duration::from_millis(1_999)).await;
    assert_eq!(fixture.counts.begun.load(Ordering::Relaxed), 0);
    tokio::time::advance(Duration::from_millis(1)).await;
    // Awaited, the paused clock would go on to the deadline.
    while !request.is_finished() {
        tokio::task::yield_now().await;
    }
    let answer = request.await.unwrap().unwrap();
    assert_eq!((answer.output, answer.queued), (6, Duration::from_secs(2)));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let mut accepted = vec![fixture.submit(0)];
    fixture.until_begun(1).await;
    accepted.extend((0..8).map(|input| fixture.submit(input)));
    fixture.until_waiting(8).await;
    let refused = fixture.handle.submit(submission(9)).await;
    assert_eq!(
        refused,
        Err(Failure::Rejected(Rejection::Overloaded {
            cause: Overload::QueueFull { waiting: 8, max: 8 },
            retry_after: Duration::from_secs(1),
        }))
    );
    for _batch in 0..3 {
        fixture.gate.send(()).unwrap();
    }
    for request in accepted {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_expires_in_a_window_without_running() {
    let fixture = Fixture::new(Policy::Window(Duration::from_secs(60)), false);
    let began = tokio::time::Instant::now();
    assert_eq!(
        fixture.handle.submit(submission(1)).await,
        Err(Failure::TimedOut)
    );
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert_eq!(fixture.handle.waiting_rows(), 0);
    assert_eq!(fixture.counts.expired.load(Ordering::Relaxed), 1);
    assert_eq!(fixture.counts.begun.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn closing_answers_what_was_accepted_and_refuses_the_rest() {
    let fixture = Fixture::new(Policy::Window(Duration::from_secs(60)), false);
    let accepted = [1, 2, 3].map(|input| fixture.submit(input));
    fixture.until_waiting(3).await;
    fixture.handle.close();
    let refused = fixture.handle.submit(submission(4)).await;
    assert_eq!(refused, Err(Failure::Rejected(Rejection::Closed)));
    for (request, expected) in accepted.into_iter().zip([2, 4, 6]) {
        assert_eq!(request.await.unwrap().unwrap().output, expected);
    }
    fixture.driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_panics_ends_the_driver_and_its_requests() {
    let fixture = Fixture::new(Policy::AT_ONCE, false);
    assert_eq!(
        fixture.handle.submit(submission(PANIC)).await,
        Err(Failure::Gone)
    );
    assert_eq!(fixture.driver.await.unwrap(), Err(WorkerDied));
}

#[tokio::test]
async fn what_waits_when_a_worker_panics_is_given_up_at_once() {
    let fixture = Fixture::new(Policy::AT_ONCE, true);
    let panics = fixture.submit(PANIC);
    fixture.until_begun(1).await;
    let waits = fixture.submit(1);
    fixture.until_waiting(1).await;
    fixture.gate.send(()).unwrap();
    assert_eq!(panics.await.unwrap(), Err(Failure::Gone));
    assert_eq!(waits.await.unwrap(), Err(Failure::Gone));
    let refused = fixture.handle.submit(submission(1)).await;
    assert_eq!(refused, Err(Failure::Rejected(Rejection::Closed)));
}

#[tokio::test]
async fn a_driver_that_is_dropped_gives_up_what_waits() {
    let fixture = Fixture::new(Policy::Window(Duration::from_secs(60)), false);
    let waits = fixture.submit(1);
    fixture.until_waiting(1).await;
    fixture.driver.abort();
    assert!(fixture.driver.await.unwrap_err().is_cancelled());
    assert_eq!(waits.await.unwrap(), Err(Failure::Gone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_concurrent_requests_each_get_their_own_answer() {
    let fixture = Fixture::new(Policy::AT_ONCE, false);
    let mut requests = tokio::task::JoinSet::new();
    for input in 0..2_000 {
        let handle = fixture.handle.clone();
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
    assert_eq!(fixture.handle.waiting_rows(), 0);
}
