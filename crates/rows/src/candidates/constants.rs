//! The elements of constants.

use bytes::Bytes;

use crate::proto::{NodeProto, TensorProto, element};

/// A constant of the model.
#[derive(Clone, Copy, Debug)]
pub(super) enum Constant<'m> {
    Tensor(&'m TensorProto),
    Integer(i64),
    Float(f32),
    Integers(&'m [i64]),
    Floats(&'m [f32]),
    Strings(&'m [Bytes]),
}

impl<'m> Constant<'m> {
    /// What a node `Constant` gives.
    pub(super) fn of_node(node: &'m NodeProto) -> Option<Self> {
        node.attribute
            .iter()
            .find_map(|attribute| match attribute.name.as_str() {
                "value" => attribute.t.as_deref().map(Self::Tensor),
                "value_int" => Some(Self::Integer(attribute.i)),
                "value_float" => Some(Self::Float(attribute.f)),
                "value_ints" => Some(Self::Integers(&attribute.ints)),
                "value_floats" => Some(Self::Floats(&attribute.floats)),
                "value_string" => Some(Self::Strings(std::slice::from_ref(&attribute.s))),
                "value_strings" => Some(Self::Strings(&attribute.strings)),
                _ => None,
            })
    }

    pub(super) fn element(&self) -> i32 {
        match self {
            Self::Tensor(tensor) => tensor.data_type,
            Self::Integer(_) | Self::Integers(_) => element::INT64,
            Self::Float(_) | Self::Floats(_) => element::FLOAT,
            Self::Strings(_) => element::STRING,
        }
    }

    pub(super) fn dims(&self) -> Option<Vec<i64>> {
        let length = match self {
            Self::Tensor(tensor) => {
                return tensor
                    .dims
                    .iter()
                    .all(|dim| *dim >= 0)
                    .then(|| tensor.dims.clone());
            }
            Self::Integer(_) | Self::Float(_) => return Some(Vec::new()),
            Self::Integers(list) => list.len(),
            Self::Floats(list) => list.len(),
            Self::Strings(list) => list.len(),
        };
        i64::try_from(length).ok().map(|length| vec![length])
    }

    fn count(&self) -> Option<usize> {
        self.dims()?.into_iter().try_fold(1_usize, |count, dim| {
            count.checked_mul(usize::try_from(dim).ok()?)
        })
    }

    /// Its elements where they are integers or booleans, at most `limit`, and in the file.
    pub(super) fn integers(&self, limit: usize) -> Option<Vec<i64>> {
        let count = self.count().filter(|count| *count <= limit)?;
        let found = match self {
            Self::Integer(value) => vec![*value],
            Self::Integers(list) => list.to_vec(),
            Self::Tensor(tensor) => crate::constant::integers(tensor)?,
            Self::Float(_) | Self::Floats(_) | Self::Strings(_) => return None,
        };
        (found.len() == count).then_some(found)
    }

    /// Its elements where they are numbers, at most `limit`, and in the file.
    pub(super) fn numbers(&self, limit: usize) -> Option<Vec<f64>> {
        let count = self.count().filter(|count| *count <= limit)?;
        let found = match self {
            Self::Float(value) => vec![f64::from(*value)],
            Self::Floats(list) => list.iter().copied().map(f64::from).collect(),
            Self::Tensor(tensor)
                if matches!(tensor.data_type, element::FLOAT | element::DOUBLE) =>
            {
                crate::constant::floats(tensor)?
            }
            _ => {
                #[allow(clippy::cast_precision_loss, reason = "candidates needn't be exact")]
                return Some(
                    self.integers(limit)?
                        .into_iter()
                        .map(|value| value as f64)
                        .collect(),
                );
            }
        };
        (found.len() == count).then_some(found)
    }

    /// Its elements where they are strings, at most `limit`.
    pub(super) fn strings(&self, limit: usize) -> Option<Vec<String>> {
        let list: &[Bytes] = match self {
            Self::Tensor(tensor) if tensor.data_type == element::STRING => &tensor.string_data,
            Self::Strings(list) => list,
            _ => return None,
        };
        (list.len() <= limit).then(|| strings(list))
    }
}

/// Those that are UTF-8.
pub(super) fn strings(list: &[Bytes]) -> Vec<String> {
    list.iter()
        .filter_map(|bytes| std::str::from_utf8(bytes).ok().map(ToOwned::to_owned))
        .collect()
}

/// A tensor attribute's elements as strings, integers or floats, whatever they are.
pub(super) fn tensor_attribute<'m>(node: &'m NodeProto, name: &str) -> Option<Constant<'m>> {
    let attribute = node
        .attribute
        .iter()
        .find(|attribute| attribute.name == name)?;
    attribute.t.as_deref().map(Constant::Tensor)
}
