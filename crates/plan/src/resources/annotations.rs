//! Annotations of pods.

use std::collections::BTreeMap;

use crate::{
    labels::{MODEL_SHA256, MODEL_URI},
    spec::ValidatedModelService,
};

/// Annotations of the pods that serve the model of the spec.
pub(crate) fn model_annotations(model_service: &ValidatedModelService) -> BTreeMap<String, String> {
    let uri = (MODEL_URI.to_owned(), model_service.model_uri().to_string());
    let sha256 = model_service
        .model_sha256()
        .map(|sha256| (MODEL_SHA256.to_owned(), sha256.as_str().to_owned()));
    [uri].into_iter().chain(sha256).collect()
}
