//! The CustomResourceDefinition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{ModelService, refused};

/// The CustomResourceDefinition of the ModelService.
///
/// It differs in three ways from the derived definition:
///
/// - Optional fields aren't nullable. The API server drops an explicit `null` or replaces it by the default, so neither
///   a CEL rule nor the operator receives one.
/// - Descriptions have no line breaks, because `kubectl explain` wraps lines itself.
/// - Some fields of a pod are declared only to be rejected with a reason. The API server drops undeclared fields.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = ModelService::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|validation| validation.open_api_v3_schema.as_mut())
        {
            tidy(schema);
            refused::declare(schema);
        }
    }
    crd
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        *description = description.replace('\n', " ");
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        tidy(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => tidy(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        // The values of a map stay nullable.
        let nullable = values.nullable;
        tidy(values);
        values.nullable = nullable;
    }
}
