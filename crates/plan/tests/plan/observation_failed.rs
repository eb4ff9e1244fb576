//! Statuses of ModelServices whose state could not be observed.

use serde_json::json;
use springtide_api::status::condition::ALL;
use springtide_plan::{Failure, observation_failed_status};

use crate::support::{
    applied, at, condition, message, model_service, status_of, validated, with_keda,
};

fn failure() -> Failure {
    Failure {
        reason: "ServerError".to_owned(),
        message: "listing pods: etcd is gone".to_owned(),
    }
}

#[test]
fn ready_says_why_and_the_rest_stays_as_it_was_known() {
    let validated = validated(json!({}));
    let observed = applied(&validated, with_keda());
    let before = status_of(&validated, &observed);
    let mut changed = model_service(json!({}));
    changed.metadata.generation = Some(7);
    let now = observation_failed_status(&changed, &failure(), Some(&before), at(9));
    let expected = ("Unknown".to_owned(), "ServerError".to_owned());
    assert_eq!(condition(&now, "Ready"), expected);
    assert_eq!(message(&now, "Ready"), "listing pods: etcd is gone");
    assert_eq!(now.conditions[0].observed_generation, Some(7));
    assert_eq!(now.conditions[1..], before.conditions[1..]);
    assert_eq!(now.observed_generation, before.observed_generation);
    assert_eq!(now.desired_replicas, before.desired_replicas);
    let again = observation_failed_status(&changed, &failure(), Some(&now), at(99));
    assert_eq!(again, now, "the same fault changes nothing");
}

#[test]
fn without_a_previous_status_all_conditions_are_unknown() {
    let model_service = model_service(json!({}));
    let status = observation_failed_status(&model_service, &failure(), None, at(0));
    assert_eq!(status.observed_generation, None);
    for kind in ALL {
        assert_eq!(condition(&status, kind).0, "Unknown", "{kind}");
    }
}
