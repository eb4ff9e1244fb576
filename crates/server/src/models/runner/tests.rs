use springtide_contract::batching::{BatchingReason, BatchingStatus};
use springtide_inference::DataView;

use super::*;
use crate::models::testing::{FakeBackend, classifier_signature};

fn request(numbers: &[f32]) -> ValidatedInputs {
    let tensor = Tensor::new(vec![numbers.len() / 2, 2], numbers.to_vec()).unwrap();
    ValidatedInputs::new(
        &classifier_signature(),
        NonZeroUsize::new(32),
        vec![tensor],
        vec![],
    )
    .unwrap()
}

fn labels(share: &BatchSlice) -> Vec<i64> {
    let tensor = match &share.rows {
        Some(rows) => share.outputs[0].view_rows(rows.clone()).unwrap(),
        None => share.outputs[0].view(),
    };
    let DataView::I64(labels) = tensor.data() else {
        panic!("not integers")
    };
    labels.to_vec()
}

fn runner(backend: &FakeBackend) -> BatchRunner {
    let backend = Box::new(backend.clone());
    BatchRunner::new(
        ModelName::default(),
        Version::FIRST,
        backend,
        batching(BatchingReason::Proven),
        NonZeroUsize::MIN,
    )
}

fn batching(reason: BatchingReason) -> Arc<Batching> {
    Arc::new(Batching::new(BatchingStatus {
        enabled: reason.enables(),
        reason,
        message: String::new(),
    }))
}

fn run(
    backend: &FakeBackend,
    requests: &[&ValidatedInputs],
) -> Result<Vec<BatchSlice>, BatchRunError> {
    runner(backend).run(requests, &BatchCancelHandle::default())
}

#[test]
fn each_request_gets_the_outputs_of_its_own_rows() {
    let backend = FakeBackend::classifier();
    let (one, two) = (request(&[5.0, 0.0]), request(&[6.0, 0.0, 7.0, 0.0]));
    let shares = run(&backend, &[&one, &two]).unwrap();
    assert_eq!(labels(&shares[0]), [5]);
    assert_eq!(labels(&shares[1]), [6, 7]);
    assert_eq!(backend.rows(), [3], "one run for the whole batch");
    assert!(
        Arc::ptr_eq(&shares[0].outputs, &shares[1].outputs),
        "nothing is copied for a request"
    );
}

#[test]
fn a_request_alone_has_all_rows_of_its_run_however_many() {
    let backend = FakeBackend::classifier().with_fixed_rows(1);
    let requests = [request(&[6.0, 0.0, 7.0, 0.0])];
    let shares = run(&backend, &[&requests[0]]).unwrap();
    assert_eq!(labels(&shares[0]), [6]);
    assert_eq!(shares[0].rows, None);
}

#[test]
fn outputs_with_other_rows_than_the_inputs_fail_the_batch() {
    let backend = FakeBackend::classifier().with_fixed_rows(1);
    let (one, two) = (request(&[6.0, 0.0]), request(&[7.0, 0.0]));
    let failed = run(&backend, &[&one, &two]);
    assert!(
        matches!(failed, Err(BatchRunError::Outputs(_))),
        "{failed:?}"
    );
}

#[test]
fn a_failing_run_fails_the_batch() {
    let failed = run(&FakeBackend::classifier(), &[&request(&[-1.0, 0.0])]);
    assert!(matches!(failed, Err(BatchRunError::Run(_))), "{failed:?}");
}

#[test]
fn a_panic_fails_the_batch_and_not_the_thread() {
    let mut runner = runner(&FakeBackend::classifier());
    let mut odd = request(&[1.0, 0.0]);
    odd.inputs = vec![Tensor::new(vec![1, 2], vec![0_i64; 2]).unwrap()];
    let failed = runner.run(&[&odd], &BatchCancelHandle::default());
    assert!(matches!(failed, Err(BatchRunError::Panicked)), "{failed:?}");
    let shares = runner.run(&[&request(&[5.0, 0.0])], &BatchCancelHandle::default());
    assert_eq!(labels(&shares.unwrap()[0]), [5]);
}

#[test]
fn rows_of_different_shapes_never_share_a_run() {
    let backend = FakeBackend::classifier();
    let mut odd = request(&[1.0, 0.0]);
    odd.inputs = vec![Tensor::new(vec![1, 3], vec![0.0_f32; 3]).unwrap()];
    let failed = run(&backend, &[&request(&[1.0, 0.0]), &odd]);
    assert!(matches!(failed, Err(BatchRunError::Mixed)), "{failed:?}");
    assert!(backend.rows().is_empty());
}

#[test]
fn a_batch_that_nobody_waits_for_is_stopped_in_the_backend() {
    let stop = BatchCancelHandle::default();
    stop.cancel();
    let mut runner = runner(&FakeBackend::classifier());
    let stopped = runner.run(&[&request(&[1.0, 0.0])], &stop);
    assert!(
        matches!(stopped, Err(BatchRunError::Run(RunError::Stopped))),
        "{stopped:?}"
    );
}

/// A share as if it came from a batch, with this class.
fn shared(class: i64) -> BatchSlice {
    let outputs = [
        Tensor::new(vec![2], vec![9, class]).unwrap(),
        Tensor::new(vec![2, 2], vec![0.5_f32, 0.5, 0.25, 0.75]).unwrap(),
    ];
    BatchSlice {
        outputs: outputs.into(),
        rows: Some(1..2),
    }
}

fn check(reason: BatchingReason, class: i64) -> (CheckResult, Arc<Batching>) {
    let batching = batching(reason);
    let backend = Box::new(FakeBackend::classifier());
    let mut runner = BatchRunner::new(
        ModelName::default(),
        Version::FIRST,
        backend,
        Arc::clone(&batching),
        NonZeroUsize::MIN,
    );
    let request = request(&[5.0, 0.0]);
    let check = runner.check(&request, &shared(class), &BatchCancelHandle::default());
    (check, batching)
}

#[test]
fn a_check_compares_the_requests_rows_of_the_batch_with_the_request_alone() {
    let (same, batching) = check(BatchingReason::Proven, 5);
    assert_eq!(same, CheckResult::Same);
    assert!(batching.is_shared());
    let (different, batching) = check(BatchingReason::Proven, 6);
    assert_eq!(different, CheckResult::Different);
    assert_eq!(batching.status().reason, BatchingReason::SentinelMismatch);
    assert!(!batching.is_shared());
}

#[test]
fn where_the_owner_says_always_a_difference_is_told_and_batches_go_on() {
    let (tolerated, batching) = check(BatchingReason::OwnerAlways, 6);
    assert_eq!(tolerated, CheckResult::Tolerated);
    assert_eq!(batching.status().reason, BatchingReason::SentinelMismatch);
    assert!(batching.is_shared());
}

#[test]
fn a_check_that_is_stopped_or_fails_decides_nothing() {
    let mut runner = runner(&FakeBackend::classifier());
    let stop = BatchCancelHandle::default();
    stop.cancel();
    let stopped = runner.check(&request(&[5.0, 0.0]), &shared(6), &stop);
    assert_eq!(stopped, CheckResult::Undecided);
    let failed = runner.check(
        &request(&[-5.0, 0.0]),
        &shared(6),
        &BatchCancelHandle::default(),
    );
    assert_eq!(failed, CheckResult::Undecided);
}
