//! Guards against integer divisions that crash the process.
//!
//! The minimum 32- or 64-bit integer divided by -1 overflows. ONNX Runtime's `Div` and `Mod` then end the process
//! with SIGFPE (seen with 1.31.1), and with it all other models and requests. NumPy gives the minimum integer again,
//! and 0 for the remainder. So does a guarded division: it divides by 1 instead of -1, and negates the quotient.
//!
//! ```text
//! m = -(sign(b) * sign(b))         -1, or 0 where b is 0
//! r = b == m                       whether b is -1, or 0: that stays an error of the run
//! q = a / (r ? -m : b)
//! y = r ? -q : q                   `Mod` gives q: a remainder of 1 is one of -1
//! ```
//!
//! The nodes name no type, so the type of the tensors needn't be known.

use springtide_rows::Hazard;

use super::model_file::FileError;
use super::rewrite::{Message, Value, fields, push_field, rewrite, rewrite_within};

// Numbers of fields in onnx.proto.
const GRAPH_NODE: u64 = 1;
const NODE_INPUT: u64 = 1;
const NODE_OUTPUT: u64 = 2;
const NODE_NAME: u64 = 3;
const NODE_OPERATOR: u64 = 4;
const NODE_DOMAIN: u64 = 7;

/// Whether a node divides.
pub(super) fn is_division(hazard: &Hazard) -> bool {
    matches!(&*hazard.operator, "Div" | "Mod")
}

/// A model whose divisions are guarded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GuardedModel {
    pub(super) model: Vec<u8>,
    /// Those that are: the others are in functions of the model, or could not be told by their names.
    pub(super) divisions: Vec<Hazard>,
}

/// A model whose divisions among these nodes are guarded, in branches and bodies, too; None where there is
/// none of them.
///
/// # Errors
/// When the bytes are no model.
pub(super) fn guarded(model: &[u8], hazards: &[Hazard]) -> Result<Option<GuardedModel>, FileError> {
    let divisions: Vec<&Hazard> = hazards
        .iter()
        .filter(|hazard| is_division(hazard))
        .collect();
    if divisions.is_empty() {
        return Ok(None);
    }
    let mut found = vec![false; divisions.len()];
    let model = rewrite(model, &mut |kind, message| {
        if kind == Message::Graph {
            guarded_graph(message, &divisions, &mut found)
        } else {
            Ok(None)
        }
    })?;
    let guarded = divisions.iter().zip(&found).filter(|(_, found)| **found);
    let divisions = guarded.map(|(hazard, _)| (*hazard).clone()).collect();
    Ok(model.map(|model| GuardedModel { model, divisions }))
}

fn guarded_graph(
    graph: &[u8],
    divisions: &[&Hazard],
    found: &mut [bool],
) -> Result<Option<Vec<u8>>, FileError> {
    let mut rebuilt = Vec::with_capacity(graph.len());
    let mut any = false;
    for field in fields(graph) {
        let field = field?;
        let (GRAPH_NODE, Value::Bytes(node)) = (field.number, field.value) else {
            rebuilt.extend_from_slice(field.whole);
            continue;
        };
        if let Some(division) = Division::read(node, divisions, found)? {
            any = true;
            for node in division.guarded() {
                push_field(&mut rebuilt, GRAPH_NODE, &node);
            }
            continue;
        }
        let within = rewrite_within(Message::Node, node, &mut |kind, message| {
            if kind == Message::Graph {
                guarded_graph(message, divisions, found)
            } else {
                Ok(None)
            }
        })?;
        match within {
            Some(node) => {
                any = true;
                push_field(&mut rebuilt, GRAPH_NODE, &node);
            }
            None => rebuilt.extend_from_slice(field.whole),
        }
    }
    Ok(any.then_some(rebuilt))
}

struct Division<'a> {
    node: &'a [u8],
    operator: &'a [u8],
    dividend: &'a [u8],
    divisor: &'a [u8],
    output: &'a [u8],
}

impl<'a> Division<'a> {
    /// None where a node is none of the divisions. Notes which it is.
    fn read(
        node: &'a [u8],
        divisions: &[&Hazard],
        found: &mut [bool],
    ) -> Result<Option<Self>, FileError> {
        let (mut inputs, mut output, mut name) = (Vec::new(), &b""[..], &b""[..]);
        let (mut operator, mut domain) = (&b""[..], &b""[..]);
        for field in fields(node) {
            let field = field?;
            match (field.number, field.value) {
                (NODE_INPUT, Value::Bytes(input)) => inputs.push(input),
                (NODE_OUTPUT, Value::Bytes(first)) if output.is_empty() => output = first,
                (NODE_NAME, Value::Bytes(text)) => name = text,
                (NODE_OPERATOR, Value::Bytes(text)) => operator = text,
                (NODE_DOMAIN, Value::Bytes(text)) => domain = text,
                _ => {}
            }
        }
        let ([dividend, divisor], true) = (&*inputs, domain.is_empty()) else {
            return Ok(None);
        };
        let mut is_one = false;
        for (hazard, found) in divisions.iter().zip(found) {
            let node = hazard.node.as_bytes();
            if hazard.operator.as_bytes() == operator && (node == name || node == output) {
                is_one = true;
                *found = true;
            }
        }
        if !is_one {
            return Ok(None);
        }
        Ok(Some(Self {
            node,
            operator,
            dividend,
            divisor,
            output,
        }))
    }

    /// The nodes that take its place, in their order.
    fn guarded(&self) -> Vec<Vec<u8>> {
        let named = |part: &str| [self.output, b"/springtide/", part.as_bytes()].concat();
        let (sign, square, minus, is_minus, plus, safe) = (
            named("sign"),
            named("square"),
            named("minus"),
            named("is_minus"),
            named("plus"),
            named("divisor"),
        );
        let mut nodes = vec![
            node(b"Sign", &[self.divisor], &sign),
            node(b"Mul", &[&sign, &sign], &square),
            node(b"Neg", &[&square], &minus),
            node(b"Equal", &[self.divisor, &minus], &is_minus),
            node(b"Neg", &[&minus], &plus),
            node(b"Where", &[&is_minus, &plus, self.divisor], &safe),
        ];
        if self.operator == b"Mod" {
            nodes.push(self.dividing(&safe, self.output));
        } else {
            let (quotient, negated) = (named("quotient"), named("negated"));
            nodes.push(self.dividing(&safe, &quotient));
            nodes.push(node(b"Neg", &[&quotient], &negated));
            nodes.push(node(
                b"Where",
                &[&is_minus, &negated, &quotient],
                self.output,
            ));
        }
        nodes
    }

    /// The node itself, with its attributes, by another divisor and under another output.
    fn dividing(&self, divisor: &[u8], output: &[u8]) -> Vec<u8> {
        let mut node = Vec::new();
        push_field(&mut node, NODE_INPUT, self.dividend);
        push_field(&mut node, NODE_INPUT, divisor);
        push_field(&mut node, NODE_OUTPUT, output);
        // It was read to its end before.
        for field in fields(self.node).map_while(Result::ok) {
            if field.number != NODE_INPUT && field.number != NODE_OUTPUT {
                node.extend_from_slice(field.whole);
            }
        }
        node
    }
}

fn node(operator: &[u8], inputs: &[&[u8]], output: &[u8]) -> Vec<u8> {
    let mut node = Vec::new();
    for input in inputs {
        push_field(&mut node, NODE_INPUT, input);
    }
    push_field(&mut node, NODE_OUTPUT, output);
    push_field(&mut node, NODE_OPERATOR, operator);
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u64, content: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        push_field(&mut field, number, content);
        field
    }

    fn model(nodes: &[Vec<u8>]) -> Vec<u8> {
        let nodes: Vec<Vec<u8>> = nodes.iter().map(|node| field(GRAPH_NODE, node)).collect();
        field(7, &[nodes.concat(), field(2, b"graph")].concat())
    }

    fn hazard(node: &str, operator: &str) -> Hazard {
        Hazard {
            node: node.to_owned(),
            operator: operator.to_owned(),
            why: String::new(),
        }
    }

    #[test]
    fn a_division_is_replaced_by_its_guard_and_other_nodes_stay() {
        let other = node(b"Div", &[b"c", b"d"], b"z");
        let before = model(&[node(b"Div", &[b"a", b"b"], b"y"), other.clone()]);
        let after = guarded(&before, &[hazard("y", "Div")]).unwrap().unwrap();
        let division = Division {
            node: &node(b"Div", &[b"a", b"b"], b"y"),
            operator: b"Div",
            dividend: b"a",
            divisor: b"b",
            output: b"y",
        };
        let mut nodes = division.guarded();
        assert_eq!(nodes.len(), 9);
        nodes.push(other);
        assert_eq!(after.model, model(&nodes));
        assert_eq!(after.divisions, [hazard("y", "Div")]);
    }

    #[test]
    fn divisions_in_branches_are_guarded_beside_those_of_the_graph_around_them() {
        let inner = node(b"Div", &[b"e", b"f"], b"x");
        let branch = |nodes: &[Vec<u8>]| {
            let nodes: Vec<Vec<u8>> = nodes.iter().map(|node| field(GRAPH_NODE, node)).collect();
            let attribute = field(6, &nodes.concat());
            [node(b"If", &[b"c"], b"z"), field(5, &attribute)].concat()
        };
        let outer = node(b"Div", &[b"a", b"b"], b"y");
        let before = model(&[outer, branch(&[inner])]);
        let hazards = [hazard("y", "Div"), hazard("x", "Div"), hazard("w", "Div")];
        let after = guarded(&before, &hazards).unwrap().unwrap();
        assert_eq!(after.divisions, hazards[..2]);
        let count = |name: &[u8]| {
            after
                .model
                .windows(name.len())
                .filter(|w| *w == name)
                .count()
        };
        assert!(count(b"y/springtide/divisor") > 0);
        assert!(count(b"x/springtide/divisor") > 0);
    }

    #[test]
    fn a_remainder_keeps_its_attributes() {
        let mut remainder = node(b"Mod", &[b"a", b"b"], b"y");
        push_field(&mut remainder, 5, b"");
        let after = guarded(&model(&[remainder]), &[hazard("y", "Mod")]).unwrap();
        let last = [
            field(NODE_INPUT, b"a"),
            field(NODE_INPUT, b"y/springtide/divisor"),
            field(NODE_OUTPUT, b"y"),
            field(NODE_OPERATOR, b"Mod"),
            field(5, b""),
        ]
        .concat();
        let after = after.unwrap().model;
        assert!(after.windows(last.len()).any(|bytes| bytes == last));
    }

    #[test]
    fn without_such_a_division_nothing_changes() {
        let before = model(&[node(b"Div", &[b"a", b"b"], b"y")]);
        for hazards in [
            vec![],
            vec![hazard("z", "Div")],
            vec![hazard("y", "Mod")],
            vec![hazard("y", "Conv")],
        ] {
            assert_eq!(guarded(&before, &hazards).unwrap(), None);
        }
    }
}
