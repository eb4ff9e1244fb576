//! Where pods may run and how they get their image, as a pod's spec writes it.

use k8s_openapi::api::core::v1::{LocalObjectReference, Toleration};
use springtide_api::{
    scheduling::{TaintEffect, TolerationOperator},
    server::Server,
};

pub(super) fn image_pull_secrets(server: &Server) -> Option<Vec<LocalObjectReference>> {
    let secrets = server
        .image_pull_secrets
        .iter()
        .map(|secret| LocalObjectReference {
            name: secret.name.clone(),
        })
        .collect::<Vec<_>>();
    (!secrets.is_empty()).then_some(secrets)
}

pub(super) fn tolerations(server: &Server) -> Option<Vec<Toleration>> {
    let tolerations = server
        .tolerations
        .iter()
        .map(toleration)
        .collect::<Vec<_>>();
    (!tolerations.is_empty()).then_some(tolerations)
}

fn toleration(toleration: &springtide_api::scheduling::Toleration) -> Toleration {
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
