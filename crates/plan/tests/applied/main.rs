//! Which applies can be skipped.
//!
//! `recorded` holds objects as they were applied and as the API server of Kubernetes 1.36 stored them: with its
//! defaults, its canonical quantities and its `managedFields`.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod replicas;

use std::{collections::BTreeMap, sync::LazyLock};

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
    policy::v1::PodDisruptionBudget,
};
use proptest::{prelude::*, sample::Index};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use springtide_plan::{field_manager::OPERATOR, is_applied, keda::ScaledObject};
use springtide_testkit::{FakeApi, ResourceType};

const NAMESPACE: &str = "recorded";
const NAME: &str = "iris";

/// An object as it was applied, and as it was then stored.
#[derive(Clone, Deserialize)]
struct Recorded {
    desired: Value,
    live: Value,
}

fn recorded<K: kube::Resource<DynamicType = ()>>() -> Recorded {
    static ALL: LazyLock<BTreeMap<String, Recorded>> = LazyLock::new(|| {
        [
            include_str!("recorded/deployment.yaml"),
            include_str!("recorded/horizontal_pod_autoscaler.yaml"),
            include_str!("recorded/pod_disruption_budget.yaml"),
            include_str!("recorded/scaled_object.yaml"),
            include_str!("recorded/service.yaml"),
        ]
        .map(|text| serde_saphyr::from_str::<Recorded>(text).unwrap())
        .map(|recorded| {
            (
                recorded.desired["kind"].as_str().unwrap().to_owned(),
                recorded,
            )
        })
        .into()
    });
    ALL[K::kind(&()).as_ref()].clone()
}

/// Whether an apply can be skipped if this object is stored. `None`: no real server would have stored it.
fn judged<K>(desired: &Value, live: Value) -> Option<bool>
where
    K: kube::Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let live: K = serde_json::from_value(live).ok()?;
    Some(is_applied(desired, &live, OPERATOR))
}

fn is_done<K>(desired: &Value, live: Value) -> bool
where
    K: kube::Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    judged::<K>(desired, live).unwrap()
}

/// An object that the operator has applied, on a server with other clients.
struct Applied {
    fake: FakeApi,
    resource: ResourceType,
    desired: Value,
}

impl Applied {
    fn new<K: kube::Resource<DynamicType = ()>>() -> Self {
        let (fake, resource) = (FakeApi::new(), ResourceType::of::<K>());
        fake.install(resource.clone());
        let desired = recorded::<K>().desired;
        fake.apply(&resource, NAMESPACE, NAME, OPERATOR, &desired);
        Self {
            fake,
            resource,
            desired,
        }
    }

    fn live(&self) -> Value {
        self.fake.get(&self.resource, NAMESPACE, NAME).unwrap()
    }

    fn apply(&self, manager: &str, config: &Value) {
        self.fake
            .apply(&self.resource, NAMESPACE, NAME, manager, config);
    }

    /// Another client changes a part of the object, or removes it with `None`.
    fn drift(&self, pointer: &str, value: Option<Value>) {
        let mut changed = self.live();
        put(&mut changed, pointer, value);
        let mut patch = Value::Null;
        let names: Vec<&str> = pointer.split('/').skip(1).collect();
        // A merge patch replaces whole lists, and removes null values.
        for depth in (1..=names.len()).rev() {
            let above = format!("/{}", names[..depth].join("/"));
            let is_in_a_list = names[depth..]
                .iter()
                .any(|name| name.parse::<usize>().is_ok());
            let inner = if is_in_a_list || depth == names.len() {
                changed.pointer(&above).cloned().unwrap_or_default()
            } else {
                patch
            };
            patch = json!({unescaped(names[depth - 1]): inner});
        }
        self.fake
            .edit(&self.resource, NAMESPACE, NAME, "kubectl-edit", &patch);
    }
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

/// Sets the value at a JSON pointer, or removes it.
fn put(object: &mut Value, pointer: &str, value: Option<Value>) {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    let name = unescaped(name);
    match (object.pointer_mut(above).unwrap(), value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(name, value)),
        (Value::Object(fields), None) => drop(fields.remove(&name)),
        (Value::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value,
        (Value::Array(items), None) => drop(items.remove(name.parse::<usize>().unwrap())),
        _ => panic!("{pointer} leads nowhere"),
    }
}

/// JSON pointers to all parts of an object that can change. Its identity can't, and neither can the keys of list items,
/// whose other values are other items.
fn changeable(object: &Value) -> Vec<String> {
    const KEYS: [&str; 8] = [
        "containerPort",
        "mountPath",
        "name",
        "port",
        "protocol",
        "topologyKey",
        "uid",
        "whenUnsatisfiable",
    ];
    fn walk(value: &Value, pointer: &str, found: &mut Vec<String>) {
        let entries: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(place, value)| (place.to_string(), value))
                .collect(),
            _ => Vec::new(),
        };
        for (name, value) in entries {
            let pointer = format!("{pointer}/{name}");
            if !KEYS.contains(&name.as_str()) {
                found.push(pointer.clone());
            }
            walk(value, &pointer, found);
        }
    }
    let mut found = Vec::new();
    walk(
        &object["metadata"]["labels"],
        "/metadata/labels",
        &mut found,
    );
    walk(&object["spec"], "/spec", &mut found);
    found
}

/// Another value of the same type. `None`: there is none, or it is a map or a list.
fn another(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(value) => Some(json!(!value)),
        Value::Number(value) => Some(json!(value.as_i64()? + 1)),
        Value::String(value) => Some(json!(format!("1{value}"))),
        _ => None,
    }
}

/// The mutation of a part.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mutation {
    Change,
    Remove,
}

/// A mutation of an arbitrary part.
fn mutation(object: &Value, place: Index, mutation: Mutation) -> (String, Option<Value>) {
    let parts = changeable(object);
    let pointer = place.get(&parts).clone();
    let value = object.pointer(&pointer).and_then(another);
    (pointer, value.filter(|_| mutation == Mutation::Change))
}

fn drift_is_found<K>(place: Index, what: Mutation) -> Result<(), TestCaseError>
where
    K: kube::Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let applied = Applied::new::<K>();
    let before = applied.live()["spec"].clone();
    let (pointer, value) = mutation(&applied.desired, place, what);
    applied.drift(&pointer, value.clone());
    let judged = judged::<K>(&applied.desired, applied.live());
    prop_assume!(judged.is_some());
    prop_assert_eq!(judged, Some(false), "{} became {:?}", pointer, value);
    applied.apply(OPERATOR, &applied.desired);
    prop_assert!(is_done::<K>(&applied.desired, applied.live()), "{pointer}");
    prop_assert_eq!(&applied.live()["spec"], &before, "{}", pointer);
    Ok(())
}

fn another_wish_is_found<K>(place: Index, what: Mutation) -> Result<(), TestCaseError>
where
    K: kube::Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let applied = Applied::new::<K>();
    let (pointer, value) = mutation(&applied.desired, place, what);
    let mut wish = applied.desired.clone();
    put(&mut wish, &pointer, value.clone());
    // Neither values that no spec can have, nor empty lists, which have no owner.
    let can_be = serde_json::from_value::<K>(wish.clone())
        .is_ok_and(|typed| serde_json::to_value(typed).unwrap() == wish);
    prop_assume!(can_be && !wish.to_string().contains("[]"));
    prop_assert!(
        !is_done::<K>(&wish, applied.live()),
        "{pointer} is to become {value:?}"
    );
    applied.apply(OPERATOR, &wish);
    prop_assert!(is_done::<K>(&wish, applied.live()), "{pointer}");
    // A removal from the new object is an addition to the old one.
    prop_assert!(!is_done::<K>(&applied.desired, applied.live()), "{pointer}");
    Ok(())
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![Just(Mutation::Change), Just(Mutation::Remove)]
}

/// A test for each kind, by name.
macro_rules! for_each_kind {
    ($($name:ident: $check:ident::<$kind:ty>;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig {
                cases: 48,
                failure_persistence: None,
                ..ProptestConfig::default()
            })]
            $(
                #[test]
                fn $name(place in any::<Index>(), what in any_mutation()) {
                    $check::<$kind>(place, what)?;
                }
            )*
        }
    };
}

for_each_kind! {
    drift_of_a_deployment_is_found: drift_is_found::<Deployment>;
    drift_of_a_service_is_found: drift_is_found::<Service>;
    drift_of_a_budget_is_found: drift_is_found::<PodDisruptionBudget>;
    drift_of_an_hpa_is_found: drift_is_found::<HorizontalPodAutoscaler>;
    drift_of_a_scaled_object_is_found: drift_is_found::<ScaledObject>;
    another_deployment_is_found: another_wish_is_found::<Deployment>;
    another_service_is_found: another_wish_is_found::<Service>;
    another_budget_is_found: another_wish_is_found::<PodDisruptionBudget>;
    another_hpa_is_found: another_wish_is_found::<HorizontalPodAutoscaler>;
    another_scaled_object_is_found: another_wish_is_found::<ScaledObject>;
}

/// The tests for each kind, by name.
macro_rules! of_each_kind {
    ($check:ident) => {
        [
            ("Deployment", $check::<Deployment>()),
            ("Service", $check::<Service>()),
            ("PodDisruptionBudget", $check::<PodDisruptionBudget>()),
            (
                "HorizontalPodAutoscaler",
                $check::<HorizontalPodAutoscaler>(),
            ),
            ("ScaledObject", $check::<ScaledObject>()),
        ]
    };
}

#[test]
fn recorded_objects_count_as_applied() {
    fn check<K>() -> bool
    where
        K: kube::Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let Recorded { desired, live } = recorded::<K>();
        is_done::<K>(&desired, live)
    }
    for (kind, is_done) in of_each_kind!(check) {
        assert!(is_done, "{kind}");
    }
}

/// The fake server of these tests owns fields like a real one.
#[test]
fn the_fake_server_records_the_same_owners() {
    fn check<K: kube::Resource<DynamicType = ()>>() -> (Value, Value) {
        let owned = |live: &Value| live["metadata"]["managedFields"][0]["fieldsV1"].clone();
        (
            owned(&Applied::new::<K>().live()),
            owned(&recorded::<K>().live),
        )
    }
    for (kind, (fake, real)) in of_each_kind!(check) {
        assert_eq!(fake, real, "{kind}");
    }
}

#[test]
fn fields_of_other_owners_do_not_matter() {
    let applied = Applied::new::<Deployment>();
    let env = "/spec/template/spec/containers/0/env";
    let mut variables = applied.live().pointer(env).unwrap().clone();
    let inserted = json!({"name": "INJECTED", "value": "x"});
    variables.as_array_mut().unwrap().insert(1, inserted);
    for (pointer, value) in [
        ("/spec/replicas", json!(7)),
        ("/spec/paused", json!(true)),
        ("/metadata/labels/team", json!("x")),
        ("/metadata/annotations", json!({"a": "b"})),
        ("/metadata/finalizers", json!(["example.com/slow"])),
        (env, variables),
        (
            "/spec/template/spec/containers/1",
            json!({"name": "sidecar", "image": "x"}),
        ),
    ] {
        if pointer.ends_with("/1") {
            let containers = "/spec/template/spec/containers";
            let mut all = applied.live().pointer(containers).unwrap().clone();
            all.as_array_mut().unwrap().push(value);
            applied.drift(containers, Some(all));
        } else {
            applied.drift(pointer, Some(value));
        }
        assert!(
            is_done::<Deployment>(&applied.desired, applied.live()),
            "{pointer}"
        );
    }
    applied.apply("somebody", &applied.desired);
    assert!(
        is_done::<Deployment>(&applied.desired, applied.live()),
        "co-owned"
    );
}

/// The same, in a map that is one field.
#[test]
fn an_addition_to_an_atomic_field_is_drift() {
    let applied = Applied::new::<Service>();
    applied.drift("/spec/selector/team", Some(json!("x")));
    assert!(!is_done::<Service>(&applied.desired, applied.live()));
}

#[test]
fn an_addition_to_the_wish_is_found() {
    let applied = Applied::new::<Deployment>();
    for (pointer, value) in [
        ("/metadata/labels/team", json!("x")),
        ("/metadata/annotations", json!({"a": "b"})),
        ("/spec/paused", json!(false)),
        ("/spec/template/spec/nodeSelector/disk", json!("ssd")),
        (
            "/spec/template/spec/containers/0/resources/limits/example.com~1x",
            json!("1"),
        ),
        ("/spec/template/spec/hostAliases", json!([])),
    ] {
        let mut wish = applied.desired.clone();
        put(&mut wish, pointer, Some(value));
        assert!(!is_done::<Deployment>(&wish, applied.live()), "{pointer}");
    }
}

#[test]
fn the_order_of_items_is_part_of_the_wish() {
    let applied = Applied::new::<Deployment>();
    let env = "/spec/template/spec/containers/0/env";
    let mut reversed = applied.live().pointer(env).unwrap().clone();
    reversed.as_array_mut().unwrap().reverse();
    let mut wish = applied.desired.clone();
    put(&mut wish, env, Some(reversed.clone()));
    assert!(!is_done::<Deployment>(&wish, applied.live()));
    applied.drift(env, Some(reversed));
    assert!(is_done::<Deployment>(&wish, applied.live()));
    assert!(!is_done::<Deployment>(&applied.desired, applied.live()));
    applied.apply(OPERATOR, &applied.desired);
    assert!(is_done::<Deployment>(&applied.desired, applied.live()));
}

#[test]
fn a_quantity_is_the_same_however_it_is_written() {
    let Recorded { desired, live } = recorded::<Deployment>();
    let requested = "/spec/template/spec/containers/0/resources/requests/cpu";
    assert_eq!(desired.pointer(requested), Some(&json!("0.5")));
    assert_eq!(live.pointer(requested), Some(&json!("500m")));
    let mut wish = desired;
    for (cpu, is_same) in [("500m", true), ("0.50", true), ("0.6", false), ("x", false)] {
        put(&mut wish, requested, Some(json!(cpu)));
        assert_eq!(is_done::<Deployment>(&wish, live.clone()), is_same, "{cpu}");
    }
    // Elsewhere, texts are compared.
    let mut wish = recorded::<Deployment>().desired;
    let mut live = live;
    let label = "/spec/template/metadata/annotations/prometheus.io~1port";
    put(&mut live, label, Some(json!("1000m")));
    put(&mut wish, label, Some(json!("1")));
    assert!(!is_done::<Deployment>(&wish, live));
}

#[test]
fn undecidable_objects_are_applied() {
    let Recorded { desired, live } = recorded::<Deployment>();
    let entry = "/metadata/managedFields/0";
    let changed = |pointer: &str, value: Option<Value>| {
        let mut live = live.clone();
        put(&mut live, pointer, value);
        is_done::<Deployment>(&desired, live)
    };
    assert!(!changed("/metadata/managedFields", None));
    assert!(!changed(&format!("{entry}/fieldsV1"), None));
    for (name, value) in [
        ("manager", "somebody"),
        ("operation", "Update"),
        ("subresource", "status"),
        ("apiVersion", "apps/v1beta1"),
    ] {
        assert!(
            !changed(&format!("{entry}/{name}"), Some(json!(value))),
            "{name}"
        );
    }
    let containers = format!("{entry}/fieldsV1/f:spec/f:template/f:spec/f:containers");
    for unreadable in ["k:{", "i:0", "server", "k:{\"name\":\"other\"}"] {
        let owned = json!({unreadable: {}});
        assert!(!changed(&containers, Some(owned)), "{unreadable}");
    }
}
