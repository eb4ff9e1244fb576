use futures::FutureExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use serde_json::json;
use springtide_plan::labels;

use super::{state::MAX_OBJECTS, *};
use crate::{caches::instance, scope::Scope};

fn parts(names: &[&str]) -> Vec<Part> {
    let scope: Scope = names.iter().map(|name| name.parse().unwrap()).collect();
    scope.parts()
}

fn watched() -> ObjectCache<Deployment> {
    let objects = ObjectCache::new(|_| {}, |_| None);
    objects.reset(&parts(&[]));
    objects
}

/// A Deployment whose replicas are its version.
fn deployment(uid: &str, version: u64) -> DynamicObject {
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

fn response(uid: &str, version: u64) -> Deployment {
    serde_json::from_value(serde_json::to_value(deployment(uid, version)).unwrap()).unwrap()
}

fn listed(objects: &ObjectCache<Deployment>, list: impl IntoIterator<Item = DynamicObject>) {
    objects.apply_event(0, Event::Init);
    for object in list {
        objects.apply_event(0, Event::InitApply(object));
    }
    objects.apply_event(0, Event::InitDone);
}

fn is_listed(objects: &ObjectCache<Deployment>) -> bool {
    objects.listed().now_or_never().is_some()
}

/// The version in the cache, 0 for none.
fn known(objects: &ObjectCache<Deployment>) -> Lookup<i32> {
    match objects.get("models", "iris") {
        Lookup::Unknown => Lookup::Unknown,
        Lookup::Known(None) => Lookup::Known(0),
        Lookup::Known(Some(object)) => Lookup::Known(object.spec.unwrap().replicas.unwrap()),
    }
}

#[test]
fn nothing_is_known_before_the_first_list_is_complete() {
    let objects = watched();
    assert_eq!(known(&objects), Lookup::Unknown);
    assert!(!is_listed(&objects));
    objects.apply_event(0, Event::Init);
    objects.apply_event(0, Event::InitApply(deployment("a", 1)));
    assert_eq!(known(&objects), Lookup::Unknown);
    objects.apply_event(0, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Known(1));
    assert!(is_listed(&objects));
    // A repeated list removes nothing before it is complete.
    objects.apply_event(0, Event::Init);
    assert_eq!(known(&objects), Lookup::Known(1));
    objects.apply_event(0, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Known(0));
    objects.reset(&parts(&[]));
    assert_eq!(known(&objects), Lookup::Unknown);
}

#[test]
fn a_failed_list_ends_the_wait_and_leaves_the_cache_incomplete() {
    let objects = watched();
    objects.record_failure(0);
    assert!(is_listed(&objects));
    assert_eq!(known(&objects), Lookup::Unknown);
    listed(&objects, []);
    objects.record_failure(0);
    assert_eq!(known(&objects), Lookup::Known(0));
}

#[test]
fn each_namespace_has_its_own_list() {
    let objects = ObjectCache::<Deployment>::new(|_| {}, |_| None);
    objects.reset(&parts(&["models", "others"]));
    objects.apply_event(1, Event::Init);
    objects.apply_event(1, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Unknown);
    assert_eq!(objects.get("others", "iris"), Lookup::Known(None));
    assert_eq!(objects.get("third", "iris"), Lookup::Unknown);
    objects.apply_event(0, Event::Init);
    objects.apply_event(0, Event::InitApply(deployment("a", 1)));
    objects.apply_event(0, Event::InitDone);
    // A list of one namespace changes nothing in the other.
    objects.apply_event(1, Event::Init);
    objects.apply_event(1, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Known(1));
}

#[test]
fn a_write_counts_until_the_watch_has_caught_up() {
    let objects = watched();
    listed(&objects, [deployment("a", 1)]);
    objects.invalidate("models", "iris");
    assert_eq!(known(&objects), Lookup::Unknown);
    objects.record(&response("a", 5));
    assert_eq!(known(&objects), Lookup::Known(5));
    // Older than the write, in an event and in a list.
    objects.apply_event(0, Event::Apply(deployment("a", 3)));
    assert_eq!(known(&objects), Lookup::Known(5));
    listed(&objects, [deployment("a", 4)]);
    assert_eq!(known(&objects), Lookup::Known(5));
    objects.apply_event(0, Event::Apply(deployment("a", 6)));
    assert_eq!(known(&objects), Lookup::Known(6));
    // A late response doesn't replace a newer version from the watch.
    objects.record(&response("a", 5));
    assert_eq!(known(&objects), Lookup::Known(6));
}

#[test]
fn a_write_without_a_response_is_uncertain_until_a_read() {
    let objects = watched();
    listed(&objects, [deployment("a", 1)]);
    objects.invalidate("models", "iris");
    // It may be the write of another client.
    objects.apply_event(0, Event::Apply(deployment("a", 2)));
    listed(&objects, [deployment("a", 2)]);
    assert_eq!(known(&objects), Lookup::Unknown);
    objects.record(&response("a", 3));
    assert_eq!(known(&objects), Lookup::Known(3));
    objects.invalidate("models", "iris");
    objects.revalidate("models", "iris");
    assert_eq!(known(&objects), Lookup::Known(3));
    objects.invalidate("models", "iris");
    objects.record_absence("models", "iris");
    assert_eq!(known(&objects), Lookup::Known(0));
}

#[test]
fn a_late_event_does_not_restore_a_deleted_object() {
    let objects = watched();
    listed(&objects, [deployment("a", 1)]);
    objects.record_absence("models", "iris");
    objects.apply_event(0, Event::Apply(deployment("a", 2)));
    assert_eq!(known(&objects), Lookup::Known(0));
    listed(&objects, [deployment("a", 2)]);
    assert_eq!(known(&objects), Lookup::Known(0));
    // A new object of the same name appears, and the deletion of the former one doesn't remove it.
    objects.record(&response("b", 5));
    objects.apply_event(0, Event::Delete(deployment("a", 3)));
    assert_eq!(known(&objects), Lookup::Known(5));
    objects.apply_event(0, Event::Delete(deployment("b", 6)));
    assert_eq!(known(&objects), Lookup::Known(0));
}

#[test]
fn an_object_written_during_a_list_that_lacks_it_is_uncertain() {
    let objects = watched();
    listed(&objects, []);
    objects.apply_event(0, Event::Init);
    objects.record(&response("a", 5));
    assert_eq!(known(&objects), Lookup::Known(5));
    objects.apply_event(0, Event::InitDone);
    assert_eq!(known(&objects), Lookup::Unknown);
    objects.record(&response("a", 5));
    assert_eq!(known(&objects), Lookup::Known(5));
    // The next list is later than the write.
    listed(&objects, []);
    assert_eq!(known(&objects), Lookup::Known(0));
}

#[test]
fn unreadable_versions_and_objects_are_read_from_the_api_server() {
    let objects = watched();
    let mut unreadable = deployment("a", 1);
    unreadable.metadata.resource_version = Some("x1".to_owned());
    listed(&objects, [unreadable]);
    assert_eq!(known(&objects), Lookup::Unknown);
    let objects = watched();
    let mut unreadable = deployment("a", 1);
    unreadable.data["spec"] = json!(["no", "spec"]);
    listed(&objects, [unreadable]);
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
        panic!("the cache does not know the pods");
    };
    pods.into_iter()
        .map(|pod| pod.metadata.name.unwrap())
        .collect()
}

#[test]
fn pods_are_found_by_the_label_of_their_model_service() {
    let pods = ObjectCache::<Pod>::new(|_| {}, instance);
    pods.reset(&parts(&[]));
    assert_eq!(pods.group("models", "iris", 10), Lookup::Unknown);
    pods.apply_event(0, Event::Init);
    for (number, instance) in [(1, "iris"), (2, "iris"), (3, "iris-2"), (4, "")] {
        pods.apply_event(0, Event::InitApply(pod(number, instance)));
    }
    pods.apply_event(0, Event::InitDone);
    assert_eq!(names(pods.group("models", "iris", 10)), ["pod-1", "pod-2"]);
    assert_eq!(names(pods.group("models", "iris", 1)), ["pod-1"]);
    assert!(names(pods.group("other", "iris", 10)).is_empty());
    let mut relabelled = pod(1, "debugged");
    relabelled.metadata.resource_version = Some("9".to_owned());
    pods.apply_event(0, Event::Apply(relabelled));
    assert_eq!(names(pods.group("models", "iris", 10)), ["pod-2"]);
    pods.apply_event(0, Event::Delete(pod(2, "iris")));
    assert!(names(pods.group("models", "iris", 10)).is_empty());
}

#[test]
fn beyond_the_maximum_number_nothing_is_known_until_the_next_list() {
    let pods = ObjectCache::<Pod>::new(|_| {}, instance);
    pods.reset(&parts(&[]));
    pods.apply_event(0, Event::Init);
    pods.apply_event(0, Event::InitDone);
    for number in 0..MAX_OBJECTS as u64 {
        pods.apply_event(0, Event::Apply(pod(number, "iris")));
    }
    assert_eq!(names(pods.group("models", "iris", 3)).len(), 3);
    pods.apply_event(0, Event::Apply(pod(MAX_OBJECTS as u64, "iris")));
    assert_eq!(pods.group("models", "iris", 3), Lookup::Unknown);
    assert_eq!(pods.lock().entries.len(), 1);
    pods.apply_event(0, Event::Init);
    pods.apply_event(0, Event::InitApply(pod(1, "iris")));
    pods.apply_event(0, Event::InitDone);
    assert_eq!(names(pods.group("models", "iris", 3)), ["pod-1"]);
}

/// The response to a write has the state at the write. If the watch has reported a deletion since, the object stays
/// deleted.
#[test]
fn a_late_response_does_not_restore_a_deleted_object() {
    for (is_known, is_listed) in [(true, true), (true, false), (false, false)] {
        let objects = watched();
        listed(&objects, is_known.then(|| deployment("a", 1)));
        objects.invalidate("models", "iris");
        if is_listed {
            listed(&objects, []);
        } else {
            objects.apply_event(0, Event::Delete(deployment("a", 3)));
        }
        assert_eq!(known(&objects), Lookup::Unknown);
        objects.record(&response("a", 2));
        assert_eq!(known(&objects), Lookup::Known(0));
        // A new object of its name appears.
        objects.apply_event(0, Event::Apply(deployment("b", 4)));
        assert_eq!(known(&objects), Lookup::Known(4));
    }
}
