//! Hostile bodies, which a server must reject or answer, and survive.

use std::io::Write as _;

use bytes::Bytes;
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::frames::{float, grpc, integer, nested};

/// Maximum bytes of a body that isn't intentionally large.
const SMALL: usize = 2_048;

/// Decompressed sizes of the bombs, in MiB.
const BOMBS: [usize; 3] = [1, 16, 80];

const PREDICT: &str = "/predict";
const INFER: &str = "/v2/models/model/infer";
const GRPC_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const GRPC_PATHS: [&str; 6] = [
    GRPC_INFER,
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/ModelReady",
    "/inference.GRPCInferenceService/RepositoryIndex",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// Valid requests, from which hostile ones are derived.
const VALID_PREDICT: &str = r#"{"features": [5.1, 3.5, 1.4, 0.2], "request_id": "a-1"}"#;
const VALID_INFER: &str = r#"{"id": "a", "inputs": [{"name": "features", "shape": [2, 4], "datatype": "FP32", "parameters": {"x": 1}, "data": [5.1, 3.5, 1.4, 0.2, 7.9, 3.8, 6.4, 2.0]}], "outputs": [{"name": "label", "parameters": {"binary_data": true}}]}"#;

/// Inputs that are difficult for parsers.
const TOKENS: [&str; 24] = [
    "NaN",
    "-Infinity",
    "1e999",
    "-1e-999",
    "-",
    "--1",
    "0x10",
    "01",
    "1.",
    "null",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "\\",
    "\\ud800",
    "\\u0000",
    "\u{0}",
    "\u{feff}",
    "9223372036854775808",
    "-9223372036854775809",
    "1e308",
    "\"features\":",
];

const DATATYPES: [&str; 8] = [
    "FP32",
    "FP64",
    "INT64",
    "BOOL",
    "BYTES",
    "FP16",
    "UINT8",
    "\u{1F4A9}",
];

/// The fault of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    MutatedPredict,
    MutatedInfer,
    LyingTensor,
    DeepNesting,
    HugeNumbers,
    BytesTensor,
    GzipBomb,
    WrongType,
    Truncated,
    RandomBytes,
    MutatedGrpc,
    LyingGrpc,
    RandomGrpc,
}

impl Kind {
    pub(crate) const ALL: [Self; 13] = [
        Self::MutatedPredict,
        Self::MutatedInfer,
        Self::LyingTensor,
        Self::DeepNesting,
        Self::HugeNumbers,
        Self::BytesTensor,
        Self::GzipBomb,
        Self::WrongType,
        Self::Truncated,
        Self::RandomBytes,
        Self::MutatedGrpc,
        Self::LyingGrpc,
        Self::RandomGrpc,
    ];

    /// The name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MutatedPredict => "mutated /predict",
            Self::MutatedInfer => "mutated v2",
            Self::LyingTensor => "tensor of a lying size",
            Self::DeepNesting => "deep nesting",
            Self::HugeNumbers => "huge numbers",
            Self::BytesTensor => "BYTES of a lying length",
            Self::GzipBomb => "gzip bomb",
            Self::WrongType => "wrong content type",
            Self::Truncated => "truncated",
            Self::RandomBytes => "random bytes",
            Self::MutatedGrpc => "mutated gRPC",
            Self::LyingGrpc => "gRPC frame of a lying size",
            Self::RandomGrpc => "random gRPC",
        }
    }
}

/// A hostile request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hostile {
    pub(crate) kind: Kind,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// Number of bytes by which the declared length exceeds that of the body.
    pub(crate) missing: usize,
}

/// Generates hostile requests, deterministically for a seed.
pub(crate) struct Generator {
    rng: Rng,
    bombs: Vec<Bytes>,
}

impl Generator {
    /// `bombs` is the result of [`bombs`], which all generators share.
    pub(crate) fn new(seed: u64, bombs: &[Bytes]) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            bombs: bombs.to_vec(),
        }
    }

    /// The next request. Bombs are rare, because each requires a thousand times its bytes.
    pub(crate) fn next(&mut self) -> Hostile {
        let mut kind = Kind::ALL[self.rng.usize(..Kind::ALL.len())];
        if kind == Kind::GzipBomb && self.rng.u8(..) > 12 {
            kind = Kind::MutatedInfer;
        }
        self.of(kind)
    }

    fn of(&mut self, kind: Kind) -> Hostile {
        let json = ("content-type", "application/json".to_owned());
        let (path, headers, body) = match kind {
            Kind::MutatedPredict => (PREDICT, vec![json], self.mutated(VALID_PREDICT.as_bytes())),
            Kind::MutatedInfer => (INFER, vec![json], self.mutated(VALID_INFER.as_bytes())),
            Kind::LyingTensor => self.lying_tensor(),
            Kind::DeepNesting => (self.http_path(), vec![json], self.nesting()),
            Kind::HugeNumbers => (self.http_path(), vec![json], self.numbers()),
            Kind::BytesTensor => self.bytes_tensor(),
            Kind::GzipBomb => (
                self.http_path(),
                vec![json, ("content-encoding", "gzip".to_owned())],
                self.bomb(),
            ),
            Kind::WrongType => self.wrong_type(),
            Kind::Truncated => (
                self.http_path(),
                vec![json],
                self.cut(VALID_INFER.as_bytes()),
            ),
            Kind::RandomBytes => (self.http_path(), self.maybe_encoded(), self.random()),
            Kind::MutatedGrpc => {
                let message = self.infer_message();
                let message = self.mutated(&message);
                (GRPC_INFER, grpc_headers(), grpc(0, message.len(), &message))
            }
            Kind::LyingGrpc => self.lying_grpc(),
            Kind::RandomGrpc => {
                let message = self.random();
                let path = GRPC_PATHS[self.rng.usize(..GRPC_PATHS.len())];
                (path, grpc_headers(), grpc(0, message.len(), &message))
            }
        };
        let missing = match kind {
            Kind::Truncated => self.rng.usize(1..SMALL),
            _ => 0,
        };
        Hostile {
            kind,
            path,
            headers,
            body: Bytes::from(body),
            missing,
        }
    }

    fn http_path(&mut self) -> &'static str {
        if self.rng.bool() { PREDICT } else { INFER }
    }

    fn random(&mut self) -> Vec<u8> {
        // Occasionally a large one.
        let most = if self.rng.u8(..) == 0 { 1 << 18 } else { SMALL };
        let length = self.rng.usize(..most);
        let mut bytes = vec![0; length];
        self.rng.fill(&mut bytes);
        bytes
    }

    fn cut(&mut self, valid: &[u8]) -> Vec<u8> {
        valid[..self.rng.usize(..valid.len())].to_vec()
    }

    /// A valid request with a few changes.
    fn mutated(&mut self, valid: &[u8]) -> Vec<u8> {
        let mut bytes = valid.to_vec();
        for _ in 0..self.rng.usize(1..=6) {
            let at = self.rng.usize(..=bytes.len());
            let end = (at + self.rng.usize(..24)).min(bytes.len());
            match self.rng.u8(..5) {
                0 if at < bytes.len() => bytes[at] = self.rng.u8(..),
                1 if at < bytes.len() => bytes[at] ^= 1 << self.rng.u8(..8),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => {
                    let token = TOKENS[self.rng.usize(..TOKENS.len())];
                    bytes.splice(at..end.min(at + 2), token.bytes());
                }
            }
        }
        bytes
    }

    /// A binary tensor after its JSON, with inconsistent sizes and shapes.
    fn lying_tensor(&mut self) -> (&'static str, Vec<(&'static str, String)>, Vec<u8>) {
        let dimension = |rng: &mut Rng| match rng.u8(..6) {
            0 => i64::MAX,
            1 => -1,
            2 => 1 << 32,
            3 => 0,
            _ => rng.i64(1..64),
        };
        let shape = [dimension(&mut self.rng), dimension(&mut self.rng)];
        let datatype = DATATYPES[self.rng.usize(..DATATYPES.len())];
        let size = match self.rng.u8(..4) {
            0 => u64::MAX,
            1 => 1 << 40,
            _ => self.rng.u64(..256),
        };
        let head = format!(
            r#"{{"inputs":[{{"name":"features","shape":{shape:?},"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}]}}"#
        );
        let mut declared = head.len();
        if self.rng.u8(..4) == 0 {
            declared = self.rng.usize(..1 << 20);
        }
        let mut body = head.into_bytes();
        let length = self.rng.usize(..256);
        body.extend(std::iter::repeat_with(|| self.rng.u8(..)).take(length));
        let headers = vec![
            ("content-type", "application/octet-stream".to_owned()),
            ("inference-header-content-length", declared.to_string()),
        ];
        (INFER, headers, body)
    }

    /// BYTES elements, each with its length.
    fn bytes_tensor(&mut self) -> (&'static str, Vec<(&'static str, String)>, Vec<u8>) {
        let mut elements = Vec::new();
        let count = self.rng.u32(1..20);
        for _ in 0..count {
            let length = if self.rng.u8(..3) == 0 {
                self.rng.u32(..)
            } else {
                self.rng.u32(..9)
            };
            elements.extend(length.to_le_bytes());
            let real = self.rng.usize(..9);
            elements.extend(std::iter::repeat_n(b'x', real));
        }
        let head = format!(
            r#"{{"inputs":[{{"name":"features","shape":[{count}],"datatype":"BYTES","parameters":{{"binary_data_size":{}}}}}]}}"#,
            elements.len()
        );
        let headers = vec![("inference-header-content-length", head.len().to_string())];
        (INFER, headers, [head.into_bytes(), elements].concat())
    }

    fn nesting(&mut self) -> Vec<u8> {
        let depth = self.rng.usize(1..20_000);
        let (open, close) = if self.rng.bool() {
            ("[", "]")
        } else {
            (r#"{"a":"#, "}")
        };
        let closed = if self.rng.bool() { depth } else { 0 };
        format!(
            r#"{{"features": {}1{}}}"#,
            open.repeat(depth),
            close.repeat(closed)
        )
        .into_bytes()
    }

    fn numbers(&mut self) -> Vec<u8> {
        let mut number = || match self.rng.u8(..5) {
            0 => format!("1e{}", self.rng.u64(..)),
            1 => "9".repeat(self.rng.usize(1..2_000)),
            2 => format!("0.{}1", "0".repeat(self.rng.usize(1..2_000))),
            3 => format!("-{}", u128::MAX),
            _ => self.rng.f64().to_string(),
        };
        let numbers = [number(), number(), number(), number()].join(",");
        if self.rng.bool() {
            return format!(r#"{{"features":[{numbers}]}}"#).into_bytes();
        }
        format!(r#"{{"inputs":[{{"name":"features","shape":[1,4],"datatype":"FP32","data":[{numbers}]}}]}}"#).into_bytes()
    }

    fn bomb(&mut self) -> Vec<u8> {
        let bomb = self
            .rng
            .choice(&self.bombs)
            .map(|bomb| bomb.to_vec())
            .unwrap_or_default();
        if self.rng.bool() {
            bomb
        } else {
            self.cut(&[&bomb[..], b"tail"].concat())
        }
    }

    fn maybe_encoded(&mut self) -> Vec<(&'static str, String)> {
        let encodings = ["gzip", "deflate", "br", "identity", "gzip, gzip"];
        match encodings.get(self.rng.usize(..8)) {
            Some(encoding) => vec![("content-encoding", (*encoding).to_owned())],
            None => Vec::new(),
        }
    }

    fn wrong_type(&mut self) -> (&'static str, Vec<(&'static str, String)>, Vec<u8>) {
        let types = [
            "text/plain",
            "multipart/form-data",
            "application/grpc",
            "application/json; charset=utf-16",
            "/",
            "a",
        ];
        let content_type = types[self.rng.usize(..types.len())];
        let headers = vec![("content-type", content_type.to_owned())];
        (self.http_path(), headers, VALID_PREDICT.into())
    }

    /// A valid `ModelInfer` request.
    fn infer_message(&mut self) -> Vec<u8> {
        let row: Vec<u8> = [5.1_f32, 3.5, 1.4, 0.2]
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect();
        let shape = [integer(3, 1), integer(3, 4)].concat();
        let head = [nested(1, b"features"), nested(2, b"FP32"), shape].concat();
        let model = nested(1, b"model");
        if self.rng.bool() {
            return [model, nested(5, &head), nested(7, &row)].concat();
        }
        let contents = nested(5, &nested(6, &row));
        let loose = nested(5, &float(6, 5.1));
        [model, nested(5, &[head, contents, loose].concat())].concat()
    }

    fn lying_grpc(&mut self) -> (&'static str, Vec<(&'static str, String)>, Vec<u8>) {
        let message = self.infer_message();
        let declared = match self.rng.u8(..4) {
            0 => usize::MAX,
            1 => self.rng.usize(..message.len()),
            _ => message.len() + self.rng.usize(1..1 << 20),
        };
        let compressed = self.rng.u8(..3);
        let mut headers = grpc_headers();
        if self.rng.bool() {
            headers.push(("grpc-encoding", "gzip".to_owned()));
        }
        let message = if self.rng.u8(..16) == 0 {
            self.bomb()
        } else {
            message
        };
        let declared = if compressed == 1 {
            message.len()
        } else {
            declared
        };
        (GRPC_INFER, headers, grpc(compressed, declared, &message))
    }
}

fn grpc_headers() -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/grpc".to_owned()),
        ("te", "trailers".to_owned()),
    ]
}

/// Compressed zeros.
///
/// # Errors
///
/// If memory can't be written to, which doesn't happen.
pub(crate) fn bombs() -> std::io::Result<Vec<Bytes>> {
    let zeros = vec![0; 1 << 20];
    let pack = |mebibytes: usize| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..mebibytes {
            packed.write_all(&zeros)?;
        }
        Ok(Bytes::from(packed.finish()?))
    };
    BOMBS.into_iter().map(pack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(seed: u64) -> Vec<Hostile> {
        let mut generator = Generator::new(seed, &[Bytes::from_static(b"bomb")]);
        (0..2_000).map(|_| generator.next()).collect()
    }

    #[test]
    fn a_seed_makes_the_same_requests_and_another_one_others() {
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
    }

    #[test]
    fn every_kind_comes_and_bodies_are_bounded() {
        let requests = some(3);
        for kind in Kind::ALL {
            assert!(requests.iter().any(|it| it.kind == kind), "{kind:?}");
        }
        assert!(requests.iter().all(|it| it.body.len() < 1 << 19));
        let truncated = |it: &Hostile| it.kind == Kind::Truncated;
        assert!(requests.iter().all(|it| truncated(it) == (it.missing > 0)));
    }

    #[test]
    fn what_bodies_are_made_of_is_valid() {
        for valid in [VALID_PREDICT, VALID_INFER] {
            assert!(
                serde_json::from_str::<serde_json::Value>(valid).is_ok(),
                "{valid}"
            );
        }
    }

    #[test]
    fn bombs_are_small_before_they_are_unpacked() {
        let bombs = bombs().unwrap_or_default();
        assert_eq!(bombs.len(), BOMBS.len());
        assert!(
            bombs
                .iter()
                .all(|bomb| !bomb.is_empty() && bomb.len() < 1 << 17)
        );
    }
}
