//! Volumes of pods that give no access to the node, and their mounts.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EmptyDirVolumeSource, ImageVolumeSource,
    PersistentVolumeClaimVolumeSource, SecretVolumeSource,
};
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use springtide_contract::paths;

use crate::{
    resources::quantity,
    schema::{
        KEY, OBJECT_NAME, boolean, cel_list, field, filled_text, integer, keyed_list, map,
        matching, name_of, object, one_of, optional, schema, text,
    },
};

/// Names of the volumes that the operator adds to pods: the model file, and its source.
pub const RESERVED_VOLUMES: [&str; 2] = ["models", "source"];

/// Folders at or below which no mount is allowed: those of the model, of the server's code and of the container
/// runtime.
const RESERVED_FOLDERS: [&str; 10] = [
    paths::MODEL_DIR,
    paths::SOURCE_DIR,
    "/bin",
    "/dev",
    "/lib",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
];

/// Folders at which no mount is allowed, because the container runtime writes files into them.
const RESERVED_ROOTS: [&str; 3] = ["/", "/etc", "/run"];

/// Whether a mount at this path would hide files that the server needs.
#[must_use]
pub fn is_reserved_path(path: &str) -> bool {
    RESERVED_ROOTS.contains(&path)
        || RESERVED_FOLDERS.iter().any(|folder| {
            path.strip_prefix(folder)
                .is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
}

fn is_free_path() -> String {
    format!(
        "!(self in {}) && !{}.exists(folder, self == folder || self.startsWith(folder + '/'))",
        cel_list(RESERVED_ROOTS),
        cel_list(RESERVED_FOLDERS),
    )
}

fn free_path_message() -> String {
    format!(
        "spec.pod.volumeMounts[].mountPath must not cover what the server needs: {}, and {} and what is below",
        RESERVED_ROOTS.join(", "),
        RESERVED_FOLDERS.join(", "),
    )
}

/// The rule that a volume has no reserved name.
fn is_free_name() -> String {
    format!("!(self in {})", cel_list(RESERVED_VOLUMES))
}

/// Volume of the pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.configMap), has(self.secret), has(self.persistentVolumeClaim), has(self.emptyDir), has(self.csi), has(self.image)].filter(is_set, is_set).size() == 1")
        .message("spec.pod.volumes[] must have exactly one of configMap, secret, persistentVolumeClaim, emptyDir, csi, image; other kinds aren't allowed")
)]
pub struct Volume {
    /// Name of the volume.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
            .message("spec.pod.volumes[].name must be a DNS label: lower-case letters, digits and '-'"),
        validation = Rule::new(is_free_name())
            .message("spec.pod.volumes[].name must not be models or source: the model's own volumes have these names")
    )]
    pub name: String,

    /// ConfigMap whose keys become files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "config_map_schema")]
    pub config_map: Option<ConfigMapVolumeSource>,

    /// Secret whose keys become files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "secret_schema")]
    pub secret: Option<SecretVolumeSource>,

    /// PersistentVolumeClaim whose volume is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "claim_schema")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,

    /// Empty directory that exists as long as its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "empty_dir_schema")]
    pub empty_dir: Option<EmptyDirVolumeSource>,

    /// Volume that a CSI driver provides for each pod, such as secrets of a vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "csi_schema")]
    pub csi: Option<CSIVolumeSource>,

    /// Volume with the files of a container image, read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "image_schema")]
    pub image: Option<ImageVolumeSource>,
}

/// Mount of a volume in the containers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// Name of the volume.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// Absolute path of the mount in the containers.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("self == '/' || (self.matches('^(/[-._~+@=,A-Za-z0-9]+)+$') && !self.matches('/[.]{1,2}(/|$)'))")
            .message("spec.pod.volumeMounts[].mountPath must be an absolute path: letters, digits and any of -._~+@=, and no . or .. between slashes"),
        validation = Rule::new(is_free_path()).message(&*free_path_message())
    )]
    pub mount_path: String,

    /// Path in the volume that is mounted. Default: the root of the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[-._~+@=,A-Za-z0-9]+(/[-._~+@=,A-Za-z0-9]+)*$') && !self.matches('(^|/)[.]{1,2}(/|$)')")
        .message("spec.pod.volumeMounts[].subPath must be a relative path: letters, digits and any of -._~+@=, and no . or .. between slashes"))]
    pub sub_path: Option<String>,

    /// Whether the mount is read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// Access to files, in decimal: 420 is 0644.
fn mode() -> Value {
    integer(0, 0o777)
}

/// Keys, and the paths of their files.
fn items() -> Value {
    let path = "^[-._~+@=,A-Za-z0-9]+(/[-._~+@=,A-Za-z0-9]+)*$";
    let item = object([
        field(
            "key",
            "Key whose value becomes the file.",
            matching(KEY, 253),
        )
        .required(),
        field(
            "path",
            "Path of the file in the volume.",
            matching(path, 512),
        )
        .required(),
        field("mode", "File mode in decimal: 420 for 0644.", mode()),
    ]);
    keyed_list(&["path"], 32, item)
}

/// A volume of the keys of an object.
fn keys(kind: &str, name: &'static str) -> Schema {
    schema(object([
        name_of(name, kind),
        field(
            "items",
            "Keys that become files. Default: all keys.",
            items(),
        ),
        field(
            "defaultMode",
            "File mode of the files, in decimal. Default: 420, which is 0644.",
            mode(),
        ),
        optional(),
    ]))
}

fn config_map_schema(_: &mut SchemaGenerator) -> Schema {
    keys("ConfigMap", "name")
}

fn secret_schema(_: &mut SchemaGenerator) -> Schema {
    keys("Secret", "secretName")
}

fn claim_schema(_: &mut SchemaGenerator) -> Schema {
    schema(object([
        name_of("claimName", "PersistentVolumeClaim"),
        field("readOnly", "Whether the volume is read-only.", boolean()),
    ]))
}

fn empty_dir_schema(_: &mut SchemaGenerator) -> Schema {
    schema(object([
        field(
            "sizeLimit",
            "Maximum size, such as `1Gi`. It is added to the ephemeral-storage limit of the containers. With `medium: Memory` the content counts as memory of the containers instead.",
            quantity(),
        )
        .required(),
        field(
            "medium",
            "Storage medium: `Memory`, or the disk of the node if unset.",
            one_of(&["", "Memory"]),
        ),
    ]))
}

fn csi_schema(_: &mut SchemaGenerator) -> Schema {
    schema(object([
        field(
            "driver",
            "Name of the CSI driver.",
            matching(OBJECT_NAME, 63),
        )
        .required(),
        field(
            "fsType",
            "Filesystem type, such as `ext4`.",
            filled_text(64),
        ),
        field("readOnly", "Whether the volume is read-only.", boolean()),
        field(
            "volumeAttributes",
            "Settings for the CSI driver.",
            map(32, text(1024)),
        ),
        field(
            "nodePublishSecretRef",
            "Secret that is passed to the CSI driver.",
            object([name_of("name", "Secret")]),
        ),
    ]))
}

fn image_schema(_: &mut SchemaGenerator) -> Schema {
    schema(object([
        field("reference", "Image reference.", matching("^[!-~]+$", 512)).required(),
        field(
            "pullPolicy",
            "Pull policy of the image. Default: `Always` for the tag `latest`, otherwise `IfNotPresent`.",
            one_of(&["Always", "IfNotPresent", "Never"]),
        ),
    ]))
}
