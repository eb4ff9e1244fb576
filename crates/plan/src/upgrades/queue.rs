//! The queue of upgrades.

use std::{collections::BTreeMap, num::NonZeroU16};

use super::{
    stage::{Stage, UpgradeReadiness},
    wait_reason::WaitReason,
};

/// The upgrade settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradePolicy {
    /// Maximum number of concurrent upgrades.
    pub max_concurrent: NonZeroU16,
    /// Whether other upgrades wait while one has failed.
    pub pause_on_failure: bool,
}

/// Whether the plan of a ModelService may include its upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradePermission<K> {
    /// The plan may be applied.
    Granted,
    /// The upgrade must wait.
    Wait(WaitReason<K>),
}

/// Which ModelServices are being upgraded, and which wait. `K` is the key of a ModelService.
///
/// No upgrade is granted before all initial ModelServices have been reported, because upgrades that a previous operator
/// began count too.
#[derive(Debug)]
pub struct Upgrades<K> {
    policy: UpgradePolicy,
    known: BTreeMap<K, Entry>,
    /// Whether the initial ModelServices are known.
    began: bool,
    /// A ModelService with a failed upgrade that the others wait for.
    failed: Option<K>,
    /// ModelServices whose answer has changed since their last report.
    requeued: Vec<K>,
}

/// State of a ModelService.
#[derive(Debug, Default)]
struct Entry {
    /// `None` until it is reported.
    stage: Option<Stage>,
    /// Its upgrade is granted and uses a slot.
    granted: bool,
    /// The API server has rejected its upgrade, which is tried again while it waits.
    rejected: bool,
}

impl Entry {
    fn is_in_progress(&self) -> bool {
        self.granted
            || matches!(
                self.stage,
                Some(Stage::Upgrading | Stage::Waiting(UpgradeReadiness::Rolling))
            )
    }

    fn has_failed(&self) -> bool {
        self.rejected || self.stage == Some(Stage::Failed)
    }

    /// Whether the upgrade could begin, apart from those of others.
    fn is_fit(&self) -> bool {
        matches!(
            self.stage,
            Some(Stage::Waiting(
                UpgradeReadiness::Healthy | UpgradeReadiness::Rolling | UpgradeReadiness::Failed
            ))
        )
    }
}

impl<K: Ord + Clone> Upgrades<K> {
    /// Creates an empty queue, which grants no upgrade.
    #[must_use]
    pub fn new(policy: UpgradePolicy) -> Self {
        Self {
            policy,
            known: BTreeMap::new(),
            began: false,
            failed: None,
            requeued: Vec::new(),
        }
    }

    /// Adds the initial ModelServices.
    pub fn begin(&mut self, all: impl IntoIterator<Item = K>) {
        for key in all {
            self.known.entry(key).or_default();
        }
        self.began = true;
        self.grant_slots();
    }

    /// Reports the stage of a ModelService, and returns whether its upgrade may proceed.
    pub fn report(&mut self, key: &K, stage: Stage) -> UpgradePermission<K> {
        let entry = self.known.entry(key.clone()).or_default();
        entry.stage = Some(stage);
        entry.granted &= entry.is_fit();
        entry.rejected &= matches!(stage, Stage::Waiting(_));
        self.grant_slots();
        self.requeued.retain(|requeued| requeued != key);
        let Stage::Waiting(fitness) = stage else {
            return UpgradePermission::Granted;
        };
        match fitness {
            UpgradeReadiness::Unavailable => UpgradePermission::Wait(WaitReason::Unavailable),
            UpgradeReadiness::Paused => UpgradePermission::Wait(WaitReason::Paused),
            UpgradeReadiness::Healthy | UpgradeReadiness::Rolling | UpgradeReadiness::Failed => {
                let entry = self.known.get(key);
                let (granted, rejected) =
                    entry.map_or((false, false), |entry| (entry.granted, entry.rejected));
                match &self.failed {
                    Some(failed) if !rejected => {
                        UpgradePermission::Wait(WaitReason::Failure(failed.clone()))
                    }
                    _ if granted => UpgradePermission::Granted,
                    Some(_) | None => UpgradePermission::Wait(WaitReason::Turn),
                }
            }
        }
    }

    /// Records that the API server has rejected a granted upgrade.
    pub fn record_rejection(&mut self, key: &K) {
        if let Some(entry) = self.known.get_mut(key) {
            entry.rejected = true;
            entry.granted = false;
        }
        self.grant_slots();
        self.requeued.retain(|requeued| requeued != key);
    }

    /// Marks a ModelService whose Deployment can't be read. If it wasn't reported before, the others no longer wait for
    /// it.
    pub fn skip(&mut self, key: &K) {
        let entry = self.known.entry(key.clone()).or_default();
        entry.stage.get_or_insert(Stage::Current);
        self.grant_slots();
    }

    /// Removes a ModelService that is deleted or belongs to another operator.
    pub fn forget(&mut self, key: &K) {
        if self.began {
            self.known.remove(key);
        } else {
            // It may still be among the initial ModelServices.
            let entry = self.known.entry(key.clone()).or_default();
            *entry = Entry {
                stage: Some(Stage::Current),
                ..Entry::default()
            };
        }
        self.requeued.retain(|requeued| requeued != key);
        self.grant_slots();
    }

    /// Takes the ModelServices to reconcile again, each once: their upgrade is granted, or waits for another reason.
    pub fn take_requeued(&mut self) -> Vec<K> {
        std::mem::take(&mut self.requeued)
    }

    /// Grants free slots to waiting upgrades.
    fn grant_slots(&mut self) {
        let mut entries = self.known.iter();
        let failed = entries
            .find(|(_, entry)| self.policy.pause_on_failure && entry.has_failed())
            .map(|(key, _)| key.clone());
        if failed != self.failed {
            self.failed = failed;
            let waiting = self.known.iter().filter(|(_, entry)| entry.is_fit());
            let waiting: Vec<_> = waiting.map(|(key, _)| key.clone()).collect();
            for key in waiting {
                self.requeue(key);
            }
        }
        let is_seen = |entry: &Entry| entry.stage.is_some();
        if !self.began || !self.known.values().all(is_seen) {
            return;
        }
        let taken = self.known.values().filter(|it| it.is_in_progress()).count();
        let mut free = usize::from(self.policy.max_concurrent.get()).saturating_sub(taken);
        // A running upgrade already has its slot, and a failed one can only improve.
        for next in [
            UpgradeReadiness::Rolling,
            UpgradeReadiness::Failed,
            UpgradeReadiness::Healthy,
        ] {
            let mut granted = Vec::new();
            for (key, entry) in &mut self.known {
                let is_open = self.failed.is_none() || entry.rejected;
                let is_next = entry.stage == Some(Stage::Waiting(next)) && !entry.granted;
                if !is_open || !is_next {
                    continue;
                }
                if next != UpgradeReadiness::Rolling {
                    if free == 0 {
                        break;
                    }
                    free -= 1;
                }
                entry.granted = true;
                granted.push(key.clone());
            }
            for key in granted {
                self.requeue(key);
            }
        }
    }

    fn requeue(&mut self, key: K) {
        if !self.requeued.contains(&key) {
            self.requeued.push(key);
        }
    }
}

#[cfg(test)]
mod tests;
