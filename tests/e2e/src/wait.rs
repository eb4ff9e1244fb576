//! Waiting with a bound, and with words for what was waited for and what was seen instead.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// Time between two looks: short against the seconds that are measured, long for the API server.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// One look at what is waited for.
#[derive(Debug)]
pub enum Look<T> {
    /// It is there.
    Seen(T),
    /// It is not yet; in words, what is there instead.
    NotYet(String),
}

impl Look<()> {
    /// A look at something that is either so or not; `instead` says what is there when it is not.
    pub fn at(so: bool, instead: impl FnOnce() -> String) -> Self {
        if so {
            Self::Seen(())
        } else {
            Self::NotYet(instead())
        }
    }
}

/// What was waited for, and how long it took.
#[derive(Debug)]
pub struct Waited<T> {
    /// What was seen.
    pub value: T,
    /// Time from the first look.
    pub after: Duration,
}

impl<T> Waited<T> {
    /// The time in seconds, as it is printed.
    #[must_use]
    pub fn seconds(&self) -> String {
        format!("{:.1} s", self.after.as_secs_f64())
    }
}

/// Looks until `what` is seen. An error of a look counts as not seen yet: connections and API
/// servers have hiccups, and a lasting one ends at `limit`, with the error's text.
///
/// # Errors
///
/// When `limit` is over; the text has `what` and the last look.
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
