//! Messages of decisions.

use springtide_api::status::Limit;

use super::step::{Step, StepCause};
use crate::autoscaling::readings::{MetricKind, MetricReading};

/// Maximum number of metrics without a reading that a message names.
const MAX_NAMED: usize = 10;

/// A step of an HPA, from `from` replicas.
pub(super) fn step(step: &Step, from: i32) -> String {
    let mut text = headline(from, step.to);
    if from != step.from {
        text += &format!(", the last step from {}", step.from);
    }
    text += ": ";
    text += &match &step.cause {
        StepCause::Bounds {
            limit,
            bound,
            by_schedule,
        } => out_of_bounds(*limit, *bound, *by_schedule),
        StepCause::Readings {
            deciding,
            limit,
            missing,
        } => by_readings(step, deciding.as_ref(), *limit, missing),
    };
    text
}

/// Steps of an HPA of which only the result was observed.
pub(super) fn unobserved_steps(from: i32, to: i32) -> String {
    format!(
        "{}: by the autoscaler, in one or more steps. Its readings at the time weren't observed.",
        headline(from, to)
    )
}

/// Initial replicas for an autoscaler.
pub(super) fn initial(from: i32, to: i32) -> String {
    format!(
        "{}: an autoscaler starts with minReplicas.",
        headline(from, to)
    )
}

/// A change by `spec.replicas`.
pub(super) fn fixed(from: i32, to: i32) -> String {
    format!("{}: spec.replicas is {to}.", headline(from, to))
}

/// A change by another client, with the name of its field manager.
pub(super) fn by_other_client(from: i32, to: i32, manager: &str) -> String {
    format!(
        "{}: by {manager}, not by the autoscaler.",
        headline(from, to)
    )
}

/// Thousandths as a decimal number, rounded to one decimal.
pub(super) fn decimal(thousandths: i64) -> String {
    let tenths = thousandths.saturating_add(50).div_euclid(100);
    match (tenths / 10, tenths % 10) {
        (ones, 0) => ones.to_string(),
        (ones, tenths) => format!("{ones}.{tenths}"),
    }
}

fn headline(from: i32, to: i32) -> String {
    let direction = if to > from { "up" } else { "down" };
    format!("Scaled {direction} from {from} to {to} pods")
}

fn out_of_bounds(limit: Limit, bound: i32, by_schedule: bool) -> String {
    match limit {
        Limit::MinReplicas if by_schedule => {
            format!("a schedule in spec.autoscaling.schedules sets a minimum of {bound}.")
        }
        Limit::MinReplicas => {
            format!("below spec.autoscaling.minReplicas, which is {bound}.")
        }
        _ => format!("above spec.autoscaling.maxReplicas, which is {bound}."),
    }
}

fn by_readings(
    step: &Step,
    deciding: Option<&MetricReading>,
    limit: Option<Limit>,
    missing: &[String],
) -> String {
    let up = step.to > step.from;
    let mut text = match deciding {
        Some(metric) if up => format!("{}.", reading(metric)),
        Some(metric) => format!(
            "all signals ask for fewer pods. {} asks for the most: {}.",
            metric.kind.name(),
            reading(metric)
        ),
        None if up => "a signal is above its target.".to_owned(),
        None => "all signals are below their targets.".to_owned(),
    };
    text += match limit {
        None => "",
        Some(Limit::MinReplicas) => " minReplicas allows no fewer.",
        Some(Limit::MaxReplicas) => " maxReplicas allows no more.",
        Some(Limit::Policies) => " The policies of spec.autoscaling.behavior allow no larger step.",
        Some(Limit::StabilizationWindow) => {
            " The stabilization window of spec.autoscaling.behavior allows no larger step yet."
        }
    };
    if !missing.is_empty() {
        let named = missing
            .iter()
            .take(MAX_NAMED)
            .map(String::as_str)
            .collect::<Vec<_>>();
        text += &format!(" Without a reading: {}.", named.join(", "));
    }
    text
}

/// A reading and its target.
fn reading(metric: &MetricReading) -> String {
    let signal = match &metric.kind {
        MetricKind::Signal(signal) => *signal,
        MetricKind::Schedule(trigger) => return format!("the trigger {trigger} is active"),
        MetricKind::Other(name) => return format!("another metric, {name}, asks for it"),
    };
    let unit = signal.row().unit;
    let name = signal.as_str();
    match (metric.reading, metric.target) {
        (Some(reading), Some(target)) => format!(
            "{name} is {}{unit}, its target {}{unit}",
            decimal(reading),
            decimal(target)
        ),
        _ => format!("{name} decided"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_at_most_one_decimal() {
        for (thousandths, text) in [
            (0, "0"),
            (49, "0"),
            (50, "0.1"),
            (75_000, "75"),
            (182_449, "182.4"),
            (182_450, "182.5"),
            (99_960, "100"),
            (i64::MAX, "9223372036854775.8"),
        ] {
            assert_eq!(decimal(thousandths), text);
        }
    }
}
