//! The Deployment of the serving pods.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        core::v1::{PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use springtide_contract::{defaults, metrics::annotation, paths};

use super::{container, pod_security, scheduling, volumes};
use crate::{
    labels,
    observed::Observed,
    resources::{model_annotations, rollout},
    settings::OperatorSettings,
    spec::ValidatedModelService,
};

/// Seconds for which a new pod must be ready before it counts as available. So a pod that crashes on its first requests
/// stops a rollout.
const MIN_READY_SECONDS: i32 = 5;

/// Number of previous revisions that are kept for inspection.
const REVISION_HISTORY_LIMIT: i32 = 3;

/// Annotation of pods with the local volumes that don't block the removal of a node
/// (<https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>).
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

pub(super) fn build(
    model_service: &ValidatedModelService,
    observed: &Observed,
    settings: &OperatorSettings,
) -> Deployment {
    let annotations = &model_service.pod().spec().annotations;
    Deployment {
        metadata: ObjectMeta {
            annotations: (!annotations.is_empty()).then(|| annotations.clone()),
            ..model_service.child_metadata()
        },
        spec: Some(DeploymentSpec {
            // Set only when the Deployment is created: see `replicas`.
            replicas: None,
            selector: labels::selector(model_service.name()),
            strategy: Some(rollout::strategy(model_service, observed)),
            min_ready_seconds: Some(MIN_READY_SECONDS),
            progress_deadline_seconds: Some(rollout::progress_deadline_seconds(model_service)),
            revision_history_limit: Some(REVISION_HISTORY_LIMIT),
            template: pod_template(model_service, observed, settings),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// The pod template. It depends only on the spec, the operator, the facts learned about the model
/// ([`without_learned_facts`](ValidatedModelService::without_learned_facts) removes them) and the platform. Another
/// template for the same spec and facts is an upgrade, which is staged.
pub(crate) fn pod_template(
    model_service: &ValidatedModelService,
    observed: &Observed,
    settings: &OperatorSettings,
) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(model_service.child_labels()),
            annotations: Some(pod_annotations(model_service)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(model_service, observed, settings)),
    }
}

fn pod_annotations(model_service: &ValidatedModelService) -> BTreeMap<String, String> {
    let pod = model_service.pod();
    let mut annotations = BTreeMap::from([
        // New pods fetch their model again, and other local data ends with the pod.
        (
            SAFE_TO_EVICT.to_owned(),
            [volumes::MODELS]
                .into_iter()
                .chain(pod.empty_dirs())
                .collect::<Vec<_>>()
                .join(","),
        ),
    ]);
    annotations.extend(pod.spec().annotations.clone());
    annotations.extend([
        (annotation::SCRAPE.to_owned(), "true".to_owned()),
        (
            annotation::PORT.to_owned(),
            defaults::HEALTH_PORT.to_string(),
        ),
        (annotation::PATH.to_owned(), paths::METRICS.to_owned()),
    ]);
    annotations.extend(model_annotations(model_service));
    let replacement = model_service.replacement();
    annotations.extend(replacement.map(|sha256| {
        (
            labels::REPLACEMENT_SHA256.to_owned(),
            sha256.as_str().to_owned(),
        )
    }));
    annotations
}

fn pod(
    model_service: &ValidatedModelService,
    observed: &Observed,
    settings: &OperatorSettings,
) -> PodSpec {
    let pod = model_service.pod();
    let asked = pod.spec();
    let termination_seconds = asked
        .termination_grace_period_seconds
        .map_or_else(|| termination_seconds(model_service), i64::from);
    PodSpec {
        init_containers: Some(vec![container::fetch(model_service, settings)]),
        containers: vec![container::server(model_service, settings)],
        volumes: Some(volumes::volumes(model_service)),
        security_context: Some(pod_security::pod(pod.security_context(), observed)),
        // Set although it is the default. Otherwise the deprecated field `serviceAccount` would keep a previous value.
        service_account_name: Some(asked.service_account_name.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(termination_seconds),
        affinity: asked.affinity.clone(),
        topology_spread_constraints: scheduling::spread(model_service),
        image_pull_secrets: scheduling::image_pull_secrets(asked),
        node_selector: (!asked.node_selector.is_empty()).then(|| asked.node_selector.clone()),
        tolerations: scheduling::tolerations(asked),
        priority_class_name: asked.priority_class_name.clone(),
        runtime_class_name: asked.runtime_class_name.clone(),
        scheduler_name: asked.scheduler_name.clone(),
        host_users: asked.host_users,
        ..PodSpec::default()
    }
}

/// Maximum time that a pod needs to terminate.
fn termination_seconds(model_service: &ValidatedModelService) -> i64 {
    defaults::termination_seconds(model_service.request_timeout_milliseconds()).into()
}
