//! The parsed `spec.pod`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{self, EmptyDirVolumeSource};
use springtide_api::pod::{
    MAX_TERMINATION_SECONDS, Pod, RESERVED_VOLUMES, SecurityContext, VolumeMount,
    is_reserved_annotation, is_reserved_label, is_reserved_path, is_reserved_variable,
};
use springtide_contract::defaults;

use crate::{
    quantity,
    quantity::{MEBI, nanos},
    spec::{Invalid, invalid::InvalidPod, within},
};

/// Maximum size of an empty volume in MiB: 16 TiB.
const MAX_EMPTY_DIR_MEBIBYTES: i32 = 1 << 24;

/// Medium of an empty volume in memory.
const IN_MEMORY: &str = "Memory";

/// Unprefixed labels that selectors usually use. If pods inherited such a label from their ModelService, another
/// Service could select them.
const SELECTOR_LABELS: [&str; 11] = [
    "app",
    "chart",
    "component",
    "heritage",
    "instance",
    "k8s-app",
    "name",
    "release",
    "role",
    "tier",
    "version",
];

/// The parsed `spec.pod`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServingPod {
    spec: Pod,
    labels: BTreeMap<String, String>,
    volumes: Vec<v1::Volume>,
    empty_dirs_mebibytes: i32,
}

impl ServingPod {
    /// Parses `spec.pod`. `own_labels` are the labels of the ModelService.
    pub(crate) fn parse(
        spec: &Pod,
        own_labels: Option<&BTreeMap<String, String>>,
        request_timeout_milliseconds: u32,
    ) -> Result<Self, Invalid> {
        check_not_reserved("spec.pod.labels", spec.labels.keys(), is_reserved_label)?;
        check_not_reserved(
            "spec.pod.annotations",
            spec.annotations.keys(),
            is_reserved_annotation,
        )?;
        let variables = spec.env.iter().map(|variable| &variable.name);
        check_not_reserved("spec.pod.env", variables, is_reserved_variable)?;
        let names = spec.volumes.iter().map(|volume| &volume.name);
        check_not_reserved("spec.pod.volumes", names, |name| {
            RESERVED_VOLUMES.contains(&name)
        })?;
        let paths = spec.volume_mounts.iter().map(|mount| &mount.mount_path);
        check_not_reserved("spec.pod.volumeMounts", paths, is_reserved_path)?;
        if let Some(mount) = spec
            .volume_mounts
            .iter()
            .find(|mount| !has_volume(spec, mount))
        {
            return Err(InvalidPod::NoVolume(mount.name.clone()).into());
        }
        if let Some(seconds) = spec.termination_grace_period_seconds {
            let min_seconds = defaults::termination_seconds(request_timeout_milliseconds);
            within(
                "spec.pod.terminationGracePeriodSeconds",
                seconds,
                min_seconds.try_into().unwrap_or(i32::MAX),
                MAX_TERMINATION_SECONDS,
            )?;
        }
        let mut volumes = Vec::with_capacity(spec.volumes.len());
        let mut empty_dirs_mebibytes = 0;
        for volume in &spec.volumes {
            let (volume, mebibytes) = parse_volume(volume)?;
            empty_dirs_mebibytes += mebibytes;
            volumes.push(volume);
        }
        let mut labels = own_labels.map(inherited_labels).unwrap_or_default();
        labels.extend(spec.labels.clone());
        Ok(Self {
            spec: spec.clone(),
            labels,
            volumes,
            empty_dirs_mebibytes,
        })
    }

    /// The unparsed `spec.pod`.
    pub(crate) const fn spec(&self) -> &Pod {
        &self.spec
    }

    /// Labels of all objects of the ModelService, besides the operator's labels.
    pub(crate) const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// The spec's volumes.
    pub(crate) fn volumes(&self) -> &[v1::Volume] {
        &self.volumes
    }

    /// Names of the empty volumes among them.
    pub(crate) fn empty_dirs(&self) -> impl Iterator<Item = &str> {
        let is_empty_dir = |volume: &&v1::Volume| volume.empty_dir.is_some();
        let volumes = self.volumes.iter().filter(is_empty_dir);
        volumes.map(|volume| volume.name.as_str())
    }

    /// Total size of the empty volumes on the node's disk, in MiB.
    pub(crate) const fn empty_dirs_mebibytes(&self) -> i32 {
        self.empty_dirs_mebibytes
    }

    /// The spec's mounts.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = v1::VolumeMount> {
        self.spec.volume_mounts.iter().map(|mount| v1::VolumeMount {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            sub_path: mount.sub_path.clone(),
            read_only: mount.read_only,
            ..v1::VolumeMount::default()
        })
    }

    /// What assigns the pods' user and group, according to the spec.
    pub(crate) const fn security_context(&self) -> Option<SecurityContext> {
        self.spec.security_context
    }
}

fn has_volume(spec: &Pod, mount: &VolumeMount) -> bool {
    spec.volumes.iter().any(|volume| volume.name == mount.name)
}

/// Checks that none of these names is reserved.
fn check_not_reserved<'a>(
    field: &'static str,
    mut names: impl Iterator<Item = &'a String>,
    is_reserved: fn(&str) -> bool,
) -> Result<(), InvalidPod> {
    match names.find(|name| is_reserved(name)) {
        Some(name) => Err(InvalidPod::Reserved {
            field,
            name: name.clone(),
        }),
        None => Ok(()),
    }
}

/// Labels of a ModelService that its objects inherit. Keys without a prefix are the user's own
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>). Keys with a
/// prefix belong to tools, which would take the objects for their own.
fn inherited_labels(own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_inherited = |key: &str| {
        !key.contains('/') && !is_reserved_label(key) && !SELECTOR_LABELS.contains(&key)
    };
    own.iter()
        .filter(|(key, _)| is_inherited(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The volume of a pod spec, and its maximum size on the node's disk in MiB.
fn parse_volume(volume: &springtide_api::pod::Volume) -> Result<(v1::Volume, i32), InvalidPod> {
    let springtide_api::pod::Volume {
        name,
        config_map,
        secret,
        persistent_volume_claim,
        empty_dir,
        csi,
        image,
    } = volume.clone();
    let kinds = [
        config_map.is_some(),
        secret.is_some(),
        persistent_volume_claim.is_some(),
        empty_dir.is_some(),
        csi.is_some(),
        image.is_some(),
    ];
    if kinds.into_iter().filter(|is_set| *is_set).count() != 1 {
        return Err(InvalidPod::VolumeKind(name));
    }
    let mut on_disk = 0;
    let empty_dir = match empty_dir {
        None => None,
        Some(empty_dir) => {
            let mebibytes = size(&empty_dir).ok_or_else(|| InvalidPod::VolumeSize(name.clone()))?;
            if empty_dir.medium.as_deref() != Some(IN_MEMORY) {
                on_disk = mebibytes;
            }
            Some(EmptyDirVolumeSource {
                // The canonical form of the API server.
                size_limit: Some(quantity::mebibytes(mebibytes)),
                medium: empty_dir.medium.filter(|medium| !medium.is_empty()),
            })
        }
    };
    let volume = v1::Volume {
        name,
        config_map,
        secret,
        persistent_volume_claim,
        empty_dir,
        csi,
        image,
        ..v1::Volume::default()
    };
    Ok((volume, on_disk))
}

/// Size of an empty volume in MiB, rounded up, at least one.
fn size(empty_dir: &EmptyDirVolumeSource) -> Option<i32> {
    let limit = nanos(&empty_dir.size_limit.as_ref()?.0)?;
    let mebibytes = i32::try_from(limit.checked_add(MEBI - 1)? / MEBI).ok()?;
    (1..=MAX_EMPTY_DIR_MEBIBYTES)
        .contains(&mebibytes)
        .then_some(mebibytes)
}
