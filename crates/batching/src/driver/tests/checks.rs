//! Checks of shared batches, and requests that run alone. The clock is paused: nothing here is awaited while a request
//! has a deadline, because that would advance the clock to the deadline.

use std::num::NonZeroU32;
use std::sync::Mutex;

use super::*;
use crate::scheduler::sentinel::Sentinel;

/// A batch with it fails.
const FAILS: i32 = -4;

/// Gives each number. A flawed one adds, for each neighbour in the batch, a hundred.
struct Echo {
    flawed: bool,
    /// Blocks on each batch until it is let go.
    gate: std_mpsc::Receiver<()>,
    /// Blocks on each check until its end is requested or it is stopped.
    check_gate: std_mpsc::Receiver<Gate>,
    open_gate: std_mpsc::Sender<Gate>,
    told: Arc<Told>,
}

enum Gate {
    Open,
    CancelHandle,
}

impl Worker for Echo {
    type Input = i32;
    type Output = i32;
    type Error = &'static str;

    fn run(&mut self, inputs: &[&i32], _stop: &CancelHandle) -> Result<Vec<i32>, &'static str> {
        self.gate.recv().unwrap();
        if inputs.contains(&&FAILS) {
            return Err("told to fail");
        }
        let neighbours = i32::try_from(inputs.len()).unwrap() - 1;
        let error = if self.flawed { 100 * neighbours } else { 0 };
        Ok(inputs.iter().map(|input| **input + error).collect())
    }

    fn check(&mut self, input: &i32, shared: &i32, cancel: &CancelHandle) -> CheckResult {
        self.told.checking.fetch_add(1, Ordering::Relaxed);
        let sender = self.open_gate.clone();
        cancel.on_cancel(move || sender.send(Gate::CancelHandle).unwrap());
        match self.check_gate.recv().unwrap() {
            Gate::CancelHandle => CheckResult::Undecided,
            Gate::Open if *input == PANIC => panic!("told to panic"),
            Gate::Open if *input == POISON => CheckResult::Undecided,
            Gate::Open if input == shared => CheckResult::Same,
            Gate::Open => CheckResult::Different,
        }
    }

    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }
}

/// What happened.
#[derive(Default)]
struct Told {
    checks: Mutex<Vec<CheckResult>>,
    /// Requests that have begun to run.
    begun: AtomicUsize,
    /// Checks that have, those included that were stopped.
    checking: AtomicUsize,
}

impl Observer for Told {
    fn arrived(&self, _arrival: &Arrival) {}

    fn begins(&self, _waited: Duration) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn ran(&self, _rows: usize, _took: Duration) {}

    fn stopped(&self, _rows: usize, _after: Duration) {}

    fn exited_queue(&self, _reason: QueueExit) {}

    fn checked(&self, check: CheckResult) {
        self.checks.lock().unwrap().push(check);
    }
}

type Reply = JoinHandle<Result<Response<i32>, Failure<&'static str>>>;

/// Each shared batch is checked.
const ALWAYS: Sharing = Sharing::Checked(Sentinel {
    first: 0,
    every: NonZeroU32::MIN,
});

struct Scene {
    handle: Handle<(), Echo>,
    gates: Vec<std_mpsc::Sender<()>>,
    check_gates: Vec<std_mpsc::Sender<Gate>>,
    told: Arc<Told>,
    driver: JoinHandle<Result<(), WorkerDied>>,
}

impl Scene {
    fn new(flawed: bool, workers: usize, sharing: Sharing) -> Self {
        let config = Config {
            policy: Policy::AT_ONCE,
            max_rows: NonZeroUsize::new(4).unwrap(),
            max_queue_rows: NonZeroUsize::new(64).unwrap(),
            sharing,
            objective: None,
        };
        let told = Arc::new(Told::default());
        let (mut gates, mut check_gates) = (Vec::new(), Vec::new());
        let mut worker = || {
            let (sender, gate) = std_mpsc::channel();
            gates.push(sender);
            let (open_gate, check_gate) = std_mpsc::channel();
            check_gates.push(open_gate.clone());
            Echo {
                flawed,
                gate,
                check_gate,
                open_gate,
                told: Arc::clone(&told),
            }
        };
        let (first, others) = (worker(), (1..workers).map(|_| worker()).collect::<Vec<_>>());
        let observer: Arc<dyn Observer> = Arc::<Told>::clone(&told);
        let (handle, driver) = Driver::start(config, first, others, &[], observer).unwrap();
        Self {
            handle,
            gates,
            check_gates,
            told,
            driver: tokio::spawn(driver.run()),
        }
    }

    /// One worker, each shared batch of which is checked.
    fn checked(flawed: bool) -> Self {
        Self::new(flawed, 1, ALWAYS)
    }

    fn submit(&self, input: i32) -> Reply {
        self.submit_rows(input, 1)
    }

    fn submit_rows(&self, input: i32, rows: usize) -> Reply {
        let handle = self.handle.clone();
        let submission = Submission {
            rows: NonZeroUsize::new(rows).unwrap(),
            deadline: now() + Duration::from_secs(3_600),
            ..submission(input)
        };
        tokio::spawn(async move { handle.submit(submission).await })
    }

    fn open(&self, batches: usize) {
        for _batch in 0..batches {
            self.gates[0].send(()).unwrap();
        }
    }

    fn open_check(&self) {
        self.check_gates[0].send(Gate::Open).unwrap();
    }

    async fn until_waiting(&self, rows: usize) {
        until(|| self.handle.waiting_rows() == rows).await;
    }

    async fn until_begun(&self, requests: usize) {
        until(|| self.told.begun.load(Ordering::Relaxed) == requests).await;
    }

    async fn until_checking(&self, checks: usize) {
        until(|| self.told.checking.load(Ordering::Relaxed) == checks).await;
    }

    /// A request runs alone, and meanwhile these come.
    async fn queue<const N: usize>(&self, inputs: [i32; N]) -> (Reply, [Reply; N]) {
        let begun = self.told.begun.load(Ordering::Relaxed);
        let first = self.submit(0);
        self.until_begun(begun + 1).await;
        let others = inputs.map(|input| self.submit(input));
        self.until_waiting(N).await;
        (first, others)
    }

    /// Three requests share a batch, after one that ran alone.
    async fn share(&self, inputs: [i32; 3]) -> Vec<i32> {
        let (first, others) = self.queue(inputs).await;
        self.open(2);
        assert_eq!(outputs([first]).await, [0]);
        outputs(others).await
    }

    async fn until_told(&self, expected: &[CheckResult]) {
        let told = || self.told.checks.lock().unwrap().clone();
        until(|| told().len() >= expected.len()).await;
        assert_eq!(told(), expected);
    }

    async fn end(self) {
        self.handle.close();
        self.driver.await.unwrap().unwrap();
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

async fn answers(replies: impl IntoIterator<Item = Reply>) -> Vec<Response<i32>> {
    let mut answers = Vec::new();
    for reply in replies {
        until(|| reply.is_finished()).await;
        answers.push(reply.await.unwrap().unwrap());
    }
    answers
}

async fn outputs(replies: impl IntoIterator<Item = Reply>) -> Vec<i32> {
    let answers = answers(replies).await;
    answers.into_iter().map(|answer| answer.output).collect()
}

#[tokio::test(start_paused = true)]
async fn a_model_whose_answers_depend_on_neighbours_is_found_and_runs_alone() {
    let scene = Scene::checked(true);
    assert_eq!(scene.share([1, 2, 3]).await, [201, 202, 203]);
    scene.open_check();
    scene.until_told(&[CheckResult::Different]).await;
    assert!(scene.handle.is_alone());
    for _round in 0..3 {
        let (first, others) = scene.queue([1, 2, 3]).await;
        scene.open(4);
        assert_eq!(outputs([first]).await, [0]);
        assert_eq!(outputs(others).await, [1, 2, 3]);
    }
    scene.until_told(&[CheckResult::Different]).await;
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_right_goes_on_sharing() {
    let scene = Scene::checked(false);
    for round in 1..=3 {
        assert_eq!(scene.share([1, 2, 3]).await, [1, 2, 3]);
        scene.open_check();
        scene.until_told(&vec![CheckResult::Same; round]).await;
    }
    assert!(!scene.handle.is_alone());
    let (first, others) = scene.queue([1, 2, 3]).await;
    scene.open(2);
    outputs([first]).await;
    for answer in answers(others).await {
        assert_eq!(answer.batch_rows, 3);
    }
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_a_check_which_is_done_later() {
    let scene = Scene::checked(true);
    scene.share([1, 2, 3]).await;
    // The check occupies the only worker until a request arrives.
    scene.until_checking(1).await;
    let comes = scene.submit(7);
    scene.open(1);
    assert_eq!(outputs([comes]).await, [7]);
    scene.until_checking(2).await;
    scene.until_told(&[]).await;
    assert!(!scene.handle.is_alone());
    scene.open_check();
    scene.until_told(&[CheckResult::Different]).await;
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_decides_nothing() {
    let scene = Scene::checked(true);
    scene.share([POISON; 3]).await;
    scene.open_check();
    scene.until_told(&[CheckResult::Undecided]).await;
    assert!(!scene.handle.is_alone());
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_ends_the_driver_as_a_batch_does() {
    let scene = Scene::checked(false);
    scene.share([PANIC; 3]).await;
    scene.open_check();
    assert_eq!(scene.driver.await.unwrap(), Err(WorkerDied));
    scene.handle.close();
}

#[tokio::test(start_paused = true)]
async fn a_close_stops_the_check_that_runs() {
    let scene = Scene::checked(true);
    scene.share([1, 2, 3]).await;
    scene.until_checking(1).await;
    let told = Arc::clone(&scene.told);
    scene.end().await;
    assert!(told.checks.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn told_to_run_alone_it_gives_nothing_of_a_batch_that_runs() {
    let scene = Scene::new(true, 1, Sharing::Unchecked);
    let (first, others) = scene.queue([1, 2, 3]).await;
    scene.open(1);
    outputs([first]).await;
    scene.until_begun(4).await;
    let late = scene.submit(4);
    scene.until_waiting(1).await;
    scene.handle.run_alone();
    assert!(scene.handle.is_alone());
    scene.open(5);
    assert_eq!(outputs(others).await, [1, 2, 3]);
    assert_eq!(outputs([late]).await, [4]);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_runs_while_another_worker_finds_a_difference_is_not_given() {
    let scene = Scene::new(true, 2, ALWAYS);
    let mut both = Vec::new();
    for begun in 1..=2 {
        both.push(scene.submit(0));
        scene.until_begun(begun).await;
    }
    let runs = [1, 2, 3, 4].map(|input| scene.submit(input));
    scene.until_waiting(4).await;
    let checked = [5, 6].map(|input| scene.submit(input));
    scene.until_waiting(6).await;
    scene.gates[1].send(()).unwrap();
    scene.until_begun(6).await;
    // One ends the other worker's first batch, one its second, which is checked.
    scene.open(2);
    assert_eq!(outputs(checked).await, [105, 106]);
    scene.open_check();
    scene.until_told(&[CheckResult::Different]).await;
    for gate in &scene.gates {
        for _batch in 0..5 {
            gate.send(()).unwrap();
        }
    }
    assert_eq!(outputs(runs).await, [1, 2, 3, 4]);
    assert_eq!(outputs(both).await, [0, 0]);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_half_of_a_failed_batch_does_not_wait_for_a_check() {
    let scene = Scene::new(false, 2, ALWAYS);
    let mut both = Vec::new();
    for begun in 1..=2 {
        both.push(scene.submit(0));
        scene.until_begun(begun).await;
    }
    let fails = [1, FAILS].map(|input| scene.submit(input));
    scene.until_waiting(2).await;
    let half = [2, 3].map(|input| scene.submit(input));
    scene.until_waiting(4).await;
    let checked = [4, 5].map(|input| scene.submit(input));
    scene.until_waiting(6).await;
    scene.gates[1].send(()).unwrap();
    scene.until_begun(6).await;
    scene.open(2);
    assert_eq!(outputs(checked).await, [4, 5]);
    scene.until_checking(1).await;
    // The second worker's batch fails, and it is held in one half. The first one, which checks, runs the
    // other, and where that fails too, a half of it.
    scene.gates[1].send(()).unwrap();
    scene.open(2);
    let either = || half.iter().all(Reply::is_finished) || fails.iter().any(Reply::is_finished);
    until(either).await;
    for gate in &scene.gates {
        for _batch in 0..4 {
            gate.send(()).unwrap();
        }
    }
    assert_eq!(outputs(half).await, [2, 3]);
    assert_eq!(outputs(both).await, [0, 0]);
    let [good, bad] = fails;
    assert_eq!(outputs([good]).await, [1]);
    until(|| bad.is_finished()).await;
    assert_eq!(bad.await.unwrap(), Err(Failure::Failed("told to fail")));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn under_a_load_without_pauses_an_overdue_check_goes_first() {
    let scene = Scene::checked(true);
    let (first, shared) = scene.queue([1, 2, 3]).await;
    scene.open(1);
    scene.until_begun(4).await;
    let next = scene.submit(4);
    scene.until_waiting(1).await;
    scene.open(1);
    // Kept is one of the three, and the next batch runs.
    scene.until_begun(5).await;
    outputs([first]).await;
    outputs(shared).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    let waits = scene.submit(5);
    scene.until_waiting(1).await;
    scene.open(1);
    outputs([next]).await;
    scene.until_checking(1).await;
    let comes = scene.submit(6);
    scene.until_waiting(2).await;
    scene.open_check();
    scene.until_told(&[CheckResult::Different]).await;
    scene.open(2);
    assert_eq!(outputs([waits, comes]).await, [5, 6]);
    assert_eq!(scene.told.checking.load(Ordering::Relaxed), 1);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn alone_from_the_start_requests_have_as_many_rows_as_they_like() {
    let scene = Scene::new(true, 1, Sharing::Alone);
    assert!(scene.handle.is_alone());
    let first = scene.submit(0);
    scene.until_begun(1).await;
    let large = scene.submit_rows(5, 1_000);
    scene.until_waiting(1_000).await;
    scene.open(2);
    assert_eq!(outputs([first]).await, [0]);
    let answers = answers([large]).await;
    assert_eq!((answers[0].output, answers[0].batch_rows), (5, 1_000));
    scene.end().await;
}
