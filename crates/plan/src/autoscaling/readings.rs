//! The readings of a HorizontalPodAutoscaler for each metric that it follows.
//!
//! Its status has an entry for each metric of its spec, in the same order. The type of an entry is empty if there is no
//! reading. There are no entries after a sync in which the HPA only restored its bounds, because it then reads no
//! metrics (`computeReplicasForMetrics` and `reconcileAutoscaler` of
//! <https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/controller/podautoscaler/horizontal.go>).

use k8s_openapi::{
    api::autoscaling::v2::{
        HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use springtide_api::targets::Signal;

use crate::{
    keda::{ScaledObject, Trigger},
    observed::foreign_status::hpa_condition,
};

/// A metric that an HPA follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricReading {
    /// The kind of the metric.
    pub(crate) kind: MetricKind,
    /// The API from which the HPA reads it.
    pub(crate) source: MetricsApi,
    /// The reading of the last sync, in thousandths of the signal's unit. It is per pod, except for metrics that don't
    /// grow with the number of pods.
    pub(crate) reading: Option<i64>,
    /// The target, in thousandths of the signal's unit.
    pub(crate) target: Option<i64>,
    /// The name of the metric in the HPA's own messages.
    name_in_messages: String,
    /// Whether the reading is a sum over all pods, divided by their number.
    is_share_of_sum: bool,
}

/// The kind of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetricKind {
    /// A signal of `spec.autoscaling.targets`.
    Signal(Signal),
    /// A cron trigger of KEDA, by its name.
    Schedule(String),
    /// A metric that another client added, by its name.
    Other(String),
}

/// The API from which an HPA reads a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MetricsApi {
    /// `metrics.k8s.io`: metrics-server.
    Resource,
    /// `custom.metrics.k8s.io`: an adapter, such as prometheus-adapter.
    Custom,
    /// `external.metrics.k8s.io`: KEDA.
    External,
}

impl MetricKind {
    /// Its name for messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Signal(signal) => signal.as_str(),
            Self::Schedule(name) | Self::Other(name) => name,
        }
    }
}

impl MetricReading {
    /// The replicas that the metric asks for, given the present number of ready pods. Unready pods and the tolerance
    /// are ignored.
    pub(crate) fn replicas_for(&self, pods: i32) -> Option<i64> {
        let (reading, target) = (i128::from(self.reading?), i128::from(self.target?));
        let pods = i128::from(pods);
        if target <= 0 {
            return None;
        }
        let sum = reading * pods;
        // The share of a sum is rounded up to a thousandth. That must not ask for one more pod.
        let sum = if self.is_share_of_sum {
            (sum - pods).max(0)
        } else {
            sum
        };
        i64::try_from((sum + target - 1) / target).ok()
    }
}

/// The metrics that an HPA follows, in the order of its spec. `scaled_object` is the owner of the HPA if KEDA created
/// it.
pub(crate) fn followed(
    hpa: &HorizontalPodAutoscaler,
    scaled_object: Option<&ScaledObject>,
) -> Vec<MetricReading> {
    let specs = specs(hpa);
    let metrics = current_metrics(hpa).filter(|metrics| metrics.len() == specs.len());
    specs
        .iter()
        .enumerate()
        .filter_map(|(index, spec)| {
            let status = metrics.and_then(|metrics| metrics.get(index));
            parse(spec, status, scaled_object)
        })
        .collect()
}

/// Whether the HPA read its metrics in its last sync.
pub(crate) fn has_read(hpa: &HorizontalPodAutoscaler) -> bool {
    current_metrics(hpa).is_some_and(|metrics| !metrics.is_empty())
}

/// The metric that asked for the most pods in the HPA's last sync. The HPA names it, and has considered unready pods.
pub(crate) fn deciding<'a>(
    hpa: &HorizontalPodAutoscaler,
    followed: &'a [MetricReading],
) -> Option<&'a MetricReading> {
    const PREFACE: &str = "calculate a replica count from ";
    let message = hpa_condition(hpa, "ScalingActive")
        .filter(|active| active.status == "True")?
        .message
        .as_deref()?;
    let (_, name) = message.split_once(PREFACE)?;
    followed.iter().find(|metric| {
        let rest = name.strip_prefix(&metric.name_in_messages);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '(']))
    })
}

/// The metrics without a reading in the HPA's last sync.
pub(crate) fn missing(followed: &[MetricReading]) -> impl Iterator<Item = &MetricReading> {
    followed.iter().filter(|metric| metric.reading.is_none())
}

/// The kind of the trigger with this metric name of KEDA: `s<index>-<…>` (`GenerateMetricNameWithIndex` of
/// <https://github.com/kedacore/keda/blob/v2.21.0/pkg/scalers/scaler.go>).
pub(crate) fn kind_of_keda_metric(
    metric: &str,
    scaled_object: Option<&ScaledObject>,
) -> MetricKind {
    let trigger = || -> Option<&Trigger> {
        let (index, _) = metric.strip_prefix('s')?.split_once('-')?;
        scaled_object?
            .spec
            .triggers
            .get(index.parse::<usize>().ok()?)
    };
    let Some(trigger) = trigger() else {
        return MetricKind::Other(metric.to_owned());
    };
    let name = trigger.name.as_deref().unwrap_or(metric);
    if trigger.kind == "cron" {
        return MetricKind::Schedule(name.to_owned());
    }
    Signal::named(name).map_or_else(|| MetricKind::Other(name.to_owned()), MetricKind::Signal)
}

/// The signal with this `name`, or else another client's metric.
fn kind_by_name(name: &str, name_of: impl Fn(Signal) -> Option<&'static str>) -> MetricKind {
    let is_named = |signal: &Signal| name_of(*signal) == Some(name);
    Signal::ALL
        .into_iter()
        .find(is_named)
        .map_or_else(|| MetricKind::Other(name.to_owned()), MetricKind::Signal)
}

fn specs(hpa: &HorizontalPodAutoscaler) -> &[MetricSpec] {
    hpa.spec
        .as_ref()
        .and_then(|spec| spec.metrics.as_deref())
        .unwrap_or_default()
}

fn current_metrics(hpa: &HorizontalPodAutoscaler) -> Option<&[MetricStatus]> {
    hpa.status.as_ref()?.current_metrics.as_deref()
}

fn parse(
    spec: &MetricSpec,
    status: Option<&MetricStatus>,
    scaled_object: Option<&ScaledObject>,
) -> Option<MetricReading> {
    let of_pods = spec
        .resource
        .as_ref()
        .map(|resource| (&resource.name, &resource.target, "resource"));
    let of_containers = spec
        .container_resource
        .as_ref()
        .map(|resource| (&resource.name, &resource.target, "container resource"));
    if let Some((name, target, label)) = of_containers.or(of_pods) {
        let kind = kind_by_name(name, Signal::resource);
        // Until its next sync, an HPA has the readings of its previous spec, of whole pods.
        let current = status.and_then(|status| {
            let of_containers = status.container_resource.as_ref();
            let of_pods = status.resource.as_ref();
            of_containers
                .map(|resource| &resource.current)
                .or(of_pods.map(|resource| &resource.current))
        });
        let thousandths = |percent: i32| i64::from(percent) * 1000;
        return Some(MetricReading {
            kind,
            source: MetricsApi::Resource,
            reading: current.and_then(|current| current.average_utilization.map(thousandths)),
            target: target.average_utilization.map(thousandths),
            name_in_messages: format!("{name} {label}"),
            is_share_of_sum: false,
        });
    }
    if let Some(pods) = &spec.pods {
        let name = &pods.metric.name;
        let kind = kind_by_name(name, Signal::pods_metric);
        let current = status.and_then(|status| Some(&status.pods.as_ref()?.current));
        let (reading, target) = compared(current, &pods.target);
        return Some(MetricReading {
            kind,
            source: MetricsApi::Custom,
            reading,
            target,
            name_in_messages: format!("pods metric {name}"),
            is_share_of_sum: false,
        });
    }
    let external = spec.external.as_ref()?;
    let name = &external.metric.name;
    let kind = kind_of_keda_metric(name, scaled_object);
    let current = status.and_then(|status| Some(&status.external.as_ref()?.current));
    let (reading, target) = compared(current, &external.target);
    Some(MetricReading {
        kind,
        source: MetricsApi::External,
        reading,
        target,
        name_in_messages: format!("external metric {name}"),
        is_share_of_sum: external.target.average_value.is_some(),
    })
}

/// A reading and its target in thousandths.
fn compared(
    current: Option<&MetricValueStatus>,
    target: &MetricTarget,
) -> (Option<i64>, Option<i64>) {
    let (reading, target) = if target.average_value.is_some() {
        let reading = current.and_then(|current| current.average_value.as_ref());
        (reading, target.average_value.as_ref())
    } else {
        let reading = current.and_then(|current| current.value.as_ref());
        (reading, target.value.as_ref())
    };
    (reading.and_then(thousandths), target.and_then(thousandths))
}

/// A decimal quantity in thousandths, rounded down. The HPA's controller writes no binary quantities.
fn thousandths(quantity: &Quantity) -> Option<i64> {
    let text = quantity.0.as_str();
    let end = text
        .find(|character: char| character.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let power = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => return None,
    };
    let (ones, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{ones}{decimals}").parse::<i128>().ok()?;
    let power = power + 3 - i32::try_from(decimals.len()).ok()?;
    let factor = 10_i128.checked_pow(power.unsigned_abs())?;
    let thousandths = if power < 0 {
        digits / factor
    } else {
        digits.checked_mul(factor)?
    };
    i64::try_from(thousandths).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_thousandths() {
        for (text, expected) in [
            ("0", Some(0)),
            ("100", Some(100_000)),
            ("182400m", Some(182_400)),
            ("0.5", Some(500)),
            ("1.2345", Some(1234)),
            ("999u", Some(0)),
            ("1500u", Some(1)),
            ("12k", Some(12_000_000)),
            ("9223372036854775807m", Some(i64::MAX)),
            ("9E", None),
            ("1Ki", None),
            ("", None),
            ("m", None),
        ] {
            assert_eq!(thousandths(&Quantity(text.to_owned())), expected, "{text}");
        }
    }
}
