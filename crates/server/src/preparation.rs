//! Threads that prepare requests: they tokenize texts and read large outputs.
//!
//! This work takes from 50 µs to some milliseconds. On the threads of connections it would delay other requests, and on
//! the inference threads it would delay batches.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::{panic, thread};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;

use crate::models::InferError;
use crate::predict::error::ApiError;

/// Name of the threads, before their number.
const THREAD_NAME: &str = "prepare-";

/// Logs the panics of the threads without their messages, which may contain parts of a request.
pub fn hide_panic_messages() {
    let otherwise = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let thread = thread::current();
        if thread
            .name()
            .is_some_and(|name| name.starts_with(THREAD_NAME))
        {
            let location = panicked.location().map(ToString::to_string);
            tracing::warn!(location, "the preparation of a request panicked");
        } else {
            otherwise(panicked);
        }
    }));
}

/// A pool of threads for the preparation of requests.
#[derive(Debug, Clone)]
pub struct Preparation(Arc<ThreadPool>);

impl Preparation {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(threads: NonZeroUsize) -> Result<Self, ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .thread_name(|number| format!("{THREAD_NAME}{number}"))
            // The work reports its panic by the missing result.
            .panic_handler(|_panic| {})
            .build()?;
        Ok(Self(Arc::new(pool)))
    }

    /// Does some work. It isn't begun if its client is gone by then.
    ///
    /// # Errors
    /// Those of the work, and [`InferError::Failed`] if it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (result, done) = oneshot::channel();
        self.0.spawn(move || {
            if !result.is_closed() {
                // The client may be gone.
                let _unsent = result.send(work());
            }
        });
        done.await.map_err(|_panicked| InferError::Failed)?
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_the_threads_stay() {
        let preparation = Preparation::start(NonZeroUsize::MIN).unwrap();
        let panicked = preparation.run(|| -> Result<(), ApiError> { panic!("a fault") });
        assert_eq!(panicked.await, Err(InferError::Failed.into()));
        assert_eq!(preparation.run(|| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn work_of_a_client_that_is_gone_is_not_begun() {
        let preparation = Preparation::start(NonZeroUsize::MIN).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let first = preparation.run(move || Ok(held.recv().is_ok()));
        let mut first = Box::pin(first);
        assert!((&mut first).now_or_never().is_none());
        let second = preparation.run(|| -> Result<(), ApiError> { panic!("begun") });
        let mut second = Box::pin(second);
        assert!((&mut second).now_or_never().is_none());
        drop(second);
        release.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
    }
}
