//! Lengths of free axes.

use std::collections::BTreeMap;

use super::build::{Graph, int, ints, text};
use crate::candidates::Length::{AtLeast, Exactly};
use crate::candidates::{Candidate, Length};
use crate::proto::element::FLOAT;

fn x(lengths: &[i64]) -> Graph {
    Graph::default().input("x", FLOAT, lengths)
}

fn lengths(graph: Graph) -> BTreeMap<usize, Length> {
    let Candidate {
        columns,
        values,
        lengths,
    } = graph.of("x");
    assert!(columns.is_empty() && values.is_none());
    lengths
}

#[test]
fn of_weights() {
    let product = x(&[0, 0])
        .weights("w", &[13, 2])
        .node("MatMul", "x w", "y", vec![]);
    assert_eq!(lengths(product), [(1, Exactly(13))].into());
    let transposed =
        x(&[0, 0])
            .weights("w", &[6, 13])
            .node("Gemm", "x w", "y", vec![int("transB", 1)]);
    assert_eq!(lengths(transposed), [(1, Exactly(13))].into());
    let channels = x(&[0, 0, 0, 0])
        .weights("w", &[4, 3, 1, 1])
        .node("Conv", "x w", "y", vec![]);
    assert_eq!(lengths(channels), [(1, Exactly(3))].into());
    let added = x(&[0, 0])
        .weights("w", &[1, 7])
        .node("Add", "w x", "y", vec![]);
    assert_eq!(lengths(added), [(1, Exactly(7))].into());
    let normalised =
        x(&[0, 0, 0])
            .weights("w", &[9])
            .node("LayerNormalization", "x w", "y", vec![]);
    assert_eq!(lengths(normalised), [(2, Exactly(9))].into());
}

#[test]
fn declared_ones_are_left_alone() {
    let fixed = x(&[0, 13])
        .weights("w", &[13, 2])
        .node("MatMul", "x w", "y", vec![]);
    assert_eq!(lengths(fixed), BTreeMap::new());
}

#[test]
fn of_kernels_in_a_chain() {
    let chain = x(&[0, 1, 0])
        .weights("w", &[2, 1, 10])
        .weights("v", &[2, 2, 3])
        .node("Conv", "x w", "a", vec![ints("strides", &[5])])
        .node("Relu", "a", "b", vec![])
        .node("Conv", "b v", "c", vec![ints("strides", &[2])])
        .node("Conv", "c v", "y", vec![ints("dilations", &[2])]);
    assert_eq!(lengths(chain), [(2, AtLeast(60))].into());
}

#[test]
fn pads_make_room() {
    let padded = x(&[0, 1, 0]).weights("w", &[2, 1, 3]).node(
        "Conv",
        "x w",
        "y",
        vec![ints("pads", &[1, 1])],
    );
    assert_eq!(lengths(padded), BTreeMap::new());
    let before = x(&[0, 1, 0])
        .weights("w", &[2, 1, 20])
        .integers("pads", &[0, 0, 2, 0, 0, 1])
        .node("Pad", "x pads", "p", vec![])
        .node("Conv", "p w", "y", vec![]);
    assert_eq!(lengths(before), [(2, AtLeast(17))].into());
    let reflected = x(&[0, 0]).integers("pads", &[0, 0, 0, 64]).node(
        "Pad",
        "x pads",
        "p",
        vec![text("mode", "reflect")],
    );
    assert_eq!(lengths(reflected), [(1, AtLeast(65))].into());
}

#[test]
fn axes_are_followed_through_layouts() {
    // image [height, width, channels] to [1, channels, height, width]
    let image = x(&[0, 0, 0])
        .integers("zero", &[0])
        .weights("w", &[2, 3, 5, 4])
        .node("Transpose", "x", "t", vec![ints("perm", &[2, 0, 1])])
        .node("Unsqueeze", "t zero", "u", vec![])
        .node("Conv", "u w", "y", vec![]);
    assert_eq!(
        lengths(image),
        [(0, AtLeast(5)), (1, AtLeast(4)), (2, Exactly(3))].into()
    );
}

#[test]
fn shapes_are_followed_through_their_arithmetic() {
    let chain = x(&[0, 0])
        .integers("zero", &[0])
        .integers("one", &[1])
        .weights("w", &[2, 1, 15])
        .node("Shape", "x", "s", vec![])
        .node("Gather", "s zero", "n", vec![])
        .node("Gather", "s one", "l", vec![])
        .node("Concat", "n one l", "shape", vec![int("axis", 0)])
        .node("Reshape", "x shape", "r", vec![])
        .node("Conv", "r w", "y", vec![]);
    assert_eq!(lengths(chain), [(1, AtLeast(15))].into());
}

#[test]
fn flattened_images_are_square() {
    let network = x(&[0, 3, 0, 0])
        .weights("w", &[4, 3, 3, 3])
        .weights("v", &[144, 2])
        .node("Conv", "x w", "a", vec![ints("pads", &[1, 1, 1, 1])])
        .node(
            "MaxPool",
            "a",
            "b",
            vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
        )
        .node("Flatten", "b", "c", vec![])
        .node("Gemm", "c v", "y", vec![]);
    assert_eq!(
        lengths(network),
        [(2, Exactly(12)), (3, Exactly(12))].into()
    );
}

#[test]
fn reshapes_of_rows() {
    let folded = x(&[0, 0])
        .integers("s", &[-1, 4, 4])
        .node("Reshape", "x s", "y", vec![]);
    assert_eq!(lengths(folded), [(1, Exactly(16))].into());
    // Rows and steps become one axis: no length follows.
    let merged = x(&[0, 0, 8])
        .integers("s", &[-1, 8])
        .node("Reshape", "x s", "y", vec![]);
    assert_eq!(lengths(merged), BTreeMap::new());
}

#[test]
fn halves_that_meet_again_want_a_multiple() {
    let network = x(&[0, 4, 0])
        .weights("v", &[4, 4, 3])
        .floats("scales", &[1.0, 1.0, 2.0])
        .node(
            "Conv",
            "x v",
            "a",
            vec![ints("pads", &[1, 1]), ints("strides", &[2])],
        )
        .node("Resize", "a - scales", "b", vec![])
        .node("Concat", "b x", "y", vec![int("axis", 1)]);
    assert_eq!(lengths(network), [(2, Exactly(8))].into());
}

#[test]
fn states_of_recurrent_layers() {
    let found = x(&[0, 0, 0])
        .input("h", FLOAT, &[0, 0, 0])
        .weights("w", &[1, 9, 5])
        .weights("r", &[1, 9, 3])
        .node("GRU", "x w r - - h", "y z", vec![int("hidden_size", 3)])
        .candidates();
    assert_eq!(found.inputs["x"].lengths, [(2, Exactly(5))].into());
    assert_eq!(
        found.inputs["h"].lengths,
        [(0, Exactly(1)), (2, Exactly(3))].into()
    );
}

#[test]
fn columns_that_are_picked_exist() {
    let picked =
        x(&[0, 0])
            .integers("i", &[3, 12])
            .node("Gather", "x i", "y", vec![int("axis", 1)]);
    assert_eq!(lengths(picked), [(1, AtLeast(13))].into());
}

#[test]
fn hostile_numbers_end_in_nothing() {
    let huge = x(&[0, 1, 0])
        .weights("w", &[2, 1, i64::MAX])
        .node(
            "Conv",
            "x w",
            "a",
            vec![
                ints("strides", &[i64::MAX]),
                ints("dilations", &[i64::MIN]),
                ints("pads", &[i64::MAX, i64::MAX]),
            ],
        )
        .node(
            "Conv",
            "a w",
            "b",
            vec![ints("strides", &[0]), ints("pads", &[i64::MIN])],
        )
        .integers("s", &[i64::MIN, i64::MAX])
        .node("Reshape", "b s", "c", vec![])
        .node("Flatten", "c", "d", vec![int("axis", i64::MIN)])
        .node("Slice", "d s s s s", "e", vec![])
        .node("Transpose", "e", "f", vec![ints("perm", &[i64::MAX, -1])])
        .node("Gather", "f s", "g", vec![int("axis", i64::MIN)])
        .node("Pad", "b s", "h", vec![])
        .node("Tile", "x s", "i", vec![])
        .node("Split", "x s", "j k", vec![int("axis", i64::MIN)])
        .node("MatMul", "w x", "l", vec![])
        .node("Unsqueeze", "x s", "m", vec![])
        .node("ConstantOfShape", "s", "n", vec![]);
    assert!(huge.candidates().inputs.len() <= 1);
}

#[test]
fn ranks_and_lists_that_double_end() {
    let mut graph = x(&[0, 2]);
    for step in 0..80 {
        let (from, to) = (format!("r{step}"), format!("r{}", step + 1));
        let from = if step == 0 { "x".to_owned() } else { from };
        let shape = |step: usize| format!("s{step}");
        graph = graph
            .node("Gather", &format!("{from} {from}"), &to, vec![])
            .node("Shape", &from, &shape(step), vec![])
            .node(
                "Concat",
                &format!("{0} {0}", shape(step)),
                &format!("c{step}"),
                vec![int("axis", 0)],
            )
            .node(
                "Concat",
                &format!("{from} {from}"),
                &format!("d{step}"),
                vec![int("axis", -1)],
            );
    }
    assert!(graph.candidates().inputs.len() <= 1);
}
