//! Limits of requests.

use std::num::NonZeroUsize;

use springtide_inference::{Dimension, ElementType, Port, Signature, element_count};

/// Maximum number of inputs or outputs of a request. The largest models, with a pair of cached tensors per layer, have a
/// few hundred.
pub(crate) const MAX_TENSORS: usize = 1024;

/// Maximum rank of a tensor: more than any operator of ONNX uses.
pub(crate) const MAX_DIMENSIONS: usize = 16;

/// Maximum number of parameters of a request, an input or an output.
pub(crate) const MAX_PARAMETERS: usize = 64;

/// Maximum length of a tensor's name, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 1024;

/// Maximum length of a request's id, in bytes.
pub(crate) const MAX_ID_BYTES: usize = 256;

/// Maximum number of elements of all BYTES tensors of a request: an empty one takes several times more in memory than in
/// the request.
pub const MAX_STRINGS: usize = 1 << 20;

/// Maximum number of integers in typed lists of a message of gRPC. Small integers take four to eight times more decoded
/// than encoded. Raw contents have no such limit.
pub(crate) const MAX_TYPED_INTEGERS: usize = 1 << 22;

/// Bytes of JSON per element, with separator and white space: the 24 characters of the longest double, and indentation.
const BYTES_PER_ELEMENT: usize = 64;

/// Bytes of JSON for everything else.
const BYTES_BESIDE_ELEMENTS: usize = 64 * 1024;

/// Maximum number of elements of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxElements {
    pub(crate) count: usize,
    /// The number of rows that it comes from.
    rows: Option<NonZeroUsize>,
}

impl MaxElements {
    /// The origin of the limit, to follow it. Empty where it is no setting of the server.
    pub(crate) fn origin(&self) -> String {
        self.rows
            .map(|rows| format!(" ({rows} rows, --max-batch-size)"))
            .unwrap_or_default()
    }

    /// A limit that isn't one of rows.
    #[cfg(test)]
    pub(crate) const fn of(count: usize) -> Self {
        Self { count, rows: None }
    }
}

/// Limits of the requests of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of elements of a request. None where the model has a free length.
    elements: Option<usize>,
    /// Maximum number of rows, where requests are batched.
    rows: Option<NonZeroUsize>,
    /// Whether there are strings, whose length is free.
    has_strings: bool,
    /// Remaining number of strings.
    strings: usize,
}

impl Limits {
    /// The limits of a model's inputs, with at most `max_rows` rows where requests are batched.
    #[must_use]
    pub fn new(signature: &Signature, max_rows: Option<NonZeroUsize>) -> Self {
        let elements = signature
            .inputs
            .iter()
            .map(|port| max_elements(port, max_rows))
            .try_fold(0_usize, |all, one| all.checked_add(one?));
        Self {
            elements,
            rows: max_rows,
            has_strings: signature
                .inputs
                .iter()
                .any(|port| port.element() == Some(ElementType::String)),
            strings: MAX_STRINGS,
        }
    }

    /// No limits other than the size of the body.
    #[must_use]
    pub const fn open() -> Self {
        Self {
            elements: None,
            rows: None,
            has_strings: true,
            strings: MAX_STRINGS,
        }
    }

    /// Maximum number of elements of another tensor.
    pub(crate) fn max_elements(&self, element: ElementType) -> MaxElements {
        let elements = self.elements.unwrap_or(usize::MAX);
        let (count, rows) = match element {
            ElementType::String if self.strings < elements => (self.strings, None),
            _ => (elements, self.rows),
        };
        MaxElements { count, rows }
    }

    /// Counts a tensor with this number of elements.
    pub(crate) const fn spend(&mut self, element: ElementType, count: usize) {
        if matches!(element, ElementType::String) {
            self.strings = self.strings.saturating_sub(count);
        }
    }

    /// Number of elements of a shape.
    ///
    /// # Errors
    /// When there are too many. The problem is to follow the tensor's name.
    pub(crate) fn count(&self, element: ElementType, shape: &[usize]) -> Result<usize, String> {
        let max = self.max_elements(element);
        match element_count(shape) {
            Some(count) if count <= max.count => Ok(count),
            Some(count) => Err(format!(
                "the shape {shape:?} has {count} elements, at most {} are allowed{}",
                max.count,
                max.origin()
            )),
            None => Err(format!("the shape {shape:?} is too large")),
        }
    }

    /// Maximum size of a request, in bytes: what valid ones need where the inputs have a maximum length, at most
    /// `ceiling`.
    #[must_use]
    pub fn max_body_bytes(&self, ceiling: usize) -> usize {
        match self.elements {
            Some(elements) if !self.has_strings => elements
                .saturating_mul(BYTES_PER_ELEMENT)
                .saturating_add(BYTES_BESIDE_ELEMENTS)
                .min(ceiling),
            _ => ceiling,
        }
    }
}

/// Maximum number of elements of an input. None where it has a free length.
fn max_elements(port: &Port, max_rows: Option<NonZeroUsize>) -> Option<usize> {
    let mut elements = 1_usize;
    for (index, dimension) in port.shape.as_ref()?.iter().enumerate() {
        let length = match (dimension, index) {
            (Dimension::Fixed(length), _) => *length,
            (Dimension::Any, 0) => max_rows?.get(),
            (Dimension::Any, _) => return None,
        };
        elements = elements.checked_mul(length)?;
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Option<NonZeroUsize> = NonZeroUsize::new(32);
    const CEILING: usize = 1 << 30;

    fn limits(element: ElementType, shape: &[Dimension], rows: Option<NonZeroUsize>) -> Limits {
        let signature = Signature {
            inputs: vec![Port::tensor("x", element, shape)],
            outputs: vec![],
        };
        Limits::new(&signature, rows)
    }

    #[test]
    fn fixed_shapes_bound_the_elements_and_the_bytes() {
        let rows_of_four = [Dimension::Any, Dimension::Fixed(4)];
        let limits = limits(ElementType::F32, &rows_of_four, ROWS);
        assert_eq!(limits.max_elements(ElementType::F32).count, 128);
        assert_eq!(limits.max_body_bytes(CEILING), 128 * 64 + 64 * 1024);
        assert_eq!(limits.max_body_bytes(1000), 1000);
    }

    #[test]
    fn too_many_elements_are_told_with_the_rows_that_are_allowed() {
        let any = [Dimension::Any, Dimension::Fixed(4)];
        let count = |limits: Limits| limits.count(ElementType::F32, &[33, 4]).unwrap_err();
        assert_eq!(
            count(limits(ElementType::F32, &any, ROWS)),
            "the shape [33, 4] has 132 elements, at most 128 are allowed (32 rows, --max-batch-size)"
        );
        let fixed = [Dimension::Fixed(2), Dimension::Fixed(4)];
        assert_eq!(
            count(limits(ElementType::F32, &fixed, None)),
            "the shape [33, 4] has 132 elements, at most 8 are allowed"
        );
    }

    #[test]
    fn open_lengths_leave_the_ceiling() {
        let open = [Dimension::Any, Dimension::Any];
        let rows = [Dimension::Any, Dimension::Fixed(2)];
        let huge = [Dimension::Fixed(usize::MAX), Dimension::Fixed(2)];
        for limits in [
            limits(ElementType::F32, &open, ROWS),
            limits(ElementType::F32, &rows, None),
            limits(ElementType::F32, &huge, ROWS),
            Limits::open(),
        ] {
            assert_eq!(limits.max_elements(ElementType::F32).count, usize::MAX);
            assert_eq!(limits.max_body_bytes(CEILING), CEILING);
        }
    }

    #[test]
    fn strings_are_bounded_in_number_and_not_in_length() {
        let rows = [Dimension::Any];
        let limits = limits(ElementType::String, &rows, ROWS);
        assert_eq!(limits.max_elements(ElementType::String).count, 32);
        assert_eq!(limits.max_body_bytes(CEILING), CEILING);
        assert_eq!(
            Limits::open().max_elements(ElementType::String),
            MaxElements::of(MAX_STRINGS),
            "not one of rows"
        );
    }

    #[test]
    fn strings_are_bounded_in_all_tensors_together() {
        let mut limits = Limits::open();
        limits.spend(ElementType::String, MAX_STRINGS - 1);
        limits.spend(ElementType::F32, MAX_STRINGS);
        assert_eq!(limits.count(ElementType::String, &[1]), Ok(1));
        assert!(limits.count(ElementType::String, &[2]).is_err());
    }
}
