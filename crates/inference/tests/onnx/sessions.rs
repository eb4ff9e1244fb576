//! Several sessions of one model.

use std::num::NonZeroUsize;

use springtide_inference::onnx::{HazardPolicy, LinkPolicy, OnnxModel, Provider};
use springtide_inference::{Backend, CancelHandle};

use crate::support::{ONE, RUNTIME, model, open, tensor};

const THREE: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Opens three sessions and checks that they give what one alone gives. Tells whether they share
/// their weights.
fn compare(name: &str, rows: usize, columns: usize) -> bool {
    let numbers: Vec<f32> = (0_u8..5)
        .map(f32::from)
        .cycle()
        .take(rows * columns)
        .collect();
    let input = tensor(&[rows, columns], numbers);
    let alone = open(&model(name))
        .unwrap()
        .run(&[&input], &CancelHandle::new())
        .unwrap();
    let several = OnnxModel::open(
        &RUNTIME,
        &model(name),
        &LinkPolicy::BesideTheModel,
        Provider::Cpu,
        THREE,
        HazardPolicy::Allow,
    )
    .unwrap();
    let shares = several.shares_weights();
    let mut sessions: Vec<_> = (0..3).map(|_| several.session(ONE).unwrap()).collect();
    // The weights live as long as the last session.
    drop(several);
    while let Some(mut session) = sessions.pop() {
        assert_eq!(
            session.run(&[&input], &CancelHandle::new()).as_ref(),
            Ok(&alone)
        );
    }
    shares
}

#[test]
fn sessions_share_their_weights() {
    assert!(compare("dense", 2, 64));
}

#[test]
fn weights_that_the_optimizer_transposes_are_not_shared() {
    assert!(!compare("transposed", 32, 32));
}

#[test]
fn a_model_that_can_not_be_compared_shares_nothing() {
    let several = OnnxModel::open(
        &RUNTIME,
        &model("not_a_number"),
        &LinkPolicy::BesideTheModel,
        Provider::Cpu,
        THREE,
        HazardPolicy::Allow,
    )
    .unwrap();
    assert!(!several.shares_weights());
}

#[test]
fn one_session_shares_nothing() {
    let model = OnnxModel::open(
        &RUNTIME,
        &model("dense"),
        &LinkPolicy::BesideTheModel,
        Provider::Cpu,
        ONE,
        HazardPolicy::Allow,
    )
    .unwrap();
    assert!(!model.shares_weights());
}
