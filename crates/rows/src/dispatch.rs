//! Dispatches a node to the rule of its operator, after the rules of all operators.

use std::collections::HashSet;
use std::rc::Rc;

use crate::call::{Call, Outcome, is_arithmetic};
use crate::operators::{self, Rule};
use crate::scope;
use crate::value::{Blame, Certainty, Dependence, RowKind, Value};

/// Attributes that are 0 or 1. Kernels don't agree on what others mean.
const FLAGS: [&str; 27] = [
    "across_channels",
    "allowzero",
    "broadcast",
    "ceil_mode",
    "channels_last",
    "count_include_pad",
    "exclusive",
    "fmod",
    "inverse",
    "is_case_sensitive",
    "is_test",
    "keepdims",
    "largest",
    "layout",
    "linear_before_reset",
    "mark",
    "new_axis",
    "noop_with_empty_axes",
    "onesided",
    "reverse",
    "sorted",
    "spatial",
    "training_mode",
    "transA",
    "transB",
    "transBatchA",
    "transBatchB",
];

/// Applies the rule of the node's operator, after what holds for all operators.
pub(crate) fn dispatch<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let domain = scope::canonical(&call.node.domain);
    if let Some(function) = call.walk.function(call.node) {
        if scope::NEWEST.iter().any(|(known, _)| *known == domain) {
            return Err(call.opaque("is defined anew by the model"));
        }
        return operators::control::function(call, function);
    }
    let Some((_, newest)) = scope::NEWEST.iter().find(|(known, _)| *known == domain) else {
        return Err(call.opaque("is of a domain that isn't known"));
    };
    let version = call.scope.context.version(domain).unwrap_or_default();
    if version < 1 || version > *newest {
        return Err(call.opaque("is of an operator set that isn't known"));
    }
    call.opset = version;
    let mut names = HashSet::new();
    if !call
        .node
        .attribute
        .iter()
        .all(|attribute| names.insert(attribute.name.as_str()))
    {
        return Err(call.opaque("has an attribute twice"));
    }
    if let Some(flag) = FLAGS
        .iter()
        .find(|flag| call.int(flag).is_some_and(|value| !matches!(value, 0 | 1)))
    {
        return Err(call.opaque(&format!("has {flag} that is neither 0 nor 1")));
    }
    let Some(rule) = operators::rule(domain, &call.node.op_type) else {
        return Err(call.opaque("isn't known"));
    };
    match apply(call, &rule) {
        Err(blame)
            if matches!(
                rule.scope,
                operators::Knows::Rows | operators::Knows::Counts
            ) =>
        {
            Ok(of_known_rank(call, &rule, &blame))
        }
        outcome => outcome,
    }
}

/// The outputs of a node that anything may depend on. How many axes they have follows from the inputs
/// all the same, and hazards rest on it.
fn of_known_rank<'m>(call: &mut Call<'_, '_, 'm>, rule: &Rule, blame: &Blame) -> Vec<Value<'m>> {
    let mut stand_ins = call.inputs.clone();
    for input in stand_ins.iter_mut().flatten() {
        if !input.is_invariant() && input.sequence.is_none() {
            let lengths = input.shape.as_ref().map(|shape| {
                shape
                    .iter()
                    .map(|dim| {
                        if dim.is_row_free() {
                            dim.clone()
                        } else {
                            call.walk.length()
                        }
                    })
                    .collect()
            });
            *input = Rc::new(Value::invariant(lengths));
        }
    }
    let inputs = std::mem::replace(&mut call.inputs, stand_ins);
    let outputs = (rule.run)(call).unwrap_or_default();
    call.inputs = inputs;
    (0..call.node.output.len())
        .map(|index| {
            let mut value = Value::mixed(blame.clone());
            let shape = outputs
                .get(index)
                .filter(|output| output.sequence.is_none());
            value.shape = shape
                .and_then(|output| output.shape.as_ref())
                .map(|shape| shape.iter().map(|_| call.walk.wild()).collect());
            value
        })
        .collect()
}

fn apply<'m>(call: &mut Call<'_, '_, 'm>, rule: &Rule) -> Outcome<'m> {
    let count = call.node.output.len();
    if rule.scope == operators::Knows::Everything {
        return (rule.run)(call);
    }
    let present = || call.inputs.iter().flatten();
    for value in present() {
        if let Dependence::Mixed(blame) = &value.dependence {
            return Err(blame.clone());
        }
    }
    if rule.scope == operators::Knows::Sequences {
        return (rule.run)(call);
    }
    if present().any(|value| value.sequence.is_some()) {
        return Err(call.opaque("takes a sequence"));
    }
    if present().all(|value| value.is_invariant()) {
        if let Some(folded) = operators::numbers::fold(call) {
            return Ok(vec![folded]);
        }
        return match (rule.run)(call) {
            Ok(outputs) if outputs.iter().all(Value::is_invariant) => Ok(outputs),
            Err(blame) if blame.certainty == Certainty::Unrepeatable => Err(blame),
            // Its shape may not be known, but a function of constants is constant.
            _ => Ok(vec![Value::invariant(None); count]),
        };
    }
    if let Some(folded) = operators::numbers::fold(call) {
        return Ok(vec![folded]);
    }
    if rule.scope == operators::Knows::Rows {
        let mut kinds = present().filter_map(|value| value.layout().map(|layout| &layout.kind));
        if kinds.any(|kind| matches!(kind, RowKind::Padded(_))) {
            return Err(call.certain("sees how long the longest row of the batch is"));
        }
        let counted = present().find_map(|value| match &value.dependence {
            Dependence::Counted(blame) => Some(blame.clone()),
            _ => None,
        });
        if let Some(mut blame) = counted {
            if present().any(|value| value.layout().is_some()) {
                return Err(call.counted(&blame));
            }
            // The operator may undo what N did.
            if !is_arithmetic(&call.node.op_type) {
                blame.certainty = Certainty::Unproven;
            }
            return Ok(vec![Value::new(None, Dependence::Counted(blame)); count]);
        }
        return by_place(call, rule);
    }
    (rule.run)(call)
}

/// The rule applied to rows of which some hold their numbers: for it, a number is a value of the row as
/// any other. What comes of it is a function of the row and of its number.
fn by_place<'m>(call: &mut Call<'_, '_, 'm>, rule: &Rule) -> Outcome<'m> {
    let kind = operators::numbers::kind_of_places(call);
    let mut plain = call.inputs.clone();
    for input in plain.iter_mut().flatten() {
        if let Dependence::Rows(layout) = &input.dependence
            && layout.kind != RowKind::Plain
        {
            let mut value = input.as_ref().clone();
            value.dependence = Dependence::Rows(layout.of_kind(RowKind::Plain));
            *input = Rc::new(value);
        }
    }
    let inputs = std::mem::replace(&mut call.inputs, plain);
    let outcome = (rule.run)(call);
    call.inputs = inputs;
    let Some(kind) = kind else {
        return outcome;
    };
    outcome.map(|mut outputs| {
        for output in &mut outputs {
            if let Dependence::Rows(layout) = &mut output.dependence {
                layout.kind = kind.clone();
            }
        }
        outputs
    })
}
