//! The scaling behavior reaches both autoscalers unchanged.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use springtide_plan::{Child, Invalid, ValidatedModelService, desired};

use crate::support::{model_service, settings, validated, with_keda};

/// The behavior of an engine's autoscaler.
fn behavior(engine: &str, behavior: &Value) -> Value {
    let model_service = validated(json!({"autoscaling": {
        "engine": engine, "behavior": behavior,
    }}));
    let behavior: HorizontalPodAutoscalerBehavior =
        desired(&model_service, &with_keda(), &settings())
            .apply
            .into_iter()
            .find_map(|child| match child {
                Child::HorizontalPodAutoscaler(hpa) => hpa.spec.unwrap().behavior,
                Child::ScaledObject(scaled_object) => {
                    let advanced = scaled_object.spec.advanced.unwrap();
                    advanced.horizontal_pod_autoscaler_config.unwrap().behavior
                }
                _ => None,
            })
            .unwrap();
    serde_json::to_value(behavior).unwrap()
}

fn fast_up_slow_down() -> Value {
    json!({
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
                {"type": "Pods", "value": 4, "periodSeconds": 15},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
        },
    })
}

#[test]
fn the_default_is_fast_up_slow_down() {
    for engine in ["HPA", "KEDA"] {
        assert_eq!(behavior(engine, &json!({})), fast_up_slow_down());
        assert_eq!(
            behavior(engine, &json!({"preset": "FastUpSlowDown"})),
            fast_up_slow_down()
        );
    }
}

/// What the presets' names promise.
#[test]
fn presets_are_in_the_order_of_their_speed() {
    let windows = |preset: &str| {
        let behavior = behavior("HPA", &json!({"preset": preset}));
        ["scaleUp", "scaleDown"].map(|direction| {
            behavior[direction]["stabilizationWindowSeconds"]
                .as_i64()
                .unwrap()
        })
    };
    assert_eq!(windows("Steady"), [60, 600]);
    assert_eq!(windows("FastUpSlowDown"), [0, 300]);
    assert_eq!(windows("Aggressive"), [0, 60]);
}

#[test]
fn omitted_fields_come_from_the_preset() {
    let told = behavior(
        "KEDA",
        &json!({"preset": "Steady", "scaleDown": {"stabilizationWindowSeconds": 0}}),
    );
    let steady = behavior("KEDA", &json!({"preset": "Steady"}));
    assert_eq!(told["scaleUp"], steady["scaleUp"]);
    assert_eq!(
        told["scaleDown"]["policies"],
        steady["scaleDown"]["policies"]
    );
    assert_eq!(told["scaleDown"]["stabilizationWindowSeconds"], 0);
}

/// The canonical quantities of the API server, so that nothing differs from the stored object.
#[test]
fn tolerances_are_canonical() {
    for (given, written) in [
        ("0", "0"),
        ("0m", "0"),
        ("0.05", "50m"),
        ("0.050", "50m"),
        ("50m", "50m"),
        ("0.1", "100m"),
        ("0.001", "1m"),
        ("1", "1"),
        ("1.000", "1"),
        ("1000m", "1"),
    ] {
        let behavior = behavior("HPA", &json!({"scaleUp": {"tolerance": given}}));
        assert_eq!(behavior["scaleUp"]["tolerance"], written, "{given}");
    }
}

#[test]
fn values_that_an_older_crd_allowed_are_rejected_with_their_field() {
    let refused = |direction: &str, rules: Value| {
        let model_service = model_service(json!({"autoscaling": {"behavior": {direction: rules}}}));
        ValidatedModelService::try_from(&model_service).unwrap_err()
    };
    for tolerance in ["", "-0.1", "1.001", "1001m", "0.0001", "0.1.1", "50u", "x"] {
        assert_eq!(
            refused("scaleUp", json!({"tolerance": tolerance})),
            Invalid::Tolerance {
                field: "spec.autoscaling.behavior.scaleUp.tolerance".to_owned()
            },
            "{tolerance}"
        );
    }
    let policy = |value, period| json!({"type": "Pods", "value": value, "periodSeconds": period});
    for (field, rules) in [
        (
            "stabilizationWindowSeconds",
            json!({"stabilizationWindowSeconds": -1}),
        ),
        ("policies must have", json!({"policies": []})),
        ("policies[0].value", json!({"policies": [policy(0, 15)]})),
        (
            "policies[0].periodSeconds",
            json!({"policies": [policy(1, 1801)]}),
        ),
    ] {
        let error = refused("scaleDown", rules).to_string();
        let field = format!("spec.autoscaling.behavior.scaleDown.{field}");
        assert!(error.starts_with(&field), "{field}: {error}");
    }
}

fn any_rules() -> impl Strategy<Value = Value> {
    let policy = (
        prop::sample::select(vec!["Pods", "Percent"]),
        1..=100_000_i32,
        1..=1800_i32,
    )
        .prop_map(
            |(kind, value, period)| json!({"type": kind, "value": value, "periodSeconds": period}),
        );
    (
        prop::option::of(0..=3600_i32),
        prop::option::of(prop::sample::select(vec!["Max", "Min", "Disabled"])),
        prop::option::of(prop::collection::vec(policy, 1..=8)),
        prop::option::of(1..1000_i32),
    )
        .prop_map(|(window, select_policy, policies, tolerance)| {
            let tolerance = tolerance.map(|thousandths| format!("{thousandths}m"));
            [
                ("stabilizationWindowSeconds", window.map(Value::from)),
                ("selectPolicy", select_policy.map(Value::from)),
                ("policies", policies.map(Value::from)),
                ("tolerance", tolerance.map(Value::from)),
            ]
            .into_iter()
            .filter_map(|(field, value)| Some((field.to_owned(), value?)))
            .collect::<Map<_, _>>()
            .into()
        })
}

proptest! {
    #[test]
    fn the_behavior_is_passed_on_and_the_preset_completes_it(
        engine in prop::sample::select(vec!["HPA", "KEDA"]),
        preset in prop::sample::select(vec!["FastUpSlowDown", "Steady", "Aggressive"]),
        up in any_rules(),
        down in any_rules(),
    ) {
        let of_preset = behavior(engine, &json!({"preset": preset}));
        let told = behavior(
            engine,
            &json!({"preset": preset, "scaleUp": up.clone(), "scaleDown": down.clone()}),
        );
        for (direction, given) in [("scaleUp", &up), ("scaleDown", &down)] {
            let mut expected = of_preset[direction].as_object().unwrap().clone();
            expected.extend(given.as_object().unwrap().clone());
            prop_assert_eq!(&told[direction], &Value::from(expected));
        }
    }
}
