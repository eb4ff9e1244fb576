//! Whose turn it is.

use std::{collections::BTreeMap, num::NonZeroU16};

use super::{
    stage::{Stage, UpgradeReadiness},
    wait_reason::WaitReason,
};

/// How an upgrade is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradePolicy {
    /// Most ModelServices whose pods are upgraded at a time.
    pub max_concurrent: NonZeroU16,
    /// Whether no further one is upgraded while one has failed.
    pub pause_on_failure: bool,
}

/// Whether the plan of a ModelService may be carried out as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradePermission<K> {
    /// As it is.
    Granted,
    /// Without the upgrade.
    Wait(WaitReason<K>),
}

/// Which ModelServices are upgraded, and which wait. `K` names one.
///
/// Until all that there were at the start have been seen, no upgrade is granted: those that a former operator has begun with
/// count, too.
#[derive(Debug)]
pub struct Upgrades<K> {
    policy: UpgradePolicy,
    known: BTreeMap<K, Entry>,
    /// Whether it was told which ModelServices there are.
    began: bool,
    /// One whose upgrade has failed, where the others wait for it.
    failed: Option<K>,
    /// Those for which something has changed since they were told.
    requeued: Vec<K>,
}

/// What is known of a ModelService.
#[derive(Debug, Default)]
struct Entry {
    /// Nothing until it was seen.
    stage: Option<Stage>,
    /// It may go, and takes a place from then on.
    granted: bool,
    /// The API server has refused its upgrade. It is tried again, for as long as it waits.
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

    /// Whether the upgrade may begin, but for those of others.
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
    /// Nothing is known, and no upgrade is granted.
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

    /// These are the ModelServices that there are.
    pub fn begin(&mut self, all: impl IntoIterator<Item = K>) {
        for key in all {
            self.known.entry(key).or_default();
        }
        self.began = true;
        self.grant_slots();
    }

    /// Where a ModelService stands, as its Deployment says just now, and whether it may go on.
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

    /// The upgrade of a ModelService that went was refused by the API server.
    pub fn record_rejection(&mut self, key: &K) {
        if let Some(entry) = self.known.get_mut(key) {
            entry.rejected = true;
            entry.granted = false;
        }
        self.grant_slots();
        self.requeued.retain(|requeued| requeued != key);
    }

    /// A ModelService whose Deployment isn't looked at. Where it wasn't seen before, the others wait for it no longer.
    pub fn skip(&mut self, key: &K) {
        let entry = self.known.entry(key.clone()).or_default();
        entry.stage.get_or_insert(Stage::Current);
        self.grant_slots();
    }

    /// A ModelService is gone, or is another operator's.
    pub fn forget(&mut self, key: &K) {
        if self.began {
            self.known.remove(key);
        } else {
            // One that isn't gone is among those that there are.
            let entry = self.known.entry(key.clone()).or_default();
            *entry = Entry {
                stage: Some(Stage::Current),
                ..Entry::default()
            };
        }
        self.requeued.retain(|requeued| requeued != key);
        self.grant_slots();
    }

    /// Those that are to be looked at again, each once: it is their turn, or they wait for something else now.
    pub fn take_requeued(&mut self) -> Vec<K> {
        std::mem::take(&mut self.requeued)
    }

    /// Gives places that are free to those that wait.
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
        // One that rolls has its place already, and one that a former upgrade broke can only win.
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
