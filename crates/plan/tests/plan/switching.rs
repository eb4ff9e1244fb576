//! There are never two autoscalers, not even while the engine changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use springtide_plan::{ChildKind, Deletion, Desired, Observed, desired};

use crate::support::{
    applied, at, condition, keda, kinds, message, requeue_at, settings, status_of, validated,
    with_engine, with_keda,
};

/// The autoscalers that the plan for `engine` applies and deletes, and the one that it waits for.
fn plan(engine: &str, observed: &Observed) -> Autoscalers {
    autoscalers(&desired(&with_engine(engine), observed, &settings()))
}

type Autoscalers = (Vec<ChildKind>, Vec<ChildKind>, Option<ChildKind>);

fn autoscalers(desired: &Desired) -> Autoscalers {
    let applied = kinds(desired)
        .into_iter()
        .filter(|kind| kind.is_autoscaler())
        .collect();
    let deleted = desired
        .delete
        .iter()
        .map(|deletion| deletion.kind)
        .collect();
    (applied, deleted, desired.blocked_on)
}

#[test]
fn the_engine_chooses_the_autoscaler() {
    use ChildKind::{HorizontalPodAutoscaler, ScaledObject};
    assert_eq!(
        plan("HPA", &with_keda()),
        (vec![HorizontalPodAutoscaler], vec![], None)
    );
    assert_eq!(
        plan("KEDA", &with_keda()),
        (vec![ScaledObject], vec![], None)
    );
    assert_eq!(plan("None", &with_keda()), (vec![], vec![], None));
}

#[test]
fn the_previous_autoscaler_is_deleted_before_the_new_one_is_applied() {
    use ChildKind::{HorizontalPodAutoscaler, ScaledObject};
    let scaled_by_hpa = applied(&with_engine("HPA"), with_keda());
    let scaled_by_keda = applied(&with_engine("KEDA"), with_keda());
    assert_eq!(
        plan("KEDA", &scaled_by_hpa),
        (
            vec![],
            vec![HorizontalPodAutoscaler],
            Some(HorizontalPodAutoscaler)
        )
    );
    assert_eq!(
        plan("HPA", &scaled_by_keda),
        (vec![], vec![ScaledObject], Some(ScaledObject))
    );
    assert_eq!(
        plan("None", &scaled_by_hpa),
        (
            vec![],
            vec![HorizontalPodAutoscaler],
            Some(HorizontalPodAutoscaler)
        )
    );
    assert_eq!(
        plan("None", &scaled_by_keda),
        (vec![], vec![ScaledObject], Some(ScaledObject))
    );
    for engine in ["HPA", "None"] {
        assert_eq!(
            condition(
                &status_of(&with_engine(engine), &scaled_by_keda),
                "AutoscalingReady"
            ),
            ("False".to_owned(), "SwitchingAutoscaler".to_owned())
        );
    }
}

#[test]
fn an_autoscaler_that_is_being_deleted_is_waited_for_and_not_deleted_again() {
    let mut observed = applied(&with_engine("KEDA"), with_keda());
    observed
        .scaled_object
        .as_mut()
        .unwrap()
        .metadata
        .deletion_timestamp = Some(Time(at(0)));
    assert_eq!(
        plan("HPA", &observed),
        (vec![], vec![], Some(ChildKind::ScaledObject))
    );
}

/// KEDA isn't running, or was uninstalled before its ScaledObjects. Nothing removes its finalizer.
#[test]
fn a_deletion_that_a_finalizer_holds_up_is_no_progress() {
    let deleted = |second| {
        let mut observed = applied(&with_engine("KEDA"), with_keda());
        let metadata = &mut observed.scaled_object.as_mut().unwrap().metadata;
        metadata.deletion_timestamp = Some(Time(at(second)));
        metadata.finalizers = Some(vec!["finalizer.keda.sh".to_owned()]);
        observed
    };
    let after = |engine: &str, seconds: i64| status_of(&with_engine(engine), &deleted(-seconds));
    let reason = |engine, seconds| condition(&after(engine, seconds), "AutoscalingReady").1;
    for engine in ["HPA", "None"] {
        assert_eq!(reason(engine, 29), "SwitchingAutoscaler");
        assert_eq!(reason(engine, 30), "HeldByFinalizer");
    }
    // Nothing else triggers a reconcile.
    let status = after("KEDA", 0);
    let again = requeue_at(&with_engine("KEDA"), &deleted(0), &status, at(0));
    assert_eq!(again, Some(at(30)));
    // Its CRD is being deleted, with all ScaledObjects.
    assert_eq!(reason("KEDA", 29), "Starting");
    assert_eq!(reason("KEDA", 30), "HeldByFinalizer");
    assert_eq!(
        message(&after("HPA", 30), "AutoscalingReady"),
        "ScaledObject iris is being deleted, but a finalizer holds it (finalizer.keda.sh). Check that the KEDA operator runs. If KEDA was uninstalled, remove the finalizer: `kubectl patch scaledobject iris --type merge --patch '{\"metadata\":{\"finalizers\":null}}'`."
    );
}

#[test]
fn the_hpa_that_keda_made_is_waited_for_too() {
    let hpa = applied(&with_engine("HPA"), with_keda()).horizontal_pod_autoscaler;
    let observed = Observed {
        keda_horizontal_pod_autoscaler: hpa,
        ..with_keda()
    };
    for engine in ["HPA", "None"] {
        assert_eq!(
            plan(engine, &observed),
            (vec![], vec![], Some(ChildKind::ScaledObject))
        );
    }
    assert_eq!(
        plan("KEDA", &observed),
        (vec![ChildKind::ScaledObject], vec![], None)
    );
}

/// With `engine: Auto`, once a signal requires it.
#[test]
fn keda_takes_over_when_it_comes_and_an_hpa_when_it_goes() {
    use ChildKind::{HorizontalPodAutoscaler, ScaledObject};
    let auto = validated(json!({"autoscaling": {"targets": {"loadPercent": 75}}}));
    let plan = |observed: &Observed| autoscalers(&desired(&auto, observed, &settings()));

    let mut observed = Observed {
        capabilities: keda(false),
        ..Observed::default()
    };
    assert_eq!(
        plan(&observed),
        (vec![HorizontalPodAutoscaler], vec![], None)
    );
    observed = applied(&auto, observed);

    observed.capabilities = keda(true);
    assert_eq!(
        plan(&observed),
        (
            vec![],
            vec![HorizontalPodAutoscaler],
            Some(HorizontalPodAutoscaler)
        )
    );
    let hpa = observed.horizontal_pod_autoscaler.take();
    assert_eq!(plan(&observed), (vec![ScaledObject], vec![], None));
    observed = applied(&auto, observed);

    // ScaledObjects are deleted with their CRD, and KEDA's HPA after them.
    observed.capabilities = keda(false);
    observed.scaled_object = None;
    observed.keda_horizontal_pod_autoscaler = hpa;
    assert_eq!(plan(&observed), (vec![], vec![], Some(ScaledObject)));
    observed.keda_horizontal_pod_autoscaler = None;
    assert_eq!(
        plan(&observed),
        (vec![HorizontalPodAutoscaler], vec![], None)
    );
}

#[test]
fn an_hpa_of_keda_for_something_else_is_not_waited_for() {
    let mut hpa = applied(&with_engine("HPA"), with_keda())
        .horizontal_pod_autoscaler
        .unwrap();
    hpa.spec.as_mut().unwrap().scale_target_ref.name = "another".to_owned();
    let observed = Observed {
        keda_horizontal_pod_autoscaler: Some(hpa),
        ..with_keda()
    };
    assert_eq!(plan("None", &observed).2, None);
}

#[test]
fn the_previous_autoscaler_is_kept_if_the_new_one_cannot_be_created() {
    let with_hpa = applied(&with_engine("HPA"), with_keda());
    let without_keda = Observed {
        capabilities: keda(false),
        ..with_hpa.clone()
    };
    let mut theirs = applied(&with_engine("KEDA"), with_keda()).scaled_object;
    theirs.as_mut().unwrap().metadata.owner_references = None;
    theirs.as_mut().unwrap().metadata.labels = None;
    let name_conflicts = Observed {
        scaled_object: theirs,
        ..with_hpa
    };
    for (observed, reason) in [(without_keda, "KedaMissing"), (name_conflicts, "NameTaken")] {
        assert_eq!(plan("KEDA", &observed), (vec![], vec![], None));
        let status = status_of(&with_engine("KEDA"), &observed);
        assert_eq!(
            condition(&status, "AutoscalingReady"),
            ("False".to_owned(), reason.to_owned())
        );
        let message = message(&status, "AutoscalingReady");
        assert!(
            message.contains("the previous HorizontalPodAutoscaler"),
            "{message}"
        );
    }
}

#[test]
fn a_deletion_hits_neither_a_successor_nor_stumbles_over_a_new_status() {
    let mut observed = applied(&with_engine("HPA"), with_keda());
    let metadata = &mut observed
        .horizontal_pod_autoscaler
        .as_mut()
        .unwrap()
        .metadata;
    metadata.uid = Some("the-uid".to_owned());
    metadata.resource_version = Some("7".to_owned());
    let desired = desired(&with_engine("None"), &observed, &settings());
    // No resource version, because the autoscaler's controller changes it with each status.
    assert_eq!(
        desired.delete,
        [Deletion {
            kind: ChildKind::HorizontalPodAutoscaler,
            name: "iris".to_owned(),
            uid: Some("the-uid".to_owned()),
        }]
    );
}

#[test]
fn without_keda_nothing_scales_and_the_status_says_so() {
    let model_service = with_engine("KEDA");
    let observed = Observed::default();
    assert_eq!(plan("KEDA", &observed), (vec![], vec![], None));
    let status = status_of(&model_service, &applied(&model_service, observed));
    assert_eq!(
        condition(&status, "AutoscalingReady"),
        ("False".to_owned(), "KedaMissing".to_owned())
    );
}

/// KEDA's HPA for `iris`, as it remains after its ScaledObject.
fn left_by_keda(owners: serde_json::Value) -> Observed {
    let mut hpa = applied(&with_engine("HPA"), with_keda())
        .horizontal_pod_autoscaler
        .unwrap();
    hpa.metadata.name = Some("keda-hpa-iris".to_owned());
    hpa.metadata.owner_references = serde_json::from_value(owners).unwrap();
    Observed {
        keda_horizontal_pod_autoscaler: Some(hpa),
        ..with_keda()
    }
}

#[test]
fn an_hpa_that_keda_left_is_named_with_the_command_that_deletes_it() {
    let scaled_object = json!([{
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "iris", "uid": "gone",
        "controller": true,
    }]);
    for (owners, reason) in [
        (json!(null), "AnotherAutoscaler"),
        (json!([]), "AnotherAutoscaler"),
        (scaled_object, "SwitchingAutoscaler"),
    ] {
        for engine in ["HPA", "None"] {
            let observed = left_by_keda(owners.clone());
            assert_eq!(
                plan(engine, &observed),
                (vec![], vec![], Some(ChildKind::ScaledObject))
            );
            let status = status_of(&with_engine(engine), &observed);
            assert_eq!(
                condition(&status, "AutoscalingReady"),
                ("False".to_owned(), reason.to_owned())
            );
            let message = message(&status, "AutoscalingReady");
            assert!(
                message.ends_with(": `kubectl delete hpa keda-hpa-iris`."),
                "{message}"
            );
        }
    }
}

/// A ModelService `keda-hpa-iris` with `engine: HPA` beside `iris` with `engine: KEDA`.
#[test]
fn the_hpa_of_another_model_service_is_not_left_to_keda() {
    let other = json!([{
        "apiVersion": "serving.springtide.dev/v1alpha1", "kind": "ModelService",
        "name": "keda-hpa-iris", "uid": "another", "controller": true,
    }]);
    let mut held = left_by_keda(other);
    let spec = held
        .keda_horizontal_pod_autoscaler
        .as_mut()
        .unwrap()
        .spec
        .as_mut();
    spec.unwrap().scale_target_ref.name = "keda-hpa-iris".to_owned();
    assert_eq!(plan("KEDA", &held), (vec![], vec![], None));
    let status = status_of(&with_engine("KEDA"), &held);
    assert_eq!(
        condition(&status, "AutoscalingReady"),
        ("False".to_owned(), "NameTaken".to_owned())
    );
    let said = message(&status, "AutoscalingReady");
    assert!(
        said.starts_with("HorizontalPodAutoscaler keda-hpa-iris, which KEDA would create, belongs to ModelService keda-hpa-iris."),
        "{said}"
    );
    // A ModelService with another engine isn't concerned.
    assert_eq!(plan("HPA", &held).0, [ChildKind::HorizontalPodAutoscaler]);

    // Both were created at the same time. The one that isn't the owner ends the conflict.
    let fighting = Observed {
        scaled_object: applied(&with_engine("KEDA"), with_keda()).scaled_object,
        ..held.clone()
    };
    assert_eq!(
        plan("KEDA", &fighting),
        (vec![], vec![ChildKind::ScaledObject], None)
    );
    // The previous autoscaler is kept.
    let with_hpa = Observed {
        horizontal_pod_autoscaler: applied(&with_engine("HPA"), with_keda())
            .horizontal_pod_autoscaler,
        ..held
    };
    assert_eq!(plan("KEDA", &with_hpa), (vec![], vec![], None));
    let status = status_of(&with_engine("KEDA"), &with_hpa);
    let said = message(&status, "AutoscalingReady");
    assert!(
        said.contains("the previous HorizontalPodAutoscaler continues to scale"),
        "{said}"
    );

    // The same for the other one, once KEDA has created it.
    let mut of_keda = applied(&with_engine("HPA"), with_keda());
    let metadata = &mut of_keda.horizontal_pod_autoscaler.as_mut().unwrap().metadata;
    metadata.owner_references = serde_json::from_value(json!([{
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "x", "uid": "u",
        "controller": true,
    }]))
    .unwrap();
    assert_eq!(plan("HPA", &of_keda), (vec![], vec![], None));
    let said = message(
        &status_of(&with_engine("HPA"), &of_keda),
        "AutoscalingReady",
    );
    assert!(said.contains("belongs to ScaledObject x"), "{said}");
}

/// A ScaledObject of a deleted ModelService of the same name, while KEDA isn't running.
#[test]
fn a_previous_scaled_object_held_by_a_finalizer_is_not_deleted_again() {
    let going = |second| {
        let mut observed = applied(&with_engine("KEDA"), with_keda());
        let metadata = &mut observed.scaled_object.as_mut().unwrap().metadata;
        metadata.owner_references.as_mut().unwrap()[0].uid = "former".to_owned();
        metadata.deletion_timestamp = Some(Time(at(second)));
        metadata.finalizers = Some(vec!["finalizer.keda.sh".to_owned()]);
        status_of(&with_engine("KEDA"), &observed)
    };
    let recent = going(-29);
    assert_eq!(condition(&recent, "AutoscalingReady").1, "NameTaken");
    let said = message(&recent, "AutoscalingReady");
    assert!(
        said.contains("is being deleted") && !said.contains("Delete it"),
        "{said}"
    );
    let long = going(-30);
    assert_eq!(condition(&long, "AutoscalingReady").1, "HeldByFinalizer");
    let said = message(&long, "AutoscalingReady");
    assert!(said.contains("kubectl patch scaledobject iris"), "{said}");
}
