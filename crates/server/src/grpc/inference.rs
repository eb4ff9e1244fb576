//! Requests for inference over gRPC, alone and in streams.

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
use crate::body::Reservation;
use crate::metrics::{Call, Rejected, Status};
use crate::models::Model;
use crate::v2::{ContentBounds, ProtocolError, find, parse_bytes, run, series, version};

/// The service on the models.
#[derive(Clone)]
pub(super) struct Inference(pub(super) Arc<App>);

/// A request for inference, with what its transport says of it.
pub(super) struct InferCall {
    pub(super) message: ModelInferRequest,
    pub(super) timeout: Duration,
}

impl Inference {
    pub(super) fn find(&self, name: &str, model_version: &str) -> Result<Arc<Model>, GrpcStatus> {
        find(&self.0, name, version(model_version)).map_err(|refusal| grpc_status(&refusal))
    }

    /// The time that is left of the client's or the server's, whichever is shorter.
    pub(super) fn time_left<T>(&self, request: &Request<T>) -> Duration {
        let timeout = self.0.request_timeout;
        let timeout =
            deadline::client_timeout(request.metadata()).map_or(timeout, |own| own.min(timeout));
        let arrival = request.extensions().get::<Arc<PendingCall>>();
        timeout.saturating_sub(arrival.map_or(Duration::ZERO, |arrival| arrival.elapsed()))
    }

    /// Answers a request, and counts it.
    pub(super) async fn infer(
        &self,
        incoming: InferCall,
    ) -> Result<(ModelInferResponse, Reservation), ProtocolError> {
        let app = &self.0;
        let _in_flight = app.lifecycle.enter();
        let InferCall { message, timeout } = incoming;
        let model = find(app, &message.model_name, version(&message.model_version));
        let mut call = Call::arrival(series(app, &model));
        let answer = async {
            let model = model?;
            let limits = Limits::new(model.signature(), model.max_rows());
            let held = app.bodies.reserve(cost(model.signature(), &message))?;
            let request = grpc::request(message, &limits)?;
            let answer = run(&model, request, held, &mut call, timeout).await?;
            let response = grpc::response(&answer.response(&model)?);
            let bytes = response.raw_output_contents.iter().map(Bytes::len).sum();
            Ok((response, app.bodies.reserve(bytes)?))
        };
        let answer = answer.await;
        call.end(match &answer {
            Ok(_) => Status::Success,
            Err(refusal) => ProtocolError::status(refusal),
        });
        answer
    }

    /// Counts a request of a stream that was refused before its model was known. A stream that
    /// breaks off between two requests is none.
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

    /// Answers a request of a stream, with the memory of the answer. There an error ends the request, not the
    /// stream.
    pub(super) async fn infer_in_stream(
        &self,
        message: ModelInferRequest,
    ) -> (ModelStreamInferResponse, Option<Reservation>) {
        let id = message.id.clone();
        let timeout = self.0.request_timeout;
        match self.infer(InferCall { message, timeout }).await {
            Ok((response, held)) => {
                let answer = ModelStreamInferResponse {
                    error_message: String::new(),
                    infer_response: Some(grpc::final_response(response)),
                };
                (answer, Some(held))
            }
            Err(refusal) => {
                let answer = ModelStreamInferResponse {
                    error_message: refusal.message(),
                    infer_response: Some(ModelInferResponse {
                        id,
                        ..ModelInferResponse::default()
                    }),
                };
                (answer, None)
            }
        }
    }
}

/// What a message and what is read of it take in memory.
fn cost(signature: &Signature, message: &ModelInferRequest) -> usize {
    let bytes = message.encoded_len();
    let raw: usize = message.raw_input_contents.iter().map(Bytes::len).sum();
    // A typed number takes a byte at least, a typed text two, a raw one the four of its length.
    let typed = bytes.saturating_sub(raw);
    let most = ContentBounds {
        bytes,
        numbers: raw + size_of::<u64>() * typed,
        texts: typed / 2 + raw / 4,
    };
    bytes + parse_bytes(signature, &most)
}
