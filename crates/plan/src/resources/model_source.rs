//! How a serving pod gets its model: one arm per source.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EnvVar, EnvVarSource, PersistentVolumeClaimVolumeSource,
    SecretKeySelector, Volume,
};
use springtide_api::ModelUri;
use springtide_contract::{env, paths};

/// Name of the volume with the model's source.
pub(super) const VOLUME: &str = "source";

/// How a serving pod gets its model.
#[derive(Debug, Default)]
pub(crate) struct ModelSource {
    /// URI for `springtide-server fetch`, as an argument.
    pub(super) uri: Option<String>,
    /// URI for `springtide-server fetch`, as an environment variable.
    pub(super) uri_variable: Option<EnvVar>,
    /// Volume with the model's source.
    pub(super) volume: Option<Volume>,
    /// Whether the model is small (up to 1 MiB), so that fetching takes no time.
    pub(super) is_small: bool,
    /// Whether all pods that are created after a change have the same content.
    pub(crate) is_consistent: bool,
}

impl ModelSource {
    /// The source that a URI names.
    pub(crate) fn of(uri: &ModelUri) -> Self {
        match uri {
            ModelUri::ConfigMap { name, key } => Self {
                uri: Some(file_uri(key)),
                volume: Some(Volume {
                    name: VOLUME.to_owned(),
                    config_map: Some(ConfigMapVolumeSource {
                        name: name.clone(),
                        // The fetch reports a missing ConfigMap. A required volume would block the pod without a
                        // message.
                        optional: Some(true),
                        ..ConfigMapVolumeSource::default()
                    }),
                    ..Volume::default()
                }),
                is_small: true,
                is_consistent: true,
                ..Self::default()
            },
            // Nodes may mount different content.
            ModelUri::Claim { claim, path } => Self {
                uri: Some(file_uri(path)),
                volume: Some(Volume {
                    name: VOLUME.to_owned(),
                    persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                        claim_name: claim.clone(),
                        read_only: Some(true),
                    }),
                    ..Volume::default()
                }),
                ..Self::default()
            },
            ModelUri::Http { url } => Self {
                uri: Some(url.clone()),
                ..Self::default()
            },
            ModelUri::Secret { name, key } => Self {
                uri_variable: Some(from_secret(env::MODEL_URI, name, key)),
                ..Self::default()
            },
        }
    }
}

fn file_uri(path: &str) -> String {
    format!("file://{}/{path}", paths::SOURCE_DIR)
}

/// A variable whose value is a key of a Secret. Until the key exists, the kubelet doesn't start the container, and
/// retries every 10 to 15 s.
fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: Some(false),
            }),
            ..EnvVarSource::default()
        }),
    }
}
