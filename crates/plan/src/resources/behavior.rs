//! The scaling behavior in the form of `autoscaling/v2`.

use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior,
};
use springtide_api::behavior::{Policy, PolicyType, SelectPolicy};

use crate::{
    quantity::thousandths,
    spec::behavior::{CompleteBehavior, CompleteRules},
};

pub(super) fn behavior(behavior: &CompleteBehavior) -> HorizontalPodAutoscalerBehavior {
    HorizontalPodAutoscalerBehavior {
        scale_up: Some(rules(&behavior.scale_up)),
        scale_down: Some(rules(&behavior.scale_down)),
    }
}

fn rules(rules: &CompleteRules) -> HPAScalingRules {
    let select_policy = match rules.select_policy {
        SelectPolicy::Max => "Max",
        SelectPolicy::Min => "Min",
        SelectPolicy::Disabled => "Disabled",
    };
    HPAScalingRules {
        stabilization_window_seconds: Some(rules.stabilization_window_seconds),
        select_policy: Some(select_policy.to_owned()),
        policies: Some(rules.policies.iter().map(policy).collect()),
        tolerance: rules.tolerance_thousandths.map(thousandths),
    }
}

fn policy(policy: &Policy) -> HPAScalingPolicy {
    let kind = match policy.kind {
        PolicyType::Pods => "Pods",
        PolicyType::Percent => "Percent",
    };
    HPAScalingPolicy {
        type_: kind.to_owned(),
        value: policy.value,
        period_seconds: policy.period_seconds,
    }
}
