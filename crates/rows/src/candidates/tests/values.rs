//! Values.

use super::build::{Graph, graph, int, ints, range, strings, text, texts};
use crate::candidates::Values;
use crate::proto::element::{BOOL, FLOAT, INT32, INT64, STRING, UINT8};

const ONE_HOT: &str = "ai.onnx.ml:OneHotEncoder";
const FEATURES: &str = "ai.onnx.ml:ArrayFeatureExtractor";

fn one_hot(kind: i32, lengths: &[i64]) -> Graph {
    Graph::default().input("x", kind, lengths)
}

#[test]
fn a_graph_that_takes_anything_says_nothing() {
    let found = Graph::default()
        .input("x", FLOAT, &[0, 4])
        .weights("w", &[4, 2])
        .node("MatMul", "x w", "y", vec![])
        .node("Relu", "y", "z", vec![])
        .candidates();
    assert!(found.inputs.is_empty(), "{found:?}");
}

#[test]
fn categories_by_column_through_a_matrix() {
    // As skl2onnx writes a ColumnTransformer: columns are merged, then picked again.
    let found = Graph::default()
        .input("sex", STRING, &[0, 1])
        .input("city", STRING, &[0, 1])
        .integers("one", &[1])
        .node("Concat", "sex city", "merged", vec![int("axis", 1)])
        .node(FEATURES, "merged one", "picked", vec![])
        .node(
            ONE_HOT,
            "picked",
            "y",
            vec![texts("cats_strings", &["oslo", "rome"])],
        )
        .candidates();
    assert_eq!(found.inputs.len(), 1);
    assert_eq!(
        found.inputs["city"].values,
        Some(strings(&["oslo", "rome"]))
    );

    let candidate = one_hot(FLOAT, &[0, 5])
        .integers("columns", &[4, 3])
        .integers("first", &[0])
        .node(FEATURES, "x columns", "a", vec![])
        .node("Gather", "a first", "b", vec![int("axis", 1)])
        .node("Cast", "b", "c", vec![int("to", i64::from(INT64))])
        .node(ONE_HOT, "c", "y", vec![ints("cats_int64s", &[10, 35])])
        .of("x");
    assert_eq!(candidate.values, None);
    assert_eq!(candidate.columns.len(), 1);
    assert_eq!(candidate.column(4), Some(&Values::Floats(vec![10.0, 35.0])));
    assert_eq!(candidate.column(3), None);
}

#[test]
fn categories_of_another_type_than_the_input() {
    let as_text = one_hot(INT64, &[0, 1])
        .node("Cast", "x", "t", vec![int("to", i64::from(STRING))])
        .node(
            ONE_HOT,
            "t",
            "y",
            vec![texts("cats_strings", &["11", "12"])],
        )
        .of("x");
    assert_eq!(as_text.values, Some(Values::Integers(vec![11, 12])));
    let as_number = one_hot(STRING, &[0, 1])
        .node("Cast", "x", "t", vec![int("to", i64::from(INT64))])
        .node(ONE_HOT, "t", "y", vec![ints("cats_int64s", &[11, 12])])
        .of("x");
    assert_eq!(as_number.values, Some(strings(&["11", "12"])));
}

#[test]
fn long_lists_are_thinned_out_and_long_strings_left_out() {
    let mut names: Vec<String> = (0..3000).map(|number| format!("w{number:04}")).collect();
    names.push("x".repeat(300));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let candidate = one_hot(STRING, &[0, 1])
        .node(ONE_HOT, "x", "y", vec![texts("cats_strings", &names)])
        .of("x");
    let Some(Values::Strings(kept)) = candidate.values else {
        unreachable!("{candidate:?}");
    };
    assert_eq!(kept.len(), 64);
    assert_eq!((kept[0].as_str(), kept[63].as_str()), ("w0000", "w2999"));
}

#[test]
fn two_encoders_of_one_column_agree_where_they_can() {
    let both = |second: &[&str]| {
        one_hot(STRING, &[0, 1])
            .node(
                ONE_HOT,
                "x",
                "y",
                vec![texts("cats_strings", &["a", "b", "c"])],
            )
            .node(
                "ai.onnx.ml:LabelEncoder",
                "x",
                "z",
                vec![texts("keys_strings", second)],
            )
            .of("x")
            .values
    };
    assert_eq!(both(&["c", "b"]), Some(strings(&["b", "c"])));
    assert_eq!(both(&["d"]), Some(strings(&["a", "b", "c"])));
}

#[test]
fn words_and_texts_of_a_vocabulary() {
    let vocabulary = vec![
        texts("pool_strings", &["good", "bad", "good", "film"]),
        ints("ngram_counts", &[0, 2]),
        ints("ngram_indexes", &[0, 1, 2]),
    ];
    let tokenized = one_hot(STRING, &[0, 1])
        .integers("all", &[-1])
        .node("Reshape", "x all", "r", vec![])
        .node(
            "StringNormalizer",
            "r",
            "n",
            vec![text("case_change_action", "LOWER")],
        )
        .node(
            "com.microsoft:Tokenizer",
            "n",
            "t",
            vec![text("tokenexp", "[a-z]+")],
        )
        .node("TfIdfVectorizer", "t", "y", vocabulary.clone())
        .of("x");
    assert_eq!(
        tokenized.values,
        Some(strings(&["good bad good film", "good", "bad", "good film"]))
    );
    let characters = one_hot(STRING, &[0])
        .node(
            "com.microsoft:Tokenizer",
            "x",
            "t",
            vec![text("tokenexp", ".")],
        )
        .node(
            "TfIdfVectorizer",
            "t",
            "y",
            vec![
                texts("pool_strings", &["a", "b"]),
                ints("ngram_counts", &[0]),
            ],
        )
        .of("x");
    assert_eq!(characters.values, Some(strings(&["ab", "a", "b"])));
    let words = one_hot(STRING, &[0, 3])
        .node("TfIdfVectorizer", "x", "y", vocabulary)
        .of("x");
    assert_eq!(
        words.column(2),
        Some(&strings(&["good", "bad", "good", "film"]))
    );
}

#[test]
fn rows_of_a_table() {
    let table = || Graph::default().weights("table", &[30, 4]);
    let plain = table()
        .input("x", INT64, &[0, 0])
        .node("Gather", "table x", "y", vec![])
        .of("x");
    assert_eq!(plain.values, Some(range(0, 29)));
    assert!(plain.lengths.is_empty());

    let shifted = table()
        .input("x", INT64, &[0])
        .integer("more", 100)
        .node("Sub", "x more", "d", vec![])
        .node("Gather", "table d", "y", vec![])
        .of("x");
    assert_eq!(shifted.values, Some(range(100, 129)));

    let positions = table()
        .input("x", INT64, &[0, 0])
        .integer("two", 2)
        .node("Add", "x two", "d", vec![])
        .node("Gather", "table d", "y", vec![])
        .of("x");
    assert_eq!(positions.values, Some(range(0, 27)));

    // Of a table of unknown length, the first row is there.
    let unknown = Graph::default()
        .input("data", FLOAT, &[0, 0])
        .input("x", INT64, &[0, 2])
        .node("GatherElements", "data x", "y", vec![int("axis", 1)])
        .of("x");
    assert_eq!(unknown.column(1), Some(&range(0, 0)));
}

#[test]
fn tables_by_column_and_two_of_one_input() {
    let candidate = Graph::default()
        .input("x", INT64, &[0, 2])
        .weights("small", &[5, 4])
        .weights("large", &[50, 4])
        .node("Split", "x", "a b", vec![int("axis", 1)])
        .node("Gather", "small a", "p", vec![])
        .node("Gather", "large b", "q", vec![])
        .node("Gather", "large a", "r", vec![])
        .of("x");
    assert_eq!(candidate.column(0), Some(&range(0, 4)));
    assert_eq!(candidate.column(1), Some(&range(0, 49)));
}

#[test]
fn integer_divisors_are_not_zero() {
    let divided = |kind: i32| {
        Graph::default()
            .input("a", kind, &[0, 1])
            .input("b", kind, &[0, 1])
            .node("Div", "a b", "y", vec![])
    };
    let found = divided(INT32).candidates();
    assert_eq!(found.inputs.len(), 1, "the dividend may be anything");
    assert_eq!(found.inputs["b"].values, Some(range(1, 16)));
    let Some(Values::Floats(floats)) = divided(FLOAT).of("b").values else {
        unreachable!("floats");
    };
    assert!(floats.iter().all(|float| *float != 0.0) && floats.len() > 4);

    let less_one = Graph::default()
        .input("a", INT64, &[0, 1])
        .input("b", INT64, &[0, 1])
        .integer("one", 1)
        .node("Sub", "b one", "c", vec![])
        .node("Mod", "a c", "y", vec![])
        .of("b");
    assert_eq!(less_one.values, Some(range(2, 17)));
}

#[test]
fn divisors_in_a_branch() {
    let branch = |operator: &str| Graph::default().node(operator, "a b", "r", vec![]);
    let mut then = branch("Div");
    then.0.output.push(crate::proto::ValueInfo {
        name: "r".to_owned(),
        r#type: None,
    });
    let candidate = Graph::default()
        .input("a", INT64, &[0, 1])
        .input("b", INT64, &[0, 1])
        .input("c", BOOL, &[1])
        .node(
            "If",
            "c",
            "y",
            vec![
                graph("then_branch", then),
                graph("else_branch", branch("Add")),
            ],
        )
        .of("b");
    assert_eq!(candidate.values, Some(range(1, 16)));
}

#[test]
fn small_integers_stay_within_their_type() {
    let shifts = Graph::default()
        .input("x", UINT8, &[0])
        .input("by", UINT8, &[0])
        .node("BitShift", "x by", "y", vec![text("direction", "LEFT")])
        .of("by");
    assert_eq!(shifts.values, Some(range(0, 7)));
    let ids = Graph::default()
        .input("x", UINT8, &[0])
        .weights("table", &[1000, 4])
        .node("Gather", "table x", "y", vec![])
        .of("x");
    assert_eq!(ids.values, Some(range(0, 255)));
}

#[test]
fn masks_are_ones_and_zeros_and_word_ids_are_not() {
    let found = Graph::default()
        .input("ids", INT64, &[0, 0])
        .input("mask", INT64, &[0, 0])
        .weights("table", &[30, 4])
        .integers("last", &[2])
        .integers("second", &[1])
        .node("Gather", "table ids", "words", vec![])
        .node("Cast", "mask", "m", vec![int("to", i64::from(FLOAT))])
        .node("Unsqueeze", "m last", "wide", vec![])
        .node("Mul", "words wide", "kept", vec![])
        .node("ReduceSum", "kept second", "sum", vec![])
        .node("ReduceSum", "wide second", "count", vec![])
        .node("Div", "sum count", "mean", vec![])
        .candidates();
    assert_eq!(
        found.inputs["mask"].values,
        Some(Values::Integers(vec![1, 0]))
    );
    assert_eq!(found.inputs["ids"].values, Some(range(0, 29)));
}

#[test]
fn what_is_compared_with_is_a_hint_among_others() {
    let candidate = Graph::default()
        .input("x", INT64, &[0, 1])
        .integers("codes", &[10, 20])
        .node("Equal", "codes x", "y", vec![])
        .of("x");
    let Some(Values::Integers(list)) = candidate.values else {
        unreachable!("{candidate:?}");
    };
    assert_eq!(list[..2], [10, 20]);
    assert!(list.contains(&0), "{list:?}");
}

#[test]
fn an_input_that_chooses_a_branch_keeps_to_one() {
    let candidate = Graph::default()
        .input("rate", INT64, &[])
        .integer("known", 16000)
        .node("Equal", "rate known", "c", vec![])
        .node("If", "c", "y", vec![])
        .of("rate");
    assert_eq!(candidate.values, Some(Values::Integers(vec![16000])));
}

#[test]
fn logarithms_take_positive_numbers() {
    let candidate = Graph::default()
        .input("x", FLOAT, &[0, 2])
        .node("Log", "x", "y", vec![])
        .of("x");
    let Some(Values::Floats(list)) = candidate.column(1) else {
        unreachable!("{candidate:?}");
    };
    assert!(
        list.iter().all(|float| *float > 0.0) && list.contains(&0.5),
        "{list:?}"
    );
    let shifted = Graph::default()
        .input("x", FLOAT, &[0, 1])
        .floats("ten", &[10.0])
        .node("Sub", "x ten", "d", vec![])
        .node("Log", "d", "y", vec![])
        .of("x");
    let Some(Values::Floats(list)) = shifted.values else {
        unreachable!("{shifted:?}");
    };
    assert!(list.iter().all(|float| *float > 10.0), "{list:?}");
}

#[test]
fn sizes_and_steps_are_small() {
    let x = || Graph::default().input("x", FLOAT, &[0, 6]);
    let k = x()
        .input("k", INT64, &[1])
        .node("TopK", "x k", "v i", vec![])
        .of("k");
    assert_eq!(k.values, Some(range(1, 6)));
    let shape = x()
        .input("s", INT64, &[3])
        .node("Reshape", "x s", "y", vec![])
        .of("s");
    assert_eq!(shape.column(0), Some(&Values::Integers(vec![-1])));
    assert_eq!(shape.column(2), Some(&Values::Integers(vec![1])));
    let step = x()
        .input("t", INT64, &[1])
        .integers("zero", &[0])
        .integers("six", &[6])
        .integers("axis", &[1])
        .node("Slice", "x zero six axis t", "y", vec![])
        .of("t");
    assert_eq!(step.values, Some(range(1, 1)));
    let depth = Graph::default()
        .input("x", INT64, &[0])
        .input("d", INT64, &[])
        .floats("onoff", &[0.0, 1.0])
        .node("OneHot", "x d onoff", "y", vec![])
        .of("d");
    assert_eq!(depth.values, Some(range(1, 16)));
    let parts = x()
        .input("s", INT64, &[2])
        .node("Split", "x s", "a b", vec![int("axis", 1)])
        .of("s");
    assert_eq!(
        (parts.column(0), parts.column(1)),
        (Some(&range(5, 5)), Some(&range(1, 1)))
    );
}

#[test]
fn inputs_with_a_value_of_their_own_are_left_alone() {
    let found = Graph::default()
        .input("a", INT64, &[0, 1])
        .input("b", INT64, &[1])
        .integers("b", &[4])
        .node("Div", "a b", "y", vec![])
        .candidates();
    assert!(found.inputs.is_empty(), "{found:?}");
}
