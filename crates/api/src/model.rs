//! The type of `spec.model`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Model file to serve: its source, checksum, maximum size and name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.uri) != has(self.uriFrom)")
        .message("spec.model must have exactly one of uri and uriFrom"),
    validation = Rule::new("has(self.sha256) || (!has(self.uriFrom) && !(has(self.uri) && self.uri.matches('^https?://')))")
        .message("spec.model.sha256 is required for https:// and http:// models, and with spec.model.uriFrom")
)]
pub struct Model {
    /// URI of the model file: `configMap://NAME/KEY`, `pvc://CLAIM/PATH`, `https://HOST/PATH` or `http://HOST/PATH`.
    /// The ConfigMap or PersistentVolumeClaim is in the namespace of the ModelService. Everyone with read access to
    /// pods or ModelServices can see the URI. Use `uriFrom` for a URI that contains a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(
        validation = Rule::new("self.matches('^(configMap|pvc|https?)://')")
            .message("spec.model.uri must begin with configMap://, pvc://, https:// or http://"),
        validation = Rule::new("!self.startsWith('configMap://') || self.matches('^configMap://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-_a-zA-Z0-9][-._a-zA-Z0-9]*$')")
            .message("spec.model.uri must be configMap://NAME/KEY with the name of a ConfigMap and one of its keys"),
        validation = Rule::new("!self.startsWith('pvc://') || (self.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[-._~+@=,a-zA-Z0-9]+)+$') && !self.matches('/[.]{1,2}(/|$)'))")
            .message("spec.model.uri must be pvc://CLAIM/PATH with the name of a PersistentVolumeClaim and the path of a file in it: letters, digits and any of -._~+@=, and no . or .. between slashes"),
        validation = Rule::new(r#"!self.startsWith('http') || self.matches('^https?://([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?(/[!$-;=@-_a-z|~]*)?$')"#)
            .message("spec.model.uri must be https://HOST[:PORT]/PATH or http://HOST[:PORT]/PATH, without fragment, blanks or other characters that URLs escape, and without user, password and query, which are mostly secrets: put a URI with one of them into a Secret, and name it in spec.model.uriFrom")
    )]
    pub uri: Option<String>,

    /// Source of a secret URI of the model file, such as a presigned one. Replaces `uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri_from: Option<UriSource>,

    /// SHA-256 of the model file, as 64 lower-case hexadecimal digits. A file with another checksum is never served.
    /// Required for `https://`, `http://` and `uriFrom`, recommended for other sources. A new value also starts a
    /// rollout to the new model file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{64}$')")
        .message("spec.model.sha256 must be 64 lower-case hexadecimal digits"))]
    pub sha256: Option<String>,

    /// Maximum size of the model file, in MiB. A larger file is never served. The ephemeral-storage limit of the pods
    /// is derived from this value.
    #[serde(default = "max_size_mebibytes")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_size_mebibytes: i32,

    /// Name of the model in responses and metadata. Default: the name of the ModelService.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')")
        .message("spec.model.name must consist of letters, digits and any of -._, beginning and ending with a letter or digit"))]
    pub name: Option<String>,
}

/// Source of a secret URI.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UriSource {
    /// Key of a Secret in the namespace of the ModelService that contains an `https://` or `http://` URI. Only the
    /// container that fetches the model file gets the URI; the operator does not. Each pod reads the key when it
    /// starts. A new value applies to new pods only and starts no rollout.
    pub secret_key_ref: SecretKey,
}

/// Key of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.model.uriFrom.secretKeyRef.name must be the name of a Secret"))]
    pub name: String,

    /// Key in the `data` of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-_a-zA-Z0-9][-._a-zA-Z0-9]*$')")
        .message("spec.model.uriFrom.secretKeyRef.key must be a key of a Secret: letters, digits and any of -._, not beginning with a dot"))]
    pub key: String,
}

const fn max_size_mebibytes() -> i32 {
    8192
}
