//! The parser behind [`parse`]: one pass over the text, which tracks the current field.

use std::fmt;
use std::num::NonZeroUsize;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use springtide_inference::Tensor;
use springtide_open_inference::http::non_finite_literal;

use super::{FieldError, InvalidRequest, MAX_REQUEST_ID, PredictLimits, PredictRequest};

/// Parses a body.
///
/// # Errors
/// [`InvalidRequest`]: the first error in the text.
pub fn parse(body: &[u8], limits: PredictLimits) -> Result<PredictRequest, InvalidRequest> {
    let mut reader = Reader::new(limits);
    match reader.read(body) {
        Ok(()) => reader.finish(),
        Err(error) => Err(reader.error(body, &error)),
    }
}

/// The current field in `features`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldPath {
    /// `features[i]`
    Element(usize),
    /// `features[i][j]`
    Nested(usize, usize),
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element(index) => write!(formatter, "features[{index}]"),
            Self::Nested(row, index) => write!(formatter, "features[{row}][{index}]"),
        }
    }
}

/// The state of the parser. `serde` has errors as text only, so the invalid field is kept here while the parser
/// returns.
struct Reader {
    limits: PredictLimits,
    path: Option<FieldPath>,
    problem: Option<FieldError>,
    numbers: Vec<f32>,
    shape: Option<Shape>,
    request_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Row,
    Rows(usize),
}

impl Reader {
    const fn new(limits: PredictLimits) -> Self {
        Self {
            limits,
            path: None,
            problem: None,
            numbers: Vec::new(),
            shape: None,
            request_id: None,
        }
    }

    fn fail<E: serde::de::Error>(&mut self, problem: FieldError) -> E {
        let text = problem.to_string();
        self.problem = Some(problem);
        E::custom(text)
    }

    fn fail_here<E: serde::de::Error>(&mut self, problem: impl Into<String>) -> E {
        let field = self
            .path
            .map_or_else(|| "features".to_owned(), |path| path.to_string());
        self.fail(FieldError::new(field, problem))
    }

    fn read(&mut self, body: &[u8]) -> serde_json::Result<()> {
        let mut json = serde_json::Deserializer::from_slice(body);
        Body(self).deserialize(&mut json)?;
        json.end()
    }

    /// Adds a number, which must be in the range of 32-bit floats.
    fn number<E: serde::de::Error>(&mut self, number: f64) -> Result<(), E> {
        // Rounds to the nearest float; beyond the largest one, to infinity.
        #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
        let rounded = number as f32;
        if !rounded.is_finite() {
            return Err(self.fail_here("is out of the range of 32-bit floats"));
        }
        self.numbers.push(rounded);
        Ok(())
    }

    /// The error of a body at which the parser returned.
    fn error(self, body: &[u8], error: &serde_json::Error) -> InvalidRequest {
        if let Some(problem) = self.problem {
            return problem.into();
        }
        if let Some(path) = self.path {
            // Some writers of JSON accept them, but JSON doesn't have them.
            if let Some(literal) = non_finite_literal(body, error) {
                let problem = format!("must be a finite number, not {literal}");
                return FieldError::new(path.to_string(), problem).into();
            }
            if error.is_syntax() && error.to_string().starts_with("number out of range") {
                let problem = "is out of the range of 32-bit floats";
                return FieldError::new(path.to_string(), problem).into();
            }
        }
        InvalidRequest::Malformed(error.to_string())
    }

    fn finish(self) -> Result<PredictRequest, InvalidRequest> {
        let PredictLimits { features, max_rows } = self.limits;
        let (rows, list) = match self.shape {
            None => {
                let problem =
                    format!("is required: a list of {features} numbers, or a list of such lists");
                return Err(FieldError::new("features", problem).into());
            }
            Some(Shape::Row) => (1, false),
            Some(Shape::Rows(rows)) => (rows, true),
        };
        if rows > max_rows.get() {
            return Err(InvalidRequest::too_many_rows(rows, max_rows));
        }
        let empty = || FieldError::new("features", "must not be empty");
        let shape = vec![rows, features.get()];
        let features = Tensor::new(shape, self.numbers).map_err(|_mismatch| empty())?;
        let rows = NonZeroUsize::new(rows).ok_or_else(empty)?;
        Ok(PredictRequest {
            features,
            rows,
            list,
            request_id: self.request_id,
        })
    }
}

/// The body.
struct Body<'r>(&'r mut Reader);

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with the field features")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(reader) = self;
        let (mut has_features, mut has_request_id) = (false, false);
        while let Some(key) = map.next_key::<Key>()? {
            let (slot, seen) = match key {
                Key::Features => (Slot::Features, &mut has_features),
                Key::RequestId => (Slot::RequestId, &mut has_request_id),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if std::mem::replace(seen, true) {
                return Err(A::Error::custom(format_args!(
                    "{} appears twice",
                    slot.name()
                )));
            }
            map.next_value_seed(Value { reader, slot })?;
            reader.path = None;
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Features,
    RequestId,
    #[serde(other)]
    Other,
}

/// The field of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    RequestId,
    Features,
    /// An element of `features`: a number of the only row, or a row.
    Element,
    /// A number of one of several rows.
    Number,
}

impl Slot {
    const fn name(self) -> &'static str {
        match self {
            Self::RequestId => "request_id",
            Self::Features | Self::Element | Self::Number => "features",
        }
    }
}

/// A value, which is given to the reader if its type is right.
struct Value<'r> {
    reader: &'r mut Reader,
    slot: Slot,
}

impl Value<'_> {
    fn type_error<E: serde::de::Error>(self, found: &str) -> E {
        let row = format!("a list of {} numbers", self.reader.limits.features);
        let expected = match (self.slot, self.reader.shape) {
            (Slot::RequestId, _) => "a string",
            (Slot::Features, _) | (Slot::Element, Some(Shape::Rows(_))) => &*row,
            (Slot::Element | Slot::Number, _) => "a finite number",
        };
        let problem = format!("must be {expected}, not {found}");
        match self.slot {
            Slot::RequestId => self.reader.fail(FieldError::new(self.slot.name(), problem)),
            Slot::Features | Slot::Element | Slot::Number => self.reader.fail_here(problem),
        }
    }

    fn number<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        match (self.slot, self.reader.shape) {
            (Slot::Element, None | Some(Shape::Row)) => {
                self.reader.shape = Some(Shape::Row);
                self.reader.number(number)
            }
            (Slot::Number, _) => self.reader.number(number),
            (Slot::RequestId | Slot::Features | Slot::Element, _) => {
                Err(self.type_error("a number"))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Err(self.type_error("a boolean"))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the model's floats hold still less"
    )]
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.number(number as f64)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the model's floats hold still less"
    )]
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.number(number as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.slot {
            Slot::RequestId => self.reader.request_id(text),
            Slot::Features | Slot::Element | Slot::Number => Err(self.type_error("a string")),
        }
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.slot {
            Slot::RequestId => Ok(()),
            Slot::Features | Slot::Element | Slot::Number => Err(self.type_error("null")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        match (self.slot, self.reader.shape) {
            (Slot::Features, _) => self.reader.features(list),
            (Slot::Element, None) => self.reader.row(0, list),
            (Slot::Element, Some(Shape::Rows(row))) => self.reader.row(row, list),
            (Slot::Element, Some(Shape::Row)) | (Slot::Number | Slot::RequestId, _) => {
                Err(self.type_error("a list"))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.type_error("an object"))
    }
}

/// The lists of `features`.
impl Reader {
    fn features<'de, A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(), A::Error> {
        let PredictLimits { features, max_rows } = self.limits;
        let mut index = 0;
        loop {
            self.path = Some(FieldPath::Element(index));
            let full = match self.shape {
                None => false,
                Some(Shape::Row) => index == features.get(),
                Some(Shape::Rows(rows)) => rows == max_rows.get(),
            };
            if full {
                index += count_rest(&mut list)?;
                break;
            }
            let slot = Slot::Element;
            if list
                .next_element_seed(Value { reader: self, slot })?
                .is_none()
            {
                break;
            }
            index += 1;
        }
        self.path = None;
        match self.shape {
            None => Err(self.fail_here("must not be empty")),
            Some(Shape::Row) => self.check_row_length(index),
            Some(Shape::Rows(_)) => {
                self.shape = Some(Shape::Rows(index));
                Ok(())
            }
        }
    }

    fn row<'de, A: SeqAccess<'de>>(&mut self, row: usize, mut list: A) -> Result<(), A::Error> {
        self.shape = Some(Shape::Rows(row + 1));
        let mut index = 0;
        loop {
            self.path = Some(FieldPath::Nested(row, index));
            if index == self.limits.features.get() {
                index += count_rest(&mut list)?;
                break;
            }
            let slot = Slot::Number;
            if list
                .next_element_seed(Value { reader: self, slot })?
                .is_none()
            {
                break;
            }
            index += 1;
        }
        self.path = Some(FieldPath::Element(row));
        self.check_row_length(index)
    }

    fn check_row_length<E: serde::de::Error>(&mut self, length: usize) -> Result<(), E> {
        let features = self.limits.features.get();
        if length == features {
            return Ok(());
        }
        Err(self.fail_here(match length {
            0 => "must not be empty".to_owned(),
            1 => format!("has 1 number, the model takes {features}"),
            _ => format!("has {length} numbers, the model takes {features}"),
        }))
    }

    fn request_id<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        if text.len() > MAX_REQUEST_ID {
            let problem = format!(
                "has {} bytes, at most {MAX_REQUEST_ID} are allowed",
                text.len()
            );
            return Err(self.fail(FieldError::new("request_id", problem)));
        }
        self.request_id = Some(text.to_owned());
        Ok(())
    }
}

/// Reads to the end of a list that has reached its maximum length, without keeping the elements. Gives their number
/// for the error.
fn count_rest<'de, A: SeqAccess<'de>>(list: &mut A) -> Result<usize, A::Error> {
    let mut count = 0;
    while list.next_element::<IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}
