//! The type of `spec.autoscaling.schedules`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Recurring time window with higher minimum replicas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.start != self.end")
    .message("spec.autoscaling.schedules[].start and end must differ"))]
pub struct Schedule {
    /// Name of the schedule, unique in the list.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("spec.autoscaling.schedules[].name must consist of lower-case letters, digits and '-', beginning and ending with a letter or digit"))]
    pub name: String,

    /// Start of the time window, as a cron expression: minute, hour, day of the month, month, day of the week.
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9A-Za-z*?/,-]+( [0-9A-Za-z*?/,-]+){4}$')")
        .message("spec.autoscaling.schedules[].start must be a cron expression of five fields: minute, hour, day of the month, month, day of the week"))]
    pub start: String,

    /// End of the time window, as a cron expression like `start`.
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9A-Za-z*?/,-]+( [0-9A-Za-z*?/,-]+){4}$')")
        .message("spec.autoscaling.schedules[].end must be a cron expression of five fields: minute, hour, day of the month, month, day of the week"))]
    pub end: String,

    /// Time zone of `start` and `end`, by its name in the IANA time zone database, such as `Europe/Berlin`.
    #[serde(default = "timezone")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$')")
        .message("spec.autoscaling.schedules[].timezone must be the name of a time zone in the IANA database"))]
    pub timezone: String,

    /// Minimum replicas from `start` to `end`.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
}

fn timezone() -> String {
    "UTC".to_owned()
}
