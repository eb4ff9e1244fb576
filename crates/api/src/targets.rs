//! The signals that an autoscaler can follow, and their targets.
//!
//! A signal is one variant of [`Signal`] and one row of [`SIGNALS`]: the schema, the bounds, the defaults, the queries, the
//! metrics of the autoscalers and the texts of the status derive from the row.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::{Map, Value};
use springtide_contract::metrics::{
    ACTIVE_REQUESTS, OFFERED_LOAD_SECONDS_TOTAL, QUEUE_SIZE, REQUEST_LATENCY_SECONDS,
    REQUESTS_RECEIVED_TOTAL, pods,
};

/// Number of signals.
const COUNT: usize = 7;

/// Maximum target of a percentage.
const MAX_PERCENT: i32 = 1000;

/// Maximum target of a number of requests or rows.
const MAX_NUMBER: i32 = 1_000_000;

/// Maximum target of a latency: the maximum request timeout, in milliseconds.
const MAX_MILLISECONDS: i32 = 600_000;

/// Signal of the autoscaler, by the name of its field in `spec.autoscaling.targets`.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[serde(rename_all = "camelCase")]
pub enum Signal {
    /// Mean CPU utilization.
    CpuUtilizationPercent,
    /// Mean memory utilization.
    MemoryUtilizationPercent,
    /// Arriving requests.
    RequestsPerSecond,
    /// Queued rows.
    QueueSize,
    /// 95th percentile of the latency.
    P95LatencyMilliseconds,
    /// Requests that were accepted and not yet answered.
    Concurrency,
    /// Offered load.
    LoadPercent,
}

/// The row of a signal.
#[derive(Debug)]
pub struct SignalRow {
    /// The signal.
    pub signal: Signal,
    /// Name of its field in `spec.autoscaling.targets`.
    pub field: &'static str,
    /// Description of the field.
    pub description: &'static str,
    /// Maximum target. The minimum is 1.
    pub max_target: i32,
    /// Its unit in messages, with a leading blank.
    pub unit: &'static str,
    /// Its target if the spec sets no target.
    pub default: DefaultTarget,
    /// Source of its readings.
    pub source: Source,
}

/// The target of a signal if the spec sets no target.
#[derive(Debug, Clone, Copy)]
pub enum DefaultTarget {
    /// The signal isn't followed.
    None,
    /// This target with every engine.
    AnyEngine(i32),
    /// This target with `engine: KEDA`.
    Keda(i32),
}

/// Source of the readings of a signal.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// From metrics-server: mean utilization of a resource (`cpu`, `memory`), in percent of the request.
    Resource(&'static str),
    /// From the server's own metrics.
    Server(ServerMetric),
}

/// How a signal is read from the server's metrics.
#[derive(Debug, Clone, Copy)]
pub struct ServerMetric {
    /// Name of the Pods metric in the custom metrics API, in the unit of the target.
    pub pods_metric: &'static str,
    /// The expression of its query.
    pub reading: Reading,
}

/// The expression of a query of the server's metrics.
#[derive(Debug, Clone, Copy)]
pub enum Reading {
    /// Growth per second of a counter, summed over the pods.
    Rate {
        /// The counter.
        counter: &'static str,
        /// Factor of the growth.
        factor: u32,
    },
    /// The latest value of a gauge, summed over the pods.
    Latest {
        /// The gauge.
        gauge: &'static str,
    },
    /// The mean of a gauge over the window, summed over the pods: a gauge that every request moves.
    Mean {
        /// The gauge.
        gauge: &'static str,
    },
    /// 95th percentile of a histogram of seconds, in milliseconds, over all pods: it doesn't grow with their number.
    P95Milliseconds {
        /// The histogram.
        histogram: &'static str,
    },
}

impl Reading {
    /// Whether the reading is a sum over the pods, which is compared with the target of each, and not one number for all.
    #[must_use]
    pub const fn is_sum(self) -> bool {
        !matches!(self, Self::P95Milliseconds { .. })
    }
}

/// The table of signals, in the order of [`Signal`]'s variants.
pub const SIGNALS: [SignalRow; COUNT] = [
    SignalRow {
        signal: Signal::CpuUtilizationPercent,
        field: "cpuUtilizationPercent",
        description: "Target for the mean CPU utilization, as a percentage of the request.",
        max_target: MAX_PERCENT,
        unit: " %",
        default: DefaultTarget::AnyEngine(70),
        source: Source::Resource("cpu"),
    },
    SignalRow {
        signal: Signal::MemoryUtilizationPercent,
        field: "memoryUtilizationPercent",
        description: "Target for the mean memory utilization, as a percentage of the request.",
        max_target: MAX_PERCENT,
        unit: " %",
        default: DefaultTarget::AnyEngine(80),
        source: Source::Resource("memory"),
    },
    SignalRow {
        signal: Signal::RequestsPerSecond,
        field: "requestsPerSecond",
        description: "Target for the requests that arrive per second and pod.",
        max_target: MAX_NUMBER,
        unit: " per pod",
        default: DefaultTarget::Keda(100),
        source: Source::Server(ServerMetric {
            pods_metric: pods::REQUESTS_PER_SECOND,
            reading: Reading::Rate {
                counter: REQUESTS_RECEIVED_TOTAL,
                factor: 1,
            },
        }),
    },
    SignalRow {
        signal: Signal::QueueSize,
        field: "queueSize",
        description: "Target for the rows in the queue, per pod.",
        max_target: MAX_NUMBER,
        unit: " rows per pod",
        default: DefaultTarget::Keda(20),
        source: Source::Server(ServerMetric {
            pods_metric: pods::QUEUE_SIZE,
            reading: Reading::Latest { gauge: QUEUE_SIZE },
        }),
    },
    SignalRow {
        signal: Signal::P95LatencyMilliseconds,
        field: "p95LatencyMilliseconds",
        description: "Target for the 95th percentile of the latency, in milliseconds. With KEDA it is that of all pods \
                      together, with an HPA the mean of the values of the pods.",
        max_target: MAX_MILLISECONDS,
        unit: " ms",
        default: DefaultTarget::Keda(500),
        source: Source::Server(ServerMetric {
            pods_metric: pods::P95_LATENCY_MILLISECONDS,
            reading: Reading::P95Milliseconds {
                histogram: REQUEST_LATENCY_SECONDS,
            },
        }),
    },
    SignalRow {
        signal: Signal::Concurrency,
        field: "concurrency",
        description: "Target for the requests that are accepted and not yet answered, per pod.",
        max_target: MAX_NUMBER,
        unit: " requests per pod",
        default: DefaultTarget::None,
        source: Source::Server(ServerMetric {
            pods_metric: pods::CONCURRENCY,
            reading: Reading::Mean {
                gauge: ACTIVE_REQUESTS,
            },
        }),
    },
    SignalRow {
        signal: Signal::LoadPercent,
        field: "loadPercent",
        description: "Target for the work that arrives, as a percentage of the measured capacity of a pod at full \
                      batches. Above 100, a pod falls behind. It needs no tuning for a model. Recommended: 75.",
        max_target: MAX_PERCENT,
        unit: " %",
        default: DefaultTarget::None,
        source: Source::Server(ServerMetric {
            pods_metric: pods::LOAD_PERCENT,
            reading: Reading::Rate {
                counter: OFFERED_LOAD_SECONDS_TOTAL,
                factor: 100,
            },
        }),
    },
];

impl Signal {
    /// All signals, in the order of [`SIGNALS`].
    pub const ALL: [Self; COUNT] = {
        let mut all = [Self::CpuUtilizationPercent; COUNT];
        let mut place = 0;
        while place < COUNT {
            all[place] = SIGNALS[place].signal;
            place += 1;
        }
        all
    };

    /// The serving signals.
    pub fn of_server() -> impl Iterator<Item = Self> {
        let signals = Self::ALL.into_iter();
        signals.filter(|signal| signal.server_metric().is_some())
    }

    /// Its row.
    #[must_use]
    pub const fn row(self) -> &'static SignalRow {
        &SIGNALS[self as usize]
    }

    /// The field's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().field
    }

    /// The signal whose field has a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == name)
    }

    /// How it is read from the server's metrics, if it is a serving signal.
    #[must_use]
    pub const fn server_metric(self) -> Option<&'static ServerMetric> {
        match &self.row().source {
            Source::Server(metric) => Some(metric),
            Source::Resource(_) => None,
        }
    }

    /// Name of its Pods metric in the custom metrics API, if there is one.
    #[must_use]
    pub const fn pods_metric(self) -> Option<&'static str> {
        match self.server_metric() {
            Some(metric) => Some(metric.pods_metric),
            None => None,
        }
    }

    /// The resource whose utilization it is, if any.
    #[must_use]
    pub const fn resource(self) -> Option<&'static str> {
        match self.row().source {
            Source::Resource(resource) => Some(resource),
            Source::Server(_) => None,
        }
    }
}

/// Target values of the signals, each in the unit of its field. The autoscaler follows only the targets that are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets([Option<i32>; COUNT]);

impl Targets {
    /// The targets if the spec sets none.
    #[must_use]
    pub fn defaults(has_keda: bool) -> Self {
        Self(SIGNALS.each_ref().map(|row| match row.default {
            DefaultTarget::AnyEngine(target) => Some(target),
            DefaultTarget::Keda(target) if has_keda => Some(target),
            DefaultTarget::Keda(_) | DefaultTarget::None => None,
        }))
    }

    /// The target of a signal.
    #[must_use]
    pub const fn of(&self, signal: Signal) -> Option<i32> {
        self.0[signal as usize]
    }

    /// The signals with a target, and their targets, in the order of [`SIGNALS`].
    pub fn iter(&self) -> impl Iterator<Item = (Signal, i32)> {
        Signal::ALL
            .into_iter()
            .filter_map(|signal| Some((signal, self.of(signal)?)))
    }

    /// These targets with a further one.
    #[must_use]
    pub const fn with(mut self, signal: Signal, target: i32) -> Self {
        self.0[signal as usize] = Some(target);
        self
    }

    /// These targets without one.
    #[must_use]
    pub const fn without(mut self, signal: Signal) -> Self {
        self.0[signal as usize] = None;
        self
    }
}

impl Serialize for Targets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (signal, target) in self.iter() {
            map.serialize_entry(signal.as_str(), &target)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Targets;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of targets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Targets, A::Error> {
                let mut targets = Targets::default();
                while let Some(name) = map.next_key::<Cow<'_, str>>()? {
                    match Signal::named(&name) {
                        Some(signal) => targets.0[signal as usize] = map.next_value()?,
                        // As in every other object: a newer definition may know more fields.
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(targets)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl JsonSchema for Targets {
    fn schema_name() -> Cow<'static, str> {
        "Targets".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let properties: Map<String, Value> = SIGNALS
            .iter()
            .map(|row| {
                let property = json_schema!({
                    "type": ["integer", "null"],
                    "format": "int32",
                    "description": row.description,
                    "minimum": 1,
                    "maximum": row.max_target,
                });
                (row.field.to_owned(), property.to_value())
            })
            .collect();
        json_schema!({"type": "object", "properties": properties})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_row_stands_at_its_signal_and_has_the_name_of_its_field() {
        for (place, row) in SIGNALS.iter().enumerate() {
            assert_eq!(row.signal as usize, place, "{}", row.field);
            assert_eq!(serde_json::to_value(row.signal).unwrap(), row.field);
        }
    }

    #[test]
    fn targets_are_read_by_name_and_written_where_they_are_set() {
        let read = |value| serde_json::from_value::<Targets>(value);
        let targets =
            read(json!({"queueSize": 7, "loadPercent": null, "later": {"a": 1}})).unwrap();
        assert_eq!(targets, Targets::default().with(Signal::QueueSize, 7));
        assert_eq!(
            serde_json::to_value(targets).unwrap(),
            json!({"queueSize": 7})
        );
        for wrong in [
            json!([]),
            json!({"queueSize": "7"}),
            json!({"queueSize": 1e12}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
