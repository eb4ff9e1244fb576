//! Values of JSON as elements of a model's inputs.

use half::{bf16, f16};
use springtide_inference::{Data, ElementType};

/// Largest magnitude up to which every integer is a 64-bit float of its own.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// A scalar of JSON.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Boolean(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

impl Cell<'_> {
    /// The kind, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the model's floats hold no more"
    )]
    const fn float(self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(number as f64),
            Self::Signed(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Null | Self::Boolean(_) | Self::Text(_) => None,
        }
    }

    /// The integer. None for a fraction, and where the number may have been rounded.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is an integer in the range"
    )]
    fn integer(self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some(number.into()),
            Self::Signed(number) => Some(number.into()),
            Self::Float(number) if number.fract() == 0.0 && number.abs() <= MAX_EXACT_INTEGER => {
                Some(number as i128)
            }
            Self::Null | Self::Boolean(_) | Self::Float(_) | Self::Text(_) => None,
        }
    }
}

/// What null means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    /// Not a number, in columns of floats.
    IsNan,
    /// An error.
    IsRefused,
}

/// Plural name of the values of a type, for messages.
pub(super) const fn plural(element: ElementType) -> &'static str {
    match element {
        ElementType::Bool => "booleans",
        ElementType::String => "strings",
        ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64 => "numbers",
        _ => "integers",
    }
}

/// Name of a value of a type, with its article, for messages.
pub(super) const fn singular(element: ElementType) -> &'static str {
    match element {
        ElementType::Bool => "true or false",
        ElementType::String => "a string",
        ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64 => {
            "a finite number"
        }
        _ => "an integer",
    }
}

const fn range(element: ElementType) -> &'static str {
    match element {
        ElementType::U8 => "unsigned 8-bit integers",
        ElementType::U16 => "unsigned 16-bit integers",
        ElementType::U32 => "unsigned 32-bit integers",
        ElementType::U64 => "unsigned 64-bit integers",
        ElementType::I8 => "8-bit integers",
        ElementType::I16 => "16-bit integers",
        ElementType::I32 => "32-bit integers",
        ElementType::I64 => "64-bit integers",
        ElementType::F16 | ElementType::Bf16 => "16-bit floats",
        ElementType::F32 => "32-bit floats",
        ElementType::F64 => "64-bit floats",
        ElementType::Bool | ElementType::String => "its type",
    }
}

/// The error of a number beyond the range of a type.
pub(super) fn out_of_range(element: ElementType) -> String {
    format!("is out of the range of {}", range(element))
}

/// Puts a value at a position. Elements up to there that don't exist yet become zeros.
///
/// # Errors
/// The problem of a value that the type doesn't have, as the rest of a sentence.
pub(super) fn set(
    data: &mut Data,
    position: usize,
    cell: Cell<'_>,
    null: Null,
) -> Result<(), String> {
    let element = data.view().element();
    let unlike = || format!("must be {}, not {}", singular(element), cell.kind());
    let beyond = || out_of_range(element);
    macro_rules! float {
        ($numbers:ident, $round:expr, $nan:expr) => {{
            let number = match cell {
                Cell::Null if null == Null::IsNan => $nan,
                cell => {
                    let rounded = $round(cell.float().ok_or_else(unlike)?);
                    if !rounded.is_finite() {
                        return Err(beyond());
                    }
                    rounded
                }
            };
            put($numbers, position, number);
        }};
    }
    macro_rules! integer {
        ($numbers:ident) => {{
            let integer = match (cell, cell.integer()) {
                (_, Some(integer)) => integer,
                (Cell::Float(number), None) if number.fract() == 0.0 => return Err(beyond()),
                (Cell::Float(number), None) => {
                    return Err(format!("must be an integer, not {number}"));
                }
                _ => return Err(unlike()),
            };
            put(
                $numbers,
                position,
                integer.try_into().map_err(|_too_large| beyond())?,
            );
        }};
    }
    match data {
        #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
        Data::F32(numbers) => float!(numbers, |number: f64| number as f32, f32::NAN),
        Data::F64(numbers) => float!(numbers, |number: f64| number, f64::NAN),
        Data::F16(numbers) => float!(numbers, f16::from_f64, f16::NAN),
        Data::Bf16(numbers) => float!(numbers, bf16::from_f64, bf16::NAN),
        Data::I8(numbers) => integer!(numbers),
        Data::I16(numbers) => integer!(numbers),
        Data::I32(numbers) => integer!(numbers),
        Data::I64(numbers) => integer!(numbers),
        Data::U8(numbers) => integer!(numbers),
        Data::U16(numbers) => integer!(numbers),
        Data::U32(numbers) => integer!(numbers),
        Data::U64(numbers) => integer!(numbers),
        Data::Bool(values) => match cell {
            Cell::Boolean(value) => put(values, position, value),
            _ => return Err(unlike()),
        },
        Data::String(texts) => match cell {
            Cell::Text(text) if text.contains('\0') => {
                return Err("must be a string without NUL characters".to_owned());
            }
            Cell::Text(text) => put(texts, position, text.to_owned()),
            _ => return Err(unlike()),
        },
    }
    Ok(())
}

fn put<T: Clone + Default>(all: &mut Vec<T>, position: usize, value: T) {
    if position >= all.len() {
        all.resize(position, T::default());
        all.push(value);
    } else if let Some(place) = all.get_mut(position) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(element: ElementType, cell: Cell<'_>, null: Null) -> Result<Data, String> {
        let mut data = Data::zeros(element, 0);
        set(&mut data, 0, cell, null).map(|()| data)
    }

    #[test]
    fn numbers_become_the_type_of_the_column_or_are_refused() {
        let taken = |element, cell| only(element, cell, Null::IsRefused);
        assert_eq!(
            taken(ElementType::I64, Cell::Float(3.0)),
            Ok(Data::I64(vec![3]))
        );
        assert_eq!(
            taken(ElementType::U8, Cell::Unsigned(255)),
            Ok(Data::U8(vec![255]))
        );
        assert_eq!(
            taken(ElementType::F64, Cell::Signed(-1)),
            Ok(Data::F64(vec![-1.0]))
        );
        assert_eq!(
            taken(ElementType::Bool, Cell::Boolean(true)),
            Ok(Data::Bool(vec![true]))
        );
        let text = Ok(Data::String(vec!["x".to_owned()]));
        assert_eq!(taken(ElementType::String, Cell::Text("x")), text);
        for (element, cell, problem) in [
            (
                ElementType::I64,
                Cell::Float(3.5),
                "must be an integer, not 3.5",
            ),
            (
                ElementType::I64,
                Cell::Float(1e18),
                "is out of the range of 64-bit integers",
            ),
            (
                ElementType::I64,
                Cell::Unsigned(u64::MAX),
                "is out of the range of 64-bit integers",
            ),
            (
                ElementType::U8,
                Cell::Signed(-1),
                "is out of the range of unsigned 8-bit integers",
            ),
            (ElementType::I32, Cell::Null, "must be an integer, not null"),
            (
                ElementType::F16,
                Cell::Float(1e6),
                "is out of the range of 16-bit floats",
            ),
            (
                ElementType::F32,
                Cell::Null,
                "must be a finite number, not null",
            ),
            (
                ElementType::Bool,
                Cell::Unsigned(1),
                "must be true or false, not a number",
            ),
            (
                ElementType::String,
                Cell::Unsigned(1),
                "must be a string, not a number",
            ),
            (
                ElementType::String,
                Cell::Null,
                "must be a string, not null",
            ),
            (
                ElementType::String,
                Cell::Text("a\0"),
                "must be a string without NUL characters",
            ),
        ] {
            assert_eq!(taken(element, cell), Err(problem.to_owned()));
        }
    }

    #[test]
    fn null_is_not_a_number_where_that_is_meant() {
        let Ok(Data::F32(numbers)) = only(ElementType::F32, Cell::Null, Null::IsNan) else {
            panic!("refused")
        };
        assert!(numbers[0].is_nan());
        assert!(only(ElementType::I64, Cell::Null, Null::IsNan).is_err());
        assert!(only(ElementType::String, Cell::Null, Null::IsNan).is_err());
    }

    #[test]
    fn positions_may_come_in_any_order() {
        let mut data = Data::zeros(ElementType::I64, 0);
        for (position, number) in [(2, 7), (0, 5), (3, 8)] {
            set(&mut data, position, Cell::Signed(number), Null::IsRefused).unwrap();
        }
        assert_eq!(data, Data::I64(vec![5, 0, 7, 8]));
    }
}
