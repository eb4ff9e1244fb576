//! Inputs of text models: their tensors.

use springtide_inference::{Data, Dimension, ElementType, ShapeMismatch, Signature, Tensor};

use super::configuration::Side;
use super::encoded::EncodedText;

/// What an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Numbers of tokens.
    InputIds,
    /// 1 for a token, 0 for padding.
    AttentionMask,
    /// Types of tokens.
    TokenTypeIds,
    /// Positions of tokens.
    PositionIds,
}

impl Role {
    fn named(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::InputIds),
            "attention_mask" => Some(Self::AttentionMask),
            "token_type_ids" => Some(Self::TokenTypeIds),
            "position_ids" => Some(Self::PositionIds),
            _ => None,
        }
    }
}

/// Padding of short texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Number of the padding token.
    pub token: u32,
    /// The end at which it is added.
    pub side: Side,
}

/// An input that a text model doesn't have. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputsError {
    /// The numbers of tokens are missing.
    #[error(
        "text models have an input input_ids, and this one's inputs are {inputs}: use the task `tensor`"
    )]
    NoInputIds {
        /// The inputs.
        inputs: String,
    },
    /// An input isn't one of tokens.
    #[error(
        "text models have the inputs input_ids, attention_mask, token_type_ids and position_ids, of \
         int64[N, L] or int32[N, L], and this one has {input}: export it for inference without a cache of \
         earlier tokens, or use the task `tensor`"
    )]
    Input {
        /// The input.
        input: String,
    },
    /// Inputs declare different lengths, or none.
    #[error("the inputs of the model have different fixed lengths: export it with dynamic axes")]
    Lengths,
    /// The model takes a fixed number of texts.
    #[error(
        "the model takes {rows} texts in each run: export it with a dynamic first axis, or for one text"
    )]
    Rows {
        /// Number of texts.
        rows: usize,
    },
}

/// Tensors that can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorsError {
    /// Texts have different padded lengths.
    #[error("the texts of a batch have different padded lengths")]
    Lengths,
    /// The number of a token is too large for the model's integers.
    #[error("token {token} doesn't fit the model's 32-bit integers")]
    Token {
        /// Number of the token.
        token: u32,
    },
    /// The batch is too large for a tensor.
    #[error(transparent)]
    Shape(#[from] ShapeMismatch),
}

/// The required inputs of a text model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextInputs {
    /// In the order of the model.
    ports: Vec<(Role, ElementType)>,
    length: Option<usize>,
    rows: Option<usize>,
}

impl TextInputs {
    /// The inputs of a signature.
    ///
    /// # Errors
    /// When they aren't those of a text model.
    pub fn new(signature: &Signature) -> Result<Self, InputsError> {
        let mut ports = Vec::new();
        let (mut length, mut rows) = (None, None);
        for port in signature.required_inputs() {
            let refused = || InputsError::Input {
                input: port.to_string(),
            };
            let role = Role::named(&port.name).ok_or_else(refused)?;
            let element = port.element().ok_or_else(refused)?;
            if !matches!(element, ElementType::I64 | ElementType::I32) {
                return Err(refused());
            }
            let (first, second) = match port.shape.as_deref() {
                // Nothing is known of the shape.
                None => (Dimension::Any, Dimension::Any),
                Some([first, second]) => (*first, *second),
                Some(_) => return Err(refused()),
            };
            if let Dimension::Fixed(fixed) = first {
                rows = Some(fixed);
            }
            if let Dimension::Fixed(fixed) = second
                && length.replace(fixed).is_some_and(|other| other != fixed)
            {
                return Err(InputsError::Lengths);
            }
            ports.push((role, element));
        }
        if !ports.iter().any(|(role, _)| *role == Role::InputIds) {
            let inputs: Vec<_> = signature.inputs.iter().map(ToString::to_string).collect();
            return Err(InputsError::NoInputIds {
                inputs: inputs.join(", "),
            });
        }
        match rows {
            Some(rows) if rows != 1 => Err(InputsError::Rows { rows }),
            _ => Ok(Self {
                ports,
                length,
                rows,
            }),
        }
    }

    /// The number of tokens that every text must be padded to, if it is fixed.
    #[must_use]
    pub const fn length(&self) -> Option<usize> {
        self.length
    }

    /// Maximum number of texts in a run, if it is fixed.
    #[must_use]
    pub const fn rows(&self) -> Option<usize> {
        self.rows
    }

    /// Whether the model is told which tokens are padding.
    #[must_use]
    pub fn has_mask(&self) -> bool {
        let mut ports = self.ports.iter();
        ports.any(|(role, _)| *role == Role::AttentionMask)
    }

    /// The tensors of texts of one padded length, in the order of the required inputs. `first_position` is the position
    /// of the first token.
    ///
    /// # Errors
    /// When the lengths differ or a number doesn't fit.
    pub fn tensors(
        &self,
        texts: &[EncodedText],
        padding: Padding,
        first_position: u32,
    ) -> Result<Vec<Tensor>, TensorsError> {
        let length = texts.first().map_or(0, |text| text.padded_length);
        let fits = |text: &EncodedText| {
            text.padded_length == length
                && text.ids.len() <= length
                && text.types.len() == text.ids.len()
        };
        if !texts.iter().all(fits) {
            return Err(TensorsError::Lengths);
        }
        let tensor = |(role, element): &(Role, ElementType)| {
            let mut values: Vec<u32> = Vec::with_capacity(texts.len() * length);
            for text in texts {
                row(*role, text, padding, first_position, &mut values);
            }
            let data: Data = match element {
                ElementType::I32 => {
                    let narrow = |value: u32| {
                        i32::try_from(value).map_err(|_| TensorsError::Token { token: value })
                    };
                    let values: Result<Vec<i32>, _> = values.into_iter().map(narrow).collect();
                    values?.into()
                }
                _ => values.into_iter().map(i64::from).collect::<Vec<_>>().into(),
            };
            Ok(Tensor::new(vec![texts.len(), length], data)?)
        };
        self.ports.iter().map(tensor).collect()
    }
}

/// Appends the row of a text to the values of an input.
fn row(
    role: Role,
    text: &EncodedText,
    padding: Padding,
    first_position: u32,
    values: &mut Vec<u32>,
) {
    let fill = match role {
        Role::InputIds => padding.token,
        Role::AttentionMask | Role::TokenTypeIds => 0,
        Role::PositionIds => first_position.saturating_sub(1),
    };
    let missing = text.padded_length.saturating_sub(text.ids.len());
    let fill = std::iter::repeat_n(fill, missing);
    if padding.side == Side::Left {
        values.extend(fill.clone());
    }
    match role {
        Role::InputIds => values.extend(&text.ids),
        Role::AttentionMask => values.extend(text.ids.iter().map(|_| 1)),
        Role::TokenTypeIds => values.extend(&text.types),
        Role::PositionIds => values.extend((first_position..).take(text.ids.len())),
    }
    if padding.side == Side::Right {
        values.extend(fill);
    }
}

#[cfg(test)]
mod tests {
    use springtide_inference::{DataView, Port};

    use super::*;

    const ANY: Dimension = Dimension::Any;

    fn port(name: &str, element: ElementType, length: Dimension) -> Port {
        Port::tensor(name, element, [ANY, length])
    }

    fn signature(inputs: Vec<Port>) -> Signature {
        let outputs = vec![];
        Signature { inputs, outputs }
    }

    fn text(ids: &[u32], types: &[u32], padded_length: usize) -> EncodedText {
        EncodedText {
            ids: ids.to_vec(),
            types: types.to_vec(),
            truncated: false,
            padded_length,
            places: None,
        }
    }

    #[test]
    fn tensors_follow_the_order_and_the_types_of_the_inputs() {
        let optional = Port {
            optional: true,
            ..Port::tensor("scale", ElementType::F32, [])
        };
        let inputs = TextInputs::new(&signature(vec![
            port("position_ids", ElementType::I64, ANY),
            port("attention_mask", ElementType::I32, ANY),
            port("input_ids", ElementType::I64, ANY),
            port("token_type_ids", ElementType::I64, ANY),
            optional,
        ]))
        .unwrap();
        let texts = [text(&[5, 6], &[0, 1], 3), text(&[7, 8, 9], &[0, 0, 1], 3)];
        let tensors = |side, first_position| {
            let padding = Padding { token: 4, side };
            let tensors = inputs.tensors(&texts, padding, first_position).unwrap();
            assert!(tensors.iter().all(|tensor| tensor.shape() == [2, 3]));
            tensors
        };
        let right = tensors(Side::Right, 0);
        assert_eq!(right[0].data(), &Data::I64(vec![0, 1, 0, 0, 1, 2]));
        assert_eq!(right[1].data(), &Data::I32(vec![1, 1, 0, 1, 1, 1]));
        assert_eq!(right[2].data(), &Data::I64(vec![5, 6, 4, 7, 8, 9]));
        assert_eq!(right[3].data(), &Data::I64(vec![0, 1, 0, 0, 0, 1]));
        let left = tensors(Side::Left, 2);
        assert_eq!(left[0].data(), &Data::I64(vec![1, 2, 3, 2, 3, 4]));
        assert_eq!(left[1].data(), &Data::I32(vec![0, 1, 1, 1, 1, 1]));
        assert_eq!(left[2].data(), &Data::I64(vec![4, 5, 6, 7, 8, 9]));
        assert_eq!(left[3].data(), &Data::I64(vec![0, 0, 1, 0, 0, 1]));
    }

    #[test]
    fn a_batch_has_one_length_and_numbers_that_fit() {
        let inputs = TextInputs::new(&signature(vec![port("input_ids", ElementType::I32, ANY)]));
        let inputs = inputs.unwrap();
        let padding = Padding {
            token: 0,
            side: Side::Right,
        };
        let tensors = |texts: &[EncodedText]| inputs.tensors(texts, padding, 0);
        let mixed = [text(&[1], &[0], 8), text(&[1], &[0], 16)];
        assert_eq!(tensors(&mixed), Err(TensorsError::Lengths));
        let long = [text(&[1, 2], &[0, 0], 1)];
        assert_eq!(tensors(&long), Err(TensorsError::Lengths));
        let token = u32::MAX;
        let large = [text(&[token], &[0], 1)];
        assert_eq!(tensors(&large), Err(TensorsError::Token { token }));
        let none = tensors(&[]).unwrap();
        assert_eq!(none[0].view().data(), DataView::I32(&[]));
        assert!(!inputs.has_mask());
    }

    #[test]
    fn other_inputs_are_refused() {
        let ids = || port("input_ids", ElementType::I64, ANY);
        let fixed = |name, length| port(name, ElementType::I64, Dimension::Fixed(length));
        let inputs = |inputs| TextInputs::new(&signature(inputs));
        for (refused, expected) in [
            (vec![], "have an input input_ids"),
            (
                vec![port("attention_mask", ElementType::I64, ANY)],
                "input_ids",
            ),
            (
                vec![port("input_ids", ElementType::F32, ANY)],
                "input_ids float32[N, N]",
            ),
            (
                vec![Port::tensor("input_ids", ElementType::I64, [ANY])],
                "input_ids int64[N]",
            ),
            (
                vec![ids(), port("past", ElementType::I64, ANY)],
                "past int64[N, N]",
            ),
            (
                vec![fixed("input_ids", 8), fixed("attention_mask", 16)],
                "different fixed lengths",
            ),
        ] {
            let error = inputs(refused).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let rows = |rows| {
            let shape = [Dimension::Fixed(rows), Dimension::Fixed(8)];
            inputs(vec![Port::tensor("input_ids", ElementType::I64, shape)])
        };
        assert_eq!(rows(2), Err(InputsError::Rows { rows: 2 }));
        let one = rows(1).unwrap();
        assert_eq!((one.rows(), one.length()), (Some(1), Some(8)));
    }
}
