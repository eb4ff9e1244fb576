//! Rate limit of scrapes.

use std::time::{Duration, Instant};

use axum::body::Bytes;

/// Maximum number of consecutive scrapes with fresh metrics: more than Prometheus servers and people send.
const BURST: u32 = 50;

/// Interval of fresh metrics after the burst. A text takes about 0.2 ms to write. A client can request thousands
/// per second with a few bytes each, which would keep a CPU busy.
const REFILL_INTERVAL: Duration = Duration::from_millis(20);

/// A token bucket: the last text, and the number of new texts that may be written.
#[derive(Debug)]
pub(super) struct ScrapeLimit {
    tokens: u32,
    refilled_at: Instant,
    text: Bytes,
}

impl ScrapeLimit {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            refilled_at: now,
            text: Bytes::new(),
        }
    }

    /// A new text. The last one, which is at most a few [`REFILL_INTERVAL`] old, if there were too many scrapes.
    pub(super) fn text<E>(
        &mut self,
        now: Instant,
        write: impl FnOnce() -> Result<String, E>,
    ) -> Result<Bytes, E> {
        let refilled =
            now.saturating_duration_since(self.refilled_at).as_nanos() / REFILL_INTERVAL.as_nanos();
        if refilled > 0 {
            let refilled = u32::try_from(refilled).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(refilled).min(BURST);
            self.refilled_at = now;
        }
        if self.tokens > 0 {
            self.text = write()?.into();
            self.tokens -= 1;
        }
        Ok(self.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Which of the texts that were ever written these many scrapes get at a time.
    fn scrape(scrapes: &mut ScrapeLimit, now: Instant, count: u32, written: &mut u32) -> Vec<u32> {
        let texts = (0..count).map(|_| {
            let text = scrapes.text(now, || {
                *written += 1;
                Ok::<_, Infallible>(written.to_string())
            });
            let Ok(text) = text;
            str::from_utf8(&text).unwrap().parse().unwrap()
        });
        texts.collect()
    }

    #[test]
    fn each_scrape_has_a_text_of_its_own_but_in_a_flood() {
        let start = Instant::now();
        let (mut scrapes, mut written) = (ScrapeLimit::new(start), 0);
        let first = scrape(&mut scrapes, start, BURST, &mut written);
        assert_eq!(first, (1..=BURST).collect::<Vec<_>>());
        assert_eq!(scrape(&mut scrapes, start, 3, &mut written), [BURST; 3]);
        let next = scrape(&mut scrapes, start + REFILL_INTERVAL, 3, &mut written);
        assert_eq!(next, [BURST + 1; 3]);
        // However long there was none.
        let later = start + 1_000 * REFILL_INTERVAL;
        scrape(&mut scrapes, later, 3 * BURST, &mut written);
        assert_eq!(written, 2 * BURST + 1);
    }

    #[test]
    fn what_could_not_be_written_is_written_again() {
        let start = Instant::now();
        let mut scrapes = ScrapeLimit::new(start);
        for _ in 0..2 * BURST {
            assert!(scrapes.text(start, || Err(())).is_err());
        }
        let text = scrapes.text(start, || Ok::<_, ()>("all".to_owned()));
        assert_eq!(text, Ok(Bytes::from("all")));
    }
}
