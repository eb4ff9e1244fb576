//! How often the metrics are written for those who ask.

use std::time::{Duration, Instant};

use axum::body::Bytes;

/// How many scrapes in a row have the metrics of their own instant: more than any number of Prometheus
/// servers and people make.
const BURST: u32 = 50;

/// From then on there is a new text so often. Writing one takes about 0.2 ms, and thousands of them a second,
/// which a client can ask for with a few bytes each, would take a processor from the requests.
const EVERY: Duration = Duration::from_millis(20);

/// The text that was written last, and how many new ones may be written.
#[derive(Debug)]
pub(super) struct Scrapes {
    left: u32,
    since: Instant,
    text: Bytes,
}

impl Scrapes {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
            text: Bytes::new(),
        }
    }

    /// A new text, or the last one where there were too many: it is a few [`EVERY`] old at most.
    pub(super) fn text<E>(
        &mut self,
        now: Instant,
        write: impl FnOnce() -> Result<String, E>,
    ) -> Result<Bytes, E> {
        let earned = now.saturating_duration_since(self.since).as_nanos() / EVERY.as_nanos();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(BURST);
            self.since = now;
        }
        if self.left > 0 {
            self.text = write()?.into();
            self.left -= 1;
        }
        Ok(self.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Which of the texts that were ever written these many scrapes get at a time.
    fn scrape(scrapes: &mut Scrapes, now: Instant, count: u32, written: &mut u32) -> Vec<u32> {
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
        let (mut scrapes, mut written) = (Scrapes::new(start), 0);
        let first = scrape(&mut scrapes, start, BURST, &mut written);
        assert_eq!(first, (1..=BURST).collect::<Vec<_>>());
        assert_eq!(scrape(&mut scrapes, start, 3, &mut written), [BURST; 3]);
        let next = scrape(&mut scrapes, start + EVERY, 3, &mut written);
        assert_eq!(next, [BURST + 1; 3]);
        // However long there was none.
        let later = start + 1_000 * EVERY;
        scrape(&mut scrapes, later, 3 * BURST, &mut written);
        assert_eq!(written, 2 * BURST + 1);
    }

    #[test]
    fn what_could_not_be_written_is_written_again() {
        let start = Instant::now();
        let mut scrapes = Scrapes::new(start);
        for _ in 0..2 * BURST {
            assert!(scrapes.text(start, || Err(())).is_err());
        }
        let text = scrapes.text(start, || Ok::<_, ()>("all".to_owned()));
        assert_eq!(text, Ok(Bytes::from("all")));
    }
}
