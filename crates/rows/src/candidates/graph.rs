//! Walks the graph from its inputs.

use std::collections::HashMap;
use std::rc::Rc;

use crate::proto::{DimensionValue, GraphProto, NodeProto, TypeKind, ValueInfo};

use super::Candidates;
use super::collect::{Collector, Strength};
use super::constants::Constant;
use super::elements;
use super::lengths;
use super::operands::Operands;
use super::shapes;
use super::tensor::{Axis, Elements, MAXIMUM_RANK, Origin, Origins, Tensor, Text, Trace};
use super::valid_values::ValidValues;

/// The most nodes that are looked at, those of branches included.
const MAXIMUM_NODES: usize = 200_000;
/// The most that is kept of tensors, and looked at, in all of them together: axes and columns.
const MAXIMUM_SIZE: usize = 1 << 21;
/// How deep branches are followed.
const MAXIMUM_DEPTH: usize = 8;

/// What is known of the names of a graph, and of those around it.
type Names<'m> = HashMap<&'m str, Tensor<'m>>;

pub(super) fn walk(graph: &GraphProto) -> Candidates {
    let mut walker = Walker {
        collector: Collector::new(),
        scopes: vec![Names::new()],
        nodes: 0,
        room: MAXIMUM_SIZE,
        absent: Tensor::unknown(),
    };
    walker.constants(graph);
    for value in &graph.input {
        // An input with an initializer has a value that works.
        if walker.known(&value.name).is_none() {
            let tensor = walker.input(value);
            walker.set(&value.name, tensor);
        }
    }
    walker.nodes(graph);
    walker.collector.finish()
}

struct Walker<'m> {
    collector: Collector,
    scopes: Vec<Names<'m>>,
    nodes: usize,
    /// What is left of `MAXIMUM_SIZE`.
    room: usize,
    absent: Tensor<'m>,
}

impl<'m> Walker<'m> {
    fn known(&self, name: &str) -> Option<&Tensor<'m>> {
        self.scopes.iter().rev().find_map(|names| names.get(name))
    }

    fn set(&mut self, name: &'m str, tensor: Tensor<'m>) {
        if !name.is_empty()
            && let Some(names) = self.scopes.last_mut()
        {
            names.insert(name, tensor);
        }
    }

    /// Whether there is room for this much, which is taken.
    fn has_room(&mut self, size: usize) -> bool {
        let rest = self.room.checked_sub(size);
        self.room = rest.unwrap_or(0);
        rest.is_some()
    }

    fn constants(&mut self, graph: &'m GraphProto) {
        for tensor in &graph.initializer {
            self.set(&tensor.name, Tensor::constant(Constant::Tensor(tensor)));
        }
    }

    fn input(&mut self, value: &ValueInfo) -> Tensor<'m> {
        let Some(TypeKind::Tensor(declared)) =
            value.r#type.as_ref().and_then(|kind| kind.value.as_ref())
        else {
            return Tensor::unknown();
        };
        let lengths: Option<Vec<Option<i64>>> = declared.shape.as_ref().map(|shape| {
            shape
                .dim
                .iter()
                .map(|dim| match dim.value {
                    Some(DimensionValue::Length(length)) if length > 0 => Some(length),
                    _ => None,
                })
                .collect()
        });
        let input = self.collector.input(
            &value.name,
            declared.elem_type,
            lengths.as_deref().unwrap_or_default(),
        );
        let axes: Option<Rc<[Axis]>> = lengths.as_ref().map(|lengths| {
            lengths
                .iter()
                .enumerate()
                .map(|(axis, length)| {
                    length.map_or_else(
                        || {
                            Axis::Traced(Trace {
                                input,
                                axis,
                                multiplier: 1,
                                addend: 0,
                                resized: false,
                            })
                        },
                        Axis::Fixed,
                    )
                })
                .collect()
        });
        let origin = Origin {
            input,
            column: None,
            scale: 1.0,
            shift: 0.0,
            text: Text::Whole,
        };
        let width = lengths.as_ref().and_then(|lengths| lengths.last().copied());
        let origins = match (width, lengths.as_ref().map_or(0, Vec::len)) {
            // Along the only axis, which is free, are rows.
            (None, _) | (Some(None), 1) | (Some(Some(1)), _) => Origins::Any([origin].into()),
            (Some(None), _) => Origins::Whole(origin),
            (Some(Some(width)), _) => usize::try_from(width)
                .ok()
                .and_then(|width| Origins::Whole(origin).each(width))
                .map_or_else(
                    || Origins::Any([origin].into()),
                    |each| Origins::Each(each.into()),
                ),
        };
        Tensor {
            element: declared.elem_type,
            axes,
            elements: Elements::Inputs(origins),
            sources: [input].into(),
            simple: true,
        }
    }

    fn nodes(&mut self, graph: &'m GraphProto) {
        for node in &graph.node {
            self.nodes += 1;
            if self.nodes > MAXIMUM_NODES {
                return;
            }
            self.node(node);
        }
    }

    fn node(&mut self, node: &'m NodeProto) {
        if node.op_type == "Constant" {
            let tensor = Constant::of_node(node).map_or_else(Tensor::unknown, Tensor::constant);
            if let Some(output) = node.output.first() {
                self.set(output, tensor);
            }
            return;
        }
        let inputs: Vec<Tensor<'m>> = node
            .input
            .iter()
            .map(|name| self.known(name).cloned().unwrap_or_else(Tensor::unknown))
            .collect();
        if !self.has_room(inputs.iter().map(Tensor::size).sum()) {
            return;
        }
        let operands = Operands {
            node,
            inputs: &inputs,
            absent: &self.absent,
        };
        elements::constrain(&operands, &mut self.collector);
        let axes = lengths::infer(&operands, &mut self.collector);
        let known = shapes::infer(&operands).unwrap_or_else(|| elements::infer(&operands));
        let (sources, simple) = elements::sources(&operands);
        let element = elements::element(&operands);
        for (position, output) in node.output.iter().enumerate() {
            let tensor = Tensor {
                element,
                axes: axes
                    .get(position)
                    .cloned()
                    .flatten()
                    .filter(|axes| axes.len() <= MAXIMUM_RANK)
                    .map(Into::into),
                elements: known.get(position).cloned().unwrap_or(Elements::Unknown),
                sources: Rc::clone(&sources),
                simple,
            };
            if !self.has_room(tensor.size()) {
                return;
            }
            self.set(output, tensor);
        }
        match node.op_type.as_str() {
            "If" => {
                let condition = inputs.first().and_then(Tensor::integers);
                let taken = match condition.as_deref() {
                    Some([0]) => Some("else_branch"),
                    Some([_]) => Some("then_branch"),
                    _ => None,
                };
                if let Some(deciding) = inputs.first().and_then(elements::single_source) {
                    self.collector.decides(deciding);
                }
                self.branches(node, taken);
            }
            "Loop" => {
                if let Some(trips) = inputs.first() {
                    self.collector
                        .constrain(trips, Strength::Required, &ValidValues::Range(1, 4));
                }
            }
            _ => {}
        }
    }

    /// Follows the branches of an `If`, or the one that is taken, where that is known; what both give is taken from the one that knows more.
    fn branches(&mut self, node: &'m NodeProto, taken: Option<&str>) {
        if self.scopes.len() > MAXIMUM_DEPTH {
            return;
        }
        let branches = ["then_branch", "else_branch"]
            .into_iter()
            .filter(|name| taken.is_none_or(|taken| taken == *name))
            .filter_map(|name| {
                node.attribute
                    .iter()
                    .find(|attribute| attribute.name == name)
            })
            .filter_map(|attribute| attribute.g.as_deref());
        for branch in branches {
            self.scopes.push(Names::new());
            self.constants(branch);
            self.nodes(branch);
            let results: Vec<Tensor<'m>> = branch
                .output
                .iter()
                .map(|output| {
                    self.known(&output.name)
                        .cloned()
                        .unwrap_or_else(Tensor::unknown)
                })
                .collect();
            self.scopes.pop();
            for (output, result) in node.output.iter().zip(results) {
                let has_more = self.known(output).is_none_or(|known| {
                    known.axes.is_none() && matches!(known.elements, Elements::Unknown)
                });
                if has_more {
                    self.set(output, result);
                }
            }
        }
    }
}
