//! `RolloutComplete` where pods that are made from the same spec serve different models: what the spec names was
//! replaced while they ran.

use std::collections::BTreeSet;

use springtide_api::{Sha256, status::condition};

use super::{Evidence, Finding, Reason, Truth};
use crate::{
    batching::{Answer, said_of_model},
    lookup::status_condition,
};

/// Digits of a SHA-256 that tell it from others, for people.
const DIGITS: usize = 12;

/// Most of them that are named.
const MOST_NAMED: usize = 4;

/// The `finding` about the rollout, unless it is over with different models in the pods.
pub(super) fn judge(evidence: &Evidence<'_>, finding: Finding) -> Finding {
    if finding.truth != Truth::True {
        return finding;
    }
    differ(evidence)
        .or_else(|| known_before(evidence))
        .unwrap_or(finding)
}

fn differ(evidence: &Evidence<'_>) -> Option<Finding> {
    let served = said_of_model(evidence.model_service, evidence.observed)
        .filter_map(|model| model.sha256.as_deref()?.parse::<Sha256>().ok())
        .map(|sha256| sha256.as_str().chars().take(DIGITS).collect())
        .collect::<BTreeSet<String>>();
    if served.len() < 2 {
        return None;
    }
    let name = evidence.model_service.name();
    let uri = evidence.model_service.model_uri();
    let named = served.into_iter().take(MOST_NAMED).collect::<Vec<_>>();
    Some(Finding::no(
        Reason::ModelsDiffer,
        format!(
            "Pods serve different models, since {uri} was replaced in place (sha256 {}). `kubectl rollout restart deployment {name}` has all serve what is there now. So that it can't happen again, set spec.model.sha256, or give each model a name of its own.",
            named.join(", ")
        ),
    ))
}

/// What was known of the same spec, where a pod that would say it can't be asked just now.
fn known_before(evidence: &Evidence<'_>) -> Option<Finding> {
    if !evidence.observed.answers.contains(&Answer::Silent) {
        return None;
    }
    let known = status_condition(evidence.previous?, condition::ROLLOUT_COMPLETE)?;
    let is_it = known.reason == Reason::ModelsDiffer.as_str()
        && known.observed_generation == Some(evidence.model_service.generation());
    if !is_it {
        return None;
    }
    Some(Finding::no(Reason::ModelsDiffer, known.message.clone()))
}
