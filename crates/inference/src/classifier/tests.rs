use super::*;
use crate::data::Data;
use crate::signature::PortKind;
use crate::tensor::Tensor;

fn port(name: &str, element: ElementType, shape: &[Dimension]) -> Port {
    Port::tensor(name, element, shape)
}

fn rows(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

const ANY: Dimension = Dimension::Any;

const fn fixed(length: usize) -> Dimension {
    Dimension::Fixed(length)
}

fn features_input() -> Port {
    port("features", ElementType::F32, &[ANY, fixed(4)])
}

fn sklearn() -> Signature {
    Signature {
        inputs: vec![features_input()],
        outputs: vec![
            port("output_label", ElementType::I64, &[ANY]),
            port("output_probability", ElementType::F32, &[ANY, fixed(3)]),
        ],
    }
}

fn with_outputs(outputs: Vec<Port>) -> Signature {
    Signature {
        inputs: vec![features_input()],
        outputs,
    }
}

fn floats(shape: &[usize], numbers: &[f32]) -> Tensor {
    Tensor::new(shape.to_vec(), numbers.to_vec()).unwrap()
}

fn integers(numbers: &[i64]) -> Tensor {
    Tensor::new(vec![numbers.len()], numbers.to_vec()).unwrap()
}

fn views(outputs: &[Tensor]) -> Vec<TensorView<'_>> {
    outputs.iter().map(Tensor::view).collect()
}

#[test]
fn labels_and_probabilities_of_scikit_learn() {
    let mut classifier = Classifier::new(&sklearn()).unwrap();
    let outputs = vec![
        integers(&[7, 9]),
        floats(&[2, 3], &[0.5, 0.3, 0.2, 0.1, 0.1, 0.8]),
    ];
    classifier.check(&views(&outputs), rows(2)).unwrap();
    let predictions = classifier.predictions(&views(&outputs), rows(2)).unwrap();
    let expected = [(7, 0.5), (9, 0.8)].map(|(label, confidence)| Prediction {
        class: Class::Number(label),
        confidence: Some(confidence),
    });
    assert_eq!(predictions, expected);
}

#[test]
fn a_confidence_is_that_of_the_label_or_there_is_none() {
    let outputs = |label| vec![integers(&[label]), floats(&[1, 3], &[0.5, 0.3, 0.2])];
    let confidence = |classifier: &Classifier, label| {
        let predictions = classifier.predictions(&views(&outputs(label)), rows(1));
        predictions.unwrap()[0].confidence
    };
    let classifier = Classifier::new(&sklearn()).unwrap();
    assert_eq!(confidence(&classifier, 0), Some(0.5));
    assert_eq!(confidence(&classifier, 2), None, "a position or not");
    let known = classifier.clone();
    let known = known.with_classes(Classes::Numbers(vec![5, 2, 0]));
    assert_eq!(confidence(&known, 2), Some(0.3));
    assert_eq!(confidence(&known, 0), Some(0.2));
    assert_eq!(confidence(&known, 1), None, "no class of the model");
    let mut learned = classifier;
    let shown = [integers(&[2]), floats(&[1, 3], &[0.1, 0.1, 0.8])];
    learned.learn(&views(&shown), rows(1));
    assert_eq!(confidence(&learned, 2), Some(0.2));
}

#[test]
fn many_rows_alike_show_no_more_than_one() {
    let mut classifier = Classifier::new(&sklearn()).unwrap();
    // A row whose label isn't that of the highest, as often as a batch has rows of zeros.
    let zeros = [
        integers(&[1; 32]),
        floats(&[32, 3], &[0.6, 0.4, 0.0].repeat(32)),
    ];
    classifier.learn(&views(&zeros), rows(32));
    let varied = [
        integers(&[0, 1, 2]),
        floats(&[3, 3], &[0.8, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.8]),
    ];
    classifier.learn(&views(&varied), rows(3));
    let outputs = [integers(&[1]), floats(&[1, 3], &[0.6, 0.4, 0.0])];
    let predictions = classifier.predictions(&views(&outputs), rows(1)).unwrap();
    assert_eq!(predictions[0].confidence, Some(0.4));
}

#[test]
fn without_labels_the_models_classes_name_the_highest() {
    let signature = with_outputs(vec![port("softmax", ElementType::F32, &[ANY, ANY])]);
    let names = ["no", "yes"].map(ToOwned::to_owned).to_vec();
    let classifier = Classifier::new(&signature).unwrap();
    assert!(!classifier.learns_labels());
    let classifier = classifier.with_classes(Classes::Names(names));
    let outputs = vec![floats(&[1, 2], &[0.25, 0.75])];
    let predictions = classifier.predictions(&views(&outputs), rows(1)).unwrap();
    let expected = Prediction {
        class: Class::Name("yes".to_owned()),
        confidence: Some(0.75),
    };
    assert_eq!(predictions, [expected]);
}

#[test]
fn labels_may_be_names() {
    let signature = with_outputs(vec![
        port("label", ElementType::String, &[ANY]),
        port("probabilities", ElementType::F32, &[ANY, fixed(2)]),
    ]);
    let names = Tensor::new(vec![1], Data::String(vec!["setosa".to_owned()])).unwrap();
    let outputs = vec![names, floats(&[1, 2], &[0.9, 0.1])];
    let predictions = Classifier::new(&signature)
        .unwrap()
        .predictions(&views(&outputs), rows(1))
        .unwrap();
    assert_eq!(predictions[0].class, Class::Name("setosa".to_owned()));
}

#[test]
fn without_labels_the_class_is_its_position() {
    let signature = with_outputs(vec![port("softmax", ElementType::F32, &[ANY, ANY])]);
    let outputs = vec![floats(&[2, 2], &[0.25, 0.75, 0.5, 0.5])];
    let predictions = Classifier::new(&signature)
        .unwrap()
        .predictions(&views(&outputs), rows(2))
        .unwrap();
    let classes: Vec<_> = predictions
        .into_iter()
        .map(|prediction| prediction.class)
        .collect();
    assert_eq!(
        classes,
        [Class::Number(1), Class::Number(0)],
        "the first of equal ones"
    );
}

#[test]
fn a_row_with_nan_has_no_finite_confidence() {
    let classifier = Classifier::new(&sklearn()).unwrap();
    let outputs = vec![
        integers(&[0, 1]),
        floats(&[2, 3], &[0.5, f32::NAN, 0.2, 0.1, 0.8, 0.1]),
    ];
    let predictions = classifier.predictions(&views(&outputs), rows(2)).unwrap();
    assert!(predictions[0].confidence.unwrap().is_nan());
    assert_eq!(
        predictions[1].confidence,
        Some(0.8),
        "its neighbour is unharmed"
    );
}

#[test]
fn numbers_that_are_no_classes_are_no_classifier() {
    for outputs in [
        vec![port("sigmoid", ElementType::F32, &[ANY, fixed(1)])],
        vec![port("variable", ElementType::F32, &[ANY])],
        vec![port("image", ElementType::F32, &[ANY, fixed(3), fixed(8)])],
        vec![],
    ] {
        assert_eq!(Classifier::new(&with_outputs(outputs)), None);
    }
}

#[test]
fn labels_alone_are_classes_without_a_confidence() {
    let maps = Port {
        name: "maps".to_owned(),
        kind: PortKind::Other("Sequence<Map<Int64, Float32>>".to_owned()),
        shape: None,
        optional: false,
    };
    // Converters of boosted trees declare one row for any number.
    let labels = port("label", ElementType::I64, &[fixed(1)]);
    let classifier = Classifier::new(&with_outputs(vec![labels, maps])).unwrap();
    assert!(!classifier.learns_labels());
    let outputs = [integers(&[7, 9])];
    let predictions = classifier.predictions(&views(&outputs), rows(2)).unwrap();
    let expected = [7, 9].map(|label| Prediction {
        class: Class::Number(label),
        confidence: None,
    });
    assert_eq!(predictions, expected);
    assert_eq!(
        classifier.class_probabilities(&views(&outputs), rows(2)),
        Ok(None)
    );
}

#[test]
fn scores_that_are_no_probabilities_can_be_dropped() {
    let mut classifier = Classifier::new(&sklearn()).unwrap();
    let outputs = [integers(&[7]), floats(&[1, 3], &[-2.0, 3.0, 1.0])];
    let refused = classifier.check(&views(&outputs), rows(1));
    assert!(matches!(
        refused,
        Err(OutputMismatch::NotProbabilities { .. })
    ));
    let classifier = classifier.without_probabilities().unwrap();
    let predictions = classifier.predictions(&views(&outputs), rows(1)).unwrap();
    assert_eq!(predictions[0].confidence, None);
    let unlabelled = with_outputs(vec![port("softmax", ElementType::F32, &[ANY, ANY])]);
    assert_eq!(
        Classifier::new(&unlabelled)
            .unwrap()
            .without_probabilities(),
        None
    );
}

#[test]
fn an_output_for_each_class_names_it() {
    let column = |name| port(name, ElementType::F32, &[ANY]);
    let signature = with_outputs(vec![
        port("output_label", ElementType::I64, &[ANY]),
        column("i-1"),
        column("i4"),
    ]);
    let mut classifier = Classifier::new(&signature).unwrap();
    let outputs = [
        integers(&[4, -1]),
        floats(&[2], &[0.25, 0.5]),
        floats(&[2], &[0.75, 0.5]),
    ];
    classifier.check(&views(&outputs), rows(2)).unwrap();
    let predictions = classifier.predictions(&views(&outputs), rows(2)).unwrap();
    let confidences: Vec<_> = predictions.iter().map(|one| one.confidence).collect();
    assert_eq!(confidences, [Some(0.75), Some(0.5)]);
    let probabilities = classifier
        .class_probabilities(&views(&outputs), rows(2))
        .unwrap();
    let first = [(Class::Number(-1), 0.25), (Class::Number(4), 0.75)];
    assert_eq!(probabilities.unwrap()[0], first);
    let names = with_outputs(vec![
        port("output_label", ElementType::String, &[ANY]),
        column("sham"),
        column("sspam"),
    ]);
    assert!(Classifier::new(&names).unwrap().probabilities.is_some());
    let others = with_outputs(vec![
        port("output_label", ElementType::I64, &[ANY]),
        column("distance"),
        column("score"),
    ]);
    assert_eq!(Classifier::new(&others).unwrap().probabilities, None);
}

#[test]
fn probabilities_are_by_class_where_every_column_is_known() {
    let outputs = [integers(&[2]), floats(&[1, 3], &[0.5, 0.3, 0.2])];
    let probabilities = |classifier: &Classifier| {
        let by_class = classifier
            .class_probabilities(&views(&outputs), rows(1))
            .unwrap();
        by_class.map(|mut rows| {
            rows.remove(0)
                .into_iter()
                .map(|(class, _)| class)
                .collect::<Vec<_>>()
        })
    };
    let mut classifier = Classifier::new(&sklearn()).unwrap();
    assert_eq!(probabilities(&classifier), None);
    let declared = classifier
        .clone()
        .with_classes(Classes::Numbers(vec![5, 2, 0]));
    assert_eq!(
        probabilities(&declared),
        Some([5, 2, 0].map(Class::Number).to_vec())
    );
    let shown = [
        integers(&[0, 1, 2]),
        floats(&[3, 3], &[0.8, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.8]),
    ];
    classifier.learn(&views(&shown), rows(3));
    assert_eq!(
        probabilities(&classifier),
        Some([0, 1, 2].map(Class::Number).to_vec())
    );
}

#[test]
fn probabilities_may_be_64_bit_floats() {
    let signature = with_outputs(vec![port("softmax", ElementType::F64, &[ANY, fixed(2)])]);
    let outputs = [Tensor::new(vec![1, 2], vec![0.25_f64, 0.75]).unwrap()];
    let classifier = Classifier::new(&signature).unwrap();
    let predictions = classifier.predictions(&views(&outputs), rows(1)).unwrap();
    assert_eq!(predictions[0].confidence, Some(0.75));
}

#[test]
fn a_name_decides_between_several_candidates() {
    let output = |name| port(name, ElementType::F32, &[ANY, fixed(3)]);
    let ambiguous = with_outputs(vec![output("hidden"), output("softmax")]);
    assert_eq!(Classifier::new(&ambiguous), None);
    let named = with_outputs(vec![output("hidden"), output("probabilities")]);
    let outputs = vec![
        floats(&[1, 3], &[1.0, 0.0, 0.0]),
        floats(&[1, 3], &[0.0, 0.0, 1.0]),
    ];
    let predictions = Classifier::new(&named)
        .unwrap()
        .predictions(&views(&outputs), rows(1))
        .unwrap();
    assert_eq!(predictions[0].class, Class::Number(2));
}

#[test]
fn shapes_that_a_run_must_not_give() {
    let mut classifier = Classifier::new(&sklearn()).unwrap();
    let probabilities = floats(&[2, 3], &[0.5, 0.3, 0.2, 0.1, 0.1, 0.8]);
    for outputs in [
        vec![integers(&[0]), probabilities.clone()],
        vec![floats(&[2], &[0.0, 0.0]), probabilities],
        vec![integers(&[0, 0]), floats(&[1, 3], &[0.5, 0.3, 0.2])],
        vec![integers(&[0, 0]), floats(&[2, 1], &[1.0, 1.0])],
        vec![integers(&[0, 0]), floats(&[6], &[0.0; 6])],
        vec![integers(&[0, 0]), integers(&[0; 6])],
    ] {
        let shown = format!("{outputs:?}");
        let refused = classifier.check(&views(&outputs), rows(2));
        assert!(
            matches!(refused, Err(OutputMismatch::Shape { .. })),
            "{shown}"
        );
        let refused = classifier.predictions(&views(&outputs), rows(2));
        assert!(
            matches!(refused, Err(OutputMismatch::Shape { .. })),
            "{shown}"
        );
    }
}

#[test]
fn a_trial_run_tells_probabilities_from_other_numbers() {
    let mut classifier = Classifier::new(&sklearn()).unwrap();
    let mut check = |numbers: [f32; 3]| {
        let outputs = [integers(&[0]), floats(&[1, 3], &numbers)];
        classifier.check(&views(&outputs), rows(1))
    };
    assert_eq!(check([0.5, 0.3, 0.2]), Ok(()));
    assert_eq!(check([0.333, 0.333, 0.333]), Ok(()), "rounding is let pass");
    assert_eq!(
        check([f32::NAN, 0.0, 0.0]),
        Ok(()),
        "says nothing about other inputs"
    );
    for numbers in [[2.0, 0.3, -1.3], [5.0, 3.0, 1.0], [0.1, 0.1, 0.1]] {
        let refused = check(numbers);
        assert!(
            matches!(refused, Err(OutputMismatch::NotProbabilities { .. })),
            "{numbers:?}"
        );
    }
}

#[test]
fn an_output_that_a_run_does_not_give() {
    let mut classifier = Classifier::new(&sklearn()).unwrap();
    for outputs in [vec![], vec![integers(&[0])]] {
        let refused = classifier.check(&views(&outputs), rows(1));
        assert!(
            matches!(refused, Err(OutputMismatch::Missing { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn the_place_of_an_output_is_that_among_the_tensors() {
    let maps = Port {
        name: "maps".to_owned(),
        kind: PortKind::Other("Sequence<Map<Int64, Float32>>".to_owned()),
        shape: None,
        optional: false,
    };
    let mut signature = sklearn();
    signature.outputs.insert(0, maps);
    let outputs = [integers(&[7]), floats(&[1, 3], &[0.5, 0.3, 0.2])];
    let classifier = Classifier::new(&signature).unwrap();
    let predictions = classifier.predictions(&views(&outputs), rows(1)).unwrap();
    assert_eq!(predictions[0].class, Class::Number(7));
}
