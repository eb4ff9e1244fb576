//! The walk over a model's nodes in their order, from what is known of the inputs to what is known of
//! the outputs.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::call::Call;
use crate::constant;
use crate::dimension::{Dim, Symbol};
use crate::findings::{Finding, Hazard};
use crate::hazards;
use crate::operators::{self, Rule};
use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetId, TypeKind, ValueInfo,
    element,
};
use crate::value::{Blame, Certainty, Dependence, RowKind, Value};

/// Bounds that keep a hostile model from taking time or memory without end. Large real models have
/// some 10⁴ nodes, and subgraphs two or three deep.
const MAXIMUM_VISITS: usize = 100_000;
const MAXIMUM_DEPTH: usize = 20;
const MAXIMUM_RANK: usize = 24;
const MAXIMUM_HAZARDS: usize = 64;
const MAXIMUM_NAME: usize = 120;
/// All elements together whose values are followed.
const MAXIMUM_CONTENTS: usize = 2_000_000;
const MAXIMUM_INTERNED: usize = 100_000;

/// The newest version of each domain whose operators were reviewed.
const NEWEST: [(&str, i64); 3] = [("", 24), ("ai.onnx.ml", 5), ("com.microsoft", 1)];

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

/// Names of values in a graph or a function's body, and what they stand for.
pub(crate) struct Scope<'s, 'm> {
    pub(crate) values: HashMap<&'m str, Rc<Value<'m>>>,
    /// Where a subgraph finds the values of the graph around it.
    pub(crate) outer: Option<&'s Scope<'s, 'm>>,
    pub(crate) context: Rc<Context<'m>>,
    /// Inputs of a function that its call leaves out.
    pub(crate) absent: HashSet<&'m str>,
    /// The kinds of elements that the model declares, for want of better: ONNX Runtime refuses a model
    /// that declares them wrongly.
    declared: HashMap<&'m str, i32>,
}

/// What the nodes of a graph and of its subgraphs share.
#[derive(Default)]
pub(crate) struct Context<'m> {
    opsets: HashMap<&'m str, i64>,
    /// What a function's call gives for the attributes that its nodes refer to.
    pub(crate) bindings: HashMap<&'m str, &'m AttributeProto>,
}

/// What is common to the whole walk.
pub(crate) struct Walk<'m> {
    functions: HashMap<(&'m str, &'m str, &'m str), &'m FunctionProto>,
    next_symbol: u32,
    interned: HashMap<String, Dim>,
    visits: usize,
    contents: usize,
    depth: usize,
    pub(crate) hazards: Vec<Hazard>,
}

impl<'m> Context<'m> {
    /// What a model's imports say. A domain of two versions has none that is known.
    pub(crate) fn new(imports: &'m [OperatorSetId]) -> Self {
        let mut opsets = HashMap::new();
        for import in imports {
            let version = opsets
                .entry(canonical(&import.domain))
                .or_insert(import.version);
            if *version != import.version {
                *version = 0;
            }
        }
        Self {
            opsets,
            bindings: HashMap::new(),
        }
    }

    /// The same, within a function's call.
    pub(crate) fn within(&self, bindings: HashMap<&'m str, &'m AttributeProto>) -> Self {
        Self {
            opsets: self.opsets.clone(),
            bindings,
        }
    }

    /// The version of a domain's operator set.
    fn version(&self, domain: &str) -> Option<i64> {
        let version = self.opsets.get(domain).copied();
        // ONNX Runtime knows its own domain whether it is imported or not.
        version.or((domain == "com.microsoft").then_some(1))
    }

    /// Whether a function's imports are the model's own. Otherwise its nodes may be taken for either.
    pub(crate) fn agrees_with(&self, imports: &[OperatorSetId]) -> bool {
        imports.iter().all(|import| {
            let domain = canonical(&import.domain);
            let is_known = NEWEST.iter().any(|(known, _)| *known == domain);
            !is_known || self.version(domain) == Some(import.version)
        })
    }
}

impl<'s, 'm> Scope<'s, 'm> {
    pub(crate) fn new(outer: Option<&'s Scope<'s, 'm>>, context: Rc<Context<'m>>) -> Self {
        Self {
            values: HashMap::new(),
            outer,
            context,
            absent: HashSet::new(),
            declared: HashMap::new(),
        }
    }

    /// Whether the name is that of an input which a function's call leaves out.
    fn leaves_out(&self, name: &str) -> bool {
        self.absent.contains(name) || self.outer.is_some_and(|outer| outer.leaves_out(name))
    }

    pub(crate) fn find(&self, name: &str) -> Option<Rc<Value<'m>>> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(value) = here.values.get(name) {
                return Some(Rc::clone(value));
            }
            scope = here.outer;
        }
        None
    }
}

impl<'m> Walk<'m> {
    pub(crate) fn new(functions: &'m [FunctionProto]) -> Self {
        Self {
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
            visits: 0,
            contents: 0,
            depth: 0,
            hazards: Vec::new(),
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
        for node in nodes {
            let outputs = self.node(node, scope);
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

    /// What is known of a node's outputs; as many values as it has outputs.
    fn node(&mut self, node: &'m NodeProto, scope: &Scope<'_, 'm>) -> Vec<Value<'m>> {
        let count = node.output.len();
        let all = |blame: &Blame| vec![Value::mixed(blame.clone()); count.min(MAXIMUM_VISITS)];
        self.visits = self
            .visits
            .saturating_add(1)
            .saturating_add(count / 8)
            .saturating_add(effort(node));
        if self.visits > MAXIMUM_VISITS || self.depth > MAXIMUM_DEPTH {
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
                self.visits = self.visits.saturating_add(content.len() / 32);
            }
            inputs.push(input);
        }
        let elements = operators::elements(node, &inputs, scope);
        let mut call = Call::new(self, scope, node, inputs);
        hazards::check(&mut call);
        let mut outputs = match dispatch(&mut call) {
            Ok(outputs) => outputs,
            Err(blame) => all(&blame),
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
                let blame =
                    call.blame(Certainty::Unproven, "gives a tensor of too many axes", None);
                *output = Value::mixed(blame);
            }
        }
        outputs
    }
}

/// What a rule gives: what is known of each output, or the node to blame for all.
pub(crate) type Outcome<'m> = Result<Vec<Value<'m>>, Blame>;

/// Applies the rule of the node's operator, after what holds for all operators.
fn dispatch<'m>(call: &mut Call<'_, '_, 'm>) -> Outcome<'m> {
    let domain = canonical(&call.node.domain);
    if let Some(function) = call.walk.function(call.node) {
        if NEWEST.iter().any(|(known, _)| *known == domain) {
            return Err(call.opaque("is defined anew by the model"));
        }
        return operators::control::function(call, function);
    }
    let Some((_, newest)) = NEWEST.iter().find(|(known, _)| *known == domain) else {
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
            if !operators::elementwise::is_arithmetic(&call.node.op_type) {
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

/// What reading a node's long attributes adds to a visit.
fn effort(node: &NodeProto) -> usize {
    let entries = node
        .attribute
        .iter()
        .map(|attribute| attribute.ints.len().max(attribute.strings.len()));
    entries.fold(node.attribute.len(), usize::saturating_add) / 1024
}

/// The domain as it is compared: ONNX's own has two names.
pub(crate) fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// A value's name, and the kind of its elements where the model declares it.
pub(crate) fn declared_element(info: &ValueInfo) -> (&str, i32) {
    let element = match info
        .r#type
        .as_ref()
        .and_then(|r#type| r#type.value.as_ref())
    {
        Some(TypeKind::Tensor(tensor)) => tensor.elem_type,
        _ => element::UNDEFINED,
    };
    (info.name.as_str(), element)
}

/// The name by which a person finds the node.
pub(crate) fn shown_name(node: &NodeProto) -> String {
    let name = if node.name.is_empty() {
        node.output.iter().find(|name| !name.is_empty())
    } else {
        Some(&node.name)
    };
    shortened(name.map_or("", String::as_str))
}

pub(crate) fn shown_operator(node: &NodeProto) -> String {
    let domain = canonical(&node.domain);
    shortened(&if domain.is_empty() {
        node.op_type.clone()
    } else {
        format!("{domain}.{}", node.op_type)
    })
}

pub(crate) fn shortened(name: &str) -> String {
    name.chars().take(MAXIMUM_NAME).collect()
}

pub(crate) fn blame(
    node: &NodeProto,
    certainty: Certainty,
    why: &str,
    remedy: Option<&str>,
) -> Blame {
    Blame {
        certainty,
        finding: Rc::new(Finding {
            node: shown_name(node),
            operator: shown_operator(node),
            why: why.to_owned(),
            remedy: remedy.map(str::to_owned),
        }),
    }
}
