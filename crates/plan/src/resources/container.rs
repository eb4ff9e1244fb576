//! The containers of a serving pod: the init container that fetches the model, and the server.

use std::{collections::BTreeMap, fmt, iter};

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, EnvVar, HTTPGetAction, Lifecycle, LifecycleHandler, Probe,
        ResourceRequirements, SleepAction,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use springtide_api::{server::ImagePullPolicy, targets::Signal};
use springtide_contract::{defaults, env, paths};

use super::{model_source::ModelSource, pod_security, volumes};
use crate::{
    quantity,
    settings::OperatorSettings,
    spec::{Scaling, ValidatedModelService},
};

/// Name of the init container that fetches the model.
pub const FETCH_CONTAINER: &str = "fetch-model";

/// Name of the container that serves the model.
pub const SERVER_CONTAINER: &str = "server";

/// Name of its HTTP port.
pub(super) const HTTP_PORT_NAME: &str = "http";

/// Name of its gRPC port.
pub(super) const GRPC_PORT_NAME: &str = "grpc";

/// Name of its port for probes and scrapes, which clients can't keep busy.
const HEALTH_PORT_NAME: &str = "health";

/// Ephemeral storage that each container requests, in MiB: for logs and small models.
const EPHEMERAL_REQUEST_MEBIBYTES: i32 = 64;

/// Ephemeral storage for logs, in addition to the model, in MiB. By default, the kubelet keeps five files of 10 MiB per
/// container.
const LOGS_MEBIBYTES: i32 = 1024;

/// Resource name of ephemeral storage, which includes logs and the model's volume.
pub(crate) const EPHEMERAL_STORAGE: &str = "ephemeral-storage";

/// Ratio of the request timeout to the default latency objective.
const TIMEOUT_PER_OBJECTIVE: i32 = 10;

pub(super) fn fetch(
    model_service: &ValidatedModelService,
    settings: &OperatorSettings,
) -> Container {
    let source = ModelSource::of(model_service.model_uri());
    let uri = source.uri.as_deref().map(|uri| ["--uri", uri]);
    let sha256 = model_service
        .model_sha256()
        .map(|sha256| ["--sha256", sha256.as_str()]);
    let max_bytes = (i64::from(model_service.max_size_mebibytes()) << 20).to_string();
    let bound = ["--to", paths::MODEL_FILE, "--max-bytes", &max_bytes];
    Container {
        name: FETCH_CONTAINER.to_owned(),
        args: Some(
            iter::once("fetch")
                .chain(uri.into_iter().flatten())
                .chain(bound)
                .chain(sha256.into_iter().flatten())
                .map(ToOwned::to_owned)
                .collect(),
        ),
        env: Some(with_spec_variables(
            iter::once(variable(
                env::TERMINATION_MESSAGE_PATH,
                &paths::TERMINATION_LOG,
            ))
            .chain(source.uri_variable)
            .collect(),
            model_service,
        )),
        // A pod needs the larger of the requests of its init containers and of its containers. So this costs nothing.
        resources: Some(resources(model_service, &BTreeMap::new())),
        volume_mounts: Some(volumes::fetch_mounts(model_service)),
        ..base(model_service, settings)
    }
}

pub(super) fn server(
    model_service: &ValidatedModelService,
    settings: &OperatorSettings,
) -> Container {
    Container {
        name: SERVER_CONTAINER.to_owned(),
        args: Some(vec!["serve".to_owned()]),
        env: Some(with_spec_variables(
            environment(model_service),
            model_service,
        )),
        ports: Some(vec![
            port(HTTP_PORT_NAME, defaults::PORT),
            port(GRPC_PORT_NAME, defaults::GRPC_PORT),
            port(HEALTH_PORT_NAME, defaults::HEALTH_PORT),
        ]),
        resources: Some(resources(
            model_service,
            &model_service.pod_resources().extended,
        )),
        volume_mounts: Some(volumes::server_mounts(model_service)),
        startup_probe: Some(Probe {
            // The failure threshold then counts seconds.
            period_seconds: Some(1),
            timeout_seconds: Some(1),
            failure_threshold: Some(model_service.server().startup_timeout_seconds),
            ..probe(paths::READY)
        }),
        // A new pod gets load soon after it is ready. A busy pod isn't removed for a slow response.
        readiness_probe: Some(Probe {
            period_seconds: Some(2),
            timeout_seconds: Some(5),
            failure_threshold: Some(3),
            ..probe(paths::READY)
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            timeout_seconds: Some(5),
            failure_threshold: Some(6),
            ..probe(paths::HEALTH)
        }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: i64::from(defaults::PRE_STOP_SECONDS),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..base(model_service, settings)
    }
}

/// The fields that both containers have in common.
fn base(model_service: &ValidatedModelService, settings: &OperatorSettings) -> Container {
    let server = model_service.server();
    let env_from = &model_service.pod().spec().env_from;
    let pull_policy = match server.image_pull_policy {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    };
    Container {
        image: Some(
            server
                .image
                .clone()
                .unwrap_or_else(|| settings.server_image.clone()),
        ),
        image_pull_policy: Some(pull_policy.to_owned()),
        env_from: (!env_from.is_empty()).then(|| env_from.clone()),
        security_context: Some(pod_security::container()),
        termination_message_path: Some(paths::TERMINATION_LOG.to_owned()),
        ..Container::default()
    }
}

/// The operator's variables, and then those of the spec, which can reference them.
fn with_spec_variables(
    mut variables: Vec<EnvVar>,
    model_service: &ValidatedModelService,
) -> Vec<EnvVar> {
    variables.extend(model_service.pod().spec().env.iter().cloned());
    variables
}

fn environment(model_service: &ValidatedModelService) -> Vec<EnvVar> {
    let server = model_service.server();
    let workers = server
        .workers
        .or(model_service.pod_resources().cores_without_limit)
        .map(|workers| variable(env::WORKERS, &workers));
    [
        // No listen address: by default the server listens on all addresses of the node's families.
        variable(env::PORT, &defaults::PORT),
        variable(env::GRPC_PORT, &defaults::GRPC_PORT),
        variable(env::HEALTH_PORT, &defaults::HEALTH_PORT),
        variable(env::MODEL_PATH, &paths::MODEL_FILE),
        variable(env::MODEL_NAME, &model_service.model_name()),
        variable(env::MODEL_SERVICE_NAME, &model_service.name()),
        variable(env::MODEL_SERVICE_NAMESPACE, &model_service.namespace()),
        variable(env::EXECUTION_PROVIDER, &server.execution_provider),
        variable(env::BATCHING_MODE, &model_service.batching_mode()),
        variable(env::BATCHING_POLICY, &server.batching.policy),
        variable(
            env::CONTRACT_MAX_BATCH_SIZE,
            &server.batching.max_batch_rows,
        ),
        variable(
            env::CONTRACT_MAX_WAIT_MS,
            &server.batching.max_wait_milliseconds,
        ),
        variable(env::MAX_QUEUE_ROWS, &server.max_queue_rows),
        variable(
            env::REQUEST_TIMEOUT_MS,
            &server.request_timeout_milliseconds,
        ),
        variable(
            env::LATENCY_OBJECTIVE_MS,
            &latency_objective_milliseconds(model_service),
        ),
        variable(env::DRAIN_DELAY_SECONDS, &defaults::DRAIN_DELAY_SECONDS),
        variable(
            env::DRAIN_TIMEOUT_SECONDS,
            &defaults::drain_seconds(model_service.request_timeout_milliseconds()),
        ),
        variable(env::TERMINATION_MESSAGE_PATH, &paths::TERMINATION_LOG),
    ]
    .into_iter()
    .chain(workers)
    .collect()
}

/// A latency objective rejects requests, and only signals that count rejected requests can follow that. With the
/// defaults it is the default target of the 95th percentile. A longer request timeout means a slower model.
fn latency_objective_milliseconds(model_service: &ValidatedModelService) -> i32 {
    let server = model_service.server();
    let counts_refused = match model_service.scaling() {
        Scaling::Autoscaled(pods) => pods.targets.of(Signal::LoadPercent).is_some(),
        Scaling::Fixed { .. } => false,
    };
    let default = if counts_refused {
        (server.request_timeout_milliseconds / TIMEOUT_PER_OBJECTIVE).max(1)
    } else {
        0
    };
    server.latency_objective_milliseconds.unwrap_or(default)
}

fn port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn variable(name: &str, value: &dyn fmt::Display) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_string()),
        value_from: None,
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(HEALTH_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

/// Requests and limits of a container with these extended resources.
fn resources(
    model_service: &ValidatedModelService,
    devices: &BTreeMap<String, Quantity>,
) -> ResourceRequirements {
    let resources = model_service.pod_resources();
    let disk = |mebibytes| (EPHEMERAL_STORAGE.to_owned(), quantity::mebibytes(mebibytes));
    let mut requests = resources.requests.clone();
    requests.extend([disk(EPHEMERAL_REQUEST_MEBIBYTES)]);
    let mut limits = resources.limits.clone();
    limits.extend([disk(
        volumes::models_mebibytes(model_service)
            + model_service.pod().empty_dirs_mebibytes()
            + LOGS_MEBIBYTES,
    )]);
    limits.extend(devices.clone());
    ResourceRequirements {
        requests: Some(requests),
        limits: Some(limits),
        ..ResourceRequirements::default()
    }
}
