//! Abstract values: the shape of a tensor, and its dependence on the rows.

use std::rc::Rc;

use bytes::Bytes;

use crate::dimension::Dim;
use crate::findings::Finding;
use crate::proto::{TensorProto, element};

/// The abstract value of a node's output, valid for every N ≥ 1 and all values of the rows.
#[derive(Clone, Debug)]
pub(crate) struct Value<'m> {
    /// Its element type; `UNDEFINED` where it is unknown.
    pub(crate) element: i32,
    /// Length of each axis. None where the rank is unknown. Always known for `Rows`.
    pub(crate) shape: Option<Vec<Dim>>,
    pub(crate) dependence: Dependence,
    /// The elements of a small tensor of integers or booleans, in order. None among them is one that
    /// isn't known, but is the same whatever the rows and N.
    pub(crate) content: Option<Rc<Vec<Option<Dim>>>>,
    /// What integers of at least 0 are below, where they are such. Always row-free.
    pub(crate) below: Option<Dim>,
    /// The constant that this is, where it is one of the model's own.
    pub(crate) literal: Option<&'m TensorProto>,
    /// For a sequence, its items; `content` and `literal` are none then.
    pub(crate) sequence: Option<Sequence<'m>>,
}

/// The items of a sequence of tensors.
#[derive(Clone, Debug)]
pub(crate) enum Sequence<'m> {
    /// Each of them, in order.
    Items(Rc<Vec<Rc<Value<'m>>>>),
    /// Maps, as `ZipMap` gives them: one for each row of the tensor whose dependence and shape they have.
    Maps,
}

/// How a tensor depends on the rows.
#[derive(Clone, Debug)]
pub(crate) enum Dependence {
    /// The same, in shape and values, whatever the rows and N.
    Invariant,
    /// Known from N and what is invariant; differs with N.
    Counted(Blame),
    /// Row by row along an axis.
    Rows(Layout),
    /// Anything.
    Mixed(Blame),
}

/// An axis with `outer` · N · `block` elements: the one at (o · N + i) · block + b is what a function of
/// row i alone gives at o · block + b. All other axes have the same length whatever the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) axis: usize,
    pub(crate) outer: Dim,
    pub(crate) block: Dim,
    pub(crate) kind: RowKind,
}

/// What else a tensor that goes row by row may hold. All but `Plain` are exceptions that only some
/// operators understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowKind {
    Plain,
    /// The last axis is as long as the longest row wants it; shorter ones end with this string.
    Padded(Bytes),
    /// Each element is the number of its row.
    Index,
    /// On the last axis, the first element is the number of the row; the others are plain.
    IndexTuple,
    /// Each element is the number of its row times `stride`, and something of at least 0 and below `below`
    /// that doesn't depend on other rows.
    Flat {
        stride: Dim,
        below: Dim,
    },
    /// Each element is a function of the row and of its number, by this node.
    Placed(Rc<Finding>),
}

/// The node that is to blame for a dependence that isn't row by row.
#[derive(Clone, Debug)]
pub(crate) struct Blame {
    pub(crate) certainty: Certainty,
    pub(crate) finding: Rc<Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// The node makes rows depend on each other.
    Certain,
    /// It isn't known that it doesn't.
    Unproven,
    /// What it gives isn't a function of its inputs, or which function isn't known.
    Unrepeatable,
}

/// The longest list of lengths or places that is followed: one for each axis of a tensor.
const LONGEST_LIST: usize = 16;

impl<'m> Value<'m> {
    /// How many numbers a list of lengths or places holds, where its shape says it.
    pub(crate) fn list_length(&self) -> Option<usize> {
        let length = self.shape.as_deref()?.first()?.as_constant()?;
        let length = usize::try_from(length).ok()?;
        (length <= LONGEST_LIST).then_some(length)
    }

    pub(crate) fn new(shape: Option<Vec<Dim>>, dependence: Dependence) -> Self {
        Self {
            element: element::UNDEFINED,
            shape,
            dependence,
            content: None,
            below: None,
            literal: None,
            sequence: None,
        }
    }

    pub(crate) fn invariant(shape: Option<Vec<Dim>>) -> Self {
        Self::new(shape, Dependence::Invariant)
    }

    pub(crate) fn mixed(blame: Blame) -> Self {
        Self::new(None, Dependence::Mixed(blame))
    }

    /// Row by row with this shape, whose axis is set to the layout's length.
    pub(crate) fn rows(mut shape: Vec<Dim>, layout: Layout) -> Option<Self> {
        *shape.get_mut(layout.axis)? = layout.length()?;
        Some(Self::new(Some(shape), Dependence::Rows(layout)))
    }

    pub(crate) fn of_element(mut self, element: i32) -> Self {
        self.element = element;
        self
    }

    pub(crate) fn layout(&self) -> Option<&Layout> {
        match &self.dependence {
            Dependence::Rows(layout) => Some(layout),
            _ => None,
        }
    }

    pub(crate) fn is_invariant(&self) -> bool {
        matches!(self.dependence, Dependence::Invariant)
    }

    pub(crate) fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }

    /// The one integer that this scalar (or tensor of one element) is.
    pub(crate) fn scalar(&self) -> Option<&Dim> {
        match self.content.as_deref().map(Vec::as_slice) {
            Some([Some(dim)]) => Some(dim),
            _ => None,
        }
    }

    /// Its elements where all are known integers.
    pub(crate) fn integers(&self) -> Option<Vec<i64>> {
        self.content
            .as_ref()?
            .iter()
            .map(|dim| dim.as_ref().and_then(Dim::as_constant))
            .collect()
    }
}

impl Layout {
    /// One row after the other along `axis`, one element each.
    pub(crate) fn plain(axis: usize) -> Self {
        Self {
            axis,
            outer: Dim::one(),
            block: Dim::one(),
            kind: RowKind::Plain,
        }
    }

    pub(crate) fn at(&self, axis: usize) -> Self {
        Self {
            axis,
            ..self.clone()
        }
    }

    pub(crate) fn of_kind(&self, kind: RowKind) -> Self {
        Self {
            kind,
            ..self.clone()
        }
    }

    pub(crate) fn length(&self) -> Option<Dim> {
        self.outer.multiply(&Dim::rows())?.multiply(&self.block)
    }

    /// Whether there is one element for each row.
    pub(crate) fn is_single(&self) -> bool {
        self.outer.is(1) && self.block.is(1)
    }
}
