//! One node of the walk: its inputs are looked up, its rule is applied, and its hazards are noted.

use super::{MAXIMUM_DEPTH, MAXIMUM_RANK, MAXIMUM_VISITS, Walk};
use crate::call::Call;
use crate::dispatch::dispatch;
use crate::hazards;
use crate::names::blame;
use crate::operators;
use crate::proto::{AttributeProto, NodeProto, element};
use crate::resources;
use crate::scope::Scope;
use crate::value::{Blame, Certainty, Value};

/// What is known of a node's outputs; as many values as it has outputs.
pub(crate) fn run<'m>(
    walk: &mut Walk<'m>,
    node: &'m NodeProto,
    scope: &Scope<'_, 'm>,
) -> Vec<Value<'m>> {
    let count = node.output.len();
    let all = |blame: &Blame| vec![Value::mixed(blame.clone()); count.min(MAXIMUM_VISITS)];
    walk.visits = walk
        .visits
        .saturating_add(1)
        .saturating_add(count / 8)
        .saturating_add(effort(node));
    if walk.visits > MAXIMUM_VISITS || walk.depth > MAXIMUM_DEPTH {
        walk.add_hazard(node, "is beyond the size of graphs that are looked at");
        return all(&blame(
            node,
            Certainty::Unproven,
            "is beyond the size of graphs that are judged",
            None,
        ));
    }
    let mut inputs = Vec::with_capacity(node.input.len());
    for name in &node.input {
        let input = if name.is_empty() {
            None
        } else {
            scope.find(name)
        };
        if input.is_none() && !name.is_empty() && !scope.leaves_out(name) {
            return all(&blame(
                node,
                Certainty::Unproven,
                "takes an input that no node before it gives",
                None,
            ));
        }
        if let Some(content) = input.as_ref().and_then(|input| input.content.as_ref()) {
            walk.visits = walk.visits.saturating_add(content.len() / 32);
        }
        inputs.push(input);
    }
    let elements = operators::elements(node, &inputs, scope);
    let mut call = Call::new(walk, scope, node, inputs);
    hazards::check(&mut call);
    let lists = call.walk.lists;
    let mut outputs = match dispatch(&mut call) {
        Ok(outputs) => outputs,
        Err(blame) => {
            if call.walk.lists == lists && holds_nodes(call.walk, node) {
                call.walk
                    .add_hazard(node, "runs a graph that wasn't looked into");
            }
            all(&blame)
        }
    };
    if outputs.len() < count {
        let blame = call.blame(Certainty::Unproven, "has more outputs than are known", None);
        outputs.resize_with(count, || Value::mixed(blame.clone()));
    }
    for (index, output) in outputs.iter_mut().enumerate() {
        if output.element == element::UNDEFINED {
            output.element = elements.of(index);
        }
        if output.rank().is_some_and(|rank| rank > MAXIMUM_RANK) {
            let blame = call.blame(Certainty::Unproven, "gives a tensor of too many axes", None);
            *output = Value::mixed(blame);
        }
    }
    resources::check(&mut call, &outputs);
    outputs
}

/// Whether other nodes run within the node.
fn holds_nodes(walk: &Walk<'_>, node: &NodeProto) -> bool {
    let has_graph = |attribute: &AttributeProto| attribute.g.is_some();
    node.attribute.iter().any(has_graph) || walk.function(node).is_some()
}

/// What reading a node's long attributes adds to a visit.
fn effort(node: &NodeProto) -> usize {
    let entries = node
        .attribute
        .iter()
        .map(|attribute| attribute.ints.len().max(attribute.strings.len()));
    entries.fold(node.attribute.len(), usize::saturating_add) / 1024
}
