//! The walk over a model's nodes in order: abstract values of the inputs become abstract values of the outputs.

pub(crate) mod node;

use std::collections::HashMap;
use std::rc::Rc;

use crate::constant;
use crate::dimension::{Dim, Symbol};
use crate::findings::{Finding, Hazard, MAXIMUM_HAZARDS};
use crate::names::{blame, shortened, shown_name, shown_operator};
use crate::proto::{FunctionProto, GraphProto, NodeProto, element};
use crate::scope::{Scope, canonical, declared_element};
use crate::value::{Blame, Certainty, Dependence, Value};

/// Limits of time and memory for hostile models. Large real models have about 10⁴ nodes, and subgraphs two or three
/// levels deep.
const MAXIMUM_VISITS: usize = 100_000;
const MAXIMUM_DEPTH: usize = 20;
const MAXIMUM_RANK: usize = 24;

/// Maximum number of elements whose values are tracked.
const MAXIMUM_CONTENTS: usize = 2_000_000;
const MAXIMUM_INTERNED: usize = 100_000;

/// Evaluates a node. Returns one abstract value for each output.
pub(crate) type RunNode<'m> = fn(&mut Walk<'m>, &'m NodeProto, &Scope<'_, 'm>) -> Vec<Value<'m>>;

/// State of the walk.
pub(crate) struct Walk<'m> {
    /// Given from above: it applies the rules, of which some walk over nodes within a node.
    run_node: RunNode<'m>,
    functions: HashMap<(&'m str, &'m str, &'m str), &'m FunctionProto>,
    next_symbol: u32,
    interned: HashMap<String, Dim>,
    /// Lengths that are the smaller of a constant of at least 1 and this.
    capped: HashMap<Dim, Dim>,
    visits: usize,
    contents: usize,
    depth: usize,
    pub(crate) hazards: Vec<Hazard>,
    /// Product of the iterations of the enclosing loops.
    pub(crate) rounds: u64,
    /// Elements that nodes compute from constants only.
    pub(crate) made_of_constants: i64,
    /// Lists of nodes that were walked.
    lists: usize,
    /// Whether a node so far dequantizes, for the hazards of graphs within.
    pub(crate) dequantizes: bool,
    /// The first node of the main graph that isn't shown to keep rows apart. It may fail for a batch even
    /// if no output needs it.
    pub(crate) first_blamed: Option<Blame>,
}

impl<'m> Walk<'m> {
    pub(crate) fn new(functions: &'m [FunctionProto], run_node: RunNode<'m>) -> Self {
        Self {
            run_node,
            functions: functions
                .iter()
                .map(|function| {
                    let key = (
                        canonical(&function.domain),
                        function.name.as_str(),
                        function.overload.as_str(),
                    );
                    (key, function)
                })
                .collect(),
            next_symbol: 0,
            interned: HashMap::new(),
            capped: HashMap::new(),
            visits: 0,
            contents: 0,
            depth: 0,
            hazards: Vec::new(),
            rounds: 1,
            made_of_constants: 0,
            lists: 0,
            dequantizes: false,
            first_blamed: None,
        }
    }

    /// A number of at least 0 that isn't known, and is the same whatever the rows.
    pub(crate) fn fresh(&mut self) -> Dim {
        self.next_symbol = self.next_symbol.saturating_add(1);
        Dim::symbol(Symbol::Free(self.next_symbol))
    }

    /// A number of at least 0 that isn't known, and may depend on the rows.
    pub(crate) fn wild(&mut self) -> Dim {
        self.next_symbol = self.next_symbol.saturating_add(1);
        Dim::symbol(Symbol::Wild(self.next_symbol))
    }

    /// The length of an axis of an input that callers choose, at least 1.
    pub(crate) fn length(&mut self) -> Dim {
        self.next_symbol = self.next_symbol.saturating_add(1);
        Dim::symbol(Symbol::Length(self.next_symbol))
    }

    /// The number of at least 0 that a function of row-free numbers gives: the same for the same
    /// `function` and arguments.
    pub(crate) fn derive(&mut self, function: &str, arguments: &[&Dim]) -> Dim {
        if !arguments.iter().all(|argument| argument.is_row_free()) {
            return self.wild();
        }
        let key = format!("{function}{arguments:?}");
        if key.len() > 1000 || self.interned.len() >= MAXIMUM_INTERNED {
            return self.fresh();
        }
        if let Some(dim) = self.interned.get(&key) {
            return dim.clone();
        }
        let dim = self.fresh();
        self.interned.insert(key, dim.clone());
        dim
    }

    /// Notes that `length` is the smaller of a constant of at least 1 and `of`.
    pub(crate) fn cap(&mut self, length: &Dim, of: &Dim) {
        if self.capped.len() < MAXIMUM_INTERNED {
            self.capped.insert(length.clone(), of.clone());
        }
    }

    /// Whether `length` is `of`, or smaller and a constant of at least 1.
    pub(crate) fn is_capped(&self, length: &Dim, of: &Dim) -> bool {
        self.capped.get(length) == Some(of)
    }

    pub(crate) fn function(&self, node: &NodeProto) -> Option<&'m FunctionProto> {
        self.functions
            .get(&(
                canonical(&node.domain),
                node.op_type.as_str(),
                node.overload.as_str(),
            ))
            .copied()
    }

    pub(crate) fn add_hazard(&mut self, node: &NodeProto, why: &str) {
        let hazard = Hazard {
            node: shown_name(node),
            operator: shown_operator(node),
            why: why.to_owned(),
        };
        if self.hazards.len() < MAXIMUM_HAZARDS && !self.hazards.contains(&hazard) {
            self.hazards.push(hazard);
        }
    }

    /// Adds a graph's constants and runs its nodes; its inputs are in the scope already.
    pub(crate) fn graph(&mut self, graph: &'m GraphProto, scope: &mut Scope<'_, 'm>) {
        let constants = graph
            .initializer
            .len()
            .saturating_add(graph.value_info.len());
        self.visits = self.visits.saturating_add(constants / 8);
        if self.visits > MAXIMUM_VISITS {
            // Its nodes miss their constants, and say so.
            return self.nodes(&graph.node, scope);
        }
        for tensor in &graph.initializer {
            let mut value = constant::value(tensor);
            if scope.values.contains_key(tensor.name.as_str()) {
                let finding = Finding {
                    node: shortened(&tensor.name),
                    operator: "input".to_owned(),
                    why: "has two values".to_owned(),
                    remedy: None,
                };
                let (certainty, finding) = (Certainty::Unrepeatable, Rc::new(finding));
                value = Value::mixed(Blame { certainty, finding });
            }
            self.account(&mut value);
            scope.values.insert(tensor.name.as_str(), Rc::new(value));
        }
        for sparse in &graph.sparse_initializer {
            if let Some(values) = &sparse.values {
                let shape = sparse
                    .dims
                    .iter()
                    .map(|length| Dim::from(*length))
                    .collect();
                let value = Value::invariant(Some(shape)).of_element(values.data_type);
                scope.values.insert(values.name.as_str(), Rc::new(value));
            }
        }
        for info in graph.value_info.iter().chain(&graph.output) {
            let (name, element) = declared_element(info);
            scope.declared.insert(name, element);
        }
        self.nodes(&graph.node, scope);
    }

    /// Runs nodes in their order, one level deeper than what called this.
    pub(crate) fn nodes(&mut self, nodes: &'m [NodeProto], scope: &mut Scope<'_, 'm>) {
        self.depth = self.depth.saturating_add(1);
        self.lists = self.lists.saturating_add(1);
        for node in nodes {
            let outputs = (self.run_node)(self, node, scope);
            for (name, mut value) in node.output.iter().zip(outputs) {
                if name.is_empty() {
                    continue;
                }
                if scope.values.contains_key(name.as_str()) {
                    let blame = blame(
                        node,
                        Certainty::Unproven,
                        "gives a name a second value",
                        None,
                    );
                    value = Value::mixed(blame);
                }
                if value.element == element::UNDEFINED {
                    value.element = scope
                        .declared
                        .get(name.as_str())
                        .copied()
                        .unwrap_or_default();
                }
                if let (Dependence::Mixed(blame), 1, None) =
                    (&value.dependence, self.depth, &self.first_blamed)
                {
                    self.first_blamed = Some(blame.clone());
                }
                self.account(&mut value);
                scope.values.insert(name.as_str(), Rc::new(value));
            }
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// Forgets elements once too many are followed.
    fn account(&mut self, value: &mut Value<'m>) {
        let count = value.content.as_ref().map_or(0, |content| content.len());
        self.contents = self.contents.saturating_add(count);
        if self.contents > MAXIMUM_CONTENTS {
            value.content = None;
        }
    }
}
