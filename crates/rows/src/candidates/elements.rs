//! Which elements of the inputs a node's outputs are, and which values a node takes.

mod constraints;
mod moves;
mod vocabulary;

use std::rc::Rc;

use crate::proto::element;

use super::operands::Operands;
use super::tensor::{Elements, Origin, Origins, Tensor, Text};

pub(super) use constraints::{constrain, single_source};

/// What the node's outputs are made of, where they are values of the inputs.
pub(super) fn infer<'m>(operands: &Operands<'_, 'm>) -> Vec<Elements<'m>> {
    let first =
        |origins: Option<Origins>| vec![origins.map_or(Elements::Unknown, Elements::Inputs)];
    match operands.operator() {
        "Identity" | "Dropout" | "Cast" | "CastLike"
            if operands.input(0).constant_value().is_some() =>
        {
            vec![operands.input(0).elements.clone()]
        }
        // These change values, but not those that matter: small whole numbers, positive numbers, names.
        "Identity" | "Dropout" | "Cast" | "CastLike" | "StringNormalizer" | "Clip" | "Relu"
        | "Abs" | "Floor" | "Ceil" | "Round" | "Imputer" | "Trilu" | "Optional"
        | "OptionalGetElement" => first(operands.input(0).origins().cloned()),
        "Max" | "Min" | "Mod" | "Where" => first(either(operands)),
        "Mul"
            if operands
                .inputs
                .iter()
                .all(|input| input.origins().is_some()) =>
        {
            first(either(operands))
        }
        "Add" | "Sub" | "Mul" | "Div" | "Neg" => first(affine(operands)),
        "Scaler" => first(scaler(operands)),
        "Tokenizer" => first(tokens(operands)),
        operator if operator.starts_with("Reduce") && !operator.contains("Log") => {
            first(operands.input(0).origins().map(Origins::anywhere))
        }
        _ => moves::infer(operands),
    }
}

/// The kind of the first output's elements, as far as the operator tells.
pub(super) fn element(operands: &Operands<'_, '_>) -> i32 {
    match operands.operator() {
        "Cast" => i32::try_from(operands.integer("to", 0)).unwrap_or(element::UNDEFINED),
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => element::INT64,
        "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "Not" | "And" | "Or"
        | "Xor" | "IsNaN" | "IsInf" => element::BOOL,
        "Where" => operands.input(1).element,
        "Tokenizer" => element::STRING,
        "OneHotEncoder" | "Scaler" | "Normalizer" | "TfIdfVectorizer" | "FeatureVectorizer" => {
            element::FLOAT
        }
        "LabelEncoder"
        | "CategoryMapper"
        | "QuantizeLinear"
        | "DequantizeLinear"
        | "DynamicQuantizeLinear" => element::UNDEFINED,
        _ => operands.input(0).element,
    }
}

/// On which inputs the outputs depend, and whether they are made of them by simple operators alone.
pub(super) fn sources(operands: &Operands<'_, '_>) -> (Rc<[usize]>, bool) {
    // The most inputs that are told apart: a mask depends on one.
    const MOST: usize = 4;
    if matches!(operands.operator(), "Shape" | "Size") {
        return (Rc::from([]), true);
    }
    let mut sources: Vec<usize> = operands
        .inputs
        .iter()
        .flat_map(|input| input.sources.iter().copied())
        .collect();
    sources.sort_unstable();
    sources.dedup();
    sources.truncate(MOST);
    let is_simple = matches!(
        operands.operator(),
        "Identity"
            | "Cast"
            | "Unsqueeze"
            | "Squeeze"
            | "Reshape"
            | "Transpose"
            | "Expand"
            | "Slice"
            | "Concat"
            | "Tile"
            | "Sub"
            | "Add"
            | "Mul"
            | "Div"
            | "Neg"
            | "Equal"
            | "Not"
            | "And"
            | "Or"
            | "Where"
            | "Less"
            | "Greater"
            | "LessOrEqual"
            | "GreaterOrEqual"
            | "ReduceSum"
            | "ReduceMax"
            | "Clip"
            | "Max"
            | "Min"
            | "ConstantOfShape"
            | "Range"
            | "Trilu"
            | "CumSum"
            | "Flatten"
            | "ScatterND"
            | "GatherND"
            | "Gather"
            | "ReduceMin"
            | "ReduceMean"
    );
    let is_table = operands.operator() == "Gather" && operands.input(0).sources.is_empty();
    let given = operands
        .inputs
        .iter()
        .zip(&operands.node.input)
        .filter(|(_, name)| !name.is_empty());
    let simple = is_simple && !is_table && given.into_iter().all(|(input, _)| input.simple);
    (sources.into(), simple)
}

/// Values of any of the operands that are values of inputs, one of them at least being so.
fn either(operands: &Operands<'_, '_>) -> Option<Origins> {
    let skipped = usize::from(operands.operator() == "Where");
    let mut found = operands
        .inputs
        .iter()
        .skip(skipped)
        .filter_map(Tensor::origins);
    let first = found.next()?;
    let more: Vec<Origin> = found.flat_map(Origins::all).collect();
    if more.is_empty() {
        return Some(first.clone());
    }
    Some(Origins::Any([first.all(), more].concat().into()))
}

/// Sums and products with constants.
fn affine(operands: &Operands<'_, '_>) -> Option<Origins> {
    if operands.operator() == "Neg" {
        return scaled(operands.input(0).origins()?, &[-1.0], &[0.0]);
    }
    let (left, right) = (operands.input(0), operands.input(1));
    if let (Some(origins), Some(numbers)) = (left.origins(), right.numbers()) {
        let negated: Vec<f64> = numbers.iter().map(|number| -number).collect();
        let inverse: Vec<f64> = numbers.iter().map(|number| 1.0 / number).collect();
        return match operands.operator() {
            "Add" => scaled(origins, &[1.0], &numbers),
            "Sub" => scaled(origins, &[1.0], &negated),
            "Mul" => scaled(origins, &numbers, &[0.0]),
            _ => scaled(origins, &inverse, &[0.0]),
        };
    }
    if let (Some(numbers), Some(origins)) = (left.numbers(), right.origins()) {
        return match operands.operator() {
            "Add" => scaled(origins, &[1.0], &numbers),
            "Sub" => scaled(origins, &[-1.0], &numbers),
            "Mul" => scaled(origins, &numbers, &[0.0]),
            _ => None,
        };
    }
    // A sum with what the graph computes without inputs: offsets of positions and the like.
    None
}

/// Values times `scales` plus `shifts`, each one number or one for each column.
fn scaled(origins: &Origins, scales: &[f64], shifts: &[f64]) -> Option<Origins> {
    let of = |numbers: &[f64], position: Option<usize>| match (numbers, position) {
        ([number], _) => Some(*number),
        (numbers, Some(position)) => numbers.get(position).copied(),
        _ => None,
    };
    let fits = |numbers: &[f64]| match origins {
        Origins::Each(list) => numbers.len() == 1 || numbers.len() == list.len(),
        Origins::Whole(_) | Origins::Any(_) => numbers.len() == 1,
    };
    (fits(scales) && fits(shifts)).then(|| {
        origins.map(|position, origin| {
            let (scale, shift) = (of(scales, position)?, of(shifts, position)?);
            let changed = Origin {
                scale: origin.scale * scale,
                shift: origin.shift * scale + shift,
                ..origin
            };
            (changed.scale.is_normal() && changed.shift.is_finite()).then_some(changed)
        })
    })
}

/// `Scaler`: (x - offset) · scale.
fn scaler(operands: &Operands<'_, '_>) -> Option<Origins> {
    let floats = |name: &str| -> Vec<f64> {
        operands
            .attribute(name)
            .map(|attribute| attribute.floats.iter().copied().map(f64::from).collect())
            .unwrap_or_default()
    };
    let (offset, scale) = (floats("offset"), floats("scale"));
    let negated: Vec<f64> = offset.iter().map(|offset| -offset).collect();
    let origins = operands.input(0).origins()?;
    let shifted = if offset.is_empty() {
        origins.clone()
    } else {
        scaled(origins, &[1.0], &negated)?
    };
    if scale.is_empty() {
        Some(shifted)
    } else {
        scaled(&shifted, &scale, &[0.0])
    }
}

fn tokens(operands: &Operands<'_, '_>) -> Option<Origins> {
    let expression = operands.text("tokenexp");
    let separators: Vec<&str> = operands
        .attribute("separators")
        .map(|attribute| {
            attribute
                .strings
                .iter()
                .filter_map(|text| std::str::from_utf8(text).ok())
                .collect()
        })
        .unwrap_or_default();
    let text = match separators.first() {
        _ if expression == "." => Text::Character,
        Some(&"") => Text::Character,
        _ if separators.is_empty()
            || separators
                .iter()
                .any(|text| *text == " " || text.contains("\\s")) =>
        {
            Text::Part(' ')
        }
        Some(first) => {
            let mut characters = first
                .chars()
                .filter(|character| !"\\[]".contains(*character));
            Text::Part(characters.next().unwrap_or(' '))
        }
        None => Text::Part(' '),
    };
    let origins = operands.input(0).origins()?.anywhere();
    Some(origins.map(|_, origin| Some(Origin { text, ..origin })))
}
