//! Bounded waits. Their errors describe the expected and the last observed state.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// Interval of observations: short relative to the measured seconds, and long enough for the API server.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// One observation.
#[derive(Debug)]
pub enum Look<T> {
    /// The expected state.
    Seen(T),
    /// Another state, with a description.
    NotYet(String),
}

impl Look<()> {
    /// An observation of a condition. `instead` describes the state if it doesn't hold.
    pub fn at(so: bool, instead: impl FnOnce() -> String) -> Self {
        if so {
            Self::Seen(())
        } else {
            Self::NotYet(instead())
        }
    }
}

/// The observed value, and the time until then.
#[derive(Debug)]
pub struct Waited<T> {
    /// The observed value.
    pub value: T,
    /// Time since the first observation.
    pub after: Duration,
}

impl<T> Waited<T> {
    /// The time in seconds, as text.
    #[must_use]
    pub fn seconds(&self) -> String {
        format!("{:.1} s", self.after.as_secs_f64())
    }
}

/// Observes until `what` is found. A failed observation counts as not found, because connections and API servers have
/// short faults. The error after `limit` has the last fault.
///
/// # Errors
///
/// After `limit`. The text has `what` and the last observation.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Look<T>>,
) -> Result<Waited<T>> {
    let start = Instant::now();
    loop {
        let seen = match look().await {
            Ok(Look::Seen(value)) => {
                return Ok(Waited {
                    value,
                    after: start.elapsed(),
                });
            }
            Ok(Look::NotYet(seen)) => seen,
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() >= limit {
            bail!("waited {} s for {what}; last seen: {seen}", limit.as_secs());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tells_what_it_saw_and_for_how_long() {
        let mut looks = 0;
        let waited = until("three looks", Duration::from_secs(5), async || {
            looks += 1;
            Ok(if looks == 3 {
                Look::Seen(looks)
            } else {
                Look::NotYet(String::new())
            })
        })
        .await
        .unwrap();
        assert_eq!((waited.value, waited.after), (3, 2 * BETWEEN_LOOKS));
        assert_eq!(waited.seconds(), "0.5 s");
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_with_the_last_look_or_error() {
        let limit = Duration::from_secs(2);
        let error = until::<()>("rain", limit, async || Ok(Look::NotYet("sun".to_owned())))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "waited 2 s for rain; last seen: sun");
        let error = until::<()>("rain", limit, async || bail!("fog"))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "waited 2 s for rain; last seen: fog");
    }
}
