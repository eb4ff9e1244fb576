//! The scope of a node: visible names, and the context of its graph.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::proto::{AttributeProto, OperatorSetId, TypeKind, ValueInfo, element};
use crate::value::Value;

/// The newest version of each domain whose operators were reviewed.
pub(crate) const NEWEST: [(&str, i64); 3] = [("", 24), ("ai.onnx.ml", 5), ("com.microsoft", 1)];

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
    pub(crate) declared: HashMap<&'m str, i32>,
}

/// What the nodes of a graph and of its subgraphs share.
#[derive(Default)]
pub(crate) struct Context<'m> {
    opsets: HashMap<&'m str, i64>,
    /// What a function's call gives for the attributes that its nodes refer to.
    pub(crate) bindings: HashMap<&'m str, &'m AttributeProto>,
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
    pub(crate) fn version(&self, domain: &str) -> Option<i64> {
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
    pub(crate) fn leaves_out(&self, name: &str) -> bool {
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
