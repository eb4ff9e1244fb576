//! Files that nobody meant well with.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::{any, prop_assert_ne, proptest};
use prost::Message as _;

use super::{hazards, parse, with_opset};
use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
use crate::size::{self, Kind};
use crate::{Model, Verdict, analyse};

const ATTENTION: &str = "in x N T 12; float w 12 12
    ints four = 0 0 3 4; q = MatMul (x w); a = Reshape (q four); b = Transpose perm=0,2,1,3 (a)
    k = Transpose perm=0,1,3,2 (b); s = MatMul (b k); p = Softmax axis=-1 (s); o = MatMul (p b)
    d = Transpose perm=0,2,1,3 (o); ints back = 0 0 12; y = Reshape (d back)
    graph body; in i:int64; in c:bool; in h N T 12; e = Identity (c); g = Relu (h); out e g; end
    scalar times = 3; z = Loop body=@body (times _ y); out z";

proptest! {
    #[test]
    fn any_bytes_are_survived(file in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(model) = Model::decode(file.into()) {
            prop_assert_ne!(analyse(&model).verdict, Verdict::Independent);
        }
    }

    #[test]
    fn files_with_wrong_bytes_are_survived(places in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
        let mut file = parse(ATTENTION).proto.encode_to_vec();
        for (place, byte) in places {
            let length = file.len();
            if let Some(at) = file.get_mut(place % length) {
                *at = byte;
            }
        }
        if let Ok(model) = Model::decode(file.into()) {
            let _ = analyse(&model);
        }
    }
}

#[test]
fn a_good_file_is_read_as_it_was_written() {
    let model = parse(ATTENTION);
    let read = Model::decode(Bytes::from(model.proto.encode_to_vec())).unwrap();
    assert_eq!(read.proto, model.proto);
    assert_eq!(analyse(&read).verdict, Verdict::Independent);
}

#[test]
fn what_is_no_model_is_refused() {
    assert!(Model::decode(Bytes::new()).is_err());
    assert!(Model::decode(Bytes::from_static(b"<html>")).is_err());
}

/// Attributes without anything in them, two bytes each.
#[test]
fn lists_of_nothing_are_counted() {
    let node = [[0x2a, 0x00]; 60].concat();
    let file = [&[0x3a, 122, 0x0a, 120], node.as_slice()].concat();
    let is_bounded = |mut left: usize| size::is_bounded(&file, Kind::Model, &mut left, 0);
    // The graph, the node and its attributes.
    assert!(is_bounded(62));
    assert!(!is_bounded(61));
    assert_eq!(
        Model::decode(file.clone().into()).unwrap().graph().node[0]
            .attribute
            .len(),
        60
    );
}

/// A graph in a graph in a graph.
#[test]
fn nesting_has_an_end() {
    let mut graph = GraphProto::default();
    for _ in 0..30 {
        let attribute = |name: &str, graph: &GraphProto| AttributeProto {
            name: name.to_owned(),
            g: Some(Box::new(graph.clone())),
            ..AttributeProto::default()
        };
        graph = GraphProto {
            node: vec![NodeProto {
                op_type: "If".to_owned(),
                attribute: vec![
                    attribute("then_branch", &graph),
                    attribute("else_branch", &GraphProto::default()),
                ],
                ..NodeProto::default()
            }],
            ..GraphProto::default()
        };
    }
    let mut model = with_opset(17, "in x N 4; scalar c = 1; y = Relu (x); out y");
    model.proto.graph.as_mut().unwrap().node.extend(graph.node);
    let file = Bytes::from(model.proto.encode_to_vec());
    if let Ok(model) = Model::decode(file) {
        let _ = analyse(&model);
    }
}

/// Functions that call each other twice: 2ⁿ calls, which a bound ends.
#[test]
fn work_has_an_end() {
    use std::fmt::Write as _;
    let mut text = String::from("function f0; in a; b = Relu (a); out b; end;");
    for index in 1..40 {
        let before = index - 1;
        write!(
            text,
            "function f{index}; in a; c = local.f{before} (a); b = local.f{before} (c); out b; end;"
        )
        .unwrap();
    }
    text.push_str("in x N 4; y = local.f39 (x); out y");
    let started = Instant::now();
    assert_ne!(analyse(&parse(&text)).verdict, Verdict::Independent);
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "the bound on visits has no effect"
    );
}

#[test]
fn shapes_that_grow_have_an_end() {
    use std::fmt::Write as _;
    let mut text = String::from("in x N a b c; s = Shape (x); p0 = ReduceProd (s);");
    for index in 1..80 {
        let before = index - 1;
        write!(text, "p{index} = Mul (p{before} p{before});").unwrap();
    }
    text.push_str("y = Reshape (x p79); ints axes = 0; z0 = Unsqueeze (x axes);");
    for index in 1..100 {
        let before = index - 1;
        write!(text, "z{index} = Unsqueeze (z{before} axes);").unwrap();
    }
    text.push_str("out y z99");
    assert_ne!(analyse(&parse(&text)).verdict, Verdict::Independent);
}

#[test]
fn names_are_cut_short() {
    let long = "n".repeat(100_000);
    let model = Model {
        proto: ModelProto {
            graph: Some(GraphProto {
                node: vec![NodeProto {
                    op_type: long.clone(),
                    output: vec![long.clone()],
                    ..NodeProto::default()
                }],
                output: vec![crate::proto::ValueInfo {
                    name: long,
                    r#type: None,
                }],
                ..GraphProto::default()
            }),
            ..parse("in x N").proto
        },
    };
    let Verdict::Unknown(finding) = analyse(&model).verdict else {
        panic!("judged");
    };
    assert!(finding.to_string().len() < 1000);
}

#[test]
fn order_and_names_are_checked() {
    super::unknown(
        "in x N 4; y = Relu (z); z = Relu (x); out y",
        "no node before it gives",
    );
    super::unknown(
        "in x N 4; y = Relu (x); y = Neg (x); out y",
        "gives a name a second value",
    );
    super::unknown(
        "in x N 4; ints a = 1; ints a = 0; y = ReduceSum (x a); out y",
        "input \"a\" has two values",
    );
    super::unknown(
        "in x N 4; y = ReduceMax axes=[1] axes=[0] (x); out y",
        "has an attribute twice",
    );
    let mut model = with_opset(12, "in x N 4; y = Softmax (x); out y");
    assert_eq!(analyse(&model).verdict, Verdict::Independent);
    model.proto.opset_import.push(crate::proto::OperatorSetId {
        domain: "ai.onnx".to_owned(),
        version: 13,
    });
    assert_ne!(analyse(&model).verdict, Verdict::Independent);
}

#[test]
fn integer_divisions_are_hazards() {
    assert!(hazards("in x N 4; float w 4; y = Div (x w); out y").is_empty());
    assert!(hazards("in x:int64 N 4; ints w = 2 3 4 5; y = Div (x w); out y").is_empty());
    assert_eq!(
        hazards("in x:int64 N 4; ints w = 2 0 4 5; y = Div (x w); out y"),
        ["node \"the Div\" (Div) divides by integers that may be 0"]
    );
    assert_eq!(
        hazards("in x:int64 N 4; in w:int64 N 4; y = Mod (x w); out y").len(),
        1
    );
    assert_eq!(
        hazards("in x:int64 N 4; ints w = -1; y = Div (x w); out y").len(),
        1
    );
    // Lengths of axes are at least 1, and are no least integers.
    assert!(hazards("in x N T; s = Shape (x); ints one = -1; a = Div (s one); b = Div (one s); y = Relu (x); out y").is_empty());
    assert_eq!(hazards("in x:int64 N 4; ints a = 0; ints b = 0; ints ax = 1; e = Slice (x a b ax); y = ReduceMean axes=[1] (e); out y").len(), 1);
    // Within branches and functions, too.
    let division = "b = Mod (a a); out b; end";
    assert_eq!(
        hazards(&format!(
            "function f; in a; {division}; in x:int64 N 4; y = local.f (x); out y"
        ))
        .len(),
        1
    );
    let branches = "graph yes; c = Mod (x x); out c; end; graph no; d = Neg (x); out d; end";
    assert_eq!(hazards(&format!("in x:int64 N 4; {branches}; scalar z = 0; y = If then_branch=@yes else_branch=@no (z); out y")).len(), 1);
}

#[test]
fn graphs_within_that_may_take_dequantized_numbers_are_hazards() {
    let branches = "graph yes; c = Neg (t); out c; end; graph no; d = Tanh (t); out d; end";
    let choice = "scalar z = 0; y = If then_branch=@yes else_branch=@no (z); out y";
    let inputs = "in x N 2 2; floats s = 0.5";
    let quantized = "q = QuantizeLinear (x s); d = DequantizeLinear (q s); t = Transpose (d)";
    assert_eq!(
        hazards(&format!("{inputs}; {branches}; {quantized}; {choice}")).len(),
        1
    );
    assert!(
        hazards(&format!(
            "{inputs}; {branches}; t = Transpose (x); {choice}"
        ))
        .is_empty()
    );
    assert!(hazards(&format!("{inputs}; {quantized}; out t")).is_empty());
}

#[test]
fn loops_without_a_small_bound_are_hazards() {
    let body =
        "graph body; in i:int64; in c:bool; in h N 4; k = Identity (c); g = Relu (h); out k g; end";
    let of = |trips: &str, node: &str| {
        let found = hazards(&format!("in x N 4; {body}; {trips}; {node}; out y"));
        found.iter().any(|hazard| hazard.contains("without end"))
    };
    let repeated = "y = Loop body=@body (m c x)";
    assert!(!of("scalar m = 4096; scalar c = 1", repeated));
    assert!(of("scalar m = 4097; scalar c = 1", repeated));
    assert!(of("scalar c = 1", "y = Loop body=@body (_ c x)"));
    assert!(of("in m:int64 N; scalar c = 1", repeated));
}

#[test]
fn loops_whose_states_may_grow_are_hazards() {
    let of = |trips: usize, line: &str| {
        hazards(&format!(
            "graph body; in i:int64; in c:bool; in h; k = Identity (c); {line}; out k g; end; \
             in x N 4; scalar m = {trips}; y = Loop body=@body (m _ x); out y"
        ))
    };
    let doubles = "g = Concat axis=1 (h h)";
    let found = of(40, doubles);
    assert!(
        found
            .iter()
            .any(|hazard| hazard.contains("larger each time")),
        "{found:?}"
    );
    assert!(of(1, doubles).is_empty());
    assert!(of(40, "g = Relu (h)").is_empty());
}

#[test]
fn tensors_of_a_size_that_values_decide_are_hazards() {
    for (text, is_hazard) in [
        (
            "in x N 4; s = Shape (x); y = ConstantOfShape (s); out y",
            false,
        ),
        (
            "in x N 4; ints s = 1000000000; z = ConstantOfShape (s); y = Relu (x); out y",
            true,
        ),
        (
            "in x N 4; in s:int64 N 4; z = ConstantOfShape (s); y = Relu (x); out y",
            true,
        ),
        ("in x N 4; ints r = 1 2; y = Tile (x r); out y", false),
        (
            "in x N 4; in r:int64 N 2; z = Tile (x r); y = Relu (x); out y",
            true,
        ),
        (
            "in x N 4; scalar a = 0; scalar s = 1; in l:int64 N; z = Range (a l s); y = Relu (x); out y",
            true,
        ),
        ("in x N 3 T U; ints s = 1 3; z = Expand (x s); out z", false),
    ] {
        assert_eq!(
            !hazards(text).is_empty(),
            is_hazard,
            "{text}: {:?}",
            hazards(text)
        );
    }
}

#[test]
fn what_doubles_and_doubles_is_a_hazard() {
    let doubled = |times: usize| {
        let steps: Vec<String> = (0..times)
            .map(|step| format!("x{} = Concat axis=1 (x{step} x{step})", step + 1))
            .collect();
        hazards(&format!("in x0 N 4; {}; out x{times}", steps.join("; ")))
    };
    assert!(doubled(20).is_empty());
    assert!(!doubled(28).is_empty());
}

#[test]
fn many_large_constants_are_a_hazard_together() {
    let made = |count: usize| {
        let each: Vec<String> = (0..count)
            .map(|index| format!("z{index} = ConstantOfShape (s)"))
            .collect();
        hazards(&format!(
            "in x N 4; ints s = 1000 10000; {}; y = Relu (x); out y",
            each.join("; ")
        ))
    };
    assert!(made(3).is_empty());
    assert!(!made(20).is_empty());
}
