//! Fields of a pod spec that no ModelService may set. They are declared so that the API server rejects them.
//!
//! The API server drops an undeclared field, and warns only clients that ask for it. The pod would silently lack the
//! field.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};

/// The CEL rule of such a field.
pub const NEVER: &str = "false";

/// Suffix of a list in a path: its items.
const ITEM: &str = "[]";

/// Type of a field.
#[derive(Clone, Copy)]
enum Type {
    Boolean,
    String,
    Object,
    Array,
}

/// Path of the parent, name and type of each field, and why it is rejected.
type Refused = (&'static [&'static str], &'static str, Type, &'static str);

const POD: &[&str] = &["spec", "pod"];
const VOLUME: &[&str] = &["spec", "pod", "volumes", ITEM];
const SERVER: &[&str] = &["spec", "server"];

const NODE: &str = "isn't allowed: serving pods share nothing with their node";
const USERS: &str = "isn't allowed: serving pods are restricted as Pod Security says; spec.pod.securityContext Platform leaves user and group to the cluster";
const CONTAINERS: &str = "isn't allowed: serving pods have the containers that the operator makes";

const REFUSED: [Refused; 19] = [
    (POD, "hostNetwork", Type::Boolean, NODE),
    (POD, "hostPID", Type::Boolean, NODE),
    (POD, "hostIPC", Type::Boolean, NODE),
    (VOLUME, "hostPath", Type::Object, NODE),
    (POD, "privileged", Type::Boolean, USERS),
    (POD, "capabilities", Type::Object, USERS),
    (SERVER, "securityContext", Type::Object, USERS),
    (POD, "containers", Type::Array, CONTAINERS),
    (POD, "initContainers", Type::Array, CONTAINERS),
    (
        POD,
        "automountServiceAccountToken",
        Type::Boolean,
        "isn't allowed: serving pods have no token of their service account",
    ),
    (
        POD,
        "nodeName",
        Type::String,
        "isn't allowed: set spec.pod.nodeSelector",
    ),
    (VOLUME, "projected", Type::Object, "isn't allowed"),
    (VOLUME, "nfs", Type::Object, "isn't allowed: use a claim"),
    (
        SERVER,
        "serviceAccountName",
        Type::String,
        "is now spec.pod.serviceAccountName",
    ),
    (
        SERVER,
        "runtimeClassName",
        Type::String,
        "is now spec.pod.runtimeClassName",
    ),
    (
        SERVER,
        "hostUsers",
        Type::Boolean,
        "is now spec.pod.hostUsers",
    ),
    (
        SERVER,
        "nodeSelector",
        Type::Object,
        "is now spec.pod.nodeSelector",
    ),
    (
        SERVER,
        "tolerations",
        Type::Array,
        "is now spec.pod.tolerations",
    ),
    (
        SERVER,
        "imagePullSecrets",
        Type::Array,
        "is now spec.pod.imagePullSecrets",
    ),
];

/// Whether a field is rejected.
#[must_use]
pub fn is_refused(schema: &JSONSchemaProps) -> bool {
    let mut rules = schema.x_kubernetes_validations.iter().flatten();
    rules.any(|rule| rule.rule == NEVER)
}

/// Declares these fields in the schema of a ModelService, each with a rule that never holds.
pub(crate) fn declare(schema: &mut JSONSchemaProps) {
    for (parent, name, kind, why) in REFUSED {
        let Some(parent_schema) = parent.iter().try_fold(&mut *schema, descend) else {
            continue;
        };
        let path = format!("{}.{name}", parent.join(".").replace(".[]", ITEM));
        parent_schema
            .properties
            .get_or_insert_with(BTreeMap::new)
            .insert(name.to_owned(), refused(kind, format!("{path} {why}")));
    }
}

fn descend<'a>(schema: &'a mut JSONSchemaProps, part: &&str) -> Option<&'a mut JSONSchemaProps> {
    if *part != ITEM {
        return schema.properties.as_mut()?.get_mut(*part);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => Some(item),
        _ => None,
    }
}

fn refused(kind: Type, message: String) -> JSONSchemaProps {
    let mut schema = JSONSchemaProps {
        description: Some(
            "Not allowed: the API server rejects every value of this field.".to_owned(),
        ),
        x_kubernetes_validations: Some(vec![ValidationRule {
            rule: NEVER.to_owned(),
            message: Some(message),
            ..ValidationRule::default()
        }]),
        ..JSONSchemaProps::default()
    };
    let kind = match kind {
        Type::Boolean => "boolean",
        Type::Object => "object",
        Type::String => {
            schema.max_length = Some(253);
            "string"
        }
        Type::Array => {
            schema.max_items = Some(64);
            schema.x_kubernetes_list_type = Some("atomic".to_owned());
            schema.items = Some(JSONSchemaPropsOrArray::Schema(Box::new(JSONSchemaProps {
                type_: Some("object".to_owned()),
                ..JSONSchemaProps::default()
            })));
            "array"
        }
    };
    schema.type_ = Some(kind.to_owned());
    schema
}
