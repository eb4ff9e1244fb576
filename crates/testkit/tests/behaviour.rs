//! The behavior of the fake API server through `kube`'s client.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api, ResourceExt,
    api::{
        DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent,
        WatchParams,
    },
    discovery,
};
use serde_json::{Value, json};
use springtide_testkit::{Aggregated, FakeApi, Fault, ResourceType};

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "iris"}, "spec": spec})
}

fn with_name(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = json!(name);
    object
}

fn forced() -> PatchParams {
    PatchParams::apply("me").force()
}

#[tokio::test]
async fn an_apply_that_changes_nothing_keeps_the_version() {
    let fake = FakeApi::new();
    let api: Api<Deployment> = Api::namespaced(fake.client(), "ns");
    let patch = deployment(&json!({"paused": true}));
    let first = api
        .patch("iris", &forced(), &Patch::Apply(&patch))
        .await
        .unwrap();
    let second = api
        .patch("iris", &forced(), &Patch::Apply(&patch))
        .await
        .unwrap();
    assert_eq!(first.resource_version(), second.resource_version());
    assert_eq!(first.metadata.generation, Some(1));
    let third = api
        .patch(
            "iris",
            &forced(),
            &Patch::Apply(&deployment(&json!({"paused": false}))),
        )
        .await
        .unwrap();
    assert_ne!(second.resource_version(), third.resource_version());
    assert_eq!(third.metadata.generation, Some(2));
}

#[tokio::test]
async fn dropped_replicas_become_one_unless_they_have_another_owner() {
    let fake = FakeApi::new();
    let api: Api<Deployment> = Api::namespaced(fake.client(), "ns");
    let replicas = |deployment: Deployment| deployment.spec.unwrap().replicas;
    api.patch(
        "iris",
        &forced(),
        &Patch::Apply(&deployment(&json!({"replicas": 5}))),
    )
    .await
    .unwrap();
    let dropped = api
        .patch(
            "iris",
            &forced(),
            &Patch::Apply(&deployment(&json!({"paused": true}))),
        )
        .await
        .unwrap();
    assert_eq!(replicas(dropped), Some(1));

    api.patch(
        "iris",
        &forced(),
        &Patch::Apply(&deployment(&json!({"replicas": 5}))),
    )
    .await
    .unwrap();
    let other = PatchParams::apply("handover").force();
    api.patch(
        "iris",
        &other,
        &Patch::Apply(&deployment(&json!({"replicas": 5}))),
    )
    .await
    .unwrap();
    let kept = api
        .patch(
            "iris",
            &forced(),
            &Patch::Apply(&deployment(&json!({"paused": true}))),
        )
        .await
        .unwrap();
    assert_eq!(replicas(kept), Some(5));
}

#[tokio::test]
async fn the_status_is_written_only_through_its_subresource() {
    let fake = FakeApi::new();
    let api: Api<Deployment> = Api::namespaced(fake.client(), "ns");
    api.patch(
        "iris",
        &forced(),
        &Patch::Apply(&deployment(&json!({"replicas": 2}))),
    )
    .await
    .unwrap();
    let status = json!({"spec": {"replicas": 9}, "status": {"readyReplicas": 2}});
    let plain = api
        .patch(
            "iris",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"replicas": 2}})),
        )
        .await;
    assert!(plain.unwrap().status.is_none());
    let patched = api
        .patch_status("iris", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    assert_eq!(patched.spec.unwrap().replicas, Some(2));
    assert_eq!(patched.status.unwrap().ready_replicas, Some(2));
    assert_eq!(patched.metadata.generation, Some(1));
}

#[tokio::test]
async fn a_replace_requires_the_current_version() {
    let fake = FakeApi::new();
    let api: Api<Lease> = Api::namespaced(fake.client(), "ns");
    let lease: Lease =
        serde_json::from_value(json!({"metadata": {"name": "leader"}, "spec": {}})).unwrap();
    let first = api.create(&PostParams::default(), &lease).await.unwrap();
    assert!(
        matches!(api.create(&PostParams::default(), &lease).await, Err(kube::Error::Api(status)) if status.is_already_exists())
    );
    let mut mine = first.clone();
    mine.spec.as_mut().unwrap().holder_identity = Some("a".to_owned());
    api.replace("leader", &PostParams::default(), &mine)
        .await
        .unwrap();
    let stale = api.replace("leader", &PostParams::default(), &first).await;
    assert!(matches!(stale, Err(kube::Error::Api(status)) if status.is_conflict()));
}

#[tokio::test]
async fn a_delete_checks_its_preconditions_and_removes_owned_objects() {
    let fake = FakeApi::new();
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "ns");
    let map = ResourceType::of::<ConfigMap>();
    fake.edit(
        &map,
        "ns",
        "parent",
        "test",
        &json!({"metadata": {"name": "parent"}}),
    );
    let uid = fake.get(&map, "ns", "parent").unwrap()["metadata"]["uid"].clone();
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": uid}]);
    fake.edit(
        &map,
        "ns",
        "child",
        "test",
        &json!({"metadata": {"name": "child", "ownerReferences": owner}}),
    );

    let wrong = Preconditions {
        uid: Some("another".to_owned()),
        resource_version: None,
    };
    let refused = api
        .delete("parent", &DeleteParams::default().preconditions(wrong))
        .await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_conflict()));
    let right = Preconditions {
        uid: uid.as_str().map(str::to_owned),
        resource_version: None,
    };
    api.delete("parent", &DeleteParams::default().preconditions(right))
        .await
        .unwrap();
    assert!(fake.list(&map).is_empty());
}

#[tokio::test]
async fn a_watch_reports_changes_since_its_version_and_later_ones() {
    let fake = FakeApi::new();
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "ns");
    let map = ResourceType::of::<ConfigMap>();
    fake.edit(
        &map,
        "ns",
        "before",
        "test",
        &json!({"metadata": {"labels": {"a": "b"}}}),
    );
    let version = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    fake.edit(
        &map,
        "ns",
        "missed",
        "test",
        &json!({"metadata": {"labels": {"a": "b"}}}),
    );
    let mut events = api
        .watch(&WatchParams::default().labels("a=b"), &version)
        .await
        .unwrap()
        .boxed();
    assert!(
        matches!(events.next().await, Some(Ok(WatchEvent::Added(map))) if map.name_any() == "missed")
    );
    fake.edit(&map, "ns", "unlabelled", "test", &json!({}));
    fake.edit(
        &map,
        "ns",
        "missed",
        "test",
        &json!({"data": {"key": "value"}}),
    );
    fake.delete(&map, "ns", "missed");
    assert!(
        matches!(events.next().await, Some(Ok(WatchEvent::Modified(map))) if map.name_any() == "missed")
    );
    assert!(
        matches!(events.next().await, Some(Ok(WatchEvent::Deleted(map))) if map.name_any() == "missed")
    );
    fake.drop_watches();
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn resource_types_can_be_installed_and_uninstalled() {
    let fake = FakeApi::new();
    let version = "keda.sh/v1alpha1".parse().unwrap();
    let scaled = ResourceType::new("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject");
    assert!(
        discovery::pinned_group(&fake.client(), &version)
            .await
            .is_err()
    );
    fake.install(scaled.clone());
    let group = discovery::pinned_group(&fake.client(), &version)
        .await
        .unwrap();
    assert!(group.recommended_kind("ScaledObject").is_some());
    fake.edit(&scaled, "ns", "iris", "test", &json!({"spec": {}}));
    fake.uninstall(&scaled);
    assert!(
        discovery::pinned_group(&fake.client(), &version)
            .await
            .is_err()
    );
    assert!(fake.get(&scaled, "ns", "iris").is_none());
}

#[tokio::test(start_paused = true)]
async fn faults_affect_their_calls() {
    let fake = FakeApi::new();
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "ns");
    let map = ResourceType::of::<ConfigMap>();
    let create = async |name: &str| {
        let object: ConfigMap =
            serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        api.create(&PostParams::default(), &object).await
    };
    fake.inject(1, Fault::Status(429));
    fake.inject(2, Fault::Refused);
    fake.inject(3, Fault::LostAnswer);
    fake.inject(4, Fault::Stall);
    assert!(matches!(create("a").await, Err(kube::Error::Api(status)) if status.code == 429));
    assert!(matches!(create("b").await, Err(kube::Error::Service(_))));
    assert!(matches!(create("c").await, Err(kube::Error::Service(_))));
    assert!(
        tokio::time::timeout(Duration::from_secs(60), create("d"))
            .await
            .is_err()
    );
    create("e").await.unwrap();
    let there: Vec<bool> = ["a", "b", "c", "d", "e"]
        .map(|name| fake.get(&map, "ns", name).is_some())
        .into();
    assert_eq!(there, [false, false, true, true, true]);
    assert_eq!(
        fake.take_calls()
            .iter()
            .filter(|call| call.is_write())
            .count(),
        5
    );
    let begun = tokio::time::Instant::now();
    fake.inject(1, Fault::Delay(Duration::from_secs(3)));
    create("f").await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_being_deleted() {
    let fake = FakeApi::new();
    let api: Api<Deployment> = Api::namespaced(fake.client(), "ns");
    let apply = async |name: &str, paused: bool| {
        let patch = deployment(&json!({"paused": paused}));
        api.patch(name, &forced(), &Patch::Apply(&with_name(patch, name)))
            .await
    };
    apply("old", false).await.unwrap();
    fake.terminate_namespace("ns");
    apply("old", true).await.unwrap();
    let refused = apply("new", true).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}");
    };
    assert!(status.is_forbidden());
    assert_eq!(
        status.details.unwrap().causes[0].reason,
        "NamespaceTerminating"
    );
}

fn owners_of_replicas(object: &Value) -> Vec<&str> {
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null())
        .filter_map(|entry| entry["manager"].as_str())
        .collect()
}

#[tokio::test]
async fn a_scale_owns_the_replicas_only_if_they_had_an_owner() {
    let fake = FakeApi::new();
    let kind = ResourceType::of::<Deployment>();
    let live = || fake.get(&kind, "ns", "iris").unwrap();
    let paused = deployment(&json!({"paused": true}));
    fake.apply(&kind, "ns", "iris", "me", &paused);
    fake.scale(&kind, "ns", "iris", "hpa", 4);
    assert_eq!(live()["spec"]["replicas"], 4);
    assert!(owners_of_replicas(&live()).is_empty());
    let replicas = deployment(&json!({"replicas": 5}));
    fake.apply(&kind, "ns", "iris", "fixed", &replicas);
    assert_eq!(owners_of_replicas(&live()), ["fixed"]);
    fake.scale(&kind, "ns", "iris", "hpa", 6);
    assert_eq!(owners_of_replicas(&live()), ["hpa"]);
    let api: Api<Deployment> = Api::namespaced(fake.client(), "ns");
    let scale = api.get_scale("iris").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(6));
}

#[tokio::test]
async fn an_object_is_deleted_with_its_last_finalizer() {
    let fake = FakeApi::new();
    let map = ResourceType::of::<ConfigMap>();
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "ns");
    let held = json!({"metadata": {"finalizers": ["example.com/slow"]}});
    fake.edit(&map, "ns", "a", "test", &held);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let going = api.get("a").await.unwrap();
    assert!(going.metadata.deletion_timestamp.is_some());
    let free = json!({"metadata": {"finalizers": null}});
    fake.edit(&map, "ns", "a", "slow", &free);
    assert!(api.get_opt("a").await.unwrap().is_none());
    assert!(fake.changes(0).last().unwrap().is_deletion());
}

#[tokio::test]
async fn an_api_of_another_server_is_available_unavailable_or_not_registered() {
    let fake = FakeApi::new();
    let version = "custom.metrics.k8s.io/v1beta1";
    let asked = async || fake.client().list_api_group_resources(version).await;
    let code = |error: kube::Error| match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    };
    assert_eq!(code(asked().await.unwrap_err()), 404);
    fake.register(version, Aggregated::Unavailable);
    assert_eq!(code(asked().await.unwrap_err()), 503);
    fake.register(version, Aggregated::Resources(vec!["pods/x".to_owned()]));
    assert_eq!(asked().await.unwrap().resources[0].name, "pods/x");
    fake.unregister(version);
    assert_eq!(code(asked().await.unwrap_err()), 404);
}
