//! A scaling behavior reaches the HPA and the ScaledObject without the loss of a field. The suite on a cluster tests
//! that KEDA passes it on.

use std::time::Duration;

use anyhow::{Result, anyhow};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use springtide_e2e::json::same;
use springtide_e2e::testbed::{Company, Failure, in_namespace};
use springtide_e2e::wait::{Look, until};
use springtide_e2e::{example, kind};

/// The tested behaviors, each with both engines.
const CASES: usize = 40;

/// Maximum time until a change of a ModelService has reached the autoscaler.
const THROUGH_LIMIT: Duration = Duration::from_secs(20);

/// A behavior in a manifest: any field may be unset.
fn behavior() -> impl Strategy<Value = Value> {
    let preset = prop::option::of(prop::sample::select(vec![
        "FastUpSlowDown",
        "Steady",
        "Aggressive",
    ]));
    (preset, prop::option::of(rules()), prop::option::of(rules())).prop_map(
        |(preset, scale_up, scale_down)| {
            without_nulls(json!({"preset": preset, "scaleUp": scale_up, "scaleDown": scale_down}))
        },
    )
}

fn rules() -> impl Strategy<Value = Value> {
    let select_policy = prop::sample::select(vec!["Max", "Min", "Disabled"]);
    let policy = (any::<bool>(), 1..=100_000_i64, 1..=1800_i64).prop_map(
        |(percent, value, period_seconds)| {
            let type_ = if percent { "Percent" } else { "Pods" };
            json!({"type": type_, "value": value, "periodSeconds": period_seconds})
        },
    );
    (
        prop::option::of(0..=3600_i64),
        prop::option::of(select_policy),
        prop::option::of(prop::collection::vec(policy, 1..=4)),
        prop::option::of(tolerance()),
    )
        .prop_map(|(window, select_policy, policies, tolerance)| {
            without_nulls(json!({
                "stabilizationWindowSeconds": window,
                "selectPolicy": select_policy,
                "policies": policies,
                "tolerance": tolerance,
            }))
        })
}

/// A fraction in thousandths, in both of its formats.
fn tolerance() -> impl Strategy<Value = String> {
    (0..=1000_u32, any::<bool>()).prop_map(|(thousandths, decimal)| {
        if decimal {
            format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
        } else {
            format!("{thousandths}m")
        }
    })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        other => other,
    }
}

/// The expected behavior of the autoscaler: unset fields come from the preset.
fn complete(behavior: &Value) -> Value {
    let policy = |type_: &str, value: i64, period: i64| json!({"type": type_, "value": value, "periodSeconds": period});
    let rules = |window: i64, policies: Vec<Value>| json!({"stabilizationWindowSeconds": window, "selectPolicy": "Max", "policies": policies});
    let (up, down) = match behavior["preset"].as_str() {
        Some("Steady") => (
            rules(60, vec![policy("Percent", 50, 60), policy("Pods", 2, 60)]),
            rules(600, vec![policy("Percent", 10, 120)]),
        ),
        Some("Aggressive") => (
            rules(0, vec![policy("Percent", 300, 15), policy("Pods", 10, 15)]),
            rules(60, vec![policy("Percent", 50, 60)]),
        ),
        _ => (
            rules(0, vec![policy("Percent", 100, 15), policy("Pods", 4, 15)]),
            rules(300, vec![policy("Percent", 10, 60)]),
        ),
    };
    let mut whole = json!({"scaleUp": up, "scaleDown": down});
    for direction in ["scaleUp", "scaleDown"] {
        for (field, value) in behavior[direction].as_object().into_iter().flatten() {
            whole[direction][field] = value.clone();
        }
    }
    whole
}

/// The same with tolerances in thousandths, because the API server normalizes their format.
fn comparable(mut behavior: Value) -> Result<Value> {
    for direction in ["scaleUp", "scaleDown"] {
        let Some(tolerance) = behavior[direction].get_mut("tolerance") else {
            continue;
        };
        let text = tolerance.as_str().unwrap_or_default();
        let thousandths = match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse::<f64>(),
            None => text.parse::<f64>().map(|fraction| fraction * 1000.0),
        };
        *tolerance = json!(thousandths?.round());
    }
    Ok(behavior)
}

#[tokio::test]
async fn what_goes_in_comes_out_on_both_autoscalers() -> Result<(), Failure> {
    in_namespace("behaviors", Company::Welcome, async |testbed| {
        let on_each = [
            ("iris", kind::AUTOSCALER, "/spec/behavior"),
            (
                "digits",
                kind::SCALED_OBJECT,
                "/spec/advanced/horizontalPodAutoscalerConfig/behavior",
            ),
        ];
        let mut runner = TestRunner::deterministic();
        let mut slowest = Duration::ZERO;
        for case in 0..CASES {
            let behavior = behavior()
                .new_tree(&mut runner)
                .map_err(|reason| anyhow!("case {case}: {reason}"))?
                .current();
            for (name, kind, place) in on_each {
                let change = json!({"spec": {"autoscaling": {"behavior": behavior}}});
                testbed.apply(&example::manifest(name, &change)?).await?;
                let expected = comparable(complete(&behavior))?;
                let what = format!("case {case}, {behavior}, to be on the {}", kind.name);
                let waited = until(&what, THROUGH_LIMIT, async || {
                    let Some(live) = testbed.find(kind, name).await? else {
                        return Ok(Look::NotYet("none".to_owned()));
                    };
                    let live = live.pointer(place).cloned().unwrap_or_default();
                    let so = same("behavior", &comparable(live)?, &expected);
                    Ok(Look::at(so.is_ok(), || format!("{so:?}")))
                })
                .await?;
                slowest = slowest.max(waited.after);
            }
        }
        testbed.report(&format!(
            "{CASES} behaviours came out as they went in on both autoscalers, the slowest after {:.1} s",
            slowest.as_secs_f64()
        ));
        Ok(())
    })
    .await
}
