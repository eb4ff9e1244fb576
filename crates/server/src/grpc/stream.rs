//! A stream of inference requests: they are read ahead, run concurrently and answered in order.

use futures::future::{BoxFuture, FutureExt as _, ready};
use futures::stream::{self, BoxStream, FuturesOrdered, StreamExt as _};
use springtide_open_inference::grpc::message::{ModelInferRequest, ModelStreamInferResponse};
use tonic::{Status, Streaming};

use super::inference::Inference;
use super::status::{blame_client_for_corrupt, grpc_status};
use crate::net::IdleHandle;
use crate::request_memory::Reservation;
use crate::v2::ProtocolError;

/// Maximum requests of a stream that are being answered, or whose response wasn't taken. Clients send many
/// without waiting. Requests that aren't read take memory that isn't counted, and h2 ends a connection with too
/// many small unread frames.
const MAX_CONCURRENT: usize = 64;

/// An element of the response stream: a response, or the error that ends the stream.
pub(super) type StreamResult = Result<ModelStreamInferResponse, Status>;

/// A response to come. Its memory is reserved until the client has taken it.
type PendingResult = BoxFuture<'static, (StreamResult, Option<Reservation>)>;

/// The state of a stream.
struct InferStream {
    service: Inference,
    /// None once the client sends no more, or after an error.
    requests: Option<Streaming<ModelInferRequest>>,
    responses: FuturesOrdered<PendingResult>,
    /// Is told whose turn the stream is.
    idle_handle: Option<IdleHandle>,
}

/// The responses to a stream of requests.
pub(super) fn responses(
    service: Inference,
    requests: Streaming<ModelInferRequest>,
    idle_handle: Option<IdleHandle>,
) -> BoxStream<'static, StreamResult> {
    let state = InferStream {
        service,
        requests: Some(requests),
        responses: FuturesOrdered::new(),
        idle_handle,
    };
    stream::unfold(state, async |mut state| {
        let response = state.next().await?;
        Some((response, state))
    })
    .boxed()
}

impl InferStream {
    async fn next(&mut self) -> Option<StreamResult> {
        loop {
            let Some(requests) = &mut self.requests else {
                let _turn = self.idle_handle.as_ref().map(IdleHandle::busy);
                let (response, _reservation) = self.responses.next().await?;
                return Some(response);
            };
            let is_idle = self.responses.is_empty();
            let idle_handle = self.idle_handle.as_ref();
            let turn = if is_idle {
                IdleHandle::idle
            } else {
                IdleHandle::busy
            };
            let _turn = idle_handle.map(turn);
            let request = tokio::select! {
                biased;
                Some((response, _reservation)) = self.responses.next() => return Some(response),
                request = requests.next(), if self.responses.len() < MAX_CONCURRENT => request,
                () = self.service.0.lifecycle.streams_end(), if is_idle => {
                    self.requests = None;
                    return Some(Err(grpc_status(&ProtocolError::Draining)));
                }
            };
            match request {
                Some(Ok(request)) => self.responses.push_back(self.respond(request)),
                Some(Err(status)) => {
                    let status = blame_client_for_corrupt(status);
                    self.service.count_unread(&status);
                    // After the responses to the requests before it.
                    self.responses.push_back(ready((Err(status), None)).boxed());
                    self.requests = None;
                }
                None => self.requests = None,
            }
        }
    }

    fn respond(&self, request: ModelInferRequest) -> PendingResult {
        let service = self.service.clone();
        async move {
            let (response, reservation) = service.infer_in_stream(request).await;
            (Ok(response), reservation)
        }
        .boxed()
    }
}
