//! Where pods may run, and how they get their image.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{
    QUALIFIED_NAME, field, filled_text, integer, keyed_list, list, map, matching, object, one_of,
    schema, text, with_rules,
};

/// A Secret with credentials for a registry.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImagePullSecret {
    /// Name of the Secret, in the namespace of the ModelService.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A taint that the pods tolerate, as in a pod's spec.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint. Left out with operator `Exists`, it stands for every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub key: Option<String>,

    /// How the value is compared. Default: `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,

    /// Value of the taint, for `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,

    /// Effect of the taint. Left out, it stands for every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,

    /// How long a `NoExecute` taint is tolerated, in seconds. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration compares the value of a taint.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TolerationOperator {
    /// The values are equal.
    Equal,
    /// Any value will do.
    Exists,
}

/// What a taint does to pods that don't tolerate it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// No new pods where it can be helped.
    PreferNoSchedule,
    /// No new pods, and those that run are evicted.
    NoExecute,
}

/// A bounded map of label keys to values.
pub(super) fn node_selector_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// Most terms, and most requirements in one.
const TERMS: u32 = 16;

/// Most values of a requirement.
const VALUES: u32 = 64;

/// A key of labels.
fn label_key() -> Value {
    matching(QUALIFIED_NAME, 317)
}

/// Requirements on labels or fields.
fn requirements(operators: &[&str]) -> Value {
    list(
        TERMS,
        object([
            field("key", "Key of the label.", label_key()).required(),
            field(
                "operator",
                "How the values are compared.",
                one_of(operators),
            )
            .required(),
            field(
                "values",
                "Values, for the operators that compare.",
                list(VALUES, text(63)),
            ),
        ]),
    )
}

fn label_selector() -> Value {
    object([
        field(
            "matchLabels",
            "Labels that must be there.",
            map(TERMS, text(63)),
        ),
        field(
            "matchExpressions",
            "Requirements that must hold.",
            requirements(&["In", "NotIn", "Exists", "DoesNotExist"]),
        ),
    ])
}

fn label_keys() -> Value {
    list(TERMS, label_key())
}

fn topology_key() -> Value {
    matching(QUALIFIED_NAME, 317)
}

fn weight() -> Value {
    integer(1, 100)
}

/// Requirements on a node.
fn node_term() -> Value {
    let operators = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
    object([
        field(
            "matchExpressions",
            "Requirements on labels of the node.",
            requirements(&operators),
        ),
        field(
            "matchFields",
            "Requirements on fields of the node, such as `metadata.name`.",
            requirements(&operators),
        ),
    ])
}

fn node_affinity() -> Value {
    object([
        field(
            "requiredDuringSchedulingIgnoredDuringExecution",
            "What a node must have.",
            object([field(
                "nodeSelectorTerms",
                "Terms of which one must hold.",
                list(TERMS, node_term()),
            )
            .required()]),
        ),
        field(
            "preferredDuringSchedulingIgnoredDuringExecution",
            "What a node should have.",
            list(
                TERMS,
                object([
                    field("weight", "How much it counts.", weight()).required(),
                    field("preference", "What the node should have.", node_term()).required(),
                ]),
            ),
        ),
    ])
}

/// Pods to be near to, or far from.
fn pod_term() -> Value {
    object([
        field("labelSelector", "Which pods.", label_selector()),
        field(
            "matchLabelKeys",
            "Labels that these pods have in common with the new one.",
            label_keys(),
        ),
        field(
            "mismatchLabelKeys",
            "Labels in which these pods differ from the new one.",
            label_keys(),
        ),
        field(
            "namespaces",
            "Namespaces of these pods. Default: that of the ModelService.",
            list(TERMS, filled_text(63)),
        ),
        field(
            "namespaceSelector",
            "Namespaces of these pods, by labels.",
            label_selector(),
        ),
        field(
            "topologyKey",
            "Label of nodes that are one place.",
            topology_key(),
        )
        .required(),
    ])
}

fn pod_affinity() -> Value {
    object([
        field(
            "requiredDuringSchedulingIgnoredDuringExecution",
            "What must hold.",
            list(TERMS, pod_term()),
        ),
        field(
            "preferredDuringSchedulingIgnoredDuringExecution",
            "What should hold.",
            list(
                TERMS,
                object([
                    field("weight", "How much it counts.", weight()).required(),
                    field("podAffinityTerm", "What should hold.", pod_term()).required(),
                ]),
            ),
        ),
    ])
}

pub(super) fn affinity_schema(_: &mut SchemaGenerator) -> Schema {
    schema(object([
        field("nodeAffinity", "Nodes to be on.", node_affinity()),
        field("podAffinity", "Pods to be near to.", pod_affinity()),
        field("podAntiAffinity", "Pods to be far from.", pod_affinity()),
    ]))
}

pub(super) fn spread_schema(_: &mut SchemaGenerator) -> Schema {
    let policies = ["Honor", "Ignore"];
    let item = object([
        field(
            "maxSkew",
            "Most pods that one topology domain may have more than another.",
            integer(1, 1000),
        )
        .required(),
        field(
            "topologyKey",
            "Label of nodes that are one place.",
            topology_key(),
        )
        .required(),
        field(
            "whenUnsatisfiable",
            "What happens to a pod for which that can't be had.",
            one_of(&["DoNotSchedule", "ScheduleAnyway"]),
        )
        .required(),
        field(
            "minDomains",
            "Minimum number of topology domains.",
            integer(1, 1000),
        ),
        field(
            "labelSelector",
            "Pods that count. Default: those of this ModelService.",
            label_selector(),
        ),
        field(
            "matchLabelKeys",
            "Labels that pods which count have in common with the new one. Default, without `labelSelector`: `pod-template-hash`.",
            label_keys(),
        ),
        field(
            "nodeAffinityPolicy",
            "Whether only nodes count that `nodeSelector` and `affinity` allow.",
            one_of(&policies),
        ),
        field(
            "nodeTaintsPolicy",
            "Whether only nodes count whose taints are tolerated.",
            one_of(&policies),
        ),
    ]);
    let item = with_rules(
        item,
        [(
            "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'".to_owned(),
            "spec.pod.topologySpreadConstraints[].minDomains is only allowed with whenUnsatisfiable DoNotSchedule".to_owned(),
        )],
    );
    schema(keyed_list(&["topologyKey", "whenUnsatisfiable"], 8, item))
}
