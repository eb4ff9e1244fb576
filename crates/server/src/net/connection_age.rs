//! How old connections get.

use std::time::Duration;

/// Part of the greatest age that every connection reaches; the rest is up to chance.
const SHARE_OF_ALL: f64 = 2.0 / 3.0;

/// Draws the age at which the client of each connection is asked to reconnect.
#[derive(Debug)]
pub(super) struct ConnectionAges {
    greatest: Option<Duration>,
    random: fastrand::Rng,
}

impl ConnectionAges {
    pub(super) const fn new(greatest: Option<Duration>, random: fastrand::Rng) -> Self {
        Self { greatest, random }
    }

    /// The age of the next connection.
    pub(super) fn draw(&mut self) -> Option<Duration> {
        let share = SHARE_OF_ALL + (1.0 - SHARE_OF_ALL) * self.random.f64();
        self.greatest.map(|greatest| greatest.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_spread_evenly_between_two_thirds_and_the_whole() {
        let mut ages =
            ConnectionAges::new(Some(Duration::from_secs(30)), fastrand::Rng::with_seed(7));
        let mut seconds: Vec<_> = (0..3_000)
            .filter_map(|_connection| Some(ages.draw()?.as_secs_f64()))
            .collect();
        seconds.sort_by(f64::total_cmp);
        assert_eq!(seconds.len(), 3_000);
        for (index, expected) in [
            (0, 20.0),
            (749, 22.5),
            (1_499, 25.0),
            (2_249, 27.5),
            (2_999, 30.0),
        ] {
            let found = seconds[index];
            assert!((found - expected).abs() < 0.5, "{found}, not {expected}");
        }
        assert!(seconds[0] >= 20.0 && seconds[2_999] <= 30.0);
    }

    #[test]
    fn without_a_greatest_age_there_is_none() {
        assert_eq!(
            ConnectionAges::new(None, fastrand::Rng::with_seed(7)).draw(),
            None
        );
    }
}
