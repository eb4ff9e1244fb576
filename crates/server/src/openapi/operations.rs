//! The endpoints.

use springtide_contract::paths;

const PREDICTIONS: &str = "Predictions";
const V1: &str = "KServe V1";
const V2: &str = "Open Inference Protocol";
const COMPATIBLE: &str = "Embeddings and reranking";
const SERVER: &str = "Server";

const JSON: &str = "application/json";

/// Groups of endpoints.
pub(super) const TAGS: [(&str, &str); 5] = [
    (PREDICTIONS, "rows, texts and images in plain JSON"),
    (V1, "KServe's V1 protocol"),
    (V2, "tensors, with Triton's extensions"),
    (
        COMPATIBLE,
        "the protocols of OpenAI, Cohere and Text Embeddings Inference",
    ),
    (SERVER, "probes, metrics and status"),
];

/// An endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// The method, in lower case.
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) request: Request,
    /// Type of the body of a successful response.
    pub(super) media_type: &'static str,
    /// Its schema. None if it is text.
    pub(super) answer: Option<&'static str>,
    pub(super) errors: Errors,
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    None,
    Json {
        schema: &'static str,
        required: bool,
    },
    /// JSON, or an image in one of several forms.
    Predict,
}

/// The format and the statuses of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errors {
    None,
    /// A code and a message, for predictions.
    Predict,
    /// A code and a message, for probes.
    Probe,
    /// Messages of `KServe`'s V1.
    V1,
    /// The same where no model runs.
    V1Lookup,
    /// Messages of the Open Inference Protocol.
    V2,
    /// The same where no model runs.
    V2Lookup,
    /// The same for probes.
    V2Probe,
    /// `OpenAI`'s.
    OpenAi,
}

impl Errors {
    pub(super) const fn statuses(self) -> &'static [u16] {
        match self {
            Self::None => &[],
            Self::Predict | Self::V1 | Self::OpenAi => {
                &[400, 404, 408, 413, 422, 429, 500, 503, 504]
            }
            Self::Probe | Self::V2Probe => &[503],
            Self::V1Lookup | Self::V2Lookup => &[404, 503],
            Self::V2 => &[400, 404, 408, 413, 415, 422, 429, 500, 501, 503, 504],
        }
    }

    pub(super) const fn schema(self) -> &'static str {
        match self {
            Self::None | Self::Predict | Self::Probe => "Error",
            Self::V1 | Self::V1Lookup => "V1Error",
            Self::V2 | Self::V2Lookup | Self::V2Probe => "V2Error",
            Self::OpenAi => "OpenAiError",
        }
    }
}

/// The meaning of an error's status, and whether the response says when to try again.
pub(super) const fn meaning(status: u16) -> (&'static str, bool) {
    match status {
        400 => ("the body is malformed or incomplete", false),
        404 => (
            "no such model, or several models and none for this path",
            false,
        ),
        408 => ("the body did not arrive within the request timeout", true),
        413 => (
            "the body is larger than any valid request of the model",
            false,
        ),
        415 => ("unknown Content-Encoding", false),
        422 => (
            "a field is invalid, or the model has another task; of the Open Inference Protocol, the \
             response has numbers that JSON can't express",
            false,
        ),
        429 => ("overload: the request was not accepted", true),
        500 => ("the model failed on this request", false),
        501 => ("a part of the protocol that isn't supported", false),
        503 => (
            "no model serves yet, the named model doesn't serve, or the server is shutting down",
            true,
        ),
        504 => ("no response within the request timeout", false),
        _ => ("an error", false),
    }
}

const fn get(
    path: &'static str,
    (tag, id): (&'static str, &'static str),
    summary: &'static str,
    answer: &'static str,
    errors: Errors,
) -> Operation {
    Operation {
        method: "get",
        path,
        tag,
        id,
        summary,
        request: Request::None,
        media_type: JSON,
        answer: Some(answer),
        errors,
    }
}

const fn post(
    path: &'static str,
    names: (&'static str, &'static str),
    summary: &'static str,
    request: Request,
    answer: &'static str,
    errors: Errors,
) -> Operation {
    Operation {
        method: "post",
        request,
        ..get(path, names, summary, answer, errors)
    }
}

const fn body(schema: &'static str) -> Request {
    Request::Json {
        schema,
        required: true,
    }
}

const INFER: Request = body("InferRequest");

/// All endpoints.
pub(super) const OPERATIONS: &[Operation] = &[
    post(
        paths::PREDICT,
        (PREDICTIONS, "predict"),
        "Predict with the only or default model",
        Request::Predict,
        "PredictResponse",
        Errors::Predict,
    ),
    post(
        paths::PREDICT_NAMED,
        (PREDICTIONS, "predictNamed"),
        "Predict with a model",
        Request::Predict,
        "PredictResponse",
        Errors::Predict,
    ),
    get(
        "/v1/models",
        (V1, "v1Models"),
        "Names of the models",
        "V1Models",
        Errors::None,
    ),
    get(
        "/v1/models/{name}",
        (V1, "v1Model"),
        "Whether a model serves",
        "ModelReady",
        Errors::V1Lookup,
    ),
    post(
        "/v1/models/{name}:predict",
        (V1, "v1Predict"),
        "Predictions for instances",
        body("V1Request"),
        "V1Response",
        Errors::V1,
    ),
    post(
        "/v1/embeddings",
        (COMPATIBLE, "embeddings"),
        "Embeddings of texts, as with OpenAI",
        body("EmbeddingsRequest"),
        "EmbeddingsResponse",
        Errors::OpenAi,
    ),
    post(
        "/v1/rerank",
        (COMPATIBLE, "rerankV1"),
        "Relevance of documents for a query, as with Cohere",
        body("RerankRequest"),
        "RerankResponse",
        Errors::Predict,
    ),
    post(
        "/v2/rerank",
        (COMPATIBLE, "rerankV2"),
        "Relevance of documents for a query, as with Cohere",
        body("RerankRequest"),
        "RerankResponse",
        Errors::Predict,
    ),
    post(
        "/rerank",
        (COMPATIBLE, "rerank"),
        "Relevance of texts for a query, as with Text Embeddings Inference",
        body("TeiRerankRequest"),
        "TeiRerankResponse",
        Errors::Predict,
    ),
    get(
        "/v2",
        (V2, "serverMetadata"),
        "Name, version and extensions of the server",
        "ServerMetadata",
        Errors::None,
    ),
    get(
        "/v2/health/live",
        (V2, "serverLive"),
        "Whether the server lives",
        "Live",
        Errors::V2Probe,
    ),
    get(
        "/v2/health/ready",
        (V2, "serverReady"),
        "Whether the server is ready",
        "Ready",
        Errors::V2Probe,
    ),
    get(
        "/v2/models/{name}",
        (V2, "modelMetadata"),
        "Inputs and outputs of a model",
        "ModelMetadata",
        Errors::V2Lookup,
    ),
    get(
        "/v2/models/{name}/ready",
        (V2, "modelReady"),
        "Whether a model serves",
        "ModelReady",
        Errors::V2Lookup,
    ),
    get(
        "/v2/models/{name}/config",
        (V2, "modelConfig"),
        "Configuration of a model, in Triton's format",
        "ModelConfig",
        Errors::V2Lookup,
    ),
    get(
        "/v2/models/{name}/stats",
        (V2, "modelStatistics"),
        "Statistics of a model",
        "ModelStatistics",
        Errors::V2Lookup,
    ),
    post(
        "/v2/models/{name}/infer",
        (V2, "infer"),
        "Inference with tensors",
        INFER,
        "InferResponse",
        Errors::V2,
    ),
    get(
        "/v2/models/{name}/versions/{version}",
        (V2, "versionMetadata"),
        "Inputs and outputs of a version",
        "ModelMetadata",
        Errors::V2Lookup,
    ),
    get(
        "/v2/models/{name}/versions/{version}/ready",
        (V2, "versionReady"),
        "Whether a version serves",
        "ModelReady",
        Errors::V2Lookup,
    ),
    get(
        "/v2/models/{name}/versions/{version}/config",
        (V2, "versionConfig"),
        "Configuration of a version, in Triton's format",
        "ModelConfig",
        Errors::V2Lookup,
    ),
    get(
        "/v2/models/{name}/versions/{version}/stats",
        (V2, "versionStatistics"),
        "Statistics of a version",
        "ModelStatistics",
        Errors::V2Lookup,
    ),
    post(
        "/v2/models/{name}/versions/{version}/infer",
        (V2, "inferVersion"),
        "Inference with tensors, with a version",
        INFER,
        "InferResponse",
        Errors::V2,
    ),
    get(
        "/v2/models/stats",
        (V2, "allStatistics"),
        "Statistics of all models",
        "ModelStatistics",
        Errors::None,
    ),
    post(
        "/v2/repository/index",
        (V2, "repositoryIndex"),
        "Every version with its state",
        Request::Json {
            schema: "IndexRequest",
            required: false,
        },
        "Index",
        Errors::None,
    ),
    get(
        paths::HEALTH,
        (SERVER, "health"),
        "Liveness",
        "Status",
        Errors::Probe,
    ),
    get(
        paths::READY,
        (SERVER, "ready"),
        "Readiness",
        "Status",
        Errors::Probe,
    ),
    Operation {
        media_type: "text/plain",
        answer: None,
        ..get(
            paths::METRICS,
            (SERVER, "metrics"),
            "Metrics in Prometheus' format",
            "",
            Errors::None,
        )
    },
    get(
        paths::STATUS,
        (SERVER, "status"),
        "Models, batching and memory",
        "ServerStatus",
        Errors::None,
    ),
    get(
        paths::OPENAPI,
        (SERVER, "openapi"),
        "This description",
        "Object",
        Errors::None,
    ),
];
