//! Which Prometheus KEDA queries.

use serde_json::json;
use springtide_plan::{Child, OperatorSettings, desired};

use crate::support::{
    applied, condition, message, model_service, settings, status_of, validated, with_keda,
};

/// The operator's own Prometheus, and another allowed one.
const OWN: &str = "http://prometheus.monitoring.svc:9090";
const ALLOWED: &str = "http://prometheus.observability.svc:9090";

fn naming(address: &str) -> serde_json::Value {
    json!({"autoscaling": {"engine": "KEDA", "keda": {"prometheusAddress": address}}})
}

/// The address in all triggers.
fn asked(address: &str) -> String {
    let desired = desired(&validated(naming(address)), &with_keda(), &settings());
    let mut asked = desired
        .apply
        .into_iter()
        .filter_map(|child| match child {
            Child::ScaledObject(scaled_object) => Some(scaled_object.spec.triggers),
            _ => None,
        })
        .flatten()
        .filter_map(|trigger| trigger.metadata.get("serverAddress").cloned())
        .collect::<Vec<_>>();
    asked.dedup();
    assert_eq!(asked.len(), 1);
    asked.remove(0)
}

#[test]
fn only_allowed_addresses_are_queried() {
    for allowed in [ALLOWED, OWN] {
        assert_eq!(asked(allowed), allowed);
    }
    assert_eq!(asked(&format!("{ALLOWED}/")), format!("{ALLOWED}/"));
    for refused in [
        "http://169.254.169.254",
        "http://prometheus.monitoring.svc:9091",
        "https://prometheus.monitoring.svc:9090",
        // Values that an older CRD allowed.
        "http://prometheus.monitoring.svc:9090/?query=",
        "http://prometheus.monitoring.svc:9090/#",
        "http://prometheus.monitoring.svc:9090@evil",
        "http://prometheus.monitoring.svc:9090/..",
        "",
    ] {
        assert_eq!(asked(refused), OWN, "{refused}");
    }
}

#[test]
fn a_refused_address_is_reported_until_it_is_allowed() {
    let model_service = validated(naming("http://elsewhere:9090"));
    let observed = applied(&model_service, with_keda());
    let status = status_of(&model_service, &observed);
    assert_eq!(
        condition(&status, "AutoscalingReady"),
        ("False".to_owned(), "PrometheusAddressRefused".to_owned())
    );
    assert_eq!(condition(&status, "Ready").0, "False");
    let message = message(&status, "AutoscalingReady");
    assert!(message.contains("prometheus.allowedAddresses"), "{message}");
    assert!(!message.contains("elsewhere"), "{message}");

    let allowing = OperatorSettings {
        allowed_prometheus_addresses: vec!["http://elsewhere:9090".to_owned()],
        ..settings()
    };
    assert!(desired(&model_service, &observed, &settings()).prometheus_refused);
    assert!(!desired(&model_service, &observed, &allowing).prometheus_refused);
}

/// Without KEDA, the address has no effect.
#[test]
fn without_keda_nothing_is_refused() {
    let mut spec = model_service(naming("http://elsewhere:9090"));
    spec.spec.autoscaling.engine = springtide_api::autoscaling::Engine::Auto;
    let model_service = springtide_plan::ValidatedModelService::try_from(&spec).unwrap();
    let desired = desired(&model_service, &with_keda(), &settings());
    assert!(!desired.prometheus_refused);
}
