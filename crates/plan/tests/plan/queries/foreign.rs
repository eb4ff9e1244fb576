//! Exports of foreign pods, and false exports of the ModelService's own pods.

use springtide_api::targets::Signal;

use super::{
    edges::{GAUGES, SUMS, assert_within, reads, three},
    scraped::{Pod, Prometheus},
};

/// Factors that make a reading implausible, with a name for the pod.
const LIES: [(&str, f64); 5] = [
    ("m", -1.0),
    ("n", -1e6),
    ("p", f64::NAN),
    ("q", f64::INFINITY),
    ("r", 1e8),
];

/// Three pods that are busy by all signals.
fn busy() -> Prometheus {
    let mut prometheus = three();
    for pod in &mut prometheus.pods {
        pod.waiting = 33.0;
    }
    prometheus
}

/// Pods with forged labels of another ModelService. One has the same name in another namespace. In the same namespace,
/// one belongs to another ModelService, and one to no Deployment.
fn foreign(name: &'static str, lie: f64) -> [Pod; 3] {
    [
        ("evil", "iris-6d4b75cb6d"),
        ("default", "iris-evil-6d4b75cb6d"),
        ("default", "evil"),
    ]
    .map(|(namespace, replica_set)| Pod {
        namespace,
        replica_set,
        lie,
        waiting: 33.0,
        ..Pod::old(name, 1, |second| 50.0 * second as f64)
    })
}

#[test]
fn exports_of_foreign_pods_change_nothing() {
    let mut attacked = busy();
    let plausible = [("a", 1.0), ("z", 0.0)];
    for (name, lie) in LIES.into_iter().chain(plausible) {
        attacked.pods.extend(foreign(name, lie));
    }
    for signal in Signal::of_server() {
        let status = reads("true", &busy(), signal, 60..70);
        assert!(status.values().all(Option::is_some), "{status:?}");
        let read = reads("foreign", &attacked, signal, 60..70);
        assert_eq!(read, status, "{signal:?}");
    }
}

/// Nor do they count if none of the own pods is scraped.
#[test]
fn exports_of_foreign_pods_are_no_data() {
    let mut prometheus = busy();
    for pod in &mut prometheus.pods {
        pod.unread = 0..i64::MAX;
    }
    prometheus.pods.extend(foreign("a", 1.0));
    for signal in Signal::of_server() {
        let read = reads("foreign-alone", &prometheus, signal, 60..70);
        assert!(read.values().all(Option::is_none), "{signal:?}: {read:?}");
    }
}

/// A pod that exports implausible values hides only its own load.
#[test]
fn implausible_values_are_no_readings() {
    for signal in SUMS.into_iter().chain(GAUGES) {
        let mut prometheus = busy();
        for (name, lie) in LIES {
            prometheus.pods.push(Pod {
                lie,
                waiting: 33.0,
                ..Pod::old(name, 1, |second| 33.0 * second as f64)
            });
        }
        assert_within(&reads("lies", &prometheus, signal, 60..70), 98.9, 99.1);
    }
}

#[test]
fn the_p95_is_of_what_can_be() {
    let mut prometheus = busy();
    for (name, lie) in LIES {
        prometheus.pods.push(Pod {
            lie,
            ..Pod::old(name, 1, |second| 33.0 * second as f64)
        });
    }
    let read = reads("p95", &prometheus, Signal::P95LatencyMilliseconds, 60..70);
    assert_within(&read, 97.0, 98.0);
}
