//! The stage of this replica.

use tokio::sync::watch;

/// The stage of a replica, in order. It never goes back: a replica that loses its lease exits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The API server hasn't responded yet.
    #[default]
    Starting,
    /// The lease was read: another replica is the leader, or this one may become it. The replica is ready, so that a
    /// rollout of several replicas continues.
    Candidate,
    /// This replica is the leader, and doesn't know all ModelServices yet.
    Syncing,
    /// This replica is the leader, and knows all ModelServices.
    Acting,
}

/// The stage of this replica. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(watch::Sender<Stage>);

impl Readiness {
    /// Reaches a stage. An earlier stage changes nothing.
    pub fn reach(&self, stage: Stage) {
        self.0.send_if_modified(|reached| {
            let further = stage > *reached;
            if further {
                *reached = stage;
            }
            further
        });
    }

    /// The latest stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// A receiver of every later stage.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Stage> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_never_goes_back() {
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
