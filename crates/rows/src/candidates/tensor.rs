//! What is known of a tensor of the graph: where its elements and lengths come from.

use std::rc::Rc;

use crate::proto::element;

use super::constants::Constant;

/// The most columns that are told apart, and elements of a shape that are followed.
pub(super) const MAXIMUM_COLUMNS: usize = 1024;
/// The most axes of a tensor: ONNX Runtime has fewer.
pub(super) const MAXIMUM_RANK: usize = 64;

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'m> {
    /// The kind of its elements, `UNDEFINED` where it isn't known.
    pub(super) element: i32,
    /// Its axes; none where the rank isn't known.
    pub(super) axes: Option<Rc<[Axis]>>,
    pub(super) elements: Elements<'m>,
    /// Graph inputs whose values this depends on, sorted.
    pub(super) sources: Rc<[usize]>,
    /// Whether it is made of its sources by casts, comparisons and the like alone, as masks are.
    pub(super) simple: bool,
}

/// Where a tensor's elements come from.
#[derive(Clone, Debug)]
pub(super) enum Elements<'m> {
    Unknown,
    Constant(Constant<'m>),
    /// A scalar or a list of lengths and constants, as `Shape` gives it.
    Lengths(Rc<[Axis]>),
    Inputs(Origins),
}

/// The graph inputs' columns that a tensor's elements are.
#[derive(Clone, Debug)]
pub(super) enum Origins {
    /// One for each position of the last axis; none where it is computed.
    Each(Rc<[Option<Origin>]>),
    /// The last axis is an input's last axis, of unknown length.
    Whole(Origin),
    /// Any of these, wherever.
    Any(Rc<[Origin]>),
}

/// Values of a graph input: each is the input's value · `scale` + `shift`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Origin {
    pub(super) input: usize,
    /// The position along the input's last axis; none for all of them.
    pub(super) column: Option<usize>,
    pub(super) scale: f64,
    pub(super) shift: f64,
    pub(super) text: Text,
}

/// What a string is of the input's string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// All of it.
    Whole,
    /// A part between this separator.
    Part(char),
    /// One of its characters.
    Character,
}

/// The length of an axis, or an element of a shape (where it may be negative).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Unknown,
    Fixed(i64),
    Traced(Trace),
    /// The product of these lengths and of `factor`.
    Product {
        factor: i64,
        traces: Rc<[Trace]>,
    },
}

/// A length that comes from an axis of a graph input: to be at least k, the input's axis must be at
/// least `multiplier` · k + `addend` long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) input: usize,
    pub(super) axis: usize,
    pub(super) multiplier: i64,
    pub(super) addend: i64,
    /// Whether it was scaled up since, so that the above doesn't hold.
    pub(super) resized: bool,
}

impl Trace {
    /// The least length of the input's axis for which this one is at least `length`.
    pub(super) fn needed(&self, length: i64) -> Option<i64> {
        self.multiplier
            .checked_mul(length)?
            .checked_add(self.addend)
    }

    pub(super) fn same_axis(&self, other: &Self) -> bool {
        (self.input, self.axis) == (other.input, other.axis)
    }
}

impl Axis {
    pub(super) fn fixed(&self) -> Option<i64> {
        match self {
            Self::Fixed(length) => Some(*length),
            _ => None,
        }
    }

    /// The product of the lengths.
    pub(super) fn product<'a>(axes: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut product = 1_i64;
        let mut all = Vec::new();
        for axis in axes {
            let factor = match axis {
                Self::Unknown => return Self::Unknown,
                Self::Fixed(length) => *length,
                Self::Traced(trace) => {
                    all.push(*trace);
                    1
                }
                Self::Product { factor, traces } => {
                    all.extend(traces.iter().copied());
                    *factor
                }
            };
            let Some(next) = product.checked_mul(factor) else {
                return Self::Unknown;
            };
            product = next;
        }
        Self::of_product(product, all)
    }

    pub(super) fn of_product(factor: i64, traces: Vec<Trace>) -> Self {
        match traces.as_slice() {
            [] => Self::Fixed(factor),
            [trace] if factor == 1 => Self::Traced(*trace),
            _ if traces.len() > 8 => Self::Unknown,
            _ => Self::Product {
                factor,
                traces: traces.into(),
            },
        }
    }
}

impl<'m> Tensor<'m> {
    /// Of which nothing is known, not even on what it depends.
    pub(super) fn unknown() -> Self {
        Self {
            element: element::UNDEFINED,
            axes: None,
            elements: Elements::Unknown,
            sources: Rc::from([]),
            simple: false,
        }
    }

    pub(super) fn constant(constant: Constant<'m>) -> Self {
        Self {
            element: constant.element(),
            axes: constant
                .dims()
                .map(|dims| dims.into_iter().map(Axis::Fixed).collect()),
            elements: Elements::Constant(constant),
            sources: Rc::from([]),
            simple: true,
        }
    }

    /// How much is known: a measure of memory and of the time to follow it.
    pub(super) fn size(&self) -> usize {
        let elements = match &self.elements {
            Elements::Lengths(list) => list.len(),
            Elements::Inputs(origins) => origins.size(),
            Elements::Unknown | Elements::Constant(_) => 0,
        };
        1 + elements + self.rank().unwrap_or_default()
    }

    pub(super) fn rank(&self) -> Option<usize> {
        self.axes.as_ref().map(|axes| axes.len())
    }

    pub(super) fn axes(&self) -> Option<&[Axis]> {
        self.axes.as_deref()
    }

    /// The axis at this position, which counts from the end where it is negative.
    pub(super) fn axis(&self, position: i64) -> &Axis {
        let axes = self.axes.as_deref().unwrap_or_default();
        at(position, axes.len())
            .and_then(|position| axes.get(position))
            .unwrap_or(&Axis::Unknown)
    }

    pub(super) fn origins(&self) -> Option<&Origins> {
        match &self.elements {
            Elements::Inputs(origins) => Some(origins),
            _ => None,
        }
    }

    pub(super) fn constant_value(&self) -> Option<&Constant<'m>> {
        match &self.elements {
            Elements::Constant(constant) => Some(constant),
            _ => None,
        }
    }

    /// Its integers, where it is a constant with few of them.
    pub(super) fn integers(&self) -> Option<Vec<i64>> {
        match &self.elements {
            Elements::Lengths(lengths) => lengths.iter().map(Axis::fixed).collect(),
            _ => self.constant_value()?.integers(MAXIMUM_COLUMNS),
        }
    }

    /// Its numbers, where it is a constant with few of them.
    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        match &self.elements {
            #[allow(clippy::cast_precision_loss, reason = "candidates needn't be exact")]
            Elements::Lengths(_) => Some(
                self.integers()?
                    .into_iter()
                    .map(|length| length as f64)
                    .collect(),
            ),
            _ => self.constant_value()?.numbers(MAXIMUM_COLUMNS),
        }
    }

    /// Its elements as lengths, where it is a small list of constants or lengths.
    pub(super) fn lengths(&self) -> Option<Rc<[Axis]>> {
        match &self.elements {
            Elements::Lengths(lengths) => Some(Rc::clone(lengths)),
            Elements::Constant(_) => Some(self.integers()?.into_iter().map(Axis::Fixed).collect()),
            _ => None,
        }
    }

    pub(super) fn is_integer(&self) -> bool {
        is_integer(self.element)
    }
}

pub(super) fn is_integer(kind: i32) -> bool {
    use element::{INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64};
    matches!(
        kind,
        INT8 | INT16 | INT32 | INT64 | UINT8 | UINT16 | UINT32 | UINT64
    )
}

/// A position from the end, where it is negative, as one from the start.
pub(super) fn at(position: i64, length: usize) -> Option<usize> {
    let from_start = if position < 0 {
        position.checked_add(i64::try_from(length).ok()?)?
    } else {
        position
    };
    usize::try_from(from_start)
        .ok()
        .filter(|position| *position < length)
}

impl Origins {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Each(list) => list.len(),
            Self::Whole(_) => 1,
            Self::Any(list) => list.len(),
        }
    }

    pub(super) fn all(&self) -> Vec<Origin> {
        let mut all: Vec<Origin> = Vec::new();
        let listed: &mut dyn Iterator<Item = Origin> = match self {
            Self::Each(list) => &mut list.iter().flatten().copied(),
            Self::Whole(origin) => &mut std::iter::once(*origin),
            Self::Any(list) => &mut list.iter().copied(),
        };
        for origin in listed {
            // Columns come in runs; a full search would be quadratic.
            if all.last() != Some(&origin) && all.len() < MAXIMUM_COLUMNS {
                all.push(origin);
            }
        }
        all
    }

    /// The same without regard to the last axis.
    pub(super) fn anywhere(&self) -> Self {
        Self::Any(self.all().into())
    }

    /// Those at these positions along the last axis.
    pub(super) fn pick(&self, positions: &[i64]) -> Self {
        let picked = |find: &dyn Fn(i64) -> Option<Origin>| {
            Self::Each(
                positions
                    .iter()
                    .take(MAXIMUM_COLUMNS)
                    .map(|position| find(*position))
                    .collect(),
            )
        };
        match self {
            _ if positions.len() > MAXIMUM_COLUMNS => self.anywhere(),
            Self::Each(list) => {
                picked(&|position| list.get(at(position, list.len())?).copied().flatten())
            }
            Self::Whole(origin) => picked(&|position| {
                let column = usize::try_from(position).ok()?;
                Some(Origin {
                    column: Some(column),
                    ..*origin
                })
            }),
            Self::Any(_) => self.clone(),
        }
    }

    /// One for each position, where the last axis has `width` of them.
    pub(super) fn each(&self, width: usize) -> Option<Vec<Option<Origin>>> {
        if width > MAXIMUM_COLUMNS {
            return None;
        }
        match self {
            Self::Each(list) => (list.len() == width).then(|| list.to_vec()),
            Self::Whole(origin) => Some(
                (0..width)
                    .map(|column| {
                        Some(Origin {
                            column: Some(column),
                            ..*origin
                        })
                    })
                    .collect(),
            ),
            Self::Any(list) => match list.as_ref() {
                [origin] => Some(vec![Some(*origin); width]),
                _ => None,
            },
        }
    }

    /// Each changed by `change`, which gets its position where it is known.
    pub(super) fn map(&self, change: impl Fn(Option<usize>, Origin) -> Option<Origin>) -> Self {
        match self {
            Self::Each(list) => Self::Each(
                list.iter()
                    .enumerate()
                    .map(|(position, origin)| {
                        origin.and_then(|origin| change(Some(position), origin))
                    })
                    .collect(),
            ),
            Self::Whole(origin) => {
                change(None, *origin).map_or_else(|| Self::Any(Rc::from([])), Self::Whole)
            }
            Self::Any(list) => Self::Any(
                list.iter()
                    .filter_map(|origin| change(None, *origin))
                    .collect(),
            ),
        }
    }
}
