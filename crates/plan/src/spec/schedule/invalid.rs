//! Errors in schedules.

use jiff::civil::DateTime;

use super::expression::InvalidExpression;

/// An error in a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidSchedule {
    /// The field, with its path.
    pub field: String,
    /// The problem.
    pub problem: Problem,
}

/// A problem of a field of a schedule, to be read after the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Two schedules have the same name.
    #[error("must be unique: an earlier schedule has the same name")]
    NameTaken,
    /// The time zone is unknown.
    #[error(
        "must be the name of a time zone in the IANA database, such as `Europe/Berlin` or `UTC`"
    )]
    UnknownZone,
    /// The cron expression is invalid.
    #[error(transparent)]
    Expression(#[from] InvalidExpression),
    /// Two starts without an end between them, or two ends without a start.
    #[error(
        "occurs twice in a row ({} and {}): start and end must alternate, so use the same days for both",
        time(first),
        time(second)
    )]
    NotAlternating {
        /// The first occurrence.
        first: DateTime,
        /// The second occurrence.
        second: DateTime,
    },
    /// Start and end occur at the same time.
    #[error("occurs at the same time as start ({}): choose a later time", time(.0))]
    SameTime(DateTime),
}

fn time(time: &DateTime) -> String {
    time.strftime("%A, %Y-%m-%d %H:%M").to_string()
}
