use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use springtide_inference::{Dimension, Port, Signature};
use springtide_tasks::ModelFacts;
use springtide_tasks::folder::ModelFolder;

use super::*;

const ANY: Dimension = Dimension::Any;

/// What the page gets of a model with a signature and the files beside it.
fn described(
    files: &[(&str, &str)],
    inputs: Vec<Port>,
    output: Port,
    named: Option<Task>,
) -> (Task, bool, Value) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let signature = Signature {
        inputs,
        outputs: vec![output],
    };
    let model_facts = ModelFacts {
        signature: &signature,
        feature_names: None,
        classes: &[],
    };
    let task = TaskModel::open(&ModelFolder::new(folder.path()), model_facts, named);
    let (task, classes, input) = facts(task.as_ref());
    (task, classes, serde_json::to_value(input).unwrap())
}

#[test]
fn columns_have_names_kinds_and_widths() {
    let inputs = vec![
        Port::tensor("age", ElementType::F64, [ANY]),
        Port::tensor("sex", ElementType::String, [ANY, Dimension::Fixed(1)]),
        Port::tensor("member", ElementType::Bool, [ANY]),
        Port::tensor("visits", ElementType::I64, [ANY, Dimension::Fixed(3)]),
    ];
    let output = Port::tensor("price", ElementType::F32, [ANY, Dimension::Fixed(1)]);
    let (task, classes, input) = described(&[], inputs, output, None);
    assert_eq!((task, classes), (Task::Tabular, false));
    let expected = json!({
        "input": "rows", "features": null, "column_count": 4,
        "columns": [
            {"name": "age", "kind": "number", "datatype": "float64", "width": 1},
            {"name": "sex", "kind": "text", "datatype": "string", "width": 1},
            {"name": "member", "kind": "boolean", "datatype": "bool", "width": 1},
            {"name": "visits", "kind": "integer", "datatype": "int64", "width": 3},
        ],
    });
    assert_eq!(input, expected);
}

#[test]
fn a_table_of_many_columns_is_cut_and_says_so() {
    let inputs = (0..300).map(|at| Port::tensor(format!("c{at}"), ElementType::F32, [ANY]));
    let output = Port::tensor("price", ElementType::F32, [ANY]);
    let (_, _, input) = described(&[], inputs.collect(), output, None);
    assert_eq!(input["column_count"], 300);
    assert_eq!(input["columns"].as_array().unwrap().len(), MAX_COLUMNS);
}

fn text_model(task: Task, classes: usize) -> (Task, bool, Value) {
    let tokenizers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tasks/tests/fixtures/text");
    let tokenizer = fs::read_to_string(tokenizers.join("bert/tokenizer.json")).unwrap();
    let input = |name: &str| Port::tensor(name, ElementType::I64, [ANY, ANY]);
    let output = match task {
        Task::TextEmbedding => Port::tensor("last_hidden_state", ElementType::F32, [ANY; 3]),
        _ => Port::tensor("logits", ElementType::F32, [ANY, Dimension::Fixed(classes)]),
    };
    let inputs = vec![input("input_ids"), input("attention_mask")];
    let files = [("tokenizer.json", &*tokenizer)];
    described(&files, inputs, output, Some(task))
}

#[test]
fn texts_are_single_or_pairs_by_the_task() {
    for (task, outputs, classes, pair) in [
        (Task::TextClassification, 2, true, "optional"),
        (Task::TextPair, 1, false, "required"),
        (Task::TextEmbedding, 0, false, "none"),
    ] {
        let expected = json!({"input": "text", "pair": pair, "max_bytes": 64 << 10});
        assert_eq!(text_model(task, outputs), (task, classes, expected));
    }
}

#[test]
fn images_have_types_and_a_size() {
    let side = Dimension::Fixed(8);
    let inputs = vec![Port::tensor(
        "pixel_values",
        ElementType::F32,
        [ANY, Dimension::Fixed(3), side, side],
    )];
    let output = Port::tensor("logits", ElementType::F32, [ANY, Dimension::Fixed(2)]);
    let files = [("labels.txt", "cat\ndog")];
    let (task, classes, input) = described(&files, inputs, output, None);
    assert_eq!((task, classes), (Task::ImageClassification, true));
    assert_eq!(
        input["accept"],
        json!(["image/jpeg", "image/png", "image/webp"])
    );
    assert!(input["max_bytes"].as_u64().unwrap() > 1 << 20);
}
