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

use super::directory::{Folder, Listing};
use super::name::{ModelName, Version};
use super::stamp::Stamp;

/// What is known of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// The content that serves.
    pub serving: Option<Stamp>,
    /// The content that could not be loaded. It isn't tried again until it changes.
    pub failed: Option<Stamp>,
}

/// What is known of all versions.
pub type KnownModels = BTreeMap<ModelName, BTreeMap<Version, Known>>;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Load this version beside what serves; where it serves already, in place of its old content.
    Load {
        /// The model.
        name: ModelName,
        /// The version.
        version: Version,
        /// The content that is there.
        stamp: Stamp,
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
pub fn next(
    now: &Listing,
    before: Option<&Listing>,
    known: &KnownModels,
    keep: NonZeroUsize,
) -> Option<Step> {
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
        let loses = |(version, known): (&Version, &Known)| {
            known.serving.is_some() && has_just_gone(*version)
        };
        if known.iter().any(loses) {
            return None;
        }
        match now.get(name) {
            Some(Folder::Unreadable) => None,
            Some(Folder::Versions(versions)) if !versions.is_empty() => {
                let is_stable = |version, stamp| match before {
                    None => true,
                    Some(before) => before_is(before, name, version, stamp),
                };
                next_of_model(name, versions, known, keep, is_stable)
            }
            Some(Folder::Versions(_)) | None => {
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
        .all(|folder| matches!(folder, Folder::Versions(versions) if versions.is_empty()))
}

fn is_gone(listing: &Listing, name: &ModelName, version: Version) -> bool {
    match listing.get(name) {
        Some(Folder::Versions(versions)) => !versions.contains_key(&version),
        Some(Folder::Unreadable) => false,
        None => true,
    }
}

fn before_is(before: &Listing, name: &ModelName, version: Version, stamp: Stamp) -> bool {
    match before.get(name) {
        Some(Folder::Versions(versions)) => versions.get(&version) == Some(&Some(stamp)),
        Some(Folder::Unreadable) | None => false,
    }
}

fn next_of_model(
    name: &ModelName,
    versions: &BTreeMap<Version, Option<Stamp>>,
    known: &BTreeMap<Version, Known>,
    keep: NonZeroUsize,
    is_stable: impl Fn(Version, Stamp) -> bool,
) -> Option<Step> {
    let mut kept = Vec::new();
    for (&version, &stamp) in versions.iter().rev() {
        if kept.len() == keep.get() {
            break;
        }
        let Known { serving, failed } = known.get(&version).copied().unwrap_or_default();
        let is_new = stamp.is_some() && serving != stamp && failed != stamp;
        if let Some(stamp) = stamp
            && is_new
            && is_stable(version, stamp)
        {
            let name = name.clone();
            return Some(Step::Load {
                name,
                version,
                stamp,
            });
        }
        if serving.is_some() {
            kept.push(version);
        }
    }
    let superfluous = |version: &Version, known: &Known| match known.serving {
        Some(_) => !kept.is_empty() && !kept.contains(version),
        // Why it failed is of interest as long as its files are there.
        None => !versions.contains_key(version),
    };
    known
        .iter()
        .find(|(version, known)| superfluous(version, known))
        .map(|(&version, _)| unload(name, version))
}

fn unload(name: &ModelName, version: Version) -> Step {
    let name = name.clone();
    Step::Unload { name, version }
}

#[cfg(test)]
mod tests;
