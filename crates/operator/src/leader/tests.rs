use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;
use springtide_testkit::{FakeApi, Fault, ResourceType};
use tokio::time::advance;

use super::*;

fn election(identity: &str) -> Election {
    Election {
        namespace: "springtide-system".to_owned(),
        name: "springtide-operator".to_owned(),
        identity: identity.to_owned(),
        labels: BTreeMap::new(),
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    }
}

fn candidate(fake: &FakeApi, identity: &str) -> Candidate {
    Candidate::new(fake.client(), election(identity), Readiness::default())
}

fn lease(fake: &FakeApi) -> serde_json::Value {
    fake.get(
        &ResourceType::of::<Lease>(),
        "springtide-system",
        "springtide-operator",
    )
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_candidate_leads_until_its_lease_expires() {
    let fake = FakeApi::new();
    let (mut first, mut second) = (candidate(&fake, "first"), candidate(&fake, "second"));
    first.acquire().await;
    assert_eq!(lease(&fake)["spec"]["holderIdentity"], "first");
    let begun = Instant::now();
    second.acquire().await;
    assert!(
        begun.elapsed() >= Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_secs(18),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(lease(&fake)["spec"]["holderIdentity"], "second");
    assert_eq!(lease(&fake)["spec"]["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_stops_when_another_one_has_the_lease() {
    let fake = FakeApi::new();
    let mut leader = candidate(&fake, "leader");
    leader.acquire().await;
    fake.edit(
        &ResourceType::of::<Lease>(),
        "springtide-system",
        "springtide-operator",
        "other",
        &json!({"spec": {"holderIdentity": "other"}}),
    );
    assert!(matches!(leader.hold().await, LostLease::Taken { holder } if holder == "other"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_is_not_taken() {
    let fake = FakeApi::new();
    let (mut first, mut second) = (candidate(&fake, "first"), candidate(&fake, "second"));
    first.acquire().await;
    tokio::select! {
        lost = first.hold() => panic!("{lost}"),
        () = second.acquire() => panic!("taken"),
        () = sleep(Duration::from_secs(600)) => {}
    }
    assert_eq!(lease(&fake)["spec"]["leaseTransitions"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_the_next_read() {
    let fake = FakeApi::new();
    let (mut first, mut second) = (candidate(&fake, "first"), candidate(&fake, "second"));
    first.acquire().await;
    first.release().await;
    assert_eq!(lease(&fake)["spec"]["holderIdentity"], "");
    let begun = Instant::now();
    second.acquire().await;
    assert!(begun.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_release_keeps_the_lease_of_another_candidate() {
    let fake = FakeApi::new();
    let (mut first, mut second) = (candidate(&fake, "first"), candidate(&fake, "second"));
    first.acquire().await;
    advance(Duration::from_secs(20)).await;
    second.acquire().await;
    first.release().await;
    assert_eq!(lease(&fake)["spec"]["holderIdentity"], "second");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_the_lease_expires() {
    let fake = FakeApi::new();
    let mut leader = candidate(&fake, "leader");
    leader.acquire().await;
    for call in 1..100 {
        fake.inject(
            call,
            if call % 2 == 0 {
                Fault::Refused
            } else {
                Fault::Stall
            },
        );
    }
    let begun = Instant::now();
    assert!(matches!(leader.hold().await, LostLease::Deadline(_)));
    assert!(
        begun.elapsed() <= Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

/// An API server under load answers a read and a write of the lease together in more than the time
/// between two looks.
#[tokio::test(start_paused = true)]
async fn a_slow_server_does_not_end_a_leadership() {
    let fake = FakeApi::new();
    let mut leader = candidate(&fake, "leader");
    for call in 1..1000 {
        fake.inject(call, Fault::Delay(Duration::from_secs(2)));
    }
    timeout(Duration::from_secs(5), leader.acquire())
        .await
        .unwrap();
    tokio::select! {
        lost = leader.hold() => panic!("{lost}"),
        () = sleep(Duration::from_secs(120)) => {}
    }
    assert_eq!(lease(&fake)["spec"]["holderIdentity"], "leader");
}

#[tokio::test(start_paused = true)]
async fn a_leadership_is_timed_from_before_its_write() {
    let fake = FakeApi::new();
    let mut leader = candidate(&fake, "leader");
    fake.inject(2, Fault::Delay(Duration::from_secs(4)));
    for call in 3..100 {
        fake.inject(call, Fault::Stall);
    }
    let begun = Instant::now();
    leader.acquire().await;
    assert!(matches!(leader.hold().await, LostLease::Deadline(_)));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_leaves_time_for_another() {
    let fake = FakeApi::new();
    let mut follower = candidate(&fake, "follower");
    fake.inject(1, Fault::Stall);
    let begun = Instant::now();
    assert!(matches!(
        follower.attempt().await,
        Err(AttemptError::Timeout)
    ));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn transient_faults_do_not_end_a_leadership() {
    for fault in [
        Fault::Status(409),
        Fault::Status(500),
        Fault::Refused,
        Fault::LostAnswer,
        Fault::Stall,
    ] {
        for call in 1..=6 {
            let fake = FakeApi::new();
            let mut leader = candidate(&fake, "leader");
            leader.acquire().await;
            fake.inject(call, fault);
            tokio::select! {
                lost = leader.hold() => panic!("{fault:?} at call {call}: {lost}"),
                () = sleep(Duration::from_secs(60)) => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_created_again() {
    let fake = FakeApi::new();
    let mut leader = candidate(&fake, "leader");
    leader.acquire().await;
    fake.delete(
        &ResourceType::of::<Lease>(),
        "springtide-system",
        "springtide-operator",
    );
    tokio::select! {
        lost = leader.hold() => panic!("{lost}"),
        () = sleep(Duration::from_secs(5)) => {}
    }
    assert_eq!(lease(&fake)["spec"]["holderIdentity"], json!("leader"));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_is_ready_after_the_first_response() {
    let fake = FakeApi::new();
    let readiness = Readiness::default();
    let mut follower = Candidate::new(fake.client(), election("a"), readiness.clone());
    fake.inject(1, Fault::Refused);
    assert!(follower.attempt().await.is_err());
    assert_eq!(readiness.stage(), Stage::Starting);
    follower.acquire().await;
    assert_eq!(readiness.stage(), Stage::Candidate);
}
