//! The complete scaling behavior: the spec's fields, with the preset as default.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use springtide_api::behavior::{Behavior, Policy, PolicyType, Preset, ScalingRules, SelectPolicy};

use crate::{
    quantity::{WHOLE, nanos},
    spec::Invalid,
};

/// The complete scaling behavior.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteBehavior {
    /// Rules for scaling up.
    pub scale_up: CompleteRules,
    /// Rules for scaling down.
    pub scale_down: CompleteRules,
}

/// Scaling rules of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteRules {
    /// Stabilization window in seconds: how far back opposing recommendations are considered.
    pub stabilization_window_seconds: i32,
    /// Which of the policies applies.
    pub select_policy: SelectPolicy,
    /// Maximum changes per period: at least one policy.
    pub policies: Vec<Policy>,
    /// Tolerated deviation of a reading from its target, in thousandths of the target. `None` is the cluster's default.
    pub tolerance_thousandths: Option<i32>,
}

impl CompleteBehavior {
    pub(crate) fn parse(behavior: &Behavior) -> Result<Self, Invalid> {
        let preset = preset(behavior.preset);
        let field = "spec.autoscaling.behavior";
        Ok(Self {
            scale_up: complete(
                &format!("{field}.scaleUp"),
                &behavior.scale_up,
                preset.scale_up,
            )?,
            scale_down: complete(
                &format!("{field}.scaleDown"),
                &behavior.scale_down,
                preset.scale_down,
            )?,
        })
    }
}

/// The rules of a preset. Slow scale-up delays requests, slow scale-down only costs money. So no preset scales down
/// faster than up.
fn preset(preset: Preset) -> CompleteBehavior {
    match preset {
        // Doubling in each of the HPA's syncs (15 s) reaches any bound within a minute or two. 4 pods spare a small
        // service steps of one. The scale-down waits for 5 minutes: longer than a lull between two bursts, and than a
        // rollout.
        Preset::FastUpSlowDown => CompleteBehavior {
            scale_up: rules(0, [percent(100, 15), pods(4, 15)]),
            scale_down: rules(300, [percent(10, 60)]),
        },
        // A minute is 4 syncs: a shorter swing changes nothing. The scale-down waits and takes twice as long as with
        // the default.
        Preset::Steady => CompleteBehavior {
            scale_up: rules(60, [percent(50, 60), pods(2, 60)]),
            scale_down: rules(600, [percent(10, 120)]),
        },
        // Four times as many pods in each sync. The scale-down waits for a minute, which is 4 syncs and outlasts noise
        // in one reading.
        Preset::Aggressive => CompleteBehavior {
            scale_up: rules(0, [percent(300, 15), pods(10, 15)]),
            scale_down: rules(60, [percent(50, 60)]),
        },
    }
}

fn rules(
    stabilization_window_seconds: i32,
    policies: impl IntoIterator<Item = Policy>,
) -> CompleteRules {
    CompleteRules {
        stabilization_window_seconds,
        select_policy: SelectPolicy::Max,
        policies: policies.into_iter().collect(),
        tolerance_thousandths: None,
    }
}

const fn percent(value: i32, period_seconds: i32) -> Policy {
    Policy {
        kind: PolicyType::Percent,
        value,
        period_seconds,
    }
}

const fn pods(value: i32, period_seconds: i32) -> Policy {
    Policy {
        kind: PolicyType::Pods,
        value,
        period_seconds,
    }
}

fn complete(
    field: &str,
    rules: &ScalingRules,
    preset: CompleteRules,
) -> Result<CompleteRules, Invalid> {
    let complete = CompleteRules {
        stabilization_window_seconds: rules
            .stabilization_window_seconds
            .unwrap_or(preset.stabilization_window_seconds),
        select_policy: rules.select_policy.unwrap_or(preset.select_policy),
        policies: rules.policies.clone().unwrap_or(preset.policies),
        tolerance_thousandths: rules
            .tolerance
            .as_ref()
            .map(|tolerance| {
                thousandths(tolerance).ok_or_else(|| Invalid::Tolerance {
                    field: format!("{field}.tolerance"),
                })
            })
            .transpose()?
            .or(preset.tolerance_thousandths),
    };
    Ok(complete)
}

/// A quantity from 0 to 1, in thousandths.
fn thousandths(quantity: &Quantity) -> Option<i32> {
    const THOUSANDTH: i128 = WHOLE / 1000;
    let nanos = nanos(&quantity.0).filter(|nanos| (0..=WHOLE).contains(nanos))?;
    let is_whole = nanos % THOUSANDTH == 0;
    is_whole.then(|| i32::try_from(nanos / THOUSANDTH).ok())?
}
