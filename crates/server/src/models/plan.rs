//! Which versions are to be loaded and unloaded, as a function of what a directory holds and what is
//! known.
//!
//! Of each model the newest versions that can be loaded are served, as many as asked for. A version
//! is unloaded only when those that take its place serve; while any version is in the model's
//! folder, the last one that serves stays, even if its own files are gone.
//!
//! Files that are gone are believed to be only at the second look, since a folder that is being
//! replaced may look empty. A directory that holds no version of any model is never believed to be
//! meant so: it is what is left when a volume isn't there.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::directory::{Listing, ModelFolder};
use super::fingerprint::Fingerprint;
use super::name::{ModelName, Version};

/// What is known of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownVersion {
    /// The content that serves.
    pub serving: Option<Fingerprint>,
    /// The content that could not be loaded. It isn't tried again until it changes.
    pub failed: Option<Fingerprint>,
}

/// What is known of all versions.
pub type KnownModels = BTreeMap<ModelName, BTreeMap<Version, KnownVersion>>;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Load this version beside what serves; where it serves already, in place of its old content.
    Load {
        /// The model.
        name: ModelName,
        /// The version.
        version: Version,
        /// The content that is there.
        fingerprint: Fingerprint,
    },
    /// Stop serving this version and forget what is known of it.
    Unload {
        /// The model.
        name: ModelName,
        /// The version.
        version: Version,
    },
}

/// What to do next; None when everything is as it should be.
///
/// `before` is the listing before this one: content that has changed since may still be in the
/// middle of being written and isn't loaded yet, and nothing is done about a model that has lost a
/// version that serves. At the start there is none, and everything is loaded.
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
        // Why it failed is of interest as long as its files are there.
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
