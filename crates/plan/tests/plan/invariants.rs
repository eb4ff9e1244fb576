//! Properties of all specs.

use proptest::prelude::*;
use serde_json::{Value, json};
use springtide_contract::defaults::PRE_STOP_SECONDS;
use springtide_plan::{
    Applied, Capabilities, Child, ChildKind, Observed, ValidatedModelService, desired, status,
};

use crate::support::{
    any_external_metrics, any_platform, any_pods_metrics, any_targets, applied, at, kinds,
    settings, validated,
};

fn specs() -> impl Strategy<Value = Value> {
    let model = prop_oneof![
        Just(json!({"uri": "configMap://iris/model.onnx"})),
        Just(json!({"uri": "pvc://models/iris/model.onnx"})),
        Just(json!({"uri": "https://example.com/iris.onnx", "sha256": "0f".repeat(32)})),
    ];
    let server = (1..600_000_i32, 1..4096_i32, prop::option::of(1..256_i32)).prop_map(
        |(timeout, rows, workers)| {
            let mut server = json!({
                "requestTimeoutMilliseconds": timeout,
                "batching": {"maxBatchRows": rows},
            });
            if let Some(workers) = workers {
                server["workers"] = json!(workers);
            }
            server
        },
    );
    let scaling = prop_oneof![
        (0..1000_i32).prop_map(|replicas| json!({
            "replicas": replicas, "autoscaling": {"engine": "None"},
        })),
        (
            prop::sample::select(vec!["Auto", "HPA", "KEDA"]),
            1..500_i32,
            0..500_i32,
            any_targets(),
        )
            .prop_map(|(engine, min, more, targets)| json!({"autoscaling": {
                "engine": engine, "minReplicas": min, "maxReplicas": min + more,
                "targets": targets,
            }})),
    ];
    (model, server, scaling).prop_map(|(model, server, scaling)| {
        let mut spec = json!({"model": model, "server": server});
        spec.as_object_mut()
            .unwrap()
            .extend(scaling.as_object().unwrap().clone());
        spec
    })
}

/// Any spec, in an empty cluster or after another spec was applied.
fn situations() -> impl Strategy<Value = (ValidatedModelService, Observed)> {
    (
        specs(),
        prop::option::of(specs()),
        any::<bool>(),
        any_external_metrics(),
        any_pods_metrics(),
        any_platform(),
    )
        .prop_map(
            |(spec, former, keda, external_metrics, pods_metrics, platform)| {
                let empty = Observed {
                    capabilities: Capabilities {
                        keda,
                        external_metrics,
                        pods_metrics,
                        platform,
                    },
                    ..Observed::default()
                };
                let observed = match former {
                    Some(former) => applied(&validated(former), empty),
                    None => empty,
                };
                (validated(spec), observed)
            },
        )
}

proptest! {
    #[test]
    fn there_are_never_two_autoscalers((model_service, observed) in situations()) {
        let desired = desired(&model_service, &observed, &settings());
        let left = ChildKind::ALL.into_iter().filter(|kind| kind.is_autoscaler()).filter(|kind| {
            let is_there = match kind {
                ChildKind::ScaledObject => observed.scaled_object.is_some(),
                _ => observed.horizontal_pod_autoscaler.is_some(),
            };
            let is_deleted = desired.delete.iter().any(|deletion| deletion.kind == *kind);
            kinds(&desired).contains(kind) || (is_there && !is_deleted)
        });
        prop_assert!(left.count() <= 1);
    }

    #[test]
    fn a_deployment_names_replicas_where_it_is_created_alone((model_service, observed) in situations()) {
        let desired = desired(&model_service, &observed, &settings());
        let first = desired.replicas.filter(|_| observed.deployment.is_none());
        for child in &desired.apply {
            if let Child::Deployment(deployment) = child {
                let named = deployment.spec.as_ref().unwrap().replicas;
                prop_assert_eq!(named, first.map(|first| first.replicas));
            }
        }
    }

    #[test]
    fn applied_objects_have_labels_and_an_owner_and_no_status((model_service, observed) in situations()) {
        for child in desired(&model_service, &observed, &settings()).apply {
            let object = serde_json::to_value(&child).unwrap();
            prop_assert_eq!(&object["kind"], child.kind().as_str());
            prop_assert_eq!(&object["metadata"]["name"], "iris");
            prop_assert_eq!(&object["metadata"]["namespace"], "default");
            prop_assert_eq!(&object["metadata"]["ownerReferences"][0]["controller"], true);
            prop_assert_eq!(&object["metadata"]["labels"]["app.kubernetes.io/instance"], "iris");
            prop_assert_eq!(object.get("status"), None);
        }
    }

    #[test]
    fn a_pod_has_time_to_answer_accepted_requests((model_service, observed) in situations()) {
        for child in desired(&model_service, &observed, &settings()).apply {
            let Child::Deployment(deployment) = child else { continue };
            let pod = deployment.spec.unwrap().template.spec.unwrap();
            let grace = pod.termination_grace_period_seconds.unwrap() * 1000;
            let timeout = i64::from(model_service.server().request_timeout_milliseconds);
            prop_assert!(grace > i64::from(PRE_STOP_SECONDS) * 1000 + timeout);
        }
    }

    #[test]
    fn plans_and_statuses_are_the_same_each_time((model_service, observed) in situations()) {
        let plan = || desired(&model_service, &observed, &settings());
        prop_assert_eq!(plan(), plan());
        let status_at = |previous, second| {
            status(&model_service, &Applied::new(observed.clone()), &plan(), previous, at(second))
        };
        let first = status_at(None, 0);
        prop_assert_eq!(status_at(Some(&first), 1), first);
    }

    #[test]
    fn a_plan_that_was_carried_out_is_planned_again((model_service, observed) in situations()) {
        let once = applied(&model_service, observed);
        let plan = desired(&model_service, &once, &settings());
        let again = desired(&model_service, &applied(&model_service, once), &settings());
        prop_assert_eq!(plan, again);
    }
}
