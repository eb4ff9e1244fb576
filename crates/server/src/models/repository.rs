//! The repository: all known models, by name and version.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use springtide_contract::batching::{BatchingReason, BatchingStatus};

use super::fingerprint::Fingerprint;
use super::layout_problem::LayoutProblem;
use super::model::Model;
use super::name::{ModelName, Version};
use super::plan::{KnownModels, KnownVersion};
use crate::metrics::{ServingFacts, Snapshot, VersionFacts};

/// Reason of a model whose workers are all stuck.
const STUCK: &str = "every worker is in a run that continues after the deadlines of its requests: an operator \
                     takes too long on the values of a request, and can't be interrupted";

/// A model that can't serve a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No model is ready yet.
    #[error("no model is loaded")]
    NothingServes,
    /// The request names no model, and there are several.
    #[error("several models are served: name one at POST /v2/models/<name>/infer")]
    Several,
    /// No model has the name.
    #[error("there is no model {0}")]
    UnknownModel(String),
    /// The model has no such version.
    #[error("the model {name} has no version {version}")]
    UnknownVersion {
        /// The model.
        name: String,
        /// The version.
        version: String,
    },
    /// The version isn't served, or no version of the model is.
    #[error("the model {name} does not serve: {reason}")]
    Unavailable {
        /// The model.
        name: String,
        /// The reason.
        reason: String,
    },
}

/// State of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is served.
    Ready,
    /// It is being loaded.
    Loading,
    /// It is not served.
    Unavailable,
}

impl State {
    /// The state as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Loading => "loading",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A version in the index of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The model.
    pub name: String,
    /// The version.
    pub version: String,
    /// Its state.
    pub state: State,
    /// Why it isn't served, or why older content than on disk is served. Otherwise empty.
    pub reason: String,
}

/// A known version.
#[derive(Default)]
struct VersionEntry {
    serving: Option<Served>,
    failure: Option<LoadFailure>,
    loading: bool,
}

struct Served {
    model: Arc<Model>,
    fingerprint: Fingerprint,
}

struct LoadFailure {
    reason: String,
    /// The content that failed. None once it may be loaded again.
    fingerprint: Option<Fingerprint>,
    is_transient: bool,
}

impl VersionEntry {
    fn is_stuck(&self) -> bool {
        let serving = self.serving.as_ref();
        serving.is_some_and(|served| served.model.is_stuck())
    }

    fn state(&self) -> State {
        match (&self.serving, self.loading) {
            (Some(_), _) if self.is_stuck() => State::Unavailable,
            (Some(_), _) => State::Ready,
            (None, true) => State::Loading,
            (None, false) => State::Unavailable,
        }
    }

    /// The mismatch that the sentinel has found.
    fn mismatch(&self) -> Option<&str> {
        let batching = self.serving.as_ref()?.model.batching();
        let found = batching.reason == BatchingReason::SentinelMismatch;
        found.then_some(&*batching.message)
    }

    fn reason(&self) -> Cow<'_, str> {
        if self.is_stuck() {
            return STUCK.into();
        }
        match (&self.failure, self.mismatch()) {
            (Some(failure), Some(found)) => format!("{}. {found}", failure.reason).into(),
            (Some(failure), None) => (&failure.reason).into(),
            (None, Some(found)) => found.into(),
            (None, None) if self.state() == State::Loading => "it is being loaded".into(),
            (None, None) => "".into(),
        }
    }
}

type Versions = BTreeMap<Version, VersionEntry>;

#[derive(Default)]
struct Table {
    models: BTreeMap<ModelName, Versions>,
    problems: Vec<LayoutProblem>,
    /// Mismatches of unloaded versions. They hold for the same content.
    mismatches: BTreeMap<(ModelName, Version), (Fingerprint, BatchingStatus)>,
    /// The model of requests that name none.
    default: Option<Arc<Model>>,
}

/// The newest version that is served.
fn newest(versions: &Versions) -> Option<&Arc<Model>> {
    let mut newest_first = versions.values().rev();
    newest_first.find_map(|entry| Some(&entry.serving.as_ref()?.model))
}

impl Table {
    fn entry(&mut self, name: &ModelName, version: Version) -> &mut VersionEntry {
        let versions = self.models.entry(name.clone()).or_default();
        versions.entry(version).or_default()
    }

    fn knows(&self, name: &str, version: &str) -> bool {
        let known = || Some((self.models.get(name)?, version.parse().ok()?));
        known().is_some_and(|(versions, version)| versions.contains_key(&version))
    }

    /// Layout problems of versions that aren't known otherwise.
    fn problems(&self) -> impl Iterator<Item = &LayoutProblem> {
        let unknown = |problem: &&LayoutProblem| !self.knows(&problem.model, &problem.version);
        self.problems.iter().filter(unknown)
    }

    fn serving(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|entry| Some(&entry.serving.as_ref()?.model))
    }
}

/// The repository. A request looks its model up once and keeps it, whatever is loaded and unloaded meanwhile.
pub struct Repository {
    table: RwLock<Table>,
    preferred: Option<ModelName>,
}

impl Repository {
    /// An empty repository. Requests that name no model go to the `preferred` one, by default the only one.
    #[must_use]
    pub fn new(preferred: Option<ModelName>) -> Self {
        Self {
            table: RwLock::default(),
            preferred,
        }
    }

    /// The model with a name, in the given version or the newest served one.
    ///
    /// # Errors
    /// When it isn't served.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, LookupError> {
        let table = self.read();
        let unavailable = |reason: &str| LookupError::Unavailable {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        // A layout problem of the requested model says more than that it is unknown.
        let or_problem = |error: LookupError, is_meant: &dyn Fn(&LayoutProblem) -> bool| {
            let mut problems = table.problems().filter(|problem| problem.model == name);
            let problem = problems.find(|problem| is_meant(problem));
            problem.map_or(error, |problem| unavailable(&problem.advice))
        };
        let is_version =
            |problem: &LayoutProblem| version.is_none_or(|version| version == problem.version);
        let Some(versions) = table.models.get(name) else {
            let unknown = LookupError::UnknownModel(name.to_owned());
            return Err(or_problem(or_problem(unknown, &|_| true), &is_version));
        };
        let Some(version) = version else {
            return newest(versions).map(Arc::clone).ok_or_else(|| {
                let last = versions.values().next_back();
                unavailable(&last.map_or("it has no versions".into(), VersionEntry::reason))
            });
        };
        let unknown_version = || {
            let error = LookupError::UnknownVersion {
                name: name.to_owned(),
                version: version.to_owned(),
            };
            or_problem(error, &is_version)
        };
        let number: Version = version.parse().map_err(|_invalid| unknown_version())?;
        let entry = versions.get(&number).ok_or_else(unknown_version)?;
        match &entry.serving {
            Some(served) => Ok(Arc::clone(&served.model)),
            None => Err(unavailable(&entry.reason())),
        }
    }

    /// The model of requests that name none.
    ///
    /// # Errors
    /// When no model is served, or several are and none is preferred.
    pub fn default_model(&self) -> Result<Arc<Model>, LookupError> {
        let table = self.read();
        match &table.default {
            Some(model) => Ok(Arc::clone(model)),
            None if self.preferred.is_none() && table.serving().next().is_some() => {
                Err(LookupError::Several)
            }
            None => Err(LookupError::NothingServes),
        }
    }

    /// All known versions and layout problems, by name and version.
    #[must_use]
    pub fn index(&self) -> Vec<IndexEntry> {
        let table = self.read();
        let problems = table.problems().map(|problem| IndexEntry {
            name: problem.model.clone(),
            version: problem.version.clone(),
            state: State::Unavailable,
            reason: problem.advice.clone(),
        });
        let entries = table.models.iter().flat_map(|(name, versions)| {
            versions.iter().map(move |(version, entry)| IndexEntry {
                name: name.to_string(),
                version: version.to_string(),
                state: entry.state(),
                reason: entry.reason().into_owned(),
            })
        });
        let mut index: Vec<IndexEntry> = entries.chain(problems).collect();
        // Stable: the versions of a model stay in numerical order.
        index.sort_by(|one, other| one.name.cmp(&other.name));
        index
    }

    /// The reason to restart the process: all models are stuck. None where any model still runs.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        let table = self.read();
        let first = table.serving().next()?;
        let all = table.serving().all(|model| model.is_stuck());
        all.then(|| format!("the model {} can't serve: {STUCK}", first.name()))
    }

    /// All served versions.
    #[must_use]
    pub fn serving(&self) -> Vec<Arc<Model>> {
        self.read().serving().map(Arc::clone).collect()
    }

    /// The state of the models for metrics.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let table = self.read();
        let mut snapshot = Snapshot::default();
        for (name, versions) in &table.models {
            for (version, entry) in versions {
                let model = entry.serving.as_ref().map(|served| &served.model);
                if let Some(model) = model {
                    *snapshot.waiting_rows.entry(name.to_string()).or_default() +=
                        model.waiting_rows();
                }
                let serving = model.map(|model| ServingFacts {
                    load_seconds: model.info().load_time.as_secs_f64(),
                    provider: model.info().provider.name(),
                    fallback: model.info().fallback.is_some(),
                    shares_batches: model.batching().enabled,
                    batching_reason: model.batching().reason.name(),
                });
                snapshot.versions.push(VersionFacts {
                    model: name.to_string(),
                    version: version.to_string(),
                    state: entry.state().label(),
                    serving,
                });
            }
        }
        snapshot
    }

    /// The known versions, for [`super::plan`].
    pub(super) fn known(&self) -> KnownModels {
        let known = |entry: &VersionEntry| KnownVersion {
            serving: entry.serving.as_ref().map(|served| served.fingerprint),
            failed: entry
                .failure
                .as_ref()
                .and_then(|failure| failure.fingerprint),
        };
        let table = self.read();
        let models = table.models.iter().map(|(name, versions)| {
            let versions = versions
                .iter()
                .map(|(version, entry)| (*version, known(entry)));
            (name.clone(), versions.collect())
        });
        models.collect()
    }

    /// Replaces the layout problems.
    pub(super) fn set_layout_problems(&self, problems: Vec<LayoutProblem>) {
        self.write().problems = problems;
    }

    pub(super) fn begin_loading(&self, name: &ModelName, version: Version) {
        self.change(|table| table.entry(name, version).loading = true);
    }

    /// The version is served from now on. It replaces its older content.
    pub(super) fn install(&self, name: &ModelName, model: Arc<Model>, fingerprint: Fingerprint) {
        let version = model.number();
        self.change(|table| {
            if let Some((content, found)) = table.mismatches.get(&(name.clone(), version))
                && *content == fingerprint
            {
                model.restore_mismatch(found.clone());
            }
            *table.entry(name, version) = VersionEntry {
                serving: Some(Served { model, fingerprint }),
                failure: None,
                loading: false,
            };
        });
    }

    /// The version could not be loaded. Older content of it is still served.
    pub(super) fn fail(
        &self,
        name: &ModelName,
        version: Version,
        fingerprint: Fingerprint,
        reason: String,
        is_transient: bool,
    ) {
        self.change(|table| {
            let entry = table.entry(name, version);
            entry.loading = false;
            entry.failure = Some(LoadFailure {
                reason,
                fingerprint: Some(fingerprint),
                is_transient,
            });
        });
    }

    /// Transient failures may be retried.
    pub(super) fn allow_retries(&self) {
        self.change(|table| {
            let entries = table.models.values_mut().flat_map(BTreeMap::values_mut);
            for failure in entries.filter_map(|entry| entry.failure.as_mut()) {
                if failure.is_transient {
                    failure.fingerprint = None;
                }
            }
        });
    }

    /// Removes a version. Returns whether another version of the model is served.
    pub(super) fn remove(&self, name: &ModelName, version: Version) -> bool {
        self.change(|table| {
            let Some(versions) = table.models.get_mut(name) else {
                return false;
            };
            let removed = versions.remove(&version);
            if let Some(served) = removed.and_then(|entry| entry.serving)
                && served.model.batching().reason == BatchingReason::SentinelMismatch
            {
                let found = (served.fingerprint, served.model.batching().clone());
                table.mismatches.insert((name.clone(), version), found);
            }
            let serves = newest(versions).is_some();
            if versions.is_empty() {
                table.models.remove(name);
            }
            serves
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.write();
        let result = change(&mut table);
        let mut names = table
            .models
            .iter()
            .filter(|(name, _)| self.preferred.as_ref().is_none_or(|wanted| wanted == *name))
            .filter_map(|(_, versions)| newest(versions));
        let default = match (names.next(), names.next()) {
            (Some(model), None) => Some(Arc::clone(model)),
            _ => None,
        };
        table.default = default;
        result
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        // No change can panic half way.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}
