use futures::FutureExt;
use springtide_batching::Policy;
use springtide_inference::{DataView, RunError};

use super::super::runner::BatchRunError;
use super::*;
use crate::metrics::{Metrics, Snapshot};
use crate::models::testing::{FakeBackend, loaded};

const PATIENCE: Duration = Duration::from_secs(60);

fn bounds(max_queue_rows: usize, policy: Policy) -> Config {
    Config {
        sharing: springtide_batching::Sharing::Alone,
        policy,
        max_rows: NonZeroUsize::new(4).unwrap(),
        max_queue_rows: NonZeroUsize::new(max_queue_rows).unwrap(),
        objective: None,
    }
}

const AT_ONCE: Policy = Policy::WorkConserving {
    max_linger: Duration::ZERO,
};

fn start(backend: FakeBackend, bounds: Config) -> (Model, tokio::task::JoinHandle<()>, Metrics) {
    let metrics = Metrics::new(None, None).unwrap();
    let name: ModelName = "fake".parse().unwrap();
    let series = metrics.of_model("fake");
    let loaded = loaded(backend, bounds.max_rows);
    let (model, driver) = Model::start(name, Version::FIRST, loaded, bounds, series).unwrap();
    let driver = tokio::spawn(async move { driver.run().await.unwrap() });
    (model, driver, metrics)
}

fn input(firsts: &[f32]) -> Vec<Tensor> {
    let numbers: Vec<f32> = firsts.iter().flat_map(|first| [*first, 0.0]).collect();
    vec![Tensor::new(vec![firsts.len(), 2], numbers).unwrap()]
}

async fn infer(model: &Model, firsts: &[f32]) -> Result<InferenceOutput, InferError> {
    let checked = model.check(input(firsts), vec![]).unwrap();
    model.infer(checked, Instant::now() + PATIENCE).await
}

fn labels(inferred: &InferenceOutput) -> Vec<i64> {
    let view = inferred.view(0).unwrap();
    let DataView::I64(labels) = view.data() else {
        panic!("not integers")
    };
    labels.to_vec()
}

#[tokio::test]
async fn requests_share_a_batch_and_statistics_count_both() {
    let window = Policy::Window(PATIENCE);
    let (model, _driver, _metrics) = start(FakeBackend::classifier(), bounds(100, window));
    let (first, second) = tokio::join!(infer(&model, &[1.0]), infer(&model, &[2.0, 3.0, 4.0]));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(labels(&first), [1]);
    assert_eq!(labels(&second), [2, 3, 4]);
    assert_eq!((first.batch_rows, second.batch_rows), (4, 4));
    let statistics = model.statistics();
    assert_eq!(statistics.inferences, 4);
    assert_eq!(statistics.executions, 1);
    assert_eq!(statistics.batches[0].rows, 4);
    let counts = [
        statistics.success.count,
        statistics.queue.count,
        statistics.compute.count,
        statistics.fail.count,
    ];
    assert_eq!(counts, [2, 2, 2, 0]);
    assert!(statistics.last_inference > 0);
    assert!(statistics.success.nanoseconds >= statistics.compute.nanoseconds);
}

#[tokio::test]
async fn a_model_that_does_not_keep_to_rows_runs_one_request_at_a_time() {
    let backend = FakeBackend::classifier().with_fixed_rows(1);
    let (model, _driver, _metrics) = start(backend.clone(), bounds(100, AT_ONCE));
    assert_eq!(model.max_rows(), None);
    let (first, second) = tokio::join!(infer(&model, &[1.0]), infer(&model, &[2.0; 5]));
    assert_eq!(labels(&first.unwrap()), [1]);
    assert_eq!(labels(&second.unwrap()), [2]);
    assert!(
        backend.rows().ends_with(&[1, 5]),
        "each request in a run of its own"
    );
}

#[tokio::test]
async fn a_failed_run_is_counted_and_tells_no_details() {
    let (model, _driver, _metrics) = start(FakeBackend::classifier(), bounds(100, AT_ONCE));
    let failed = infer(&model, &[-1.0]).await.unwrap_err();
    assert_eq!(failed, InferError::Failed);
    assert_eq!(failed.to_string(), "the model failed on this request");
    assert_eq!(model.statistics().fail.count, 1);
    assert_eq!(model.statistics().executions, 1);
}

#[tokio::test]
async fn a_request_whose_client_leaves_has_failed() {
    let window = Policy::Window(PATIENCE);
    let (model, _driver, _metrics) = start(FakeBackend::classifier(), bounds(100, window));
    assert!(infer(&model, &[1.0]).now_or_never().is_none());
    assert_eq!(model.statistics().fail.count, 1);
    assert_eq!(model.statistics().success.count, 0);
}

#[tokio::test]
async fn whoever_holds_a_model_is_answered_and_the_last_one_ends_its_threads() {
    let (model, driver, metrics) = start(FakeBackend::classifier(), bounds(100, AT_ONCE));
    let held = Arc::new(model);
    let other = Arc::clone(&held);
    drop(held);
    assert_eq!(labels(&infer(&other, &[7.0]).await.unwrap()), [7]);
    let text = metrics.text(&Snapshot::default()).unwrap();
    assert!(
        text.contains("ml_batch_size_sum{model=\"fake\"} 1"),
        "{text}"
    );
    drop(other);
    driver.await.unwrap();
}

#[tokio::test]
async fn a_closed_model_refuses() {
    let (model, driver, _metrics) = start(FakeBackend::classifier(), bounds(100, AT_ONCE));
    model.close();
    assert_eq!(
        infer(&model, &[1.0]).await.unwrap_err(),
        InferError::Draining
    );
    driver.await.unwrap();
}

#[test]
fn what_the_batcher_says_means() {
    let retry_after = Duration::from_millis(1_001);
    let overloaded = |cause| Failure::Rejected(Rejection::Overloaded { cause, retry_after });
    let run_error = RunError::Failed("/models/model.onnx: 0x7f".to_owned());
    for (failure, error, seconds) in [
        (
            overloaded(Overload::QueueFull { waiting: 1, max: 1 }),
            InferError::QueueFull { retry_after },
            Some(2),
        ),
        (
            overloaded(Overload::TooLate {
                expected: retry_after,
            }),
            InferError::Overloaded { retry_after },
            Some(2),
        ),
        (
            overloaded(Overload::Sustained {
                expected: retry_after,
            }),
            InferError::Overloaded { retry_after },
            Some(2),
        ),
        (
            Failure::Rejected(Rejection::Closed),
            InferError::Draining,
            None,
        ),
        (Failure::TimedOut, InferError::TimedOut, None),
        (
            Failure::Failed(BatchRunError::Run(run_error)),
            InferError::Failed,
            None,
        ),
        (Failure::Gone, InferError::Failed, None),
    ] {
        let got = InferError::from(failure);
        assert_eq!(got, error);
        assert_eq!(got.retry_after_seconds(), seconds);
    }
}

#[test]
fn a_short_wait_is_a_whole_second() {
    for (milliseconds, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (60_000, 60)] {
        let retry_after = Duration::from_millis(milliseconds);
        let error = InferError::QueueFull { retry_after };
        assert_eq!(error.retry_after_seconds(), Some(seconds), "{milliseconds}");
    }
}
