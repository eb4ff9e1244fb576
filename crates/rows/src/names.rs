//! Nodes as findings name them.

use std::rc::Rc;

use crate::findings::Finding;
use crate::proto::NodeProto;
use crate::scope::canonical;
use crate::value::{Blame, Certainty};

/// The most characters of a name that are shown.
const MAXIMUM_NAME: usize = 120;

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
