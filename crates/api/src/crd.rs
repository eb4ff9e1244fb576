//! The CustomResourceDefinition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{ModelService, refused};

/// The CustomResourceDefinition of the ModelService.
///
/// It differs in three ways from what is derived. Optional fields aren't nullable: the API server then
/// drops an explicit `null`, or puts the default in its place, so neither a CEL rule nor the operator
/// ever sees one. Descriptions have no line breaks, so that `kubectl explain` can set its own. And there are
/// fields that are refused with the reason: the API server drops a field that it doesn't know.
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
        // A map whose values may be null says so on purpose.
        let nullable = values.nullable;
        tidy(values);
        values.nullable = nullable;
    }
}
