//! Omitted values derive from the others.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn complete(resources: Value) -> Result<PodResources, InvalidResources> {
    PodResources::complete(&serde_json::from_value(resources).unwrap())
}

fn amounts(map: &BTreeMap<String, Quantity>) -> Vec<(&str, &str)> {
    map.iter()
        .map(|(name, quantity)| (name.as_str(), quantity.0.as_str()))
        .collect()
}

#[test]
fn omitted_values_derive_from_set_ones() {
    for (resources, requests, limits) in [
        (json!({}), ["500m", "512Mi"], ["2", "2Gi"]),
        (
            json!({"limits": {"memory": "256Mi"}}),
            ["500m", "256Mi"],
            ["2", "256Mi"],
        ),
        (
            json!({"limits": {"memory": "1Gi"}}),
            ["500m", "512Mi"],
            ["2", "1Gi"],
        ),
        (
            json!({"requests": {"cpu": 8}}),
            ["8", "512Mi"],
            ["8", "2Gi"],
        ),
        (
            json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1000m"}}),
            ["1", "512Mi"],
            ["1000m", "2Gi"],
        ),
    ] {
        let found = complete(resources.clone()).unwrap();
        let names = ["cpu", "memory"];
        let expected =
            |values: [&'static str; 2]| -> Vec<_> { names.into_iter().zip(values).collect() };
        assert_eq!(amounts(&found.requests), expected(requests), "{resources}");
        assert_eq!(amounts(&found.limits), expected(limits), "{resources}");
        assert_eq!(found.cores_without_limit, None);
    }
}

#[test]
fn without_a_limit_of_cpu_the_server_takes_the_cores_of_the_default() {
    for (resources, request, cores) in [
        (json!({"limits": {"cpu": null}}), "500m", 2),
        (json!({"limits": {"cpu": "Unlimited"}}), "500m", 2),
        (
            json!({"requests": {"cpu": "4500m"}, "limits": {"cpu": "Unlimited"}}),
            "4500m",
            4,
        ),
    ] {
        let found = complete(resources).unwrap();
        assert_eq!(found.requests["cpu"].0, request);
        assert_eq!(amounts(&found.limits), [("memory", "2Gi")]);
        assert_eq!(found.cores_without_limit, Some(cores));
    }
}

#[test]
fn devices_have_any_name_and_one_amount() {
    let found = complete(json!({
        "requests": {"amd.com/gpu": "2", "nvidia.com/mig-1g.10gb": 1},
        "limits": {"nvidia.com/mig-1g.10gb": "1", "gpu.intel.com/i915": 3},
    }));
    assert_eq!(
        amounts(&found.unwrap().extended),
        [
            ("amd.com/gpu", "2"),
            ("gpu.intel.com/i915", "3"),
            ("nvidia.com/mig-1g.10gb", "1"),
        ]
    );
}

#[test]
fn invalid_resources_are_rejected() {
    let name = |name: &str| name.to_owned();
    for (resources, expected) in [
        (
            json!({"requests": {"cpu": "2001m"}, "limits": {"cpu": 2}}),
            InvalidResources::AboveLimit(name("cpu")),
        ),
        (
            json!({"limits": {"memory": null}}),
            InvalidResources::Unlimited(name("memory")),
        ),
        (
            json!({"limits": {"nvidia.com/gpu": "Unlimited"}}),
            InvalidResources::Unlimited(name("nvidia.com/gpu")),
        ),
        (
            json!({"limits": {"ephemeral-storage": "1Gi"}}),
            InvalidResources::Name(name("ephemeral-storage")),
        ),
        (
            json!({"limits": {"kubernetes.io/x": 1}}),
            InvalidResources::Name(name("kubernetes.io/x")),
        ),
        (
            json!({"limits": {"nvidia.com/gpu": "500m"}}),
            InvalidResources::Amount(name("nvidia.com/gpu")),
        ),
        (
            json!({"limits": {"memory": "much"}}),
            InvalidResources::Amount(name("memory")),
        ),
        (
            json!({"limits": {"cpu": -1}}),
            InvalidResources::Amount(name("cpu")),
        ),
        (
            json!({"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}}),
            InvalidResources::NotLimit(name("nvidia.com/gpu")),
        ),
    ] {
        assert_eq!(complete(resources.clone()), Err(expected), "{resources}");
    }
}

/// Any valid quantity, or none.
fn any_amount() -> impl Strategy<Value = Option<String>> {
    let unit = prop::sample::select(vec!["m", "", "k", "Mi", "Gi"]);
    prop::option::of((1..5000_u32, unit).prop_map(|(number, unit)| format!("{number}{unit}")))
}

fn map(cpu: Option<&String>, memory: Option<&String>) -> Value {
    let amounts = [("cpu", cpu), ("memory", memory)].into_iter();
    amounts
        .filter_map(|(name, amount)| Some((name.to_owned(), json!(amount?))))
        .collect()
}

proptest! {
    #[test]
    fn requests_are_at_most_limits_and_set_values_are_kept(
        [cpu_request, cpu_limit, memory_request, memory_limit] in
            [any_amount(), any_amount(), any_amount(), any_amount()],
    ) {
        let resources = json!({
            "requests": map(cpu_request.as_ref(), memory_request.as_ref()),
            "limits": map(cpu_limit.as_ref(), memory_limit.as_ref()),
        });
        let both = [("cpu", &cpu_request, &cpu_limit), ("memory", &memory_request, &memory_limit)];
        let is_contradiction = both.iter().any(|(_, request, limit)| {
            let amount = |text: &Option<String>| text.as_ref().map(|text| nanos(text).unwrap());
            amount(request).zip(amount(limit)).is_some_and(|(request, limit)| request > limit)
        });
        match complete(resources) {
            Err(_) => prop_assert!(is_contradiction),
            Ok(found) => {
                prop_assert!(!is_contradiction);
                for (name, request, limit) in both {
                    let (asked, most) = (&found.requests[name].0, &found.limits[name].0);
                    prop_assert!(nanos(asked) <= nanos(most));
                    prop_assert!(request.as_ref().is_none_or(|request| request == asked));
                    prop_assert!(limit.as_ref().is_none_or(|limit| limit == most));
                }
            }
        }
    }
}
