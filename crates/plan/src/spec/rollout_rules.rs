//! The parsed `spec.rollout`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use springtide_api::rollout::Rollout;

use crate::spec::Invalid;

/// The parsed `spec.rollout`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RolloutRules {
    pub(crate) max_surge: IntOrString,
    /// `None` if the operator chooses.
    pub(crate) max_unavailable: Option<IntOrString>,
    /// `None` for the default, which depends on the start-up time.
    pub(crate) progress_deadline_seconds: Option<i32>,
}

impl RolloutRules {
    pub(crate) fn parse(rollout: &Rollout) -> Result<Self, Invalid> {
        let fields = [
            ("spec.rollout.maxSurge", &rollout.max_surge),
            ("spec.rollout.maxUnavailable", &rollout.max_unavailable),
        ];
        for (field, value) in fields {
            if !value.as_ref().is_none_or(is_amount) {
                return Err(Invalid::PodAmount { field });
            }
        }
        let is_none = |value: &Option<IntOrString>| value.as_ref().is_some_and(is_zero);
        if is_none(&rollout.max_surge) && is_none(&rollout.max_unavailable) {
            return Err(Invalid::RolloutOfNothing);
        }
        let usual = || IntOrString::String("25%".to_owned());
        Ok(Self {
            max_surge: rollout.max_surge.clone().unwrap_or_else(usual),
            max_unavailable: rollout.max_unavailable.clone(),
            progress_deadline_seconds: rollout.progress_deadline_seconds,
        })
    }

    /// Whether the spec allows no unavailable pod.
    pub(crate) fn keeps_every_pod(&self) -> bool {
        self.max_unavailable.as_ref().is_some_and(is_zero)
    }
}

/// A number from 0 to 1000, or a percentage from 0 to 100.
fn is_amount(value: &IntOrString) -> bool {
    match value {
        IntOrString::Int(pods) => (0..=1000).contains(pods),
        IntOrString::String(text) => text
            .strip_suffix('%')
            .filter(|digits| digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u8>().ok())
            .is_some_and(|percent| percent <= 100),
    }
}

/// Whether the value is 0, as a number or as a percentage.
pub(crate) fn is_zero(value: &IntOrString) -> bool {
    match value {
        IntOrString::Int(pods) => *pods == 0,
        IntOrString::String(text) => text == "0%",
    }
}
