//! The analysis of a model: assumptions about its inputs, and conditions on its outputs.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::decode::Model;
use crate::dimension::Dim;
use crate::findings::{Analysis, Finding, Verdict};
use crate::names::shortened;
use crate::proto::{Dimension, DimensionValue, TensorShape, TypeKind, ValueInfo};
use crate::scope::{Context, Scope};
use crate::value::{Blame, Certainty, Dependence, Layout, RowKind, Sequence, Value};
use crate::walk::{Walk, node};

/// Maximum number of axes of an input, without that of the rows.
const MAXIMUM_REST: usize = 15;

/// Analyses whether the rows of a batch are independent, and which nodes are hazardous.
///
/// The proof assumes conditions that a server checks before it stacks rows. Inputs have the declared rank and fixed
/// lengths, the same number of rows on axis 0, the same length on every other axis for all rows, and no axis of
/// length 0. Inputs with an initializer keep its value.
#[must_use]
pub fn analyse(model: &Model) -> Analysis {
    judged(model, None)
}

/// As [`analyse`], for a server that also checks named axes: axes with the same name have the same length in a request
/// and in all rows of a batch. Neither ONNX Runtime nor the graph guarantees that.
#[must_use]
pub fn analyse_named_lengths(model: &Model) -> Analysis {
    let inputs = model.graph().input.iter();
    let rows =
        inputs.filter_map(|input| Some(axis_name(shape_of(input)?.dim.first()?)?.to_owned()));
    judged(
        model,
        Some(Names {
            rows: rows.collect(),
            lengths: HashMap::new(),
        }),
    )
}

/// Lengths of named axes, where equal names are equal lengths.
struct Names {
    /// Those of the axes of rows.
    rows: HashSet<String>,
    lengths: HashMap<String, Dim>,
}

fn judged(model: &Model, mut names: Option<Names>) -> Analysis {
    let graph = model.graph();
    let mut walk = Walk::new(&model.proto.functions, node::run);
    let context = Rc::new(Context::new(&model.proto.opset_import));
    let mut scope = Scope::new(None, context);
    let fixed: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    let mut found = None;
    // The walk goes on where an input speaks against the proof, for the sake of the hazards.
    for input in graph
        .input
        .iter()
        .filter(|input| !fixed.contains(input.name.as_str()))
    {
        let (value, finding) = rows_of(&mut walk, input, &mut names);
        scope.values.insert(input.name.as_str(), Rc::new(value));
        found = found.or(finding.map(Verdict::Unknown));
    }
    walk.graph(graph, &mut scope);
    let verdict = found.unwrap_or_else(|| match verdict(graph.output.as_slice(), &scope) {
        Verdict::Independent => match &walk.first_blamed {
            Some(blame) => Verdict::Unknown(blame.finding.as_ref().clone()),
            None => Verdict::Independent,
        },
        other => other,
    });
    Analysis {
        verdict,
        hazards: walk.hazards,
    }
}

/// An input as the server gives it, with rows along axis 0, and a finding if that is impossible.
fn rows_of<'m>(
    walk: &mut Walk<'m>,
    input: &ValueInfo,
    names: &mut Option<Names>,
) -> (Value<'m>, Option<Finding>) {
    let finding = |why: &str, remedy: Option<&str>| Finding {
        node: shortened(&input.name),
        operator: "input".to_owned(),
        why: why.to_owned(),
        remedy: remedy.map(str::to_owned),
    };
    let opaque = |finding: Finding| {
        let blame = Blame {
            certainty: Certainty::Unproven,
            finding: Rc::new(finding.clone()),
        };
        (Value::mixed(blame), Some(finding))
    };
    let Some(TypeKind::Tensor(tensor)) = input
        .r#type
        .as_ref()
        .and_then(|r#type| r#type.value.as_ref())
    else {
        return opaque(finding("isn't a tensor", None));
    };
    let Some(declared) = &tensor.shape else {
        return opaque(finding(
            "declares no shape",
            Some("declare its axes when the model is exported"),
        ));
    };
    let Some((first, rest)) = declared.dim.split_first() else {
        return opaque(finding("has no axis of rows", None));
    };
    if rest.len() > MAXIMUM_REST {
        return opaque(finding("has too many axes", None));
    }
    let length = |dim: &Dimension| match &dim.value {
        Some(DimensionValue::Length(length)) if *length >= 0 => Some(*length),
        _ => None,
    };
    let against = if let Some(rows) = length(first) {
        let remedy = "export the model with a dynamic first axis";
        Some(finding(
            &format!("has a fixed number of rows, {rows}"),
            Some(remedy),
        ))
    } else if rest.iter().filter_map(axis_name).any(|name| {
        let shared = names
            .as_ref()
            .is_some_and(|names| names.rows.contains(name));
        shared || axis_name(first) == Some(name)
    }) {
        Some(finding(
            "declares another axis as long as the rows are many",
            None,
        ))
    } else {
        None
    };
    let mut shape = vec![Dim::rows()];
    for dim in rest {
        shape.push(match (length(dim), axis_name(dim), &mut *names) {
            (Some(length), ..) => Dim::from(length),
            (None, Some(name), Some(names)) => {
                let lengths = &mut names.lengths;
                lengths
                    .entry(name.to_owned())
                    .or_insert_with(|| walk.length())
                    .clone()
            }
            (None, ..) => walk.length(),
        });
    }
    match Value::rows(shape, Layout::plain(0)) {
        Some(value) => (value.of_element(tensor.elem_type), against),
        None => opaque(finding("has too many axes", None)),
    }
}

/// The shape that an input declares.
fn shape_of(input: &ValueInfo) -> Option<&TensorShape> {
    match input.r#type.as_ref()?.value.as_ref()? {
        TypeKind::Tensor(tensor) => tensor.shape.as_ref(),
        _ => None,
    }
}

fn axis_name(dim: &Dimension) -> Option<&str> {
    match &dim.value {
        Some(DimensionValue::Name(name)) if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// The verdict on the outputs: certain findings before uncertain ones.
fn verdict(outputs: &[ValueInfo], scope: &Scope<'_, '_>) -> Verdict {
    let mut unknown = None;
    for output in outputs {
        match judge(output, scope) {
            None => {}
            Some((Certainty::Certain, finding)) => return Verdict::Dependent(finding),
            Some((_, finding)) => unknown = unknown.or(Some(finding)),
        }
    }
    match unknown {
        Some(finding) => Verdict::Unknown(finding),
        None if outputs.is_empty() => Verdict::Unknown(Finding {
            node: String::new(),
            operator: "output".to_owned(),
            why: "is missing".to_owned(),
            remedy: None,
        }),
        None => Verdict::Independent,
    }
}

/// The finding against an output.
fn judge(output: &ValueInfo, scope: &Scope<'_, '_>) -> Option<(Certainty, Finding)> {
    let finding = |why: &str| Finding {
        node: shortened(&output.name),
        operator: "output".to_owned(),
        why: why.to_owned(),
        remedy: None,
    };
    let Some(value) = scope.find(&output.name) else {
        return Some((Certainty::Unproven, finding("is given by no node")));
    };
    match &value.sequence {
        None | Some(Sequence::Maps) => {}
        Some(Sequence::Items(_)) => return Some((Certainty::Unproven, finding("is a sequence"))),
    }
    match &value.dependence {
        Dependence::Mixed(blame) | Dependence::Counted(blame) => {
            Some((blame.certainty, blame.finding.as_ref().clone()))
        }
        Dependence::Invariant => Some((
            Certainty::Certain,
            finding("is the same whatever the rows, so it has none"),
        )),
        Dependence::Rows(layout) => match &layout.kind {
            RowKind::Padded(_) => Some((
                Certainty::Certain,
                finding("is as long as the longest row of the batch"),
            )),
            RowKind::Placed(finding) => Some((Certainty::Certain, finding.as_ref().clone())),
            RowKind::Index | RowKind::IndexTuple | RowKind::Flat { .. } => Some((
                Certainty::Certain,
                finding("tells a row's place in the batch"),
            )),
            RowKind::Plain if layout.axis != 0 => Some((
                Certainty::Certain,
                finding(&format!("has the rows along axis {}, not 0", layout.axis)),
            )),
            RowKind::Plain if layout.is_single() => None,
            RowKind::Plain => {
                let several = layout.length().is_some_and(|length| {
                    length.equals(&Dim::rows()) == Some(false)
                        || layout.outer.minimum() > Some(1)
                        || layout.block.minimum() > Some(1)
                });
                let certainty = if several {
                    Certainty::Certain
                } else {
                    Certainty::Unproven
                };
                Some((
                    certainty,
                    finding("has several places for each row along axis 0"),
                ))
            }
        },
    }
}
