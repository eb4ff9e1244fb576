//! Operators with subgraphs: If, Loop, Scan and the model's functions.

use std::collections::HashMap;
use std::rc::Rc;

use crate::call::{Call, Outcome, resolve};
use crate::dimension::Dim;
use crate::proto::{FunctionProto, GraphProto, element};
use crate::resources;
use crate::scope::{Scope, declared_element};
use crate::value::{Blame, Dependence, Layout, RowKind, Value};

/// Maximum number of analyses of a loop's body until its states are stable.
const MAXIMUM_ROUNDS: usize = 6;

/// Maximum number of states of a Scan over the rows. Each is searched in the whole graph.
const MAXIMUM_STATES: usize = 64;

/// Analyzes a graph in the scope of the node. Its first inputs are `inputs`.
fn run<'m>(
    call: &mut Call<'_, '_, 'm>,
    graph: &'m GraphProto,
    inputs: &[Value<'m>],
) -> Result<Vec<Rc<Value<'m>>>, Blame> {
    let mut scope = Scope::new(Some(call.scope), Rc::clone(&call.scope.context));
    if graph.input.len() != inputs.len() {
        return Err(call.opaque("has a graph with other inputs"));
    }
    for (formal, value) in graph.input.iter().zip(inputs) {
        let mut value = value.clone();
        if value.element == element::UNDEFINED {
            value.element = declared_element(formal).1;
        }
        scope.values.insert(formal.name.as_str(), Rc::new(value));
    }
    call.walk.graph(graph, &mut scope);
    graph
        .output
        .iter()
        .map(|output| {
            scope
                .find(&output.name)
                .ok_or_else(|| call.opaque("has a graph without its output"))
        })
        .collect()
}

/// If: a known branch, or the common properties of both.
pub(crate) fn choose<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let condition = call.input(0)?;
    let (Some(yes), Some(no)) = (call.graph("then_branch"), call.graph("else_branch")) else {
        return Err(call.opaque("lacks a branch"));
    };
    // Both are analyzed: ONNX Runtime may run both, and hazards must be found.
    let yes = run(call, yes, &[])?;
    let no = run(call, no, &[])?;
    if yes.len() != no.len() {
        return Err(call.opaque("has branches with different outputs"));
    }
    match condition.scalar().and_then(Dim::as_constant) {
        Some(0) => return Ok(no.iter().map(|value| value.as_ref().clone()).collect()),
        Some(_) => return Ok(yes.iter().map(|value| value.as_ref().clone()).collect()),
        None => {}
    }
    match &condition.dependence {
        Dependence::Invariant => {}
        Dependence::Mixed(blame) => return Err(blame.clone()),
        Dependence::Counted(_) => {
            return Err(call.unproven("chooses a branch by the number of rows"));
        }
        Dependence::Rows(_) => {
            return Err(call.unproven("chooses a branch for the whole batch by values of rows"));
        }
    }
    Ok(yes
        .iter()
        .zip(&no)
        .map(|(yes, no)| join(call, yes, no, &mut Vec::new()).unwrap_or_else(Value::mixed))
        .collect())
}

/// The common properties of both values. Different lengths become new ones, which are added to `widened`.
fn join<'m>(
    call: &mut Call<'_, '_, 'm>,
    one: &Value<'m>,
    other: &Value<'m>,
    widened: &mut Vec<Dim>,
) -> Result<Value<'m>, Blame> {
    let blame = || call.unproven("gives now what goes row by row, now something else");
    if one.sequence.is_some() || other.sequence.is_some() {
        return Err(call.unproven("passes sequences on"));
    }
    let dependence = match (&one.dependence, &other.dependence) {
        (Dependence::Mixed(blame), _) | (_, Dependence::Mixed(blame)) => return Err(blame.clone()),
        (Dependence::Invariant, Dependence::Invariant) => Dependence::Invariant,
        (Dependence::Rows(one), Dependence::Rows(other))
            if one == other && one.kind == RowKind::Plain =>
        {
            Dependence::Rows(one.clone())
        }
        (Dependence::Counted(blame), Dependence::Counted(_) | Dependence::Invariant)
        | (Dependence::Invariant, Dependence::Counted(blame)) => {
            return Ok(Value::new(None, Dependence::Counted(blame.clone())));
        }
        _ => return Err(blame()),
    };
    let same_rank = one
        .shape
        .as_ref()
        .zip(other.shape.as_ref())
        .filter(|(one, other)| one.len() == other.len());
    let shape = match same_rank {
        Some((left, right)) => {
            let mut shape = Vec::with_capacity(left.len());
            for (left, right) in left.iter().zip(right) {
                shape.push(if left == right || widened.contains(left) {
                    left.clone()
                } else {
                    let length = call.walk.fresh();
                    widened.push(length.clone());
                    length
                });
            }
            Some(shape)
        }
        None if matches!(dependence, Dependence::Invariant) => None,
        None => return Err(blame()),
    };
    let mut value = Value::new(shape, dependence);
    if one.element == other.element {
        value.element = one.element;
    }
    if one.content == other.content {
        value.content.clone_from(&one.content);
    }
    Ok(value)
}

/// Whether the analysis of a loop's state is stable.
fn is_settled(before: &Value<'_>, after: &Value<'_>) -> bool {
    let same = match (&before.dependence, &after.dependence) {
        (Dependence::Invariant, Dependence::Invariant)
        | (Dependence::Counted(_), Dependence::Counted(_))
        | (Dependence::Mixed(_), Dependence::Mixed(_)) => true,
        (Dependence::Rows(before), Dependence::Rows(after)) => before == after,
        _ => false,
    };
    same && before.shape == after.shape
        && before.content == after.content
        && before.element == after.element
}

/// The final states of a loop, and the outputs of each iteration. `body` passes the initial states to the graph, and
/// receives the final states and the outputs.
fn settle<'m>(
    call: &mut Call<'_, '_, 'm>,
    initial: Vec<Value<'m>>,
    mut body: impl FnMut(
        &mut Call<'_, '_, 'm>,
        &[Value<'m>],
    ) -> Result<(Vec<Value<'m>>, Vec<Value<'m>>), Blame>,
) -> Result<(Vec<Value<'m>>, Vec<Value<'m>>), Blame> {
    let mut states = initial;
    let mut widened = Vec::new();
    for _ in 0..MAXIMUM_ROUNDS {
        let (after, rest) = body(call, &states)?;
        if after.len() != states.len() {
            return Err(call.opaque("has a graph with other states"));
        }
        let mut joined = Vec::with_capacity(states.len());
        for (before, after) in states.iter().zip(&after) {
            joined.push(join(call, before, after, &mut widened).unwrap_or_else(Value::mixed));
        }
        if states
            .iter()
            .zip(&joined)
            .all(|(before, after)| is_settled(before, after))
        {
            // The lengths differ between iterations. The final ones are new, too.
            for state in &mut states {
                state.content = None;
                for dim in state
                    .shape
                    .iter_mut()
                    .flatten()
                    .filter(|dim| widened.contains(dim))
                {
                    *dim = call.walk.fresh();
                }
            }
            return Ok((states, rest));
        }
        states = joined;
    }
    Err(call.unproven("repeats its graph with states that aren't followed"))
}

/// Loop: the number of iterations is the same for one row and for many.
pub(crate) fn repeat<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let Some(graph) = call.graph("body") else {
        return Err(call.opaque("lacks its graph"));
    };
    for index in [0, 1] {
        if let Some(value) = call.optional(index) {
            match &value.dependence {
                Dependence::Invariant => {}
                Dependence::Mixed(blame) => return Err(blame.clone()),
                _ => return Err(call.unproven("repeats its graph as often as the rows say")),
            }
        }
    }
    let initial = initial_states(call, 2, call.inputs.len())?;
    let around = call.walk.rounds;
    let own = resources::rounds(call).unwrap_or(u64::MAX);
    call.walk.rounds = around.saturating_mul(own);
    let settled = settle(call, initial, |call, states| {
        let mut inputs = vec![
            Value::invariant(Some(Vec::new())).of_element(element::INT64),
            Value::invariant(Some(Vec::new())).of_element(element::BOOL),
        ];
        inputs.extend(states.iter().cloned());
        let mut outputs = run(call, graph, &inputs)?
            .into_iter()
            .map(|value| value.as_ref().clone());
        let condition = outputs
            .next()
            .ok_or_else(|| call.opaque("has a graph without its output"))?;
        match condition.dependence {
            Dependence::Invariant => {}
            Dependence::Mixed(blame) => return Err(blame),
            _ => return Err(call.unproven("repeats its graph as often as the rows say")),
        }
        let after = outputs.by_ref().take(states.len()).collect();
        Ok((after, outputs.collect()))
    });
    call.walk.rounds = around;
    let (states, rest) = settled?;
    let rounds = call.walk.fresh();
    let mut outputs = states;
    for value in rest {
        outputs.push(stacked(call, &value, &rounds, 0));
    }
    Ok(outputs)
}

/// The initial states of a loop, without properties that only hold initially.
fn initial_states<'m>(
    call: &Call<'_, '_, 'm>,
    from: usize,
    to: usize,
) -> Result<Vec<Value<'m>>, Blame> {
    (from..to)
        .map(|index| {
            let mut state = call.input(index)?.as_ref().clone();
            state.literal = None;
            state.below = None;
            if state.sequence.is_some() {
                return Err(call.unproven("passes sequences on"));
            }
            if state
                .layout()
                .is_some_and(|layout| layout.kind != RowKind::Plain)
            {
                return Err(call.unproven("takes a row's place in the batch for a value"));
            }
            Ok(state)
        })
        .collect()
}

/// The outputs of all iterations, on a new axis.
fn stacked<'m>(call: &Call<'_, '_, 'm>, value: &Value<'m>, rounds: &Dim, axis: usize) -> Value<'m> {
    let Some(mut shape) = value
        .shape
        .clone()
        .filter(|shape| axis <= shape.len() && value.sequence.is_none())
    else {
        return match &value.dependence {
            Dependence::Invariant if value.sequence.is_none() => Value::invariant(None),
            Dependence::Mixed(blame) => Value::mixed(blame.clone()),
            _ => Value::mixed(call.unproven("passes on what isn't followed")),
        };
    };
    shape.insert(axis, rounds.clone());
    match &value.dependence {
        Dependence::Invariant => Value::invariant(Some(shape)),
        Dependence::Rows(layout) if layout.kind == RowKind::Plain => {
            let shift = usize::from(layout.axis >= axis);
            call.rows(shape, layout.at(layout.axis + shift))
                .unwrap_or_else(Value::mixed)
        }
        Dependence::Counted(blame) => Value::new(None, Dependence::Counted(blame.clone())),
        Dependence::Mixed(blame) => Value::mixed(blame.clone()),
        Dependence::Rows(_) => {
            Value::mixed(call.unproven("takes a row's place in the batch for a value"))
        }
    }
    .of_element(value.element)
}

/// Scan: over an axis of each row, or over the rows if no state is carried from one to the next.
pub(crate) fn scan<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let Some(graph) = call.graph("body") else {
        return Err(call.opaque("lacks its graph"));
    };
    if call.opset < 9 {
        return Err(call.opaque("is of an operator set before 9"));
    }
    for value in call.inputs.iter().flatten() {
        if let Dependence::Mixed(blame) = &value.dependence {
            return Err(blame.clone());
        }
    }
    let scanned = call
        .int("num_scan_inputs")
        .and_then(|count| usize::try_from(count).ok());
    let states = scanned.and_then(|scanned| call.inputs.len().checked_sub(scanned));
    let states = states.ok_or_else(|| call.opaque("has other inputs than it says"))?;
    let at = |name: &str, index: usize| {
        call.ints(name)
            .and_then(|ints| ints.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut elements = Vec::new();
    let mut rounds = None;
    let mut over_rows = 0;
    for (place, index) in (states..call.inputs.len()).enumerate() {
        let value = call.input(index)?;
        let mut shape = call.shape(&value)?;
        let axis = call.axis(at("scan_input_axes", place), shape.len())?;
        rounds = Some(shape.remove(axis));
        let mut one = match value.layout() {
            None => Value::new(Some(shape), value.dependence.clone()),
            Some(layout) if layout.axis == axis => {
                if !layout.is_single()
                    || layout.kind != RowKind::Plain
                    || at("scan_input_directions", place) != 0
                {
                    return Err(call.unproven("goes over the rows in an order of its own"));
                }
                over_rows += 1;
                // An iteration has this row only.
                Value::invariant(Some(shape))
            }
            Some(layout) => {
                let shift = usize::from(layout.axis > axis);
                call.rows(shape, layout.at(layout.axis - shift))?
            }
        };
        one.element = value.element;
        elements.push(one);
    }
    let initial = initial_states(call, 0, states)?;
    if over_rows > 0 {
        if over_rows < elements.len() {
            return Err(call.unproven("goes over the rows and over others of fixed number"));
        }
        return scan_rows(call, graph, initial, &elements);
    }
    let (mut outputs, rest) = settle(call, initial, |call, states| {
        let inputs: Vec<_> = states.iter().chain(&elements).cloned().collect();
        let mut outputs = run(call, graph, &inputs)?
            .into_iter()
            .map(|value| value.as_ref().clone());
        let after = outputs.by_ref().take(states.len()).collect();
        Ok((after, outputs.collect()))
    })?;
    let rounds = rounds.ok_or_else(|| call.opaque("goes over nothing"))?;
    for (place, value) in rest.iter().enumerate() {
        let rank = value.rank().unwrap_or_default() + 1;
        let axis = call
            .ints("scan_output_axes")
            .and_then(|axes| axes.get(place))
            .copied()
            .unwrap_or(0);
        let axis = call.axis(axis, rank)?;
        outputs.push(stacked(call, value, &rounds, axis));
    }
    Ok(outputs)
}

/// Scan over the rows: each output of an iteration depends on its row alone.
fn scan_rows<'m>(
    call: &mut Call<'_, '_, 'm>,
    graph: &'m GraphProto,
    initial: Vec<Value<'m>>,
    elements: &[Value<'m>],
) -> Outcome<'m> {
    if initial.iter().any(|state| !state.is_invariant()) {
        return Err(call.unproven("meets each row with all others"));
    }
    if initial.len() > MAXIMUM_STATES {
        return Err(call.unproven("has more states than are followed"));
    }
    for index in 0..initial.len() {
        if !passes_on(graph, index) {
            return Err(call.certain("carries a state from one row of the batch to the next"));
        }
    }
    let inputs: Vec<_> = initial.iter().chain(elements).cloned().collect();
    let results = run(call, graph, &inputs)?;
    let mut outputs = initial;
    let states = outputs.len();
    for (place, value) in results.iter().skip(states).enumerate() {
        if let Dependence::Mixed(blame) = &value.dependence {
            return Err(blame.clone());
        }
        if !value.is_invariant() || value.sequence.is_some() {
            return Err(call.unproven("meets each row with all others"));
        }
        let reversed = call
            .ints("scan_output_directions")
            .and_then(|ints| ints.get(place))
            .copied()
            .unwrap_or(0)
            != 0;
        if reversed {
            return Err(call.certain("turns the rows of the batch round"));
        }
        let mut shape = call.shape(value)?;
        let axis = call
            .ints("scan_output_axes")
            .and_then(|axes| axes.get(place))
            .copied()
            .unwrap_or(0);
        let axis = call.axis(axis, shape.len() + 1)?;
        shape.insert(axis, Dim::one());
        outputs.push(
            call.rows(shape, Layout::plain(axis))?
                .of_element(value.element),
        );
    }
    Ok(outputs)
}

/// Whether an output of a graph is its input of the same index, unchanged.
fn passes_on(graph: &GraphProto, index: usize) -> bool {
    let (Some(input), Some(output)) = (graph.input.get(index), graph.output.get(index)) else {
        return false;
    };
    let mut name = output.name.as_str();
    for _ in 0..8 {
        if name == input.name {
            return true;
        }
        let giver = graph
            .node
            .iter()
            .find(|node| node.output.iter().any(|output| output == name));
        match giver {
            Some(node)
                if node.op_type == "Identity" && matches!(node.domain.as_str(), "" | "ai.onnx") =>
            {
                name = node.input.first().map_or("", String::as_str);
            }
            _ => return false,
        }
    }
    false
}

/// A function of the model: its nodes replace the call.
pub(crate) fn function<'m>(
    call: &mut Call<'_, '_, 'm>,
    function: &'m FunctionProto,
) -> Outcome<'m> {
    if !call.scope.context.agrees_with(&function.opset_import) {
        return Err(call.opaque("is a function of another operator set than the model's"));
    }
    let mut bindings = HashMap::new();
    for default in &function.attribute_proto {
        bindings.insert(default.name.as_str(), default);
    }
    for attribute in &call.node.attribute {
        if let Some(given) = resolve(call.node, call.scope, &attribute.name) {
            bindings.insert(attribute.name.as_str(), given);
        }
    }
    if call.inputs.len() > function.input.len() {
        return Err(call.opaque("has more inputs than its function"));
    }
    let mut scope = Scope::new(None, Rc::new(call.scope.context.within(bindings)));
    for (index, formal) in function.input.iter().enumerate() {
        match call.optional(index) {
            Some(value) => {
                scope.values.insert(formal.as_str(), value);
            }
            None => {
                scope.absent.insert(formal.as_str());
            }
        }
    }
    call.walk.nodes(&function.node, &mut scope);
    function
        .output
        .iter()
        .map(|output| match scope.find(output) {
            Some(value) => Ok(value.as_ref().clone()),
            None => Err(call.opaque("has a function without its output")),
        })
        .collect()
}
