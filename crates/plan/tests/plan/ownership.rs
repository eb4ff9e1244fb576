//! Objects of other owners are never changed.

use springtide_plan::{ChildKind, desired};

use crate::support::{
    applied, condition, kinds, message, settings, status_of, with_engine, with_keda,
};

#[test]
fn foreign_objects_are_neither_applied_nor_deleted() {
    let model_service = with_engine("HPA");
    let mut observed = applied(&model_service, with_keda());
    let metadata = &mut observed.deployment.as_mut().unwrap().metadata;
    metadata.owner_references = None;
    metadata.labels = None;
    let desired = desired(&model_service, &observed, &settings());
    assert_eq!(desired.name_conflicts, [ChildKind::Deployment]);
    assert!(!kinds(&desired).contains(&ChildKind::Deployment));
    assert_eq!(desired.replicas, None);

    // The autoscaler would continue to scale a foreign Deployment.
    let deleted: Vec<ChildKind> = desired
        .delete
        .iter()
        .map(|deletion| deletion.kind)
        .collect();
    assert_eq!(deleted, [ChildKind::HorizontalPodAutoscaler]);
    assert!(!kinds(&desired).contains(&ChildKind::HorizontalPodAutoscaler));

    let status = status_of(&model_service, &observed);
    for kind in [
        "Ready",
        "WorkloadAvailable",
        "AutoscalingReady",
        "RolloutComplete",
    ] {
        assert_eq!(
            condition(&status, kind),
            ("False".to_owned(), "NameTaken".to_owned())
        );
    }
    assert!(message(&status, "WorkloadAvailable").starts_with("Deployment iris exists"));
}

#[test]
fn a_foreign_autoscaler_is_not_deleted() {
    let mut observed = applied(&with_engine("HPA"), with_keda());
    let metadata = &mut observed
        .horizontal_pod_autoscaler
        .as_mut()
        .unwrap()
        .metadata;
    metadata.owner_references.as_mut().unwrap()[0].uid = "another".to_owned();
    let desired = desired(&with_engine("KEDA"), &observed, &settings());
    assert_eq!(desired.delete, []);
    assert_eq!(desired.blocked_on, None);
}

#[test]
fn orphans_of_a_model_service_of_the_same_name_are_adopted() {
    let model_service = with_engine("HPA");
    let mut observed = applied(&model_service, with_keda());
    observed
        .deployment
        .as_mut()
        .unwrap()
        .metadata
        .owner_references = None;
    let desired = desired(&model_service, &observed, &settings());
    assert_eq!(desired.name_conflicts, []);
    assert!(kinds(&desired).contains(&ChildKind::Deployment));
}
