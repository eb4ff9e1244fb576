//! Whose turn it is.

use std::{collections::BTreeMap, num::NonZeroU16};

use super::{
    stage::{Fitness, Stage},
    wait::Wait,
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
pub enum Verdict<K> {
    /// As it is.
    Go,
    /// Without the upgrade.
    Hold(Wait<K>),
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
    woken: Vec<K>,
}

/// What is known of a ModelService.
#[derive(Debug, Default)]
struct Entry {
    /// Nothing until it was seen.
    stage: Option<Stage>,
    /// It may go, and takes a place from then on.
    granted: bool,
    /// The API server has refused its upgrade. It is tried again, for as long as it waits.
    refused: bool,
}

impl Entry {
    fn is_in_progress(&self) -> bool {
        self.granted
            || matches!(
                self.stage,
                Some(Stage::Upgrading | Stage::Waiting(Fitness::Rolling))
            )
    }

    fn has_failed(&self) -> bool {
        self.refused || self.stage == Some(Stage::Failed)
    }

    /// Whether the upgrade may begin, but for those of others.
    fn is_fit(&self) -> bool {
        matches!(
            self.stage,
            Some(Stage::Waiting(
                Fitness::Healthy | Fitness::Rolling | Fitness::Failed
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
            woken: Vec::new(),
        }
    }

    /// These are the ModelServices that there are.
    pub fn begin(&mut self, all: impl IntoIterator<Item = K>) {
        for key in all {
            self.known.entry(key).or_default();
        }
        self.began = true;
        self.settle();
    }

    /// Where a ModelService stands, as its Deployment says just now, and whether it may go on.
    pub fn report(&mut self, key: &K, stage: Stage) -> Verdict<K> {
        let entry = self.known.entry(key.clone()).or_default();
        entry.stage = Some(stage);
        entry.granted &= entry.is_fit();
        entry.refused &= matches!(stage, Stage::Waiting(_));
        self.settle();
        self.woken.retain(|woken| woken != key);
        let Stage::Waiting(fitness) = stage else {
            return Verdict::Go;
        };
        match fitness {
            Fitness::Unavailable => Verdict::Hold(Wait::Unavailable),
            Fitness::Paused => Verdict::Hold(Wait::Paused),
            Fitness::Healthy | Fitness::Rolling | Fitness::Failed => {
                let entry = self.known.get(key);
                let (granted, refused) =
                    entry.map_or((false, false), |entry| (entry.granted, entry.refused));
                match &self.failed {
                    Some(failed) if !refused => Verdict::Hold(Wait::Failure(failed.clone())),
                    _ if granted => Verdict::Go,
                    Some(_) | None => Verdict::Hold(Wait::Turn),
                }
            }
        }
    }

    /// The upgrade of a ModelService that went was refused by the API server.
    pub fn refused(&mut self, key: &K) {
        if let Some(entry) = self.known.get_mut(key) {
            entry.refused = true;
            entry.granted = false;
        }
        self.settle();
        self.woken.retain(|woken| woken != key);
    }

    /// A ModelService whose Deployment isn't looked at. Where it wasn't seen before, the others wait for it no longer.
    pub fn pass_over(&mut self, key: &K) {
        let entry = self.known.entry(key.clone()).or_default();
        entry.stage.get_or_insert(Stage::Current);
        self.settle();
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
        self.woken.retain(|woken| woken != key);
        self.settle();
    }

    /// Those that are to be looked at again, each once: it is their turn, or they wait for something else now.
    pub fn take_woken(&mut self) -> Vec<K> {
        std::mem::take(&mut self.woken)
    }

    /// Gives places that are free to those that wait.
    fn settle(&mut self) {
        let mut entries = self.known.iter();
        let failed = entries
            .find(|(_, entry)| self.policy.pause_on_failure && entry.has_failed())
            .map(|(key, _)| key.clone());
        if failed != self.failed {
            self.failed = failed;
            let waiting = self.known.iter().filter(|(_, entry)| entry.is_fit());
            let waiting: Vec<_> = waiting.map(|(key, _)| key.clone()).collect();
            for key in waiting {
                self.wake(key);
            }
        }
        let is_seen = |entry: &Entry| entry.stage.is_some();
        if !self.began || !self.known.values().all(is_seen) {
            return;
        }
        let taken = self.known.values().filter(|it| it.is_in_progress()).count();
        let mut free = usize::from(self.policy.max_concurrent.get()).saturating_sub(taken);
        // One that rolls has its place already, and one that a former upgrade broke can only win.
        for next in [Fitness::Rolling, Fitness::Failed, Fitness::Healthy] {
            let mut granted = Vec::new();
            for (key, entry) in &mut self.known {
                let is_open = self.failed.is_none() || entry.refused;
                let is_next = entry.stage == Some(Stage::Waiting(next)) && !entry.granted;
                if !is_open || !is_next {
                    continue;
                }
                if next != Fitness::Rolling {
                    if free == 0 {
                        break;
                    }
                    free -= 1;
                }
                entry.granted = true;
                granted.push(key.clone());
            }
            for key in granted {
                self.wake(key);
            }
        }
    }

    fn wake(&mut self, key: K) {
        if !self.woken.contains(&key) {
            self.woken.push(key);
        }
    }
}

#[cfg(test)]
mod tests;
