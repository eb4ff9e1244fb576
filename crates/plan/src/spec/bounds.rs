//! The bounds of the spec's numbers and lists. Their only definition is the schema of the CRD.

use std::{fmt, sync::LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::Value;

use crate::spec::Invalid;

/// The schema of `spec`.
static SCHEMA: LazyLock<Option<JSONSchemaProps>> = LazyLock::new(|| {
    let version = springtide_api::crd().spec.versions.into_iter().next()?;
    let mut fields = version.schema?.open_api_v3_schema?.properties?;
    fields.remove("spec")
});

/// Checks all numbers and list lengths of a spec against the schema. The API server does the same with the current CRD,
/// but an older CRD may have allowed more.
pub(crate) fn check(spec: &Value) -> Result<(), Invalid> {
    SCHEMA
        .as_ref()
        .map_or(Ok(()), |schema| check_field("spec", spec, schema))
}

fn check_field(field: &str, value: &Value, schema: &JSONSchemaProps) -> Result<(), Invalid> {
    match value {
        // A number or a percentage: parsed elsewhere.
        Value::Number(_) if schema.x_kubernetes_int_or_string == Some(true) => Ok(()),
        Value::Number(number) => {
            // Bounds have at most 32 bits, which a float represents exactly.
            let bounds = Bounds {
                min: schema.minimum,
                max: schema.maximum,
            };
            let number = number.as_f64().unwrap_or(f64::NAN);
            bounds.check(field, number, |bounds| format!("be {bounds}"))
        }
        Value::Array(items) => {
            let number = |items: i64| i32::try_from(items).map_or(f64::INFINITY, f64::from);
            let bounds = Bounds {
                min: schema.min_items.map(number),
                max: schema.max_items.map(number),
            };
            let length = i64::try_from(items.len()).map_or(f64::INFINITY, number);
            bounds.check(field, length, |bounds| format!("have {bounds} items"))?;
            let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items else {
                return Ok(());
            };
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| {
                check_field(&format!("{field}[{index}]"), item, schema)
            })
        }
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let known = schema.properties.as_ref();
            known
                .and_then(|known| known.get(name))
                .map_or(Ok(()), |schema| {
                    check_field(&format!("{field}.{name}"), value, schema)
                })
        }),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// Bounds of a number.
struct Bounds {
    min: Option<f64>,
    max: Option<f64>,
}

impl Bounds {
    fn check(
        &self,
        field: &str,
        value: f64,
        must: impl Fn(&Self) -> String,
    ) -> Result<(), Invalid> {
        let is_in_bounds =
            self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max);
        if is_in_bounds {
            return Ok(());
        }
        Err(Invalid::OutOfBounds {
            field: field.to_owned(),
            must: must(self),
        })
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(formatter, "between {min} and {max}"),
            (Some(min), None) => write!(formatter, "at least {min}"),
            (None, Some(max)) => write!(formatter, "at most {max}"),
            (None, None) => Ok(()),
        }
    }
}
