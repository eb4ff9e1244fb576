//! A node with what is known of its inputs.

use crate::proto::{AttributeProto, NodeProto};

use super::tensor::{Axis, Tensor};

pub(super) struct Operands<'a, 'm> {
    pub(super) node: &'m NodeProto,
    pub(super) inputs: &'a [Tensor<'m>],
    /// What stands for inputs that aren't given.
    pub(super) absent: &'a Tensor<'m>,
}

impl<'a, 'm> Operands<'a, 'm> {
    /// The operator, without the domain: names that matter are told apart by themselves.
    pub(super) fn operator(&self) -> &'m str {
        &self.node.op_type
    }

    pub(super) fn input(&self, position: usize) -> &'a Tensor<'m> {
        self.inputs.get(position).unwrap_or(self.absent)
    }

    /// Whether the input is given at all.
    pub(super) fn has(&self, position: usize) -> bool {
        self.node
            .input
            .get(position)
            .is_some_and(|name| !name.is_empty())
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'m AttributeProto> {
        self.node
            .attribute
            .iter()
            .find(|attribute| attribute.name == name)
    }

    pub(super) fn integer(&self, name: &str, otherwise: i64) -> i64 {
        self.attribute(name)
            .map_or(otherwise, |attribute| attribute.i)
    }

    pub(super) fn text(&self, name: &str) -> &'m str {
        self.attribute(name)
            .and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
            .unwrap_or_default()
    }

    pub(super) fn integers(&self, name: &str) -> &'m [i64] {
        self.attribute(name)
            .map_or(&[], |attribute| &attribute.ints)
    }

    /// Integers that older versions of the operator have as an attribute, and newer ones as an input.
    /// None where they are computed; empty where they aren't given.
    pub(super) fn list(&self, position: usize, name: &str) -> Option<Vec<i64>> {
        if self.has(position) {
            self.input(position).integers()
        } else {
            Some(self.integers(name).to_vec())
        }
    }

    pub(super) fn axis(&self, input: usize, position: i64) -> &'a Axis {
        self.input(input).axis(position)
    }
}
