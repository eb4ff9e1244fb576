//! Scheduling constraints of pods, and their image pull secrets.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{
    QUALIFIED_NAME, field, filled_text, integer, keyed_list, list, map, matching, object, one_of,
    schema, text, with_rules,
};

/// Secret with credentials for a registry.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImagePullSecret {
    /// Name of the Secret, in the namespace of the ModelService.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Toleration for a node taint, as in a pod spec.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint. If unset with operator `Exists`, it matches every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub key: Option<String>,

    /// Comparison with the value of the taint: `Equal`, or `Exists` for any value. Default: `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,

    /// Value of the taint, for operator `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,

    /// Effect of the taint. If unset, it matches every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,

    /// Time for which a `NoExecute` taint is tolerated, in seconds. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub toleration_seconds: Option<i64>,
}

/// Comparison with the value of the taint: `Equal`, or `Exists` for any value. Default: `Equal`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TolerationOperator {
    /// The values are equal.
    Equal,
    /// Any value matches.
    Exists,
}

/// Effect of the taint. If unset, it matches every effect.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// New pods only if no other node is available.
    PreferNoSchedule,
    /// No new pods, and running pods are evicted.
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

/// Maximum number of terms, and of requirements in a term.
const TERMS: u32 = 16;

/// Maximum number of values of a requirement.
const VALUES: u32 = 64;

/// The key of a label.
fn label_key() -> Value {
    matching(QUALIFIED_NAME, 317)
}

/// Requirements on labels or fields.
fn requirements(operators: &[&str]) -> Value {
    list(
        TERMS,
        object([
            field(
                "key",
                "Key of the label, or path of the field.",
                label_key(),
            )
            .required(),
            field(
                "operator",
                "Relation between the key and `values`.",
                one_of(operators),
            )
            .required(),
            field(
                "values",
                "Values to compare with, for the operators that use them.",
                list(VALUES, text(63)),
            ),
        ]),
    )
}

fn label_selector() -> Value {
    object([
        field(
            "matchLabels",
            "Labels that an object must have.",
            map(TERMS, text(63)),
        ),
        field(
            "matchExpressions",
            "Label requirements that an object must meet.",
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
            "Requirements on the labels of the node.",
            requirements(&operators),
        ),
        field(
            "matchFields",
            "Requirements on the fields of the node, such as `metadata.name`.",
            requirements(&operators),
        ),
    ])
}

fn node_affinity() -> Value {
    object([
        field(
            "requiredDuringSchedulingIgnoredDuringExecution",
            "Requirements that a node must meet when a pod is scheduled.",
            object([field(
                "nodeSelectorTerms",
                "Node selector terms. A node must match at least one.",
                list(TERMS, node_term()),
            )
            .required()]),
        ),
        field(
            "preferredDuringSchedulingIgnoredDuringExecution",
            "Preferred node selector terms, each with a weight.",
            list(
                TERMS,
                object([
                    field("weight", "Weight of the preferred term.", weight()).required(),
                    field("preference", "Preferred node selector term.", node_term()).required(),
                ]),
            ),
        ),
    ])
}

/// Terms of a pod affinity or pod anti-affinity.
fn pod_term() -> Value {
    object([
        field(
            "labelSelector",
            "Label selector of the pods to compare with.",
            label_selector(),
        ),
        field(
            "matchLabelKeys",
            "Keys of labels whose values the selected pods share with the new pod.",
            label_keys(),
        ),
        field(
            "mismatchLabelKeys",
            "Keys of labels whose values differ between the selected pods and the new pod.",
            label_keys(),
        ),
        field(
            "namespaces",
            "Namespaces of the selected pods. Default: the namespace of the ModelService.",
            list(TERMS, filled_text(63)),
        ),
        field(
            "namespaceSelector",
            "Label selector of the namespaces of the selected pods.",
            label_selector(),
        ),
        field(
            "topologyKey",
            "Key of the node label that defines topology domains.",
            topology_key(),
        )
        .required(),
    ])
}

fn pod_affinity() -> Value {
    object([
        field(
            "requiredDuringSchedulingIgnoredDuringExecution",
            "Terms that must be met when a pod is scheduled.",
            list(TERMS, pod_term()),
        ),
        field(
            "preferredDuringSchedulingIgnoredDuringExecution",
            "Preferred terms, each with a weight.",
            list(
                TERMS,
                object([
                    field("weight", "Weight of the preferred term.", weight()).required(),
                    field(
                        "podAffinityTerm",
                        "Preferred pod affinity term.",
                        pod_term(),
                    )
                    .required(),
                ]),
            ),
        ),
    ])
}

pub(super) fn affinity_schema(_: &mut SchemaGenerator) -> Schema {
    schema(object([
        field(
            "nodeAffinity",
            "Node affinity: required and preferred nodes of the pods.",
            node_affinity(),
        ),
        field(
            "podAffinity",
            "Pod affinity: pods whose topology domains are required or preferred.",
            pod_affinity(),
        ),
        field(
            "podAntiAffinity",
            "Pod anti-affinity: pods whose topology domains are to be avoided.",
            pod_affinity(),
        ),
    ]))
}

pub(super) fn spread_schema(_: &mut SchemaGenerator) -> Schema {
    let policies = ["Honor", "Ignore"];
    let item = object([
        field(
            "maxSkew",
            "Maximum difference in the number of counted pods between topology domains.",
            integer(1, 1000),
        )
        .required(),
        field(
            "topologyKey",
            "Key of the node label that defines topology domains.",
            topology_key(),
        )
        .required(),
        field(
            "whenUnsatisfiable",
            "Action for a pod that cannot meet the constraint: `DoNotSchedule` or `ScheduleAnyway`.",
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
            "Label selector of the pods that are counted. Default: the pods of this ModelService.",
            label_selector(),
        ),
        field(
            "matchLabelKeys",
            "Keys of labels whose values the counted pods share with the new pod. Default without `labelSelector`: `pod-template-hash`.",
            label_keys(),
        ),
        field(
            "nodeAffinityPolicy",
            "Nodes that are counted: only those that `nodeSelector` and `affinity` allow (`Honor`), or all (`Ignore`).",
            one_of(&policies),
        ),
        field(
            "nodeTaintsPolicy",
            "Nodes that are counted: only those whose taints are tolerated (`Honor`), or all (`Ignore`).",
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
