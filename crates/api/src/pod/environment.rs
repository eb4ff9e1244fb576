//! Environment variables of pods, and the reserved ones.

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;
use springtide_contract::env;

use crate::schema::{
    KEY, cel_list, field, filled_text, keyed_list, list, matching, name_of, object, one_of,
    optional, schema, text, with_rules,
};

/// Prefix of the variables by which the dynamic linker loads code that is not in the image.
const LINKER_PREFIX: &str = "LD_";

/// Pattern of the name of a variable, as in Kubernetes.
const NAME: &str = "^[-._a-zA-Z][-._a-zA-Z0-9]*$";

/// Variables without the server's prefix that the server reads.
fn unprefixed() -> impl Iterator<Item = &'static str> {
    let former = env::PERMANENT.into_iter().chain(env::FORMER);
    former
        .filter_map(env::unprefixed)
        .chain([env::ORT_DYLIB_PATH])
}

/// Whether a variable is reserved, so that no ModelService may set it: the server reads it, or it could load code that
/// is not in the image.
#[must_use]
pub fn is_reserved_variable(name: &str) -> bool {
    name.starts_with(env::PREFIX)
        || name.starts_with(LINKER_PREFIX)
        || unprefixed().any(|reserved| reserved == name)
}

pub(super) fn env_schema(_: &mut SchemaGenerator) -> Schema {
    let name = with_rules(
        matching(NAME, 253),
        [(
            format!(
                "!self.startsWith('{}') && !self.startsWith('{LINKER_PREFIX}') && !(self in {})",
                env::PREFIX,
                cel_list(unprefixed()),
            ),
            format!(
                "spec.pod.env[].name must not be one of the server's own variables, which the fields of spec.server set: {}…, {LINKER_PREFIX}…, {}",
                env::PREFIX,
                unprefixed().collect::<Vec<_>>().join(", "),
            ),
        )],
    );
    let item = object([
        field("name", "Name of the environment variable.", name).required(),
        field(
            "value",
            "Value of the environment variable. `$(NAME)` is replaced by the value of a variable that is set before it.",
            text(4096),
        ),
        field(
            "valueFrom",
            "Source of the value of the environment variable, instead of `value`.",
            source(),
        ),
    ]);
    let item = with_rules(
        item,
        [(
            "!(has(self.value) && has(self.valueFrom))".to_owned(),
            "spec.pod.env[] must have value or valueFrom and not both".to_owned(),
        )],
    );
    schema(keyed_list(&["name"], 64, item))
}

fn source() -> Value {
    let sources = [
        "configMapKeyRef",
        "secretKeyRef",
        "fieldRef",
        "resourceFieldRef",
    ];
    let counted = sources.map(|name| format!("has(self.{name})")).join(", ");
    let divisors = ["1", "1m", "1k", "1M", "1G", "1Ki", "1Mi", "1Gi"];
    let fields = object([
        field(
            "configMapKeyRef",
            "Key of a ConfigMap that contains the value.",
            key("ConfigMap"),
        ),
        field(
            "secretKeyRef",
            "Key of a Secret that contains the value.",
            key("Secret"),
        ),
        field(
            "fieldRef",
            "Field of the pod that contains the value.",
            object([
                field("apiVersion", "API version of `fieldPath`.", one_of(&["v1"])),
                field(
                    "fieldPath",
                    "Path of the field, such as `metadata.name` or `status.podIP`.",
                    filled_text(512),
                )
                .required(),
            ]),
        ),
        field(
            "resourceFieldRef",
            "Resource request or limit of a container, used as the value.",
            object([
                field(
                    "containerName",
                    "Name of the container. Default: the container that has the environment variable.",
                    filled_text(63),
                ),
                field(
                    "resource",
                    "Request or limit, such as `limits.memory`.",
                    filled_text(320),
                )
                .required(),
                field("divisor", "Unit of the value.", one_of(&divisors)),
            ]),
        ),
    ]);
    with_rules(
        fields,
        [(
            format!("[{counted}].filter(is_set, is_set).size() == 1"),
            format!(
                "spec.pod.env[].valueFrom must have exactly one of {}",
                sources.join(", ")
            ),
        )],
    )
}

fn key(kind: &str) -> Value {
    object([
        name_of("name", kind),
        field("key", &format!("Key in the {kind}."), matching(KEY, 253)).required(),
        optional(),
    ])
}

pub(super) fn env_from_schema(_: &mut SchemaGenerator) -> Schema {
    let reference = |kind| object([name_of("name", kind), optional()]);
    let item = object([
        field(
            "prefix",
            "Prefix of the names of the environment variables, before each key.",
            matching(NAME, 253),
        ),
        field(
            "configMapRef",
            "ConfigMap whose keys become environment variables.",
            reference("ConfigMap"),
        ),
        field(
            "secretRef",
            "Secret whose keys become environment variables.",
            reference("Secret"),
        ),
    ]);
    let item = with_rules(
        item,
        [(
            "has(self.configMapRef) != has(self.secretRef)".to_owned(),
            "spec.pod.envFrom[] must have exactly one of configMapRef, secretRef".to_owned(),
        )],
    );
    schema(list(16, item))
}
