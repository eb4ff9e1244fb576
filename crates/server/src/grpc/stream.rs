//! A stream of requests for inference: they are read ahead, run at the same time and answered in order.

use futures::future::{BoxFuture, FutureExt as _, ready};
use futures::stream::{self, BoxStream, FuturesOrdered, StreamExt as _};
use springtide_open_inference::grpc::message::{ModelInferRequest, ModelStreamInferResponse};
use tonic::{Status, Streaming};

use super::inference::Inference;
use super::status::{blame_client_for_corrupt, grpc_status};
use crate::body::Reservation;
use crate::net::IdleHandle;
use crate::v2::ProtocolError;

/// Most requests of a stream that are in work at the same time, or answered and not taken. Clients send many
/// without waiting; what isn't read takes memory that isn't counted, and h2 ends a connection with too many
/// small frames of that kind.
const AHEAD: usize = 64;

/// What a stream gives: an answer, or the error that ends it.
pub(super) type StreamResult = Result<ModelStreamInferResponse, Status>;

/// The memory of an answer is held until the client has room for it.
type PendingResult = BoxFuture<'static, (StreamResult, Option<Reservation>)>;

struct Requests {
    service: Inference,
    /// Until the client sends no more, or is told to end.
    requests: Option<Streaming<ModelInferRequest>>,
    answers: FuturesOrdered<PendingResult>,
    /// To be told what the stream does.
    idle_handle: Option<IdleHandle>,
}

/// The answers to a stream of requests.
pub(super) fn answers(
    service: Inference,
    requests: Streaming<ModelInferRequest>,
    idle_handle: Option<IdleHandle>,
) -> BoxStream<'static, StreamResult> {
    let state = Requests {
        service,
        requests: Some(requests),
        answers: FuturesOrdered::new(),
        idle_handle,
    };
    stream::unfold(state, async |mut state| {
        let answer = state.next().await?;
        Some((answer, state))
    })
    .boxed()
}

impl Requests {
    async fn next(&mut self) -> Option<StreamResult> {
        loop {
            let Some(requests) = &mut self.requests else {
                let _working = self.idle_handle.as_ref().map(IdleHandle::busy);
                let (answer, _held) = self.answers.next().await?;
                return Some(answer);
            };
            let is_idle = self.answers.is_empty();
            let idle_handle = self.idle_handle.as_ref();
            let _waiting = idle_handle.filter(|_| is_idle).map(IdleHandle::idle);
            let _working = idle_handle.filter(|_| !is_idle).map(IdleHandle::busy);
            let request = tokio::select! {
                biased;
                Some((answer, _held)) = self.answers.next() => return Some(answer),
                request = requests.next(), if self.answers.len() < AHEAD => request,
                () = self.service.0.lifecycle.streams_end(), if is_idle => {
                    self.requests = None;
                    return Some(Err(grpc_status(&ProtocolError::Draining)));
                }
            };
            match request {
                Some(Ok(request)) => self.answers.push_back(self.answering(request)),
                Some(Err(status)) => {
                    let status = blame_client_for_corrupt(status);
                    self.service.count_unread(&status);
                    // After the answers to what came before it.
                    self.answers.push_back(ready((Err(status), None)).boxed());
                    self.requests = None;
                }
                None => self.requests = None,
            }
        }
    }

    fn answering(&self, request: ModelInferRequest) -> PendingResult {
        let service = self.service.clone();
        async move {
            let (answer, held) = service.infer_in_stream(request).await;
            (Ok(answer), held)
        }
        .boxed()
    }
}
