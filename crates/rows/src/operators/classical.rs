//! The operators of ai.onnx.ml: each processes rows of features independently.

use std::rc::Rc;

use crate::call::{Call, Outcome};
use crate::dimension::Dim;
use crate::operators::elementwise::same_place;
use crate::operators::{layout, slicewise};
use crate::value::{Blame, Layout, Sequence, Value};

/// The rows of an input [N, features]. An input with one axis is a single row of features.
fn features<'m>(
    call: &Call<'_, '_, 'm>,
    index: usize,
) -> Result<(Vec<Dim>, Option<Layout>), Blame> {
    let value = call.input(index)?;
    let (shape, layout) = slicewise::first_axis(call, &value)?;
    if shape.len() != 2 {
        return Err(call.unproven("takes rows of features, and has an input of another rank"));
    }
    Ok((shape, layout))
}

fn outputs<'m>(call: &mut Call<'_, '_, 'm>, widths: &[Option<Dim>]) -> Outcome<'m> {
    let (shape, layout) = features(call, 0)?;
    let first = shape.first().cloned().unwrap_or_else(Dim::one);
    widths
        .iter()
        .map(|width| {
            let rest = width.iter().cloned().collect();
            slicewise::with_first_axis(call, first.clone(), rest, layout.clone())
        })
        .collect()
}

/// The number of classes, from the labels.
fn classes(call: &Call<'_, '_, '_>) -> Option<i64> {
    let names = [
        "classlabels_int64s",
        "classlabels_ints",
        "classlabels_strings",
    ];
    let count = names.into_iter().find_map(|name| {
        let attribute = call.attribute(name)?;
        let count = attribute.ints.len().max(attribute.strings.len());
        (count > 0).then_some(count)
    });
    count.and_then(|count| i64::try_from(count).ok())
}

/// A label, and a score of each class.
pub(crate) fn classifier<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let classes = classes(call).filter(|count| *count >= 2);
    let columns = match call.node.op_type.as_str() {
        "TreeEnsembleClassifier" => classes,
        "LinearClassifier" => {
            let scores = call
                .attribute("intercepts")
                .map(|intercepts| intercepts.floats.len());
            classes.filter(|classes| {
                let scores = scores.and_then(|scores| i64::try_from(scores).ok());
                scores == Some(*classes) || (scores == Some(1) && *classes == 2)
            })
        }
        // One for each class, or for each pair of classes.
        _ => None,
    };
    let columns = match columns {
        Some(columns) => Dim::from(columns),
        None => call.walk.fresh(),
    };
    outputs(call, &[None, Some(columns)])
}

/// A number for each target.
pub(crate) fn regressor<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let targets = match call.node.op_type.as_str() {
        "TreeEnsembleRegressor" | "TreeEnsemble" => call.int_or("n_targets", 1),
        "LinearRegressor" => call.int_or("targets", 1),
        _ => 1,
    };
    outputs(call, &[Some(Dim::from(targets))])
}

/// `Scaler`, `Imputer`, `Normalizer`: the number of columns is unchanged.
pub(crate) fn columns<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    features(call, 0)?;
    Ok(vec![same_place(&call.input(0)?.as_ref().clone())])
}

/// `FeatureVectorizer`: concatenates columns.
pub(crate) fn side_by_side<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    for index in 0..call.inputs.len() {
        features(call, index)?;
    }
    let values: Vec<Rc<Value<'m>>> = call.inputs.iter().flatten().cloned().collect();
    let values: Vec<&Value<'m>> = values.iter().map(AsRef::as_ref).collect();
    let mut output = layout::joined(call, &values, 1)?;
    output.content = None;
    // An attribute may truncate a column to a width.
    if let Some(place) = output.shape.as_mut().and_then(|shape| shape.get_mut(1)) {
        *place = call.walk.fresh();
    }
    Ok(vec![output])
}

/// `OneHotEncoder`: a new last axis.
pub(crate) fn one_hot<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let mut shape = call.shape(&value)?;
    let count = ["cats_int64s", "cats_strings"]
        .into_iter()
        .find_map(|name| {
            let attribute = call.attribute(name)?;
            let count = attribute.ints.len().max(attribute.strings.len());
            (count > 0).then_some(count)
        });
    shape.push(match count.and_then(|count| i64::try_from(count).ok()) {
        Some(count) => Dim::from(count),
        None => call.walk.fresh(),
    });
    Ok(vec![Value::new(Some(shape), value.dependence.clone())])
}

/// `ZipMap`: a map for each row of its input. The input is served in its place.
pub(crate) fn zip_map<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let value = call.input(0)?;
    let mut output = same_place(&value);
    output.sequence = Some(Sequence::Maps);
    Ok(vec![output])
}
