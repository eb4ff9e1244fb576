//! Several sessions of one model.

use std::num::NonZeroUsize;

use springtide_inference::onnx::{OnnxModel, Selected};
use springtide_inference::{Backend, Stop};

use crate::support::{ONE, RUNTIME, model, open, tensor};

#[test]
fn sessions_with_shared_weights_give_what_one_alone_gives() {
    let numbers: Vec<f32> = (0_u8..128).map(|index| f32::from(index % 5)).collect();
    let input = tensor(&[2, 64], numbers);
    let alone = open(&model("dense"))
        .unwrap()
        .run(&[&input], &Stop::new())
        .unwrap();
    let three = NonZeroUsize::new(3).unwrap();
    let shared = OnnxModel::open(&RUNTIME, &model("dense"), Selected::Cpu, three).unwrap();
    let mut sessions: Vec<_> = (0..3).map(|_| shared.session(ONE).unwrap()).collect();
    drop(shared);
    for session in &mut sessions {
        assert_eq!(session.run(&[&input], &Stop::new()).as_ref(), Ok(&alone));
    }
    sessions.truncate(1);
    assert_eq!(sessions[0].run(&[&input], &Stop::new()), Ok(alone));
}
