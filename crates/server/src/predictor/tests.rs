use springtide_inference::{Class, Data, Dimension, ElementType, Port, Signature, Tensor};

use super::*;

/// Gives each row the class of its first number; fails where it is negative.
pub(crate) struct FakeBackend {
    signature: Signature,
    shapes: Vec<usize>,
}

impl FakeBackend {
    pub(crate) fn new() -> Self {
        let port = |name: &str, element, shape: &[Dimension]| Port::tensor(name, element, shape);
        let (any, two) = (Dimension::Any, Dimension::Fixed(2));
        let signature = Signature {
            inputs: vec![port("features", ElementType::F32, &[any, two])],
            outputs: vec![
                port("label", ElementType::I64, &[any]),
                port("probabilities", ElementType::F32, &[any, two]),
            ],
        };
        Self {
            signature,
            shapes: Vec::new(),
        }
    }
}

impl Backend for FakeBackend {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, inputs: &[&Tensor], _stop: &Stop) -> Result<Vec<Tensor>, RunError> {
        let rows = inputs[0].rows();
        self.shapes.push(rows);
        let Data::F32(numbers) = inputs[0].data() else {
            panic!("not floats");
        };
        let firsts = numbers.chunks(2).map(|row| row[0]);
        if firsts.clone().any(|first| first < 0.0) {
            return Err(RunError::Failed("negative".to_owned()));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "tests use small whole numbers"
        )]
        let labels: Vec<i64> = firsts.map(|first| first as i64).collect();
        Ok(vec![
            Tensor::new(vec![rows], labels).unwrap(),
            Tensor::new(vec![rows, 2], [0.25_f32, 0.75].repeat(rows)).unwrap(),
        ])
    }
}

fn matrix(numbers: &[f32]) -> Matrix {
    Matrix::new(NonZeroUsize::new(2).unwrap(), numbers.to_vec()).unwrap()
}

fn classes(predictions: &[Prediction]) -> Vec<Class> {
    predictions
        .iter()
        .map(|prediction| prediction.class.clone())
        .collect()
}

#[test]
fn each_request_gets_the_predictions_of_its_own_rows() {
    let mut predictor = Predictor::new(FakeBackend::new()).unwrap();
    let (one, two) = (matrix(&[5.0, 0.0]), matrix(&[6.0, 0.0, 7.0, 0.0]));
    let answers = predictor
        .run(&[&one, &two], &springtide_batching::Stop::default())
        .unwrap();
    assert_eq!(answers.len(), 2);
    assert_eq!(classes(&answers[0]), [Class::Number(5)]);
    assert_eq!(classes(&answers[1]), [Class::Number(6), Class::Number(7)]);
    assert_eq!(predictor.backend.shapes, [3], "one run for the whole batch");
}

#[test]
fn warming_up_runs_one_row_and_a_full_batch() {
    let mut predictor = Predictor::new(FakeBackend::new()).unwrap();
    predictor.warm_up(NonZeroUsize::new(32).unwrap()).unwrap();
    assert_eq!(predictor.backend.shapes, [1, 32]);
}

#[test]
fn a_failing_run_fails_the_batch() {
    let mut predictor = Predictor::new(FakeBackend::new()).unwrap();
    let failed = predictor.run(&[&matrix(&[-1.0, 0.0], &springtide_batching::Stop::default())]);
    assert!(matches!(failed, Err(RunFailed::Run(_))), "{failed:?}");
}

#[test]
fn rows_of_different_lengths_never_share_a_run() {
    let mut predictor = Predictor::new(FakeBackend::new()).unwrap();
    let odd = Matrix::new(NonZeroUsize::new(3).unwrap(), vec![0.0; 3]).unwrap();
    assert_eq!(
        predictor.run(&[
            &matrix(&[1.0, 0.0], &springtide_batching::Stop::default()),
            &odd
        ]),
        Err(RunFailed::Mixed)
    );
}
