//! How far this replica has got.

use tokio::sync::watch;

/// How far a replica has got, in order: it never goes back, since one that loses its lease ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The API server hasn't answered yet.
    #[default]
    Starting,
    /// The lease was read: another replica acts, or this one may soon. Ready, so that a rollout of
    /// several replicas goes on.
    Candidate,
    /// This replica acts, and doesn't know all ModelServices yet.
    Syncing,
    /// This replica acts, and knows all ModelServices.
    Acting,
}

/// How far this replica has got. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(watch::Sender<Stage>);

impl Readiness {
    /// A stage is reached. One that was passed before changes nothing.
    pub fn reach(&self, stage: Stage) {
        self.0.send_if_modified(|reached| {
            let further = stage > *reached;
            if further {
                *reached = stage;
            }
            further
        });
    }

    /// The furthest stage that was reached.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Tells of every stage that is reached from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Stage> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_reads_its_lease_again_goes_not_back() {
        let readiness = Readiness::default();
        for (reached, stage) in [
            (Stage::Candidate, Stage::Candidate),
            (Stage::Syncing, Stage::Syncing),
            (Stage::Candidate, Stage::Syncing),
            (Stage::Acting, Stage::Acting),
            (Stage::Candidate, Stage::Acting),
        ] {
            readiness.reach(reached);
            assert_eq!(readiness.stage(), stage, "after {reached:?}");
        }
    }
}
