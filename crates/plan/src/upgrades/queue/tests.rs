use proptest::{collection::vec, prelude::*};

use super::*;

const HEALTHY: Stage = Stage::Waiting(UpgradeReadiness::Healthy);

fn policy(max_concurrent: u16, pause_on_failure: bool) -> UpgradePolicy {
    UpgradePolicy {
        max_concurrent: NonZeroU16::new(max_concurrent).unwrap(),
        pause_on_failure,
    }
}

/// All of these have been reported.
fn begun(max_concurrent: u16, pause_on_failure: bool, stages: &[Stage]) -> Upgrades<usize> {
    let mut upgrades = Upgrades::new(policy(max_concurrent, pause_on_failure));
    upgrades.begin(0..stages.len());
    for (key, stage) in stages.iter().enumerate() {
        upgrades.report(&key, *stage);
    }
    upgrades
}

#[test]
fn slots_are_granted_in_order_and_each_is_requeued() {
    let mut upgrades = begun(2, true, &[HEALTHY; 4]);
    assert_eq!(upgrades.take_requeued(), [0, 1]);
    assert_eq!(
        upgrades.report(&3, HEALTHY),
        UpgradePermission::Wait(WaitReason::Turn)
    );
    assert_eq!(upgrades.report(&0, HEALTHY), UpgradePermission::Granted);
    assert_eq!(
        upgrades.report(&0, Stage::Upgrading),
        UpgradePermission::Granted
    );
    assert!(upgrades.take_requeued().is_empty());
    upgrades.report(&0, Stage::Current);
    assert_eq!(upgrades.take_requeued(), [2]);
}

#[test]
fn no_upgrade_is_granted_before_all_were_seen() {
    let mut upgrades = Upgrades::new(policy(5, true));
    assert_eq!(
        upgrades.report(&1, HEALTHY),
        UpgradePermission::Wait(WaitReason::Turn)
    );
    upgrades.begin([1, 2, 3]);
    assert_eq!(
        upgrades.report(&1, HEALTHY),
        UpgradePermission::Wait(WaitReason::Turn)
    );
    upgrades.report(&2, Stage::Current);
    assert!(upgrades.take_requeued().is_empty());
    // An unreadable or deleted ModelService doesn't block others.
    upgrades.skip(&3);
    assert_eq!(upgrades.take_requeued(), [1]);
    let mut upgrades = Upgrades::new(policy(5, true));
    upgrades.begin([1, 2]);
    upgrades.report(&1, HEALTHY);
    upgrades.forget(&2);
    assert_eq!(upgrades.report(&1, HEALTHY), UpgradePermission::Granted);
    // It belongs to another operator, and was known before.
    let mut upgrades = Upgrades::new(policy(5, true));
    upgrades.forget(&2);
    upgrades.begin([1, 2]);
    assert_eq!(upgrades.report(&1, HEALTHY), UpgradePermission::Granted);
}

#[test]
fn a_place_that_is_not_taken_goes_to_the_next() {
    for stage in [
        Stage::Current,
        Stage::Waiting(UpgradeReadiness::Unavailable),
        Stage::Waiting(UpgradeReadiness::Paused),
    ] {
        let mut upgrades = begun(1, true, &[HEALTHY; 2]);
        assert_eq!(upgrades.take_requeued(), [0]);
        upgrades.report(&0, stage);
        assert_eq!(upgrades.take_requeued(), [1], "{stage:?}");
    }
    let mut upgrades = begun(1, true, &[HEALTHY; 2]);
    upgrades.take_requeued();
    upgrades.forget(&0);
    assert_eq!(upgrades.take_requeued(), [1]);
}

#[test]
fn upgrades_that_could_not_complete_wait_with_a_reason() {
    let unfit = [UpgradeReadiness::Unavailable, UpgradeReadiness::Paused].map(Stage::Waiting);
    let mut upgrades = begun(5, true, &unfit);
    assert!(upgrades.take_requeued().is_empty());
    let verdicts = [0, 1].map(|key| upgrades.report(&key, unfit[key]));
    assert_eq!(
        verdicts,
        [
            UpgradePermission::Wait(WaitReason::Unavailable),
            UpgradePermission::Wait(WaitReason::Paused)
        ]
    );
}

#[test]
fn a_failure_stops_the_others_and_its_end_lets_them_go() {
    let mut upgrades = begun(1, true, &[Stage::Upgrading, HEALTHY, HEALTHY]);
    assert!(upgrades.take_requeued().is_empty());
    upgrades.report(&0, Stage::Failed);
    // Their wait reason has changed.
    assert_eq!(upgrades.take_requeued(), [1, 2]);
    let wait = UpgradePermission::Wait(WaitReason::Failure(0));
    assert_eq!(upgrades.report(&1, HEALTHY), wait);
    upgrades.report(&0, Stage::Current);
    assert_eq!(upgrades.take_requeued(), [1, 2]);
    assert_eq!(upgrades.report(&1, HEALTHY), UpgradePermission::Granted);
    assert_eq!(
        upgrades.report(&2, HEALTHY),
        UpgradePermission::Wait(WaitReason::Turn)
    );
}

#[test]
fn without_a_pause_a_failure_takes_no_place() {
    let mut upgrades = begun(1, false, &[Stage::Failed, HEALTHY]);
    assert_eq!(upgrades.report(&1, HEALTHY), UpgradePermission::Granted);
}

#[test]
fn failed_upgrades_go_first() {
    let broken = Stage::Waiting(UpgradeReadiness::Failed);
    let rolling = Stage::Waiting(UpgradeReadiness::Rolling);
    let mut upgrades = begun(2, true, &[HEALTHY, broken, rolling]);
    assert_eq!(upgrades.report(&2, rolling), UpgradePermission::Granted);
    assert_eq!(upgrades.report(&1, broken), UpgradePermission::Granted);
    assert_eq!(
        upgrades.report(&0, HEALTHY),
        UpgradePermission::Wait(WaitReason::Turn)
    );
}

#[test]
fn one_that_the_api_server_refuses_is_tried_again_and_counts_as_failed() {
    let mut upgrades = begun(1, true, &[HEALTHY; 2]);
    assert_eq!(upgrades.report(&0, HEALTHY), UpgradePermission::Granted);
    upgrades.record_rejection(&0);
    let wait = UpgradePermission::Wait(WaitReason::Failure(0));
    assert_eq!(upgrades.report(&1, HEALTHY), wait);
    assert_eq!(upgrades.report(&0, HEALTHY), UpgradePermission::Granted);
    upgrades.report(&0, Stage::Upgrading);
    assert_eq!(
        upgrades.report(&1, HEALTHY),
        UpgradePermission::Wait(WaitReason::Turn)
    );
    upgrades.report(&0, Stage::Current);
    assert_eq!(upgrades.report(&1, HEALTHY), UpgradePermission::Granted);

    // Without a pause others get the slot.
    let mut upgrades = begun(1, false, &[HEALTHY; 2]);
    assert_eq!(upgrades.report(&0, HEALTHY), UpgradePermission::Granted);
    upgrades.record_rejection(&0);
    assert_eq!(
        upgrades.report(&1, HEALTHY),
        UpgradePermission::Wait(WaitReason::Turn)
    );
}

/// A ModelService of a simulated cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Former,
    Unavailable,
    Rolling,
    Failed,
    Upgraded,
}

impl Service {
    fn stage(self) -> Stage {
        match self {
            Self::Former => HEALTHY,
            Self::Unavailable => Stage::Waiting(UpgradeReadiness::Unavailable),
            Self::Rolling => Stage::Upgrading,
            Self::Failed => Stage::Failed,
            Self::Upgraded => Stage::Current,
        }
    }
}

/// What happens, to the ModelService of a number.
#[derive(Debug, Clone, Copy)]
enum Step {
    Pass(usize),
    Rolled(usize),
    Fails(usize),
    Recovers(usize),
    Loses(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..12_usize;
    prop_oneof![
        8 => key.clone().prop_map(Step::Pass),
        4 => key.clone().prop_map(Step::Rolled),
        1 => key.clone().prop_map(Step::Fails),
        2 => key.clone().prop_map(Step::Recovers),
        1 => key.prop_map(Step::Loses),
        1 => Just(Step::Restart),
    ]
}

/// An operator and its cluster.
struct World {
    policy: UpgradePolicy,
    upgrades: Upgrades<usize>,
    services: Vec<Service>,
}

impl World {
    fn new(policy: UpgradePolicy, services: usize) -> Self {
        let mut world = Self {
            policy,
            upgrades: Upgrades::new(policy),
            services: vec![Service::Former; services],
        };
        world.restart();
        world
    }

    fn restart(&mut self) {
        self.upgrades = Upgrades::new(self.policy);
        self.upgrades.begin(0..self.services.len());
    }

    fn pass(&mut self, key: usize) {
        let service = &mut self.services[key];
        let verdict = self.upgrades.report(&key, service.stage());
        if *service == Service::Former && verdict == UpgradePermission::Granted {
            *service = Service::Rolling;
        }
    }

    fn rolling(&self) -> usize {
        let rolling = |service: &&Service| **service == Service::Rolling;
        self.services.iter().filter(rolling).count()
    }

    fn become_if(&mut self, key: usize, from: Service, to: Service) {
        let service = &mut self.services[key];
        if *service == from {
            *service = to;
        }
    }
}

proptest! {
    #[test]
    fn never_more_than_allowed_at_a_time_and_all_in_the_end(
        services in 1..12_usize,
        max in 1..6_u16,
        pause in any::<bool>(),
        steps in vec(step(), 0..200),
    ) {
        let mut world = World::new(policy(max, pause), services);
        for step in steps {
            let known_failure = world.upgrades.failed.is_some();
            let before = world.services.clone();
            match step {
                Step::Restart => world.restart(),
                Step::Pass(key) => world.pass(key % services),
                Step::Rolled(key) => world.become_if(key % services, Service::Rolling, Service::Upgraded),
                Step::Fails(key) => world.become_if(key % services, Service::Rolling, Service::Failed),
                Step::Recovers(key) => {
                    world.become_if(key % services, Service::Unavailable, Service::Former);
                    world.become_if(key % services, Service::Failed, Service::Upgraded);
                }
                Step::Loses(key) => world.become_if(key % services, Service::Former, Service::Unavailable),
            }
            prop_assert!(world.rolling() <= usize::from(max));
            let began = world.services.iter().zip(&before).any(|(now, before)| {
                *now == Service::Rolling && *before == Service::Former
            });
            let still_failed = world.upgrades.failed.is_some();
            prop_assert!(!(began && known_failure && still_failed), "began beside a failure");
        }
        // All faults are repaired, each is reconciled once, and then only requeued ones.
        for key in 0..services {
            world.become_if(key, Service::Unavailable, Service::Former);
            world.become_if(key, Service::Failed, Service::Upgraded);
        }
        for key in 0..services {
            world.pass(key);
        }
        for _ in 0..10 * services {
            for key in world.upgrades.take_requeued() {
                world.pass(key);
            }
            for key in 0..services {
                if world.services[key] == Service::Rolling {
                    world.services[key] = Service::Upgraded;
                    // Its Deployment has changed.
                    world.pass(key);
                }
            }
        }
        prop_assert!(world.services.iter().all(|service| *service == Service::Upgraded), "{:?}", world.services);
    }
}
