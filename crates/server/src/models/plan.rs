//! Decides which versions to load and unload: a function of the directory's listing and of the known versions.
//!
//! The newest loadable versions of each model are served, up to the configured number. A version is unloaded only
//! when its replacement is served. While the model's folder has any version, the last served one is kept, even if
//! its own files are gone.
//!
//! Removed files take effect at the second scan, since a folder that is being replaced may look empty. A
//! directory without any version never has an effect: it is what a missing volume looks like.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::directory::{Listing, ModelFolder};
use super::fingerprint::Fingerprint;
use super::name::{ModelName, Version};

/// The known state of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownVersion {
    /// The content that is served.
    pub serving: Option<Fingerprint>,
    /// The content that could not be loaded. It isn't loaded again until it changes.
    pub failed: Option<Fingerprint>,
}

/// The known state of all versions.
pub type KnownModels = BTreeMap<ModelName, BTreeMap<Version, KnownVersion>>;

/// A change to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Load this version beside the served ones. If it is served, replace its old content.
    Load {
        /// The model.
        name: ModelName,
        /// The version.
        version: Version,
        /// Its content.
        fingerprint: Fingerprint,
    },
    /// Stop serving this version and forget its state.
    Unload {
        /// The model.
        name: ModelName,
        /// The version.
        version: Version,
    },
}

/// The next action. None when the served versions are as they should be.
///
/// `before` is the previous listing. Content that has changed since may still be being written and isn't loaded
/// yet. A model that has just lost a served version is left alone. At the start there is no previous listing, and
/// everything is loaded.
#[must_use]
pub fn next_action(
    now: &Listing,
    before: Option<&Listing>,
    known: &KnownModels,
    keep: NonZeroUsize,
) -> Option<Action> {
    if is_empty(now) {
        return None;
    }
    let nothing = BTreeMap::new();
    let gone = known.keys().filter(|name| !now.contains_key(*name));
    now.keys().chain(gone).find_map(|name| {
        let known = known.get(name).unwrap_or(&nothing);
        let has_just_gone = |version| {
            is_gone(now, name, version)
                && before.is_some_and(|before| !is_gone(before, name, version))
        };
        let loses = |(version, known): (&Version, &KnownVersion)| {
            known.serving.is_some() && has_just_gone(*version)
        };
        if known.iter().any(loses) {
            return None;
        }
        match now.get(name) {
            Some(ModelFolder::Unreadable) => None,
            Some(ModelFolder::Versions(versions)) if !versions.is_empty() => {
                let is_stable = |version, fingerprint| match before {
                    None => true,
                    Some(before) => before_is(before, name, version, fingerprint),
                };
                next_of_model(name, versions, known, keep, is_stable)
            }
            Some(ModelFolder::Versions(_)) | None => {
                known.keys().next().map(|&version| unload(name, version))
            }
        }
    })
}

/// Whether a listing holds no version of any model.
#[must_use]
pub fn is_empty(listing: &Listing) -> bool {
    listing
        .values()
        .all(|folder| matches!(folder, ModelFolder::Versions(versions) if versions.is_empty()))
}

fn is_gone(listing: &Listing, name: &ModelName, version: Version) -> bool {
    match listing.get(name) {
        Some(ModelFolder::Versions(versions)) => !versions.contains_key(&version),
        Some(ModelFolder::Unreadable) => false,
        None => true,
    }
}

fn before_is(
    before: &Listing,
    name: &ModelName,
    version: Version,
    fingerprint: Fingerprint,
) -> bool {
    match before.get(name) {
        Some(ModelFolder::Versions(versions)) => versions.get(&version) == Some(&Some(fingerprint)),
        Some(ModelFolder::Unreadable) | None => false,
    }
}

fn next_of_model(
    name: &ModelName,
    versions: &BTreeMap<Version, Option<Fingerprint>>,
    known: &BTreeMap<Version, KnownVersion>,
    keep: NonZeroUsize,
    is_stable: impl Fn(Version, Fingerprint) -> bool,
) -> Option<Action> {
    let mut kept = Vec::new();
    for (&version, &fingerprint) in versions.iter().rev() {
        if kept.len() == keep.get() {
            break;
        }
        let KnownVersion { serving, failed } = known.get(&version).copied().unwrap_or_default();
        let is_new = fingerprint.is_some() && serving != fingerprint && failed != fingerprint;
        if let Some(fingerprint) = fingerprint
            && is_new
            && is_stable(version, fingerprint)
        {
            let name = name.clone();
            return Some(Action::Load {
                name,
                version,
                fingerprint,
            });
        }
        if serving.is_some() {
            kept.push(version);
        }
    }
    let superfluous = |version: &Version, known: &KnownVersion| match known.serving {
        Some(_) => !kept.is_empty() && !kept.contains(version),
        // Its error is reported as long as its files exist.
        None => !versions.contains_key(version),
    };
    known
        .iter()
        .find(|(version, known)| superfluous(version, known))
        .map(|(&version, _)| unload(name, version))
}

fn unload(name: &ModelName, version: Version) -> Action {
    let name = name.clone();
    Action::Unload { name, version }
}

#[cfg(test)]
mod tests;
