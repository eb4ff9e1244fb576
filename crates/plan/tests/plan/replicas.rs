//! Which field manager sets `spec.replicas`, and when.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::autoscaling::v2::HorizontalPodAutoscaler,
    apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta},
};
use serde_json::{Value, json};
use springtide_plan::{
    Child, Observed, ReplicasApply, ValidatedModelService, desired, field_manager,
    is_foreign_autoscaler,
};

use crate::support::{
    applied, condition, message, settings, status_of, validated, with_engine, with_keda,
};

fn plan(model_service: &ValidatedModelService, observed: &Observed) -> Option<ReplicasApply> {
    desired(model_service, observed, &settings()).replicas
}

/// A Deployment with `replicas` and their owner `manager`, or no owner.
fn deployed(
    model_service: &ValidatedModelService,
    replicas: i32,
    manager: Option<&str>,
) -> Observed {
    let mut observed = applied(model_service, with_keda());
    let deployment = observed.deployment.as_mut().unwrap();
    deployment.spec.as_mut().unwrap().replicas = Some(replicas);
    let owns = |manager: &str, fields| ManagedFieldsEntry {
        manager: Some(manager.to_owned()),
        fields_v1: Some(FieldsV1(fields)),
        ..ManagedFieldsEntry::default()
    };
    let template = owns(
        field_manager::OPERATOR,
        json!({"f:spec": {"f:template": {}}}),
    );
    let replicas = manager.map(|manager| owns(manager, json!({"f:spec": {"f:replicas": {}}})));
    deployment.metadata.managed_fields = Some([template].into_iter().chain(replicas).collect());
    observed
}

/// Each engine, including Auto in a cluster with KEDA.
fn autoscaled() -> Vec<ValidatedModelService> {
    let auto = json!({"autoscaling": {"engine": "Auto", "targets": {"loadPercent": 75}}});
    ["Auto", "HPA", "KEDA"]
        .into_iter()
        .map(with_engine)
        .chain([validated(auto)])
        .collect()
}

#[test]
fn a_fixed_number_is_applied_by_force_each_time() {
    let model_service = validated(json!({"replicas": 3, "autoscaling": {"engine": "None"}}));
    let fixed = Some(ReplicasApply {
        field_manager: field_manager::FIXED_REPLICAS,
        replicas: 3,
        force: true,
    });
    assert_eq!(plan(&model_service, &with_keda()), fixed);
    assert_eq!(
        plan(&model_service, &deployed(&model_service, 3, None)),
        fixed
    );
    assert_eq!(
        plan(
            &model_service,
            &deployed(&model_service, 7, Some("kubectl"))
        ),
        fixed
    );
}

#[test]
fn a_new_deployment_under_an_autoscaler_starts_at_the_minimum() {
    for model_service in autoscaled() {
        let initial = Some(ReplicasApply {
            field_manager: field_manager::INITIAL_REPLICAS,
            replicas: 2,
            force: false,
        });
        assert_eq!(plan(&model_service, &with_keda()), initial);
        // A crash between the two applies leaves the API server's default, without an owner.
        assert_eq!(
            plan(&model_service, &deployed(&model_service, 1, None)),
            initial
        );
        let own = Some(field_manager::INITIAL_REPLICAS);
        assert_eq!(
            plan(&model_service, &deployed(&model_service, 1, own)),
            initial
        );
        assert_eq!(
            plan(&model_service, &deployed(&model_service, 2, own)),
            None
        );
        // The replicas at creation, before the spec asked for more. The operator owns them.
        let created = Some(field_manager::OPERATOR);
        assert_eq!(
            plan(&model_service, &deployed(&model_service, 1, created)),
            initial.map(|initial| ReplicasApply {
                force: true,
                ..initial
            })
        );
        assert_eq!(
            plan(&model_service, &deployed(&model_service, 2, created)),
            None
        );
    }
}

#[test]
fn decisions_of_autoscalers_and_users_are_kept() {
    for model_service in autoscaled() {
        for manager in [
            "kube-controller-manager",
            "keda-operator",
            "kubectl",
            field_manager::FIXED_REPLICAS,
        ] {
            for replicas in [1, 2, 9] {
                let observed = deployed(&model_service, replicas, Some(manager));
                assert_eq!(
                    plan(&model_service, &observed),
                    None,
                    "{manager} {replicas}"
                );
            }
        }
    }
}

/// Set by a previous ModelService of the same name, or in a cluster restored from a backup, where no field has an
/// owner.
#[test]
fn a_deployment_that_was_left_behind_keeps_its_pods() {
    for model_service in autoscaled() {
        for manager in [None, Some("kube-controller-manager"), Some("kubectl-scale")] {
            let mut observed = deployed(&model_service, 9, manager);
            observed.horizontal_pod_autoscaler = None;
            observed.scaled_object = None;
            let deployment = observed.deployment.as_mut().unwrap();
            deployment.metadata.owner_references = None;
            assert_eq!(plan(&model_service, &observed), None, "{manager:?}");
        }
    }
}

/// An HPA never scales a Deployment with 0 replicas.
#[test]
fn a_deployment_without_pods_is_lifted_to_the_minimum_whoever_emptied_it() {
    for model_service in autoscaled() {
        for manager in [
            None,
            Some(field_manager::INITIAL_REPLICAS),
            Some(field_manager::FIXED_REPLICAS),
            Some("kube-controller-manager"),
            Some("kubectl"),
        ] {
            assert_eq!(
                plan(&model_service, &deployed(&model_service, 0, manager)),
                Some(ReplicasApply {
                    field_manager: field_manager::INITIAL_REPLICAS,
                    replicas: 2,
                    force: true,
                }),
                "{manager:?}"
            );
        }
    }
}

#[test]
fn a_pause_of_keda_is_left_alone() {
    let model_service = with_engine("KEDA");
    let empty = || deployed(&model_service, 0, Some("keda-operator"));

    let mut asked = empty();
    let metadata = &mut asked.scaled_object.as_mut().unwrap().metadata;
    metadata.annotations = Some(BTreeMap::from([(
        "autoscaling.keda.sh/paused-replicas".to_owned(),
        "0".to_owned(),
    )]));
    assert_eq!(plan(&model_service, &asked), None);

    let mut paused = empty();
    paused.scaled_object.as_mut().unwrap().status = Some(
        serde_json::from_value(json!({"conditions": [{"type": "Paused", "status": "True"}]}))
            .unwrap(),
    );
    assert_eq!(plan(&model_service, &paused), None);
}

#[test]
fn a_fixed_number_waits_until_no_autoscaler_writes_any_more() {
    let fixed = with_engine("None");
    let hpa = applied(&with_engine("HPA"), with_keda());
    let keda = applied(&with_engine("KEDA"), with_keda());
    let keda_is_leaving = Observed {
        keda_horizontal_pod_autoscaler: hpa.horizontal_pod_autoscaler.clone(),
        scaled_object: None,
        ..keda.clone()
    };
    for observed in [hpa, keda, keda_is_leaving] {
        assert_eq!(plan(&fixed, &observed), None);
    }
}

#[test]
fn the_body_holds_nothing_but_replicas() {
    let replicas = ReplicasApply {
        field_manager: field_manager::FIXED_REPLICAS,
        replicas: 3,
        force: true,
    };
    assert_eq!(
        replicas.body("iris"),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "iris"},
            "spec": {"replicas": 3},
        })
    );
}

/// In its first sync an HPA removes replicas above its maximum, whatever the load.
#[test]
fn a_default_maximum_removes_no_pods() {
    let most = |autoscaling: Value, present, current_max: Option<i32>| {
        let model_service = validated(json!({"autoscaling": autoscaling}));
        let mut observed = deployed(&model_service, present, Some("kube-controller-manager"));
        if let Some(most) = current_max {
            if let Some(hpa) = &mut observed.horizontal_pod_autoscaler {
                hpa.spec.as_mut().unwrap().max_replicas = most;
            }
            if let Some(scaled_object) = &mut observed.scaled_object {
                scaled_object.spec.max_replica_count = Some(most);
            }
        } else {
            observed.horizontal_pod_autoscaler = None;
            observed.scaled_object = None;
        }
        let apply = desired(&model_service, &observed, &settings()).apply;
        let told = apply.into_iter().find_map(|child| match child {
            Child::HorizontalPodAutoscaler(hpa) => Some(hpa.spec.unwrap().max_replicas),
            Child::ScaledObject(scaled_object) => scaled_object.spec.max_replica_count,
            _ => None,
        });
        let status = status_of(&model_service, &observed);
        assert_eq!(told, Some(status.autoscaling.unwrap().max_replicas));
        told.unwrap()
    };
    for (engine, default) in [("HPA", 20), ("KEDA", 50)] {
        let most_of = |present, current_max| most(json!({"engine": engine}), present, current_max);
        for few in [2, default] {
            assert_eq!(most_of(few, None), default);
            assert_eq!(most_of(few, Some(default)), default);
        }
        assert_eq!(most_of(default + 15, None), default + 15);
        // The load falls.
        assert_eq!(most_of(default + 9, Some(default + 15)), default + 9);
        assert_eq!(most_of(default - 1, Some(default + 9)), default);
        // Such as by `kubectl scale`, with an autoscaler.
        assert_eq!(most_of(default + 15, Some(default)), default);
        let set = json!({"engine": engine, "maxReplicas": 10});
        assert_eq!(most(set, 35, None), 10, "who sets it wants it");
    }
}

/// With fixed replicas beside a foreign HPA, both would write endlessly.
#[test]
fn fixed_replicas_are_not_applied_beside_a_foreign_autoscaler() {
    let model_service = validated(json!({"replicas": 3, "autoscaling": {"engine": "None"}}));
    let mut observed = deployed(&model_service, 7, Some("kube-controller-manager"));
    observed.other_autoscalers = BTreeSet::from(["by-hand".to_owned()]);
    assert_eq!(plan(&model_service, &observed), None);
    // Every HPA ignores a Deployment with 0 replicas.
    let mut empty = observed.clone();
    let deployment = empty.deployment.as_mut().unwrap();
    deployment.spec.as_mut().unwrap().replicas = Some(0);
    assert_eq!(plan(&model_service, &empty).unwrap().replicas, 3);
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "AutoscalingReady"),
        ("False".to_owned(), "AnotherAutoscaler".to_owned())
    );
    assert_eq!(
        message(&status, "AutoscalingReady"),
        "spec.replicas isn't applied: another HorizontalPodAutoscaler scales the Deployment (by-hand). Delete it, or set spec.autoscaling.engine and remove spec.replicas."
    );
}

#[test]
fn an_autoscaler_of_the_deployment_with_another_owner_is_foreign() {
    let model_service = with_engine("HPA");
    let ours = applied(&model_service, Observed::default())
        .horizontal_pod_autoscaler
        .unwrap();
    assert!(!is_foreign_autoscaler(&ours, &model_service));
    let of = |metadata: ObjectMeta| HorizontalPodAutoscaler {
        metadata,
        ..ours.clone()
    };
    let named = |name: &str| {
        of(ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        })
    };
    assert!(is_foreign_autoscaler(&named("by-hand"), &model_service));
    assert!(is_foreign_autoscaler(&named("iris"), &model_service));
    let copied = of(ObjectMeta {
        name: Some("copied".to_owned()),
        ..ours.metadata.clone()
    });
    assert!(is_foreign_autoscaler(&copied, &model_service));
    assert!(is_foreign_autoscaler(
        &named("keda-hpa-by-hand"),
        &model_service
    ));
    assert!(!is_foreign_autoscaler(
        &named("keda-hpa-iris"),
        &model_service
    ));
    let mut of_digits = named("by-hand");
    of_digits.spec.as_mut().unwrap().scale_target_ref.name = "digits".to_owned();
    assert!(!is_foreign_autoscaler(&of_digits, &model_service));
}
