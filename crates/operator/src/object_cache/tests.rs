use futures::FutureExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use serde_json::json;
use springtide_plan::labels;

use super::*;
use crate::{caches::instance, scope::Scope};

fn parts(names: &[&str]) -> Vec<Part> {
    let scope: Scope = names.iter().map(|name| name.parse().unwrap()).collect();
    scope.parts()
}

fn followed() -> ObjectCache<Deployment> {
    let objects = ObjectCache::new(|_| {}, |_| None);
    objects.follow(&parts(&[]));
    objects
}

/// A Deployment of one version, told apart by its replicas, which are the version, too.
fn told(uid: &str, version: u64) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "namespace": "models", "name": "iris", "uid": uid, "resourceVersion": version.to_string(),
        },
        "spec": {"replicas": version},
    }))
    .unwrap()
}

fn answer(uid: &str, version: u64) -> Deployment {
    serde_json::from_value(serde_json::to_value(told(uid, version)).unwrap()).unwrap()
}

fn listed(objects: &ObjectCache<Deployment>, list: impl IntoIterator<Item = DynamicObject>) {
    objects.take(0, Event::Init);
    for object in list {
        objects.take(0, Event::InitApply(object));
    }
    objects.take(0, Event::InitDone);
}

fn is_answered(objects: &ObjectCache<Deployment>) -> bool {
    objects.listed().now_or_never().is_some()
}

/// The version that is known, 0 for none.
fn known(objects: &ObjectCache<Deployment>) -> Lookup<i32> {
    match objects.get("models", "iris") {
        Lookup::Unknown => Lookup::Unknown,
        Lookup::Known(None) => Lookup::Known(0),
        Lookup::Known(Some(object)) => Lookup::Known(object.spec.unwrap().replicas.unwrap()),
    }
}

#[test]
fn nothing_is_known_before_the_first_list_is_complete() {
    let objects = followed();
    assert_eq!(known(&objects), Lookup::Unknown);
    assert!(!is_answered(&objects));
    objects.take(0, Event::Init);
    objects.take(0, Event::InitApply(told("a", 1)));
    assert_eq!(known(&objects), Lookup::Unknown);
    objects.take(0, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Known(1));
    assert!(is_answered(&objects));
    // A list that begins anew takes nothing away before it is complete.
    objects.take(0, Event::Init);
    assert_eq!(known(&objects), Lookup::Known(1));
    objects.take(0, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Known(0));
    objects.follow(&parts(&[]));
    assert_eq!(known(&objects), Lookup::Unknown);
}

#[test]
fn a_list_that_failed_is_an_answer_and_no_knowledge() {
    let objects = followed();
    objects.failed(0);
    assert!(is_answered(&objects));
    assert_eq!(known(&objects), Lookup::Unknown);
    listed(&objects, []);
    objects.failed(0);
    assert_eq!(known(&objects), Lookup::Known(0));
}

#[test]
fn a_namespace_is_known_by_its_own_list() {
    let objects = ObjectCache::<Deployment>::new(|_| {}, |_| None);
    objects.follow(&parts(&["models", "others"]));
    objects.take(1, Event::Init);
    objects.take(1, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Unknown);
    assert_eq!(objects.get("others", "iris"), Lookup::Known(None));
    assert_eq!(objects.get("third", "iris"), Lookup::Unknown);
    objects.take(0, Event::Init);
    objects.take(0, Event::InitApply(told("a", 1)));
    objects.take(0, Event::InitDone);
    // A list of one says nothing of the other.
    objects.take(1, Event::Init);
    objects.take(1, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Known(1));
}

#[test]
fn what_was_written_counts_until_the_watch_is_as_far() {
    let objects = followed();
    listed(&objects, [told("a", 1)]);
    objects.invalidate("models", "iris");
    assert_eq!(known(&objects), Lookup::Unknown);
    objects.record(&answer("a", 5));
    assert_eq!(known(&objects), Lookup::Known(5));
    // Older than the write, also where a list says so.
    objects.take(0, Event::Apply(told("a", 3)));
    assert_eq!(known(&objects), Lookup::Known(5));
    listed(&objects, [told("a", 4)]);
    assert_eq!(known(&objects), Lookup::Known(5));
    objects.take(0, Event::Apply(told("a", 6)));
    assert_eq!(known(&objects), Lookup::Known(6));
    // An answer that comes late doesn't undo what the watch has told meanwhile.
    objects.record(&answer("a", 5));
    assert_eq!(known(&objects), Lookup::Known(6));
}

#[test]
fn a_write_without_an_answer_stays_in_doubt_until_a_read() {
    let objects = followed();
    listed(&objects, [told("a", 1)]);
    objects.invalidate("models", "iris");
    // It may be the write of another client.
    objects.take(0, Event::Apply(told("a", 2)));
    listed(&objects, [told("a", 2)]);
    assert_eq!(known(&objects), Lookup::Unknown);
    objects.record(&answer("a", 3));
    assert_eq!(known(&objects), Lookup::Known(3));
    objects.invalidate("models", "iris");
    objects.revalidate("models", "iris");
    assert_eq!(known(&objects), Lookup::Known(3));
    objects.invalidate("models", "iris");
    objects.record_absence("models", "iris");
    assert_eq!(known(&objects), Lookup::Known(0));
}

#[test]
fn what_was_deleted_does_not_come_back_by_a_late_event() {
    let objects = followed();
    listed(&objects, [told("a", 1)]);
    objects.record_absence("models", "iris");
    objects.take(0, Event::Apply(told("a", 2)));
    assert_eq!(known(&objects), Lookup::Known(0));
    listed(&objects, [told("a", 2)]);
    assert_eq!(known(&objects), Lookup::Known(0));
    // Another one of the same name does, and the deletion of the former one doesn't take it away.
    objects.record(&answer("b", 5));
    objects.take(0, Event::Delete(told("a", 3)));
    assert_eq!(known(&objects), Lookup::Known(5));
    objects.take(0, Event::Delete(told("b", 6)));
    assert_eq!(known(&objects), Lookup::Known(0));
}

#[test]
fn what_was_written_while_a_list_went_on_is_in_doubt_if_that_lacks_it() {
    let objects = followed();
    listed(&objects, []);
    objects.take(0, Event::Init);
    objects.record(&answer("a", 5));
    assert_eq!(known(&objects), Lookup::Known(5));
    objects.take(0, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Unknown);
    objects.record(&answer("a", 5));
    assert_eq!(known(&objects), Lookup::Known(5));
    // The next list is later than the write.
    listed(&objects, []);
    assert_eq!(known(&objects), Lookup::Known(0));
}

#[test]
fn a_version_that_is_no_number_and_an_object_that_cannot_be_read_are_for_the_api_server() {
    let objects = followed();
    let mut odd = told("a", 1);
    odd.metadata.resource_version = Some("x1".to_owned());
    listed(&objects, [odd]);
    assert_eq!(known(&objects), Lookup::Unknown);
    let objects = followed();
    let mut odd = told("a", 1);
    odd.data["spec"] = json!(["no", "spec"]);
    listed(&objects, [odd]);
    assert_eq!(known(&objects), Lookup::Unknown);
}

fn pod(number: u64, instance: &str) -> DynamicObject {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "models", "name": format!("pod-{number}"), "uid": format!("{number}"),
            "resourceVersion": (number + 1).to_string(), "labels": {labels::INSTANCE: instance},
        },
    }))
    .unwrap()
}

fn names(lookup: Lookup<Vec<Pod>>) -> Vec<String> {
    let Lookup::Known(pods) = lookup else {
        panic!("not known");
    };
    pods.into_iter()
        .map(|pod| pod.metadata.name.unwrap())
        .collect()
}

#[test]
fn pods_are_found_by_their_model_service_as_long_as_they_are_its() {
    let pods = ObjectCache::<Pod>::new(|_| {}, instance);
    pods.follow(&parts(&[]));
    assert_eq!(pods.group("models", "iris", 10), Lookup::Unknown);
    pods.take(0, Event::Init);
    for (number, instance) in [(1, "iris"), (2, "iris"), (3, "iris-2"), (4, "")] {
        pods.take(0, Event::InitApply(pod(number, instance)));
    }
    pods.take(0, Event::InitDone);
    assert_eq!(names(pods.group("models", "iris", 10)), ["pod-1", "pod-2"]);
    assert_eq!(names(pods.group("models", "iris", 1)), ["pod-1"]);
    assert!(names(pods.group("other", "iris", 10)).is_empty());
    let mut taken_out = pod(1, "debugged");
    taken_out.metadata.resource_version = Some("9".to_owned());
    pods.take(0, Event::Apply(taken_out));
    assert_eq!(names(pods.group("models", "iris", 10)), ["pod-2"]);
    pods.take(0, Event::Delete(pod(2, "iris")));
    assert!(names(pods.group("models", "iris", 10)).is_empty());
}

#[test]
fn where_there_are_too_many_none_is_known_until_the_next_list() {
    let pods = ObjectCache::<Pod>::new(|_| {}, instance);
    pods.follow(&parts(&[]));
    pods.take(0, Event::Init);
    pods.take(0, Event::InitDone);
    for number in 0..MAX_OBJECTS as u64 {
        pods.take(0, Event::Apply(pod(number, "iris")));
    }
    assert_eq!(names(pods.group("models", "iris", 3)).len(), 3);
    pods.take(0, Event::Apply(pod(MAX_OBJECTS as u64, "iris")));
    assert_eq!(pods.group("models", "iris", 3), Lookup::Unknown);
    assert_eq!(pods.lock().entries.len(), 1);
    pods.take(0, Event::Init);
    pods.take(0, Event::InitApply(pod(1, "iris")));
    pods.take(0, Event::InitDone);
    assert_eq!(names(pods.group("models", "iris", 3)), ["pod-1"]);
}

/// The answer to a write says what was there then: where the watch has told since that it is gone, it stays gone.
#[test]
fn an_answer_that_comes_after_the_end_brings_nothing_back() {
    for (is_known, is_listed) in [(true, true), (true, false), (false, false)] {
        let objects = followed();
        listed(&objects, is_known.then(|| told("a", 1)));
        objects.invalidate("models", "iris");
        if is_listed {
            listed(&objects, []);
        } else {
            objects.take(0, Event::Delete(told("a", 3)));
        }
        assert_eq!(known(&objects), Lookup::Unknown);
        objects.record(&answer("a", 2));
        assert_eq!(known(&objects), Lookup::Known(0));
        // Another one of its name does come.
        objects.take(0, Event::Apply(told("b", 4)));
        assert_eq!(known(&objects), Lookup::Known(4));
    }
}
