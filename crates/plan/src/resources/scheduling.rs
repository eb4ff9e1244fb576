//! Placement and image pull secrets of pods.

use k8s_openapi::api::core::v1::{LocalObjectReference, Toleration, TopologySpreadConstraint};
use springtide_api::pod::{Pod, TaintEffect, TolerationOperator};

use crate::{labels, spec::ValidatedModelService};

/// Label that all pods of a pod template have.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

pub(super) fn image_pull_secrets(pod: &Pod) -> Option<Vec<LocalObjectReference>> {
    let secrets = pod
        .image_pull_secrets
        .iter()
        .map(|secret| LocalObjectReference {
            name: secret.name.clone(),
        })
        .collect::<Vec<_>>();
    (!secrets.is_empty()).then_some(secrets)
}

pub(super) fn tolerations(pod: &Pod) -> Option<Vec<Toleration>> {
    let tolerations = pod.tolerations.iter().map(toleration).collect::<Vec<_>>();
    (!tolerations.is_empty()).then_some(tolerations)
}

fn toleration(toleration: &springtide_api::pod::Toleration) -> Toleration {
    let operator = toleration.operator.map(|operator| match operator {
        TolerationOperator::Equal => "Equal",
        TolerationOperator::Exists => "Exists",
    });
    let effect = toleration.effect.map(|effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    });
    Toleration {
        key: toleration.key.clone(),
        operator: operator.map(ToOwned::to_owned),
        value: toleration.value.clone(),
        effect: effect.map(ToOwned::to_owned),
        toleration_seconds: toleration.toleration_seconds,
    }
}

/// Topology keys over which pods spread by default.
const SPREAD_OVER: [&str; 2] = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"];

pub(super) fn spread(
    model_service: &ValidatedModelService,
) -> Option<Vec<TopologySpreadConstraint>> {
    let asked = &model_service.pod().spec().topology_spread_constraints;
    let constraints = asked
        .as_ref()
        .map_or_else(|| SPREAD_OVER.map(evenly).to_vec(), Clone::clone);
    let constraints = constraints
        .into_iter()
        .map(|constraint| with_pod_selector(constraint, model_service))
        .collect::<Vec<_>>();
    (!constraints.is_empty()).then_some(constraints)
}

/// A best-effort constraint: it never prevents a pod from starting.
fn evenly(topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    }
}

/// A constraint without a label selector gets that of the ModelService's pods.
fn with_pod_selector(
    constraint: TopologySpreadConstraint,
    model_service: &ValidatedModelService,
) -> TopologySpreadConstraint {
    if constraint.label_selector.is_some() {
        return constraint;
    }
    TopologySpreadConstraint {
        label_selector: Some(labels::selector(model_service.name())),
        // Pods of the previous spec are about to end and don't count.
        match_label_keys: constraint
            .match_label_keys
            .or_else(|| Some(vec![POD_TEMPLATE_HASH.to_owned()])),
        ..constraint
    }
}
