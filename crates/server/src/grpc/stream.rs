//! A stream of requests for inference: they are read ahead, run at the same time and answered in order.

use futures::future::{BoxFuture, FutureExt as _, ready};
use futures::stream::{self, BoxStream, FuturesOrdered, StreamExt as _};
use springtide_open_inference::grpc::message::{ModelInferRequest, ModelStreamInferResponse};
use tonic::{Status, Streaming};

use super::inference::Inference;
use super::status::{refused, unless_corrupt};
use crate::body::Held;
use crate::net::Patience;
use crate::v2::Refusal;

/// Most requests of a stream that are in work at the same time, or answered and not taken. Clients send many
/// without waiting; what isn't read takes memory that isn't counted, and h2 ends a connection with too many
/// small frames of that kind.
const AHEAD: usize = 64;

/// What a stream gives: an answer, or the error that ends it.
pub(super) type Answer = Result<ModelStreamInferResponse, Status>;

/// The memory of an answer is held until the client has room for it.
type Answering = BoxFuture<'static, (Answer, Option<Held>)>;

struct Requests {
    service: Inference,
    /// Until the client sends no more, or is told to end.
    requests: Option<Streaming<ModelInferRequest>>,
    answers: FuturesOrdered<Answering>,
    /// To be told what the stream does.
    patience: Option<Patience>,
}

/// The answers to a stream of requests.
pub(super) fn answers(
    service: Inference,
    requests: Streaming<ModelInferRequest>,
    patience: Option<Patience>,
) -> BoxStream<'static, Answer> {
    let state = Requests {
        service,
        requests: Some(requests),
        answers: FuturesOrdered::new(),
        patience,
    };
    stream::unfold(state, async |mut state| {
        let answer = state.next().await?;
        Some((answer, state))
    })
    .boxed()
}

impl Requests {
    async fn next(&mut self) -> Option<Answer> {
        loop {
            let Some(requests) = &mut self.requests else {
                let _working = self.patience.as_ref().map(Patience::work);
                let (answer, _held) = self.answers.next().await?;
                return Some(answer);
            };
            let is_idle = self.answers.is_empty();
            let patience = self.patience.as_ref();
            let _waiting = patience.filter(|_| is_idle).map(Patience::wait);
            let _working = patience.filter(|_| !is_idle).map(Patience::work);
            let request = tokio::select! {
                biased;
                Some((answer, _held)) = self.answers.next() => return Some(answer),
                request = requests.next(), if self.answers.len() < AHEAD => request,
                () = self.service.0.lifecycle.streams_end(), if is_idle => {
                    self.requests = None;
                    return Some(Err(refused(&Refusal::Draining)));
                }
            };
            match request {
                Some(Ok(request)) => self.answers.push_back(self.answering(request)),
                Some(Err(status)) => {
                    let status = unless_corrupt(status);
                    self.service.count_unread(&status);
                    // After the answers to what came before it.
                    self.answers.push_back(ready((Err(status), None)).boxed());
                    self.requests = None;
                }
                None => self.requests = None,
            }
        }
    }

    fn answering(&self, request: ModelInferRequest) -> Answering {
        let service = self.service.clone();
        async move {
            let (answer, held) = service.infer_in_stream(request).await;
            (Ok(answer), held)
        }
        .boxed()
    }
}
