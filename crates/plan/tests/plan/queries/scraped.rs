//! A Prometheus that has scraped pods, and its engine's results.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, ops::Range, process::Command};

use serde_json::{Value, json};

/// Labels of the server's series.
const LABELS: &str = r#"modelservice="iris",modelservice_namespace="default""#;

/// Time per request at its pod: one request per second is one percent of load.
const SECONDS_PER_REQUEST: f64 = 0.01;

/// A pod, with times in seconds.
pub(super) struct Pod {
    pub(super) name: &'static str,
    /// Prefix of the pod's name: its ReplicaSet's name, if it has one.
    pub(super) replica_set: &'static str,
    pub(super) namespace: &'static str,
    /// Factor of the exported readings.
    pub(super) lie: f64,
    /// Scraped address.
    pub(super) address: &'static str,
    /// Names of its models, and when they are served.
    pub(super) models: Vec<(&'static str, Range<i64>)>,
    /// When the server started.
    pub(super) started: i64,
    /// When it is a target of Prometheus.
    pub(super) there: Range<i64>,
    /// When its scrapes fail.
    pub(super) unread: Range<i64>,
    /// Offset of its scrapes from full intervals.
    pub(super) offset: i64,
    /// Requests that have arrived by a time.
    pub(super) arrived: fn(i64) -> f64,
    /// Fraction of them with a response.
    pub(super) answered: f64,
    /// Waiting rows and active requests.
    pub(super) waiting: f64,
}

impl Pod {
    /// A pod that runs during the whole test.
    pub(super) fn old(name: &'static str, offset: i64, arrived: fn(i64) -> f64) -> Self {
        Self {
            name,
            replica_set: "iris-6d4b75cb6d",
            namespace: "default",
            lie: 1.0,
            address: name,
            models: vec![("iris", i64::MIN..i64::MAX)],
            started: -1000,
            there: -1000..i64::MAX,
            unread: 0..0,
            offset,
            arrived,
            answered: 1.0,
            waiting: 0.0,
        }
    }
}

/// A Prometheus that scrapes pods.
pub(super) struct Prometheus {
    pub(super) interval: i64,
    pub(super) pods: Vec<Pod>,
    /// When it is down.
    pub(super) away: Range<i64>,
}

impl Prometheus {
    /// The result of `query` at each second of `when`, if it has one.
    pub(super) fn reads(
        &self,
        test: &str,
        query: &str,
        when: Range<i64>,
    ) -> BTreeMap<i64, Option<f64>> {
        let promtool = env::var("PROMTOOL")
            .expect("PROMTOOL is the path of Prometheus' promtool, which scripts/promtool prints");
        let series: Vec<_> = self
            .pods
            .iter()
            .flat_map(|pod| self.series(pod, when.end))
            .collect();
        // promtool prints the readings only if they differ from the expectation. So nothing is expected.
        let expected: Vec<_> = when
            .clone()
            .map(|second| json!({"expr": query, "eval_time": format!("{second}s")}))
            .collect();
        let tests = json!({"evaluation_interval": "1s", "tests": [{
            "interval": "1s",
            "input_series": series,
            "promql_expr_test": expected,
        }]});
        let path = format!("{}/{test}.json", env!("CARGO_TARGET_TMPDIR"));
        fs::write(&path, tests.to_string()).unwrap();
        let output = Command::new(promtool)
            .args(["test", "rules", &path])
            .output()
            .unwrap();
        let output =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        let mut reads: BTreeMap<_, _> = when.map(|second| (second, None)).collect();
        let mut second = None;
        for line in output.lines().map(str::trim) {
            assert!(!line.contains("err: "), "{output}");
            if let Some((_, time)) = line.rsplit_once("time: ") {
                second = Some(seconds(time.trim_end_matches(',')));
            } else if let Some(got) = line.strip_prefix("got: ") {
                let value = got
                    .strip_prefix("{} ")
                    .unwrap_or_else(|| panic!("one number without labels: {got}"));
                reads.insert(second.unwrap(), Some(value.parse().unwrap()));
            }
        }
        assert!(
            output.contains("SUCCESS") || reads.values().any(Option::is_some),
            "{output}"
        );
        reads
    }

    fn series(&self, pod: &Pod, end: i64) -> Vec<Value> {
        let target = format!(
            r#"job="pods",instance="{}",namespace="{}",pod="{}-{:0<5}""#,
            pod.address, pod.namespace, pod.replica_set, pod.name
        );
        let of_server = |name: &str, labels: &str, value: &dyn Fn(i64) -> Option<f64>| {
            let values = self.values(pod, end, &|second, read| {
                if read { value(second) } else { None }
            });
            json!({"series": format!("{name}{{{LABELS},{target}{labels}}}"), "values": values})
        };
        let no_model = r#",model="""#;
        let mut series = vec![
            json!({
                "series": format!("up{{{target}}}"),
                "values": self.values(pod, end, &|_, read| Some(f64::from(u8::from(read)))),
            }),
            of_server("process_start_time_seconds", "", &|_| {
                Some(pod.started as f64)
            }),
            // Requests without a model.
            of_server("ml_requests_received_total", no_model, &|_| Some(0.0)),
            of_server("ml_offered_load_seconds_total", no_model, &|_| Some(0.0)),
            of_server("ml_queue_size", no_model, &|_| Some(0.0)),
            of_server("ml_active_requests", no_model, &|_| Some(0.0)),
        ];
        for (model, there) in &pod.models {
            let labels = format!(r#",model="{model}""#);
            let before = if there.start > 0 {
                (pod.arrived)(there.start)
            } else {
                0.0
            };
            let while_there = |second, value: f64| there.contains(&second).then_some(value);
            let arrived = |second| while_there(second, ((pod.arrived)(second) - before) * pod.lie);
            let waiting = |second| while_there(second, pod.waiting * pod.lie);
            let offered = |second| Some(arrived(second)? * SECONDS_PER_REQUEST);
            series.extend([
                of_server("ml_requests_received_total", &labels, &arrived),
                of_server("ml_offered_load_seconds_total", &labels, &offered),
                of_server("ml_queue_size", &labels, &waiting),
                of_server("ml_active_requests", &labels, &waiting),
            ]);
            for (bucket, share) in [("0.05", 0.0), ("0.1", pod.answered), ("+Inf", pod.answered)] {
                let labels = format!(r#"{labels},le="{bucket}""#);
                series.push(of_server(
                    "ml_request_latency_seconds_bucket",
                    &labels,
                    &|second| Some(arrived(second)? * share),
                ));
            }
        }
        series
    }

    /// Samples in promtool's notation, one per second: `value` while the scrapes succeed. Missing series are marked as
    /// stale, as in Prometheus.
    fn values(&self, pod: &Pod, end: i64, value: &dyn Fn(i64, bool) -> Option<f64>) -> String {
        let mut values = String::new();
        let mut present = false;
        for second in 0..=end {
            let sample = if self.away.contains(&second) {
                None
            } else if !pod.there.contains(&second) {
                Some(None)
            } else if second % self.interval != pod.offset {
                None
            } else {
                let read = second >= pod.started && !pod.unread.contains(&second);
                Some(value(second, read))
            };
            match sample {
                Some(Some(value)) => {
                    present = true;
                    write!(values, "{value} ").unwrap();
                }
                Some(None) if present => {
                    present = false;
                    values.push_str("stale ");
                }
                _ => values.push_str("_ "),
            }
        }
        values
    }
}

/// A duration in Prometheus' notation, such as `1m5s`.
fn seconds(duration: &str) -> i64 {
    let (minutes, seconds) = duration.split_once('m').unwrap_or(("0", duration));
    let seconds = seconds.trim_end_matches('s');
    let seconds = if seconds.is_empty() { "0" } else { seconds };
    60 * minutes.parse::<i64>().unwrap() + seconds.parse::<i64>().unwrap()
}
