//! The operators of ai.onnx.ml and those of text: how wide they want the last axis.

use crate::candidates::collect::Collector;
use crate::candidates::operands::Operands;
use crate::candidates::tensor::Axis;

pub(super) fn infer(operands: &Operands<'_, '_>, collector: &mut Collector) -> Option<Vec<Axis>> {
    let input = operands.input(0).axes();
    let count = |name: &str| {
        operands.attribute(name).map_or(0, |attribute| {
            attribute
                .floats
                .len()
                .max(attribute.ints.len())
                .max(attribute.strings.len())
        })
    };
    let widened = |width: Axis| {
        let mut axes = input?.to_vec();
        axes.push(width);
        Some(axes)
    };
    match operands.operator() {
        "OneHotEncoder" => widened(fixed(count("cats_int64s").max(count("cats_strings")))),
        "Tokenizer" => widened(Axis::Unknown),
        "ArrayFeatureExtractor" => {
            let positions = operands.input(1).integers();
            if let Some(last) = positions
                .as_ref()
                .and_then(|positions| positions.iter().max())
            {
                collector.at_least(operands.axis(0, -1), last.saturating_add(1));
            }
            let mut axes = input?.to_vec();
            *axes.last_mut()? = positions.map_or(Axis::Unknown, |positions| fixed(positions.len()));
            // A list becomes a matrix of one row.
            if axes.len() == 1 {
                axes.insert(0, Axis::Fixed(1));
            }
            Some(axes)
        }
        "Scaler" | "Imputer" => {
            let width = [
                "offset",
                "scale",
                "imputed_value_floats",
                "imputed_value_int64s",
            ]
            .map(count);
            exactly(
                operands,
                collector,
                width.into_iter().max().filter(|width| *width > 1),
            );
            input.map(<[Axis]>::to_vec)
        }
        "LinearClassifier" => {
            let classes = count("intercepts").max(1);
            exactly(operands, collector, divided(count("coefficients"), classes));
            None
        }
        "LinearRegressor" => {
            let targets = usize::try_from(operands.integer("targets", 1)).ok()?;
            exactly(operands, collector, divided(count("coefficients"), targets));
            Some(vec![operands.axis(0, 0).clone(), fixed(targets)])
        }
        "SVMRegressor" => {
            let vectors = usize::try_from(operands.integer("n_supports", 0)).ok()?;
            exactly(
                operands,
                collector,
                divided(count("support_vectors"), vectors),
            );
            Some(vec![operands.axis(0, 0).clone(), Axis::Fixed(1)])
        }
        "SVMClassifier" => {
            let vectors: i64 = operands.integers("vectors_per_class").iter().sum();
            let vectors = usize::try_from(vectors).ok()?;
            exactly(
                operands,
                collector,
                divided(count("support_vectors"), vectors),
            );
            None
        }
        "TreeEnsemble" | "TreeEnsembleClassifier" | "TreeEnsembleRegressor" => {
            if let Some(last) = operands.integers("nodes_featureids").iter().max() {
                collector.at_least(operands.axis(0, -1), last.saturating_add(1));
            }
            let targets = operands.attribute("n_targets")?.i;
            Some(vec![operands.axis(0, 0).clone(), Axis::Fixed(targets)])
        }
        "TfIdfVectorizer" => {
            let last = operands.integers("ngram_indexes").iter().max()?;
            let mut axes = input?.to_vec();
            *axes.last_mut()? = Axis::Fixed(last.checked_add(1)?);
            Some(axes)
        }
        "FeatureVectorizer" => {
            let widths = operands.integers("inputdimensions");
            for (position, width) in widths.iter().enumerate() {
                collector.exactly(operands.axis(position, -1), *width);
            }
            let all = widths
                .iter()
                .try_fold(0_i64, |all, width| all.checked_add(*width))?;
            Some(vec![operands.axis(0, 0).clone(), Axis::Fixed(all)])
        }
        _ => None,
    }
}

fn exactly(operands: &Operands<'_, '_>, collector: &mut Collector, width: Option<usize>) {
    if let Some(width) = width {
        collector.equal(operands.axis(0, -1), &fixed(width));
    }
}

fn divided(all: usize, parts: usize) -> Option<usize> {
    all.checked_div(parts)
        .filter(|width| *width > 0 && width * parts == all)
}

fn fixed(length: usize) -> Axis {
    i64::try_from(length).map_or(Axis::Unknown, Axis::Fixed)
}
