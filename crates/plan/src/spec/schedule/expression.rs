//! Cron expressions and their occurrences.
//!
//! croner parses expressions and finds the next civil time. The mapping to points in time is done here, because croner
//! and KEDA treat clock changes differently. See `docs/adr/0014-schedules.md`.

use std::fmt;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp,
    civil::{self, DateTime},
    tz::TimeZone,
};

/// Maximum occurrences on a day. An HPA syncs every 15 s and removes pods over minutes. More than one occurrence per
/// hour is no schedule.
const MAX_PER_DAY: usize = 24;

/// Start of the search for an expression's civil times: a Friday, so that a weekend follows soon.
const REFERENCE: DateTime = civil::datetime(2027, 1, 1, 0, 0, 0, 0);

/// An error in a cron expression, to be read after its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExpression {
    /// The syntax is invalid.
    #[error(
        "must be a cron expression of five fields (minute, hour, day of the month, month, day of the week), such as `0 8 * * 1-5`: {0}"
    )]
    Syntax(String),
    /// KEDA doesn't support it.
    #[error("must not have L, W, # or +: list the days of the month or of the week")]
    Extension,
    /// It never occurs.
    #[error("must name a day that exists: it never occurs")]
    Never,
    /// It occurs too often.
    #[error("must occur at most {MAX_PER_DAY} times a day, such as `0 8 * * *` or `0 */2 * * *`")]
    TooOften,
}

/// A valid cron expression. Its string form has only numbers, lists and ranges, which KEDA reads alike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expression(Cron);

/// An occurrence of an expression. Two occurrences at the same moment, because the clocks skip the time between them,
/// are ordered by their civil times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Occurrence {
    /// The point in time.
    pub(crate) at: Timestamp,
    /// The civil time that the expression names.
    civil_time: DateTime,
    /// Whether the clocks skip that time. Then it counts as the moment of the clock change.
    pub(crate) is_skipped: bool,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidExpression> {
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(text)
            .map_err(|error| InvalidExpression::Syntax(error.to_string()))?;
        let pattern = &cron.pattern;
        if pattern.days.has_modifiers()
            || pattern.days_of_week.has_modifiers()
            || pattern.matches_dom_and_dow()
        {
            return Err(InvalidExpression::Extension);
        }
        let expression = Self(cron);
        if expression.never_occurs() {
            return Err(InvalidExpression::Never);
        }
        let first = expression.first().ok_or(InvalidExpression::Never)?;
        let on_that_day = std::iter::successors(Some(first), |at| expression.after(*at))
            .take_while(|at| at.date() == first.date())
            .take(MAX_PER_DAY + 1)
            .count();
        if on_that_day > MAX_PER_DAY {
            return Err(InvalidExpression::TooOften);
        }
        Ok(expression)
    }

    /// Whether none of its months has any of its days. croner would search until the end of the calendar.
    fn never_occurs(&self) -> bool {
        let pattern = &self.0.pattern;
        let needs_day = pattern.is_dow_wildcard() && !pattern.is_dom_wildcard();
        let first_day = pattern.days.values().first().copied();
        let mut longest = pattern
            .months
            .values()
            .into_iter()
            .map(|month| match month {
                2 => 29,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            });
        needs_day && longest.all(|length| first_day > Some(length))
    }

    /// The first civil time from a fixed day on.
    pub(super) fn first(&self) -> Option<DateTime> {
        self.0.find_next_occurrence(&REFERENCE, true).ok()
    }

    /// The next civil time.
    pub(super) fn after(&self, time: DateTime) -> Option<DateTime> {
        self.0.find_next_occurrence(&time, false).ok()
    }

    /// The next occurrence in a time zone. A civil time that the clocks repeat occurs twice, as in KEDA. One that they
    /// skip occurs at the clock change, unlike in KEDA. `None` at the end of the calendar, in the year 5000.
    pub(super) fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Occurrence> {
        let mut offset = zone.to_offset(now);
        let mut civil_time = self.after(offset.to_datetime(now))?;
        for change in zone.following(now) {
            let at = offset.to_timestamp(civil_time).ok()?;
            if at < change.timestamp() {
                break;
            }
            offset = change.offset();
            let resumed = offset.to_datetime(change.timestamp());
            if civil_time < resumed {
                return Some(Occurrence {
                    at: change.timestamp(),
                    civil_time,
                    is_skipped: true,
                });
            }
            civil_time = self.0.find_next_occurrence(&resumed, true).ok()?;
        }
        Some(Occurrence {
            at: offset.to_timestamp(civil_time).ok()?,
            civil_time,
            is_skipped: false,
        })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = &self.0.pattern;
        let mut days = list(&pattern.days.values(), 31);
        let mut days_of_week = list(&pattern.days_of_week.values(), 7);
        // If neither field is `*`, a day must match only one of them. So a full list and `*` differ.
        if !pattern.is_dom_wildcard()
            && !pattern.is_dow_wildcard()
            && (days == "*" || days_of_week == "*")
        {
            "*".clone_into(&mut days);
            "*".clone_into(&mut days_of_week);
        }
        write!(
            formatter,
            "{} {} {days} {} {days_of_week}",
            list(&pattern.minutes.values(), 60),
            list(&pattern.hours.values(), 24),
            list(&pattern.months.values(), 12),
        )
    }
}

/// Ascending values as a list of ranges, or `*` if all values of the field are included.
fn list(values: &[u16], all: usize) -> String {
    if values.len() == all {
        return "*".to_owned();
    }
    values
        .chunk_by(|value, next| value + 1 == *next)
        .filter_map(|run| match (run.first()?, run.last()?) {
            (first, last) if first == last => Some(first.to_string()),
            (first, last) => Some(format!("{first}-{last}")),
        })
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> Expression {
        Expression::parse(text).unwrap()
    }

    #[test]
    fn keda_gets_numbers_lists_and_ranges() {
        for (written, given) in [
            ("0 8 * * *", "0 8 * * *"),
            ("0 8 * * 1-5", "0 8 * * 1-5"),
            ("0 8 * * mon-FRI", "0 8 * * 1-5"),
            ("5,35 8 1,15 jan,MAR *", "5,35 8 1,15 1,3 *"),
            ("*/30 8 ? * ?", "0,30 8 * * *"),
            ("0 */2 * * *", "0 0,2,4,6,8,10,12,14,16,18,20,22 * * *"),
            // KEDA doesn't support 7.
            ("0 8 * * 7", "0 8 * * 0"),
            ("0 8 * * 5-7", "0 8 * * 0,5-6"),
            ("0 8 * * fri-sun", "0 8 * * 0,5-6"),
            // A day matches if either list has it. A list with every day makes it every day.
            ("0 8 1-7 * 1", "0 8 1-7 * 1"),
            ("0 8 1-31 * 1", "0 8 * * *"),
            ("0 8 1 * 0-6", "0 8 * * *"),
            ("0 8 * * 0-6", "0 8 * * *"),
            ("0 8 */10 * 1", "0 8 1,11,21,31 * 1"),
        ] {
            assert_eq!(expression(written).to_string(), given, "{written}");
        }
    }

    #[test]
    fn kedas_expression_is_equivalent() {
        for text in [
            "0 8 13 * 5",
            "0 8 */10 * 1",
            "5,35 22 1-31 feb 5-7",
            "0 0 29 2 *",
        ] {
            let (written, given) = (expression(text), expression(&expression(text).to_string()));
            let times = |expression: &Expression| {
                std::iter::successors(expression.first(), |at| expression.after(*at))
                    .take(50)
                    .collect::<Vec<_>>()
            };
            assert_eq!(times(&written), times(&given), "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, message) in [
            ("0 8 * *", "five fields"),
            ("0 0 8 * * *", "five fields"),
            ("0 8 * * 1-5 2027", "five fields"),
            ("60 8 * * *", "five fields"),
            ("0 22-6 * * *", "five fields"),
            ("0 8 32 * *", "five fields"),
            ("0 8 * * 8", "five fields"),
            ("0 8 * * moonday", "five fields"),
            ("TZ=UTC 0 8 * * *", "five fields"),
            ("", "five fields"),
            ("0 8 L * *", "L, W, # or +"),
            ("0 8 15W * *", "L, W, # or +"),
            ("0 8 * * 1#2", "L, W, # or +"),
            ("0 8 13 * +5", "L, W, # or +"),
            ("0 0 31 2 *", "never occurs"),
            ("0 0 30,31 2 *", "never occurs"),
            ("0 0 31 2,4,6,9,11 *", "never occurs"),
            ("* * * * *", "24 times a day"),
            ("*/30 * * * *", "24 times a day"),
            ("0-24 8 29 2 *", "24 times a day"),
        ] {
            let error = Expression::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn rare_and_hourly_expressions_are_valid() {
        for text in ["0 0 29 2 *", "0 * * * *", "0,30 0-11 * * *", "0-23 8 * * *"] {
            expression(text);
        }
    }
}
