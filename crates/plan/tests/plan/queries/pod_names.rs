//! Which pod names the queries match.

use std::collections::BTreeSet;

use regex::Regex;

use super::queries_of;

/// Hashes of the maximum length, and short ones.
const HASHES: [&str; 4] = ["6d4b75cb6d", "5b8f9c7d6", "7", "z2456789bc"];

/// The name of a Deployment's pod: the ReplicaSet's name with a dash, truncated to 58 characters, and five random ones.
fn pod(deployment: &str, hash: &str) -> String {
    let mut name = format!("{deployment}-{hash}-");
    name.truncate(58);
    name + "x7k2p"
}

/// The expression of a ModelService's queries, anchored like in PromQL.
fn expression(name: &str) -> Regex {
    let query = queries_of("default", name, 15, 1)
        .remove("queueSize")
        .unwrap();
    let (_, rest) = query.split_once("pod=~\"").unwrap();
    let (expression, _) = rest.split_once('"').unwrap();
    Regex::new(&format!("^(?:{expression})$")).unwrap()
}

#[test]
fn every_pod_of_a_deployment_is_matched_whatever_its_length() {
    for length in 1..=54 {
        let name = "a".repeat(length);
        let expression = expression(&name);
        for hash in HASHES {
            let pod = pod(&name, hash);
            assert!(expression.is_match(&pod), "{expression}: {pod}");
        }
    }
}

/// Names with a common prefix, of ModelServices in one namespace.
#[test]
fn no_pod_of_another_is() {
    for length in 1..=52 {
        let name = "a".repeat(length);
        let expression = expression(&name);
        let others: BTreeSet<String> = (1..=54 - length - 1)
            .flat_map(|more| {
                let more = "b".repeat(more);
                [format!("{name}-{more}"), format!("{name}{more}")]
            })
            .chain([format!("{name}b"), format!("b{name}")])
            .collect();
        for (other, hash) in others
            .iter()
            .flat_map(|other| HASHES.map(|hash| (other, hash)))
        {
            let pod = pod(other, hash);
            assert!(!expression.is_match(&pod), "{expression}: {pod}");
        }
    }
}
