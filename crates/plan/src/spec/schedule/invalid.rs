//! What can be wrong with schedules.

use jiff::civil::DateTime;

use super::expression::InvalidExpression;

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidSchedule {
    /// The field, with its path.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field of a schedule, to be read after the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Two have the same name.
    #[error("must be unique: an earlier schedule has the same name")]
    NameTaken,
    /// There is no such time zone.
    #[error(
        "must be the name of a time zone in the IANA database, such as `Europe/Berlin` or `UTC`"
    )]
    UnknownZone,
    /// A cron expression is wrong.
    #[error(transparent)]
    Expression(#[from] InvalidExpression),
    /// It begins twice before it ends, or ends twice before it begins.
    #[error(
        "occurs twice in a row ({} and {}): start and end must alternate, so use the same days for both",
        time(first),
        time(second)
    )]
    NotAlternating {
        /// Once.
        first: DateTime,
        /// And once more.
        second: DateTime,
    },
    /// It begins when it ends.
    #[error("occurs at the same time as start ({}): choose a later time", time(.0))]
    SameTime(DateTime),
}

fn time(time: &DateTime) -> String {
    time.strftime("%A, %Y-%m-%d %H:%M").to_string()
}
