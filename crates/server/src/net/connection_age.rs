//! The ages at which connections are replaced.

use std::time::Duration;

/// Minimum age of a connection as a share of the maximum age. The rest is random, so that connections that
/// were opened together don't end together.
const MINIMUM_SHARE: f64 = 2.0 / 3.0;

/// Draws the age at which the client of each connection is asked to reconnect.
#[derive(Debug)]
pub(super) struct ConnectionAges {
    maximum: Option<Duration>,
    random: fastrand::Rng,
}

impl ConnectionAges {
    pub(super) const fn new(maximum: Option<Duration>, random: fastrand::Rng) -> Self {
        Self { maximum, random }
    }

    /// The age of the next connection. None: it has no limit.
    pub(super) fn draw(&mut self) -> Option<Duration> {
        let share = MINIMUM_SHARE + (1.0 - MINIMUM_SHARE) * self.random.f64();
        self.maximum.map(|maximum| maximum.mul_f64(share))
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
    fn without_a_maximum_age_there_is_none() {
        assert_eq!(
            ConnectionAges::new(None, fastrand::Rng::with_seed(7)).draw(),
            None
        );
    }
}
