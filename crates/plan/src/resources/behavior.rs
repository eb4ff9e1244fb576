//! How fast the number of pods changes, as `autoscaling/v2` writes it.

use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior,
};
use springtide_api::behavior::{Behavior, Policy, PolicyType, ScaleDown, ScaleUp, SelectPolicy};

pub(super) fn behavior(behavior: &Behavior) -> HorizontalPodAutoscalerBehavior {
    let ScaleUp {
        stabilization_window_seconds,
        select_policy,
        policies,
    } = &behavior.scale_up;
    let scale_up = rules(*stabilization_window_seconds, *select_policy, policies);
    let ScaleDown {
        stabilization_window_seconds,
        select_policy,
        policies,
    } = &behavior.scale_down;
    let scale_down = rules(*stabilization_window_seconds, *select_policy, policies);
    HorizontalPodAutoscalerBehavior {
        scale_up: Some(scale_up),
        scale_down: Some(scale_down),
    }
}

fn rules(
    stabilization_window_seconds: i32,
    select_policy: SelectPolicy,
    policies: &[Policy],
) -> HPAScalingRules {
    let select_policy = match select_policy {
        SelectPolicy::Max => "Max",
        SelectPolicy::Min => "Min",
        SelectPolicy::Disabled => "Disabled",
    };
    HPAScalingRules {
        stabilization_window_seconds: Some(stabilization_window_seconds),
        select_policy: Some(select_policy.to_owned()),
        policies: Some(policies.iter().map(policy).collect()),
        ..HPAScalingRules::default()
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
