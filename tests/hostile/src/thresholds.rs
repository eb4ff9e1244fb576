//! The thresholds of a server under attack.

use std::time::Duration;

use crate::server::End;

/// Minimum of the 99th percentile without an attack. Lower values depend on the machine's scheduler.
const QUIET_FLOOR: Duration = Duration::from_millis(5);

/// Maximum time of a probe.
const PROBE: Duration = Duration::from_secs(1);

/// Minimum rate of clients beside held connections, in percent of that without an attack.
const KEPT_PERCENT: f64 = 50.0;

/// The results of well-behaved clients and probes in one phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    /// Responses with the correct class.
    pub(crate) right: u64,
    /// Responses with 200 and another class.
    pub(crate) wrong: u64,
    /// Responses with another status, except 429.
    pub(crate) failed: u64,
    /// Requests without a response.
    pub(crate) unanswered: u64,
    /// 99th percentile of the time from the due time of a request to its response.
    pub(crate) p99: Duration,
    /// Probes without a response of 200.
    pub(crate) lost_probes: u64,
    /// Maximum time of a probe.
    pub(crate) longest_probe: Duration,
}

/// The results of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) quiet: Summary,
    pub(crate) attacked: Summary,
    pub(crate) after: Summary,
    /// At the maximum rate, alone and beside held connections.
    pub(crate) alone: Summary,
    pub(crate) crowded: Summary,
    /// The second rate in percent of the first.
    pub(crate) kept_percent: f64,
    /// Median number of connections that attackers held.
    pub(crate) held: u64,
    /// Maximum memory of the server in bytes. `None` if it has ended.
    pub(crate) peak_memory: Option<u64>,
    pub(crate) end: End,
    pub(crate) panics: u64,
    /// Hostile bodies and connections that the server received.
    pub(crate) bodies: u64,
    pub(crate) connections: u64,
}

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Limit of the server's memory, in bytes.
    pub(crate) memory: u64,
    /// Required numbers of hostile bodies and connections.
    pub(crate) bodies: u64,
    pub(crate) connections: u64,
    /// Required number of held connections.
    pub(crate) held: u64,
    /// Maximum ratio of the 99th percentile under attack to that without one.
    pub(crate) times_quiet: u32,
}

/// A threshold, and whether it was met.
#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    pub(crate) name: &'static str,
    pub(crate) measured: String,
    pub(crate) bound: String,
    pub(crate) held: bool,
}

/// All thresholds.
pub(crate) fn thresholds(outcome: &Outcome, bounds: &Bounds) -> Vec<Threshold> {
    let phases = [
        outcome.quiet,
        outcome.attacked,
        outcome.after,
        outcome.alone,
        outcome.crowded,
    ];
    let total = |of: fn(&Summary) -> u64| phases.iter().map(of).sum::<u64>();
    let none = |name, measured: u64| Threshold {
        name,
        measured: measured.to_string(),
        bound: "none".to_owned(),
        held: measured == 0,
    };
    let reached = |name, measured: u64, asked: u64| Threshold {
        name,
        measured: measured.to_string(),
        bound: format!("at least {asked} in time"),
        held: measured >= asked,
    };
    let under = |name, measured: Duration, bound: Duration| Threshold {
        name,
        measured: milliseconds(measured),
        bound: format!("under {}", milliseconds(bound)),
        held: measured < bound,
    };
    let p99 = outcome.quiet.p99.max(QUIET_FLOOR) * bounds.times_quiet;
    let probe = phases.iter().map(|phase| phase.longest_probe).max();
    let served = phases.iter().map(|phase| phase.right).min().unwrap_or(0);
    vec![
        Threshold {
            name: "server",
            measured: format!("{:?}", outcome.end).to_lowercase(),
            bound: "alive, the same process".to_owned(),
            held: outcome.end == End::Alive,
        },
        none("panics in its log", outcome.panics),
        Threshold {
            name: "most memory",
            measured: outcome
                .peak_memory
                .map_or_else(|| "unknown".to_owned(), mebibytes),
            bound: format!("under {}", mebibytes(bounds.memory)),
            held: outcome.peak_memory.is_some_and(|peak| peak < bounds.memory),
        },
        reached("minimum right answers of a phase", served, 1),
        none("answers with a wrong class", total(|phase| phase.wrong)),
        none("answers but 200 and 429", total(|phase| phase.failed)),
        none(
            "requests without an answer",
            total(|phase| phase.unanswered),
        ),
        under("p99 beside the attack", outcome.attacked.p99, p99),
        Threshold {
            name: "connections held",
            measured: outcome.held.to_string(),
            bound: format!("at least {}", bounds.held),
            held: outcome.held >= bounds.held,
        },
        Threshold {
            name: "rate kept beside them",
            measured: format!("{:.0} %", outcome.kept_percent),
            bound: format!("at least {KEPT_PERCENT} %"),
            held: outcome.kept_percent >= KEPT_PERCENT,
        },
        none("probes without 200", total(|phase| phase.lost_probes)),
        under("longest probe", probe.unwrap_or(Duration::MAX), PROBE),
        reached("hostile bodies", outcome.bodies, bounds.bodies),
        reached(
            "hostile connections",
            outcome.connections,
            bounds.connections,
        ),
    ]
}

/// The name in tables.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: Summary = Summary {
        right: 100,
        wrong: 0,
        failed: 0,
        unanswered: 0,
        p99: Duration::from_millis(2),
        lost_probes: 0,
        longest_probe: Duration::from_millis(3),
    };

    const HELD: Outcome = Outcome {
        quiet: SUMMARY,
        attacked: SUMMARY,
        after: SUMMARY,
        alone: SUMMARY,
        crowded: SUMMARY,
        kept_percent: 50.0,
        held: 90,
        peak_memory: Some(100),
        end: End::Alive,
        panics: 0,
        bodies: 10,
        connections: 10,
    };

    fn failed(change: impl Fn(&mut Outcome)) -> Vec<&'static str> {
        let bounds = Bounds {
            memory: 1_000,
            bodies: 10,
            connections: 10,
            held: 90,
            times_quiet: 10,
        };
        let mut outcome = HELD;
        change(&mut outcome);
        let thresholds = thresholds(&outcome, &bounds);
        thresholds
            .iter()
            .filter(|threshold| !threshold.held)
            .map(|threshold| threshold.name)
            .collect()
    }

    #[test]
    fn each_bar_fails_alone_for_its_own_reason() {
        assert!(failed(|_| ()).is_empty());
        let second = Duration::from_secs(1);
        assert_eq!(failed(|it| it.end = End::Gone), ["server"]);
        assert_eq!(failed(|it| it.panics = 1), ["panics in its log"]);
        assert_eq!(failed(|it| it.peak_memory = Some(1_000)), ["most memory"]);
        assert_eq!(failed(|it| it.peak_memory = None), ["most memory"]);
        let name = "minimum right answers of a phase";
        assert_eq!(failed(|it| it.after.right = 0), [name]);
        assert_eq!(
            failed(|it| it.attacked.wrong = 1),
            ["answers with a wrong class"]
        );
        assert_eq!(
            failed(|it| it.quiet.failed = 1),
            ["answers but 200 and 429"]
        );
        assert_eq!(
            failed(|it| it.after.unanswered = 1),
            ["requests without an answer"]
        );
        assert_eq!(
            failed(|it| it.attacked.lost_probes = 1),
            ["probes without 200"]
        );
        assert_eq!(
            failed(|it| it.attacked.longest_probe = second),
            ["longest probe"]
        );
        assert_eq!(
            failed(|it| it.crowded.lost_probes = 1),
            ["probes without 200"]
        );
        assert_eq!(failed(|it| it.held = 89), ["connections held"]);
        let rate = ["rate kept beside them"];
        assert_eq!(failed(|it| it.kept_percent = 49.9), rate);
        assert_eq!(failed(|it| it.kept_percent = f64::NAN), rate);
        assert_eq!(failed(|it| it.bodies = 9), ["hostile bodies"]);
        assert_eq!(failed(|it| it.connections = 9), ["hostile connections"]);
    }

    #[test]
    fn the_percentile_may_be_less_than_ten_times_the_quiet_one_and_that_counts_at_least_5_ms() {
        let ms = Duration::from_millis;
        let p99 = |quiet, attacked| {
            failed(|it| (it.quiet.p99, it.attacked.p99) = (ms(quiet), ms(attacked)))
        };
        assert!(p99(1, 49).is_empty());
        assert_eq!(p99(1, 50), ["p99 beside the attack"]);
        assert!(p99(20, 199).is_empty());
        assert_eq!(p99(20, 200), ["p99 beside the attack"]);
    }
}
