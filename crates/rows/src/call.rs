//! The arguments of a rule: a node, its inputs and attributes. Also the results of rules, and findings against the
//! node.

use std::rc::Rc;

use crate::dimension::Dim;
use crate::names;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::scope::Scope;
use crate::value::{Blame, Certainty, Value};
use crate::walk::Walk;

/// What a rule gives: what is known of each output, or the node to blame for all.
pub(crate) type Outcome<'m> = Result<Vec<Value<'m>>, Blame>;

/// A node, what is known of its inputs, and where it stands.
pub(crate) struct Call<'a, 's, 'm> {
    pub(crate) walk: &'a mut Walk<'m>,
    pub(crate) scope: &'a Scope<'s, 'm>,
    pub(crate) node: &'m NodeProto,
    pub(crate) inputs: Vec<Option<Rc<Value<'m>>>>,
    /// The version of the operator set of the node's domain.
    pub(crate) opset: i64,
}

impl<'a, 's, 'm> Call<'a, 's, 'm> {
    pub(crate) fn new(
        walk: &'a mut Walk<'m>,
        scope: &'a Scope<'s, 'm>,
        node: &'m NodeProto,
        inputs: Vec<Option<Rc<Value<'m>>>>,
    ) -> Self {
        Self {
            walk,
            scope,
            node,
            inputs,
            opset: 0,
        }
    }

    pub(crate) fn optional(&self, index: usize) -> Option<Rc<Value<'m>>> {
        self.inputs.get(index).cloned().flatten()
    }

    pub(crate) fn input(&self, index: usize) -> Result<Rc<Value<'m>>, Blame> {
        self.optional(index)
            .ok_or_else(|| self.unproven("lacks an input"))
    }

    /// The shape of an input, which an invariant one may lack.
    pub(crate) fn shape(&self, value: &Value<'m>) -> Result<Vec<Dim>, Blame> {
        value
            .shape
            .clone()
            .ok_or_else(|| self.unproven("takes a tensor of unknown shape"))
    }

    /// An axis given from the front or (negative) from the back.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Blame> {
        let from_front = if axis < 0 {
            i64::try_from(rank)
                .ok()
                .and_then(|rank| axis.checked_add(rank))
        } else {
            Some(axis)
        };
        from_front
            .and_then(|axis| usize::try_from(axis).ok())
            .filter(|axis| *axis < rank)
            .ok_or_else(|| self.unproven("names an axis that isn't there"))
    }

    pub(crate) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, Blame> {
        axes.iter().map(|axis| self.axis(*axis, rank)).collect()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&'m AttributeProto> {
        resolve(self.node, self.scope, name)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|attribute| attribute.i)
    }

    pub(crate) fn int_or(&self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&'m [i64]> {
        self.attribute(name)
            .map(|attribute| attribute.ints.as_slice())
    }

    pub(crate) fn string(&self, name: &str) -> Option<&'m str> {
        self.attribute(name)
            .and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&'m TensorProto> {
        self.attribute(name)
            .and_then(|attribute| attribute.t.as_deref())
    }

    pub(crate) fn graph(&self, name: &str) -> Option<&'m GraphProto> {
        self.attribute(name)
            .and_then(|attribute| attribute.g.as_deref())
    }

    pub(crate) fn blame(&self, certainty: Certainty, why: &str, remedy: Option<&str>) -> Blame {
        names::blame(self.node, certainty, why, remedy)
    }

    /// The node makes rows depend on each other.
    pub(crate) fn certain(&self, why: &str) -> Blame {
        self.blame(Certainty::Certain, why, None)
    }

    /// The node isn't proven to keep rows apart.
    pub(crate) fn unproven(&self, why: &str) -> Blame {
        self.blame(Certainty::Unproven, why, None)
    }

    /// It isn't known what the node does, or it does something else each time.
    pub(crate) fn opaque(&self, why: &str) -> Blame {
        self.blame(Certainty::Unrepeatable, why, None)
    }

    /// A value that differs with N reaches what goes row by row, at this node.
    pub(crate) fn counted(&self, origin: &Blame) -> Blame {
        // What other operators do with the number may not show in what they give.
        let certainty = if is_arithmetic(&self.node.op_type) {
            origin.certainty
        } else {
            Certainty::Unproven
        };
        self.blame(
            certainty,
            "takes the number of rows in the batch into its values",
            None,
        )
    }

    /// Whether an input is absent, or the same whatever the rows.
    pub(crate) fn is_fixed(&self, index: usize) -> bool {
        self.optional(index)
            .is_none_or(|value| value.is_invariant())
    }

    /// Refuses inputs beyond `first` that depend on the rows.
    pub(crate) fn require_fixed(
        &self,
        indices: impl IntoIterator<Item = usize>,
    ) -> Result<(), Blame> {
        if indices.into_iter().all(|index| self.is_fixed(index)) {
            Ok(())
        } else {
            Err(self.unproven("has parameters that depend on the rows"))
        }
    }

    /// As `require_fixed`, for all inputs from `first` on.
    pub(crate) fn require_fixed_from(&self, first: usize) -> Result<(), Blame> {
        self.require_fixed(first..self.inputs.len())
    }

    /// Makes a sum of lengths, or blames the node where it leaves the bounds.
    pub(crate) fn bounded(&self, dim: Option<Dim>) -> Result<Dim, Blame> {
        dim.ok_or_else(|| self.unproven("has lengths that are too complex"))
    }

    /// A value that goes row by row.
    pub(crate) fn rows(
        &self,
        shape: Vec<Dim>,
        layout: crate::value::Layout,
    ) -> Result<Value<'m>, Blame> {
        Value::rows(shape, layout).ok_or_else(|| self.unproven("has lengths that are too complex"))
    }
}

/// A node's attribute, or what the call of the function around it gives for it.
pub(crate) fn resolve<'m>(
    node: &'m NodeProto,
    scope: &Scope<'_, 'm>,
    name: &str,
) -> Option<&'m AttributeProto> {
    let own = node
        .attribute
        .iter()
        .find(|attribute| attribute.name == name)?;
    if own.ref_attr_name.is_empty() {
        Some(own)
    } else {
        scope
            .context
            .bindings
            .get(own.ref_attr_name.as_str())
            .copied()
    }
}

/// Arithmetic that a number that differs with N goes through as another such number.
pub(crate) fn is_arithmetic(operator: &str) -> bool {
    matches!(
        operator,
        "Add"
            | "Sub"
            | "Mul"
            | "Div"
            | "Cast"
            | "Sqrt"
            | "Neg"
            | "Reciprocal"
            | "Pow"
            | "Exp"
            | "Log"
    )
}
