//! Inference requests over gRPC, unary and in streams.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use prost::Message as _;
use springtide_inference::Signature;
use springtide_open_inference::grpc::message::{
    ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
};
use springtide_open_inference::{Limits, grpc};
use tonic::{Code, Request, Status as GrpcStatus};

use super::deadline;
use super::pending_call::PendingCall;
use super::status::grpc_status;
use crate::app::App;
use crate::metrics::{Call, Rejected, Status};
use crate::models::Model;
use crate::request_memory::Reservation;
use crate::v2::{ContentBounds, ProtocolError, find, parse_bytes, run, series, version};

/// The inference service.
#[derive(Clone)]
pub(super) struct Inference(pub(super) Arc<App>);

/// An inference request and its timeout.
pub(super) struct InferCall {
    pub(super) message: ModelInferRequest,
    pub(super) timeout: Duration,
}

impl Inference {
    pub(super) fn find(&self, name: &str, model_version: &str) -> Result<Arc<Model>, GrpcStatus> {
        find(&self.0, name, version(model_version)).map_err(|error| grpc_status(&error))
    }

    /// The rest of the client's or the server's timeout, whichever is shorter.
    pub(super) fn time_left<T>(&self, request: &Request<T>) -> Duration {
        let timeout = self.0.request_timeout;
        let timeout =
            deadline::client_timeout(request.metadata()).map_or(timeout, |own| own.min(timeout));
        let pending = request.extensions().get::<Arc<PendingCall>>();
        timeout.saturating_sub(pending.map_or(Duration::ZERO, |pending| pending.elapsed()))
    }

    /// Answers a request, and counts it.
    pub(super) async fn infer(
        &self,
        call: InferCall,
    ) -> Result<(ModelInferResponse, Reservation), ProtocolError> {
        let app = &self.0;
        let _in_flight = app.lifecycle.enter();
        let InferCall { message, timeout } = call;
        let model = find(app, &message.model_name, version(&message.model_version));
        let mut call = Call::arrival(series(app, &model));
        let response = async {
            let model = model?;
            let limits = Limits::new(model.signature(), model.max_rows());
            let reservation = app
                .request_memory
                .reserve(cost(model.signature(), &message))?;
            let request = grpc::request(message, &limits)?;
            let result = run(&model, request, reservation, &mut call, timeout).await?;
            let response = grpc::response(&result.response(&model)?);
            let bytes = response.raw_output_contents.iter().map(Bytes::len).sum();
            Ok((response, app.request_memory.reserve(bytes)?))
        };
        let response = response.await;
        call.end(match &response {
            Ok(_) => Status::Success,
            Err(error) => ProtocolError::status(error),
        });
        response
    }

    /// Counts a request of a stream that was rejected before its model was known. A stream that fails between two
    /// requests has none.
    pub(super) fn count_unread(&self, status: &GrpcStatus) {
        let status = match status.code() {
            Code::ResourceExhausted => Status::Rejected(Rejected::NoRoomForBody),
            Code::InvalidArgument | Code::OutOfRange | Code::DeadlineExceeded | Code::Internal => {
                Status::Invalid
            }
            _ => return,
        };
        Call::arrival(Arc::clone(self.0.metrics.of_no_model())).end(status);
    }

    /// Answers a request of a stream. Gives the response with its memory. An error ends the request, not the stream.
    pub(super) async fn infer_in_stream(
        &self,
        message: ModelInferRequest,
    ) -> (ModelStreamInferResponse, Option<Reservation>) {
        let id = message.id.clone();
        let timeout = self.0.request_timeout;
        match self.infer(InferCall { message, timeout }).await {
            Ok((response, reservation)) => {
                let response = ModelStreamInferResponse {
                    error_message: String::new(),
                    infer_response: Some(grpc::final_response(response)),
                };
                (response, Some(reservation))
            }
            Err(error) => {
                let response = ModelStreamInferResponse {
                    error_message: error.message(),
                    infer_response: Some(ModelInferResponse {
                        id,
                        ..ModelInferResponse::default()
                    }),
                };
                (response, None)
            }
        }
    }
}

/// Bytes that a message and its tensors take in memory.
fn cost(signature: &Signature, message: &ModelInferRequest) -> usize {
    let bytes = message.encoded_len();
    let raw: usize = message.raw_input_contents.iter().map(Bytes::len).sum();
    // A typed number takes at least one byte, a typed text two, and a raw text the four of its length.
    let typed = bytes.saturating_sub(raw);
    let bounds = ContentBounds {
        bytes,
        numbers: raw + size_of::<u64>() * typed,
        texts: typed / 2 + raw / 4,
    };
    bytes + parse_bytes(signature, &bounds)
}
