//! A generated file, and the version of the CRD that most generators read.

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};

/// A generated file.
pub(crate) struct Artifact {
    /// Path in the repository.
    pub(crate) path: &'static str,
    /// Its content.
    pub(crate) content: String,
}

/// Name and schema of the first version of the CRD.
pub(crate) fn first_version(
    crd: &CustomResourceDefinition,
) -> anyhow::Result<(&str, &JSONSchemaProps)> {
    let version = crd
        .spec
        .versions
        .first()
        .context("the CRD has no version")?;
    let schema = version
        .schema
        .as_ref()
        .and_then(|validation| validation.open_api_v3_schema.as_ref())
        .context("the CRD has no schema")?;
    Ok((&version.name, schema))
}
