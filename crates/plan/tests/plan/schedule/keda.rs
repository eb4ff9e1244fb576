//! Comparison with KEDA's own code. `keda_cron.txt` has the results of KEDA 2.21's rule with its cron library
//! (robfig/cron 3.0.1) for each minute of 2027, printed by `keda_cron.go`.

use k8s_openapi::jiff::SignedDuration;
use serde_json::json;

use crate::schedule::{changes, oracle, utc};

/// Time zone, start, end, days, and the changes.
const CASES: &str = include_str!("keda_cron.txt");

struct Case<'a> {
    zone: &'a str,
    start: &'a str,
    end: &'a str,
    from: String,
    to: String,
    changes: Vec<String>,
}

fn cases() -> Vec<Case<'static>> {
    CASES
        .lines()
        .map(|line| {
            let [zone, start, end, from, to, changes] = line.split('|').collect::<Vec<_>>()[..]
            else {
                unreachable!("{line}")
            };
            Case {
                zone,
                start,
                end,
                from: format!("{from}T00:00"),
                to: format!("{to}T00:00"),
                changes: changes.split(", ").map(str::to_owned).collect(),
            }
        })
        .collect()
}

#[test]
fn schedules_hold_when_kedas_scaler_is_active() {
    for Case {
        zone,
        start,
        end,
        from,
        to,
        changes: expected,
    } in cases()
    {
        let schedule = json!({
            "name": "it", "start": start, "end": end, "timezone": zone, "minReplicas": 3,
        });
        assert_eq!(
            changes(&schedule, &from, &to),
            expected,
            "{zone}: {start} to {end}"
        );
    }
}

#[test]
fn the_simple_search_knows_kedas_rule() {
    for Case {
        zone,
        start,
        end,
        from,
        to,
        changes: expected,
    } in cases()
    {
        let database = jiff::tz::TimeZoneDatabase::bundled();
        let zone = database.get(zone).unwrap();
        for change in expected {
            let (what, at) = change.split_once(' ').unwrap();
            let at = utc(&format!("2027-{at}"));
            assert!(utc(&from) <= at && at < utc(&to), "{change}");
            let before = oracle::keda(start, end, &zone, at - SignedDuration::from_secs(1));
            let after = oracle::keda(start, end, &zone, at);
            assert_eq!((before, after), (what == "to", what == "from"), "{change}");
        }
    }
}
