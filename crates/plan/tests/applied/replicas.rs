//! The apply of the replicas, beside the apply of the rest of the Deployment.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;
use springtide_plan::{
    ReplicasApply,
    field_manager::{FIXED_REPLICAS, INITIAL_REPLICAS, OPERATOR},
    handover, is_deployment_applied,
};
use springtide_testkit::{FakeApi, ResourceType};

use super::{Applied, NAME, NAMESPACE, recorded};

fn with_replicas(field_manager: &'static str, replicas: i32, force: bool) -> ReplicasApply {
    ReplicasApply {
        field_manager,
        replicas,
        force,
    }
}

#[test]
fn a_fixed_number_of_pods_comes_back_and_is_applied_once() {
    let applied = Applied::new::<Deployment>();
    let fixed = with_replicas(FIXED_REPLICAS, 3, true);
    let wanted = || fixed.body_for(&serde_json::from_value(applied.live()).unwrap());
    assert_eq!(wanted(), Some(fixed.body(NAME)));
    applied.apply(FIXED_REPLICAS, &fixed.body(NAME));
    assert_eq!(wanted(), None);
    applied
        .fake
        .scale(&applied.resource, NAMESPACE, NAME, "kubectl", 9);
    assert_eq!(wanted(), Some(fixed.body(NAME)));
}

/// The manager that created the Deployment owns its replicas. Without another owner, dropping the field would reset it
/// to 1.
#[test]
fn the_number_that_a_deployment_is_created_with_is_handed_over() {
    let recorded = recorded::<Deployment>();
    let fake = FakeApi::new();
    let resource = ResourceType::of::<Deployment>();
    let mut created = recorded.desired.clone();
    created["spec"]["replicas"] = json!(4);
    fake.apply(&resource, NAMESPACE, NAME, OPERATOR, &created);
    let live = || -> Deployment {
        serde_json::from_value(fake.get(&resource, NAMESPACE, NAME).unwrap()).unwrap()
    };
    let replicas = || live().spec.unwrap().replicas;
    let desired: Deployment = serde_json::from_value(recorded.desired.clone()).unwrap();
    assert!(is_deployment_applied(&desired, &live()));
    let fixed = with_replicas(FIXED_REPLICAS, 4, true);
    assert_eq!(fixed.body_for(&live()), None, "it is so already");
    let first = handover(&live()).unwrap();
    assert_eq!(first, with_replicas(INITIAL_REPLICAS, 4, false));
    fake.apply(
        &resource,
        NAMESPACE,
        NAME,
        first.field_manager,
        &first.body(NAME),
    );
    fake.apply(&resource, NAMESPACE, NAME, OPERATOR, &recorded.desired);
    assert_eq!(replicas(), Some(4));
    assert_eq!(handover(&live()), None);
    assert!(is_deployment_applied(&desired, &live()));

    // An earlier decision of an autoscaler is kept.
    let fake = FakeApi::new();
    fake.apply(&resource, NAMESPACE, NAME, OPERATOR, &created);
    fake.scale(&resource, NAMESPACE, NAME, "kube-controller-manager", 9);
    let live: Deployment =
        serde_json::from_value(fake.get(&resource, NAMESPACE, NAME).unwrap()).unwrap();
    assert_eq!(handover(&live), None);
    fake.apply(&resource, NAMESPACE, NAME, OPERATOR, &recorded.desired);
    let live = fake.get(&resource, NAMESPACE, NAME).unwrap();
    assert_eq!(live["spec"]["replicas"], 9);
}

#[test]
fn a_first_number_of_pods_only_raises_the_version_that_was_seen() {
    let applied = Applied::new::<Deployment>();
    for force in [true, false] {
        let first = with_replicas(INITIAL_REPLICAS, 3, force);
        for (live, raises) in [(0, true), (2, true), (3, false), (7, false)] {
            applied.drift("/spec/replicas", Some(json!(live)));
            let live = applied.live();
            let wanted = first.body_for(&serde_json::from_value(live.clone()).unwrap());
            assert_eq!(wanted.is_some(), raises, "{}", live["spec"]["replicas"]);
            if let Some(body) = wanted {
                let version = &live["metadata"]["resourceVersion"];
                assert_eq!(&body["metadata"]["resourceVersion"], version);
            }
        }
    }
}
