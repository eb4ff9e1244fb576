//! Hazardous models, which are first loaded in a child process.

use super::*;

#[tokio::test]
async fn what_takes_the_place_of_a_model_that_was_tried_is_tried_too() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "hazardous");
    fixture.sync().await;
    fixture.manager.isolated_load_ended().await;
    // It passed, and isn't loaded yet.
    fixture.write("m/1", "crashing");
    assert!(fixture.manager.finish_isolated_load().await.is_empty());
    assert!(fixture.manager.has_pending_loads());
    let failures = fixture.try_all().await;
    assert!(failures[0].contains("ended its process"), "{failures:?}");
    assert_eq!(fixture.states(), states([("m/1", State::Unavailable)]));
    fixture.write("m/1", "hazardous");
    fixture.settle().await;
    fixture.try_all().await;
    assert_eq!(fixture.states(), states([("m/1", State::Ready)]));
}

#[tokio::test]
async fn hazardous_models_are_tried_apart_and_others_serve_meanwhile() {
    let mut fixture = Fixture::new(1);
    fixture.write("a/1", "hazardous");
    fixture.write("b/1", "good");
    fixture.write("c/1", "hazardous");
    fixture.sync().await;
    assert!(fixture.manager.has_pending_loads());
    let loading = [
        ("a/1", State::Loading),
        ("b/1", State::Ready),
        ("c/1", State::Loading),
    ];
    assert_eq!(fixture.states(), states(loading));
    // A sync meanwhile begins no second trial.
    fixture.sync().await;
    assert_eq!(fixture.states(), states(loading));
    assert_eq!(fixture.try_all().await, [""; 0]);
    assert_eq!(fixture.isolated_loads(), 2);
    let ready = ["a/1", "b/1", "c/1"].map(|version| (version, State::Ready));
    assert_eq!(fixture.states(), states(ready));
}

#[tokio::test]
async fn a_version_that_crashes_when_it_is_tried_stays_out_until_it_changes() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.write("m/2", "crashing");
    fixture.sync().await;
    assert_eq!(fixture.version().unwrap(), "1", "while the other is tried");
    let failures = fixture.try_all().await;
    assert!(failures[0].contains("signal 8: a node"), "{failures:?}");
    let entry = fixture.entry("2");
    assert_eq!(entry.state, State::Unavailable);
    assert!(entry.reason.contains("signal 8"), "{}", entry.reason);
    fixture.settle().await;
    assert!(!fixture.manager.has_pending_loads());
    assert_eq!(fixture.isolated_loads(), 1);
    fixture.write("m/2", "hazardous");
    fixture.settle().await;
    assert_eq!(fixture.version().unwrap(), "1");
    assert_eq!(fixture.try_all().await, [""; 0]);
    assert_eq!(fixture.version().unwrap(), "2");
    assert_eq!(fixture.states(), states([("m/2", State::Ready)]));
}

#[tokio::test]
async fn what_is_removed_or_changed_while_it_is_tried_is_of_no_interest() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.write("m/2", "crashing");
    fixture.sync().await;
    fixture.remove("m/2");
    fixture.settle().await;
    assert!(!fixture.manager.has_pending_loads());
    fixture.manager.isolated_load_ended().await;
    assert!(fixture.manager.finish_isolated_load().await.is_empty());
    assert_eq!(fixture.states(), states([("m/1", State::Ready)]));

    fixture.write("m/2", "crashing");
    fixture.settle().await;
    fixture.write("m/2", "good");
    fixture.settle().await;
    assert_eq!(fixture.version().unwrap(), "2");
    assert_eq!(fixture.try_all().await, [""; 0]);
    assert_eq!(fixture.states(), states([("m/2", State::Ready)]));
}
