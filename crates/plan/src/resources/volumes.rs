//! The volumes of a serving pod: where the model comes from, and where it goes to.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, Volume,
    VolumeMount,
};
use springtide_api::ModelUri;
use springtide_contract::paths;

use crate::{quantity::mebibytes, spec::ValidatedModelService};

/// Name of the volume that holds the fetched model.
pub(super) const MODELS: &str = "models";

/// Name of the volume that the model comes from.
const SOURCE: &str = "source";

pub(super) fn volumes(model_service: &ValidatedModelService) -> Vec<Volume> {
    let models = Volume {
        name: MODELS.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(mebibytes(models_mebibytes(model_service))),
            medium: None,
        }),
        ..Volume::default()
    };
    let source = Volume {
        name: SOURCE.to_owned(),
        ..Volume::default()
    };
    let source = match model_service.model_uri() {
        ModelUri::ConfigMap { name, .. } => Some(Volume {
            config_map: Some(ConfigMapVolumeSource {
                name: name.clone(),
                // Fetching reports what is missing; without this the pod would hang before it starts.
                optional: Some(true),
                ..ConfigMapVolumeSource::default()
            }),
            ..source
        }),
        ModelUri::Claim { claim, .. } => Some(Volume {
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                read_only: Some(true),
            }),
            ..source
        }),
        ModelUri::Http { .. } | ModelUri::Secret { .. } => None,
    };
    [models]
        .into_iter()
        .chain(source)
        .chain(model_service.pod().volumes().iter().cloned())
        .collect()
}

/// Size of the volume that holds the fetched model, in MiB. A pod that fetches again has both files for a
/// while.
pub(super) fn models_mebibytes(model_service: &ValidatedModelService) -> i32 {
    2 * model_service.max_size_mebibytes()
}

/// Mounts of the container that fetches the model.
pub(super) fn fetch_mounts(model_service: &ValidatedModelService) -> Vec<VolumeMount> {
    let source = match model_service.model_uri() {
        ModelUri::ConfigMap { .. } | ModelUri::Claim { .. } => {
            Some(mount(SOURCE, paths::SOURCE_DIR, Some(true)))
        }
        ModelUri::Http { .. } | ModelUri::Secret { .. } => None,
    };
    [mount(MODELS, paths::MODEL_DIR, None)]
        .into_iter()
        .chain(source)
        .chain(model_service.pod().mounts())
        .collect()
}

/// Mounts of the container that serves it.
pub(super) fn server_mounts(model_service: &ValidatedModelService) -> Vec<VolumeMount> {
    [mount(MODELS, paths::MODEL_DIR, Some(true))]
        .into_iter()
        .chain(model_service.pod().mounts())
        .collect()
}

fn mount(name: &str, path: &str, read_only: Option<bool>) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    }
}
