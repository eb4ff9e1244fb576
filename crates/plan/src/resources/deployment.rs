//! The Deployment of the serving pods.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        core::v1::{PodSpec, PodTemplateSpec, TopologySpreadConstraint},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use springtide_contract::{defaults, metrics::annotation, paths};

use super::{container, pod_security, scheduling, volumes};
use crate::{
    labels, observed::Observed, rollout, settings::OperatorSettings,
    validated::ValidatedModelService,
};

/// Seconds that a new pod must have been ready before it counts as available, so that one that
/// crashes on its first requests stops a rollout.
const MIN_READY_SECONDS: i32 = 5;

/// How many former ones are kept, each as an empty ReplicaSet, for a look back.
const REVISION_HISTORY_LIMIT: i32 = 3;

/// Seconds between the end of a drain and the kill, for the process to end by itself.
const EXIT_SECONDS: i64 = 5;

pub(super) fn build(
    model_service: &ValidatedModelService,
    observed: &Observed,
    settings: &OperatorSettings,
) -> Deployment {
    Deployment {
        metadata: model_service.child_metadata(),
        spec: Some(DeploymentSpec {
            // Never set here: see `replicas`.
            replicas: None,
            selector: labels::selector(model_service.name()),
            strategy: Some(rollout::strategy(model_service, observed)),
            min_ready_seconds: Some(MIN_READY_SECONDS),
            progress_deadline_seconds: Some(model_service.rollout().progress_deadline_seconds()),
            revision_history_limit: Some(REVISION_HISTORY_LIMIT),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels::of(model_service.name())),
                    annotations: Some(pod_annotations(model_service)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(model_service, settings)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_annotations(model_service: &ValidatedModelService) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (annotation::SCRAPE.to_owned(), "true".to_owned()),
        (
            annotation::PORT.to_owned(),
            defaults::HEALTH_PORT.to_string(),
        ),
        (annotation::PATH.to_owned(), paths::METRICS.to_owned()),
    ]);
    annotations.extend(labels::model_annotations(model_service));
    annotations
}

fn pod(model_service: &ValidatedModelService, settings: &OperatorSettings) -> PodSpec {
    let server = model_service.server();
    let drain_seconds = container::drain_seconds(server);
    PodSpec {
        init_containers: Some(vec![container::fetch(model_service, settings)]),
        containers: vec![container::server(model_service, settings)],
        volumes: Some(volumes::volumes(model_service)),
        security_context: Some(pod_security::pod()),
        // Said although it is the default: what an applied object no longer says, its deprecated form
        // `serviceAccount` would keep.
        service_account_name: Some(server.service_account_name.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(
            i64::from(defaults::PRE_STOP_SECONDS) + i64::from(drain_seconds) + EXIT_SECONDS,
        ),
        topology_spread_constraints: Some(
            ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
                .map(|topology_key| spread(model_service, topology_key))
                .to_vec(),
        ),
        image_pull_secrets: scheduling::image_pull_secrets(server),
        node_selector: (!server.node_selector.is_empty()).then(|| server.node_selector.clone()),
        tolerations: scheduling::tolerations(server),
        runtime_class_name: server.runtime_class_name.clone(),
        host_users: server.host_users,
        ..PodSpec::default()
    }
}

/// Spread evenly where it can be had; never at the price of a pod that doesn't start.
fn spread(model_service: &ValidatedModelService, topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(labels::selector(model_service.name())),
        // Pods of the former spec are about to go: they don't count.
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    }
}
