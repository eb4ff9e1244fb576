//! Events on ModelServices, as `kubectl describe` shows them.
//!
//! They are recorded one after another. Reconciles don't wait for them and take precedence: with many new
//! ModelServices, an event for each would delay the children of the others.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::{
        events::{Event, EventType, Recorder, Reporter},
        reflector::ObjectRef,
    },
};
use springtide_contract::text::plain;
use springtide_plan::{SCALE, Severity};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};
use tracing::warn;

use crate::{
    active_reconciles::ActiveReconciles,
    error::{brief, is_terminating},
    metrics::Metrics,
    model_services::Watched,
};

/// Name of this controller in events.
const CONTROLLER: &str = "springtide-operator";

/// Maximum bytes of an event's note
/// (<https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>).
const MAX_NOTE_BYTES: usize = 1024;

/// Maximum number of queued events: those of a thousand new ModelServices.
const MAX_WAITING: usize = 4096;

/// Timeout of recording one event: the others wait for it.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of active reconciles while events are recorded.
const MAX_ACTIVE_RECONCILES: usize = 2;

/// Maximum time for which reconciles delay an event.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// An event to record, and its object.
struct QueuedEvent {
    about: ObjectReference,
    event: springtide_plan::Event,
    since: Instant,
}

/// Records events. Clones share the queue.
#[derive(Clone)]
pub(crate) struct EventPublisher {
    queue: mpsc::Sender<QueuedEvent>,
    /// Number of queued events, including the one being recorded.
    waiting: watch::Sender<usize>,
    metrics: Metrics,
}

impl EventPublisher {
    /// A queue, and a task that records its events while an [`EventPublisher`] exists.
    pub(crate) fn new(
        client: Client,
        identity: String,
        metrics: Metrics,
        active: ActiveReconciles<ObjectRef<Watched>>,
    ) -> Self {
        let (queue, mut receiver) = mpsc::channel::<QueuedEvent>(MAX_WAITING);
        let waiting = watch::Sender::new(0);
        let publisher = Self {
            queue,
            waiting: waiting.clone(),
            metrics: metrics.clone(),
        };
        let recorders = Recorders::new(client, identity);
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                let few = active.at_most(MAX_ACTIVE_RECONCILES);
                // After the maximum delay the event is recorded in any case.
                let _ = timeout_at(event.since + MAX_DELAY, few).await;
                if !recorders.record(event).await {
                    metrics.lost_event();
                }
                waiting.send_modify(|waiting| *waiting -= 1);
            }
        });
        publisher
    }

    /// Queues the events of a ModelService. An event that can't be recorded is only counted: the condition has the
    /// same information.
    pub(crate) fn publish(&self, about: &ObjectReference, events: Vec<springtide_plan::Event>) {
        for event in events {
            let about = about.clone();
            self.waiting.send_modify(|waiting| *waiting += 1);
            let since = Instant::now();
            let queued = QueuedEvent {
                about,
                event,
                since,
            };
            if let Err(error) = self.queue.try_send(queued) {
                self.waiting.send_modify(|waiting| *waiting -= 1);
                self.metrics.lost_event();
                warn!(%error, "an event was not recorded");
            }
        }
    }

    /// Waits until all queued events are recorded or lost.
    pub(crate) async fn flush(&self) {
        // The sender is `self`.
        let _ = self
            .waiting
            .subscribe()
            .wait_for(|waiting| *waiting == 0)
            .await;
    }
}

/// Records events through kube's recorders.
struct Recorders {
    client: Client,
    reporter: Reporter,
    /// Folds repeated events into one, which keeps its first text.
    folding: Recorder,
}

impl Recorders {
    fn new(client: Client, identity: String) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: Some(identity),
        };
        Self {
            folding: Recorder::new(client.clone(), reporter.clone()),
            client,
            reporter,
        }
    }

    /// Records an event. False if it is lost.
    async fn record(&self, QueuedEvent { about, event, .. }: QueuedEvent) -> bool {
        let event = Event {
            type_: match event.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: event.reason,
            note: Some(plain(&event.message, MAX_NOTE_BYTES).into_owned()),
            action: event.action,
            secondary: None,
        };
        // A new recorder folds nothing.
        let recorder = if event.action == SCALE {
            Recorder::new(self.client.clone(), self.reporter.clone())
        } else {
            self.folding.clone()
        };
        let reason = &event.reason;
        match timeout(PUBLISH_TIMEOUT, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => true,
            // A namespace that is being deleted accepts no events, and needs none.
            Ok(Err(error)) if is_terminating(&error) => true,
            Ok(Err(error)) => {
                warn!(
                    reason,
                    error = brief(&error),
                    "an event could not be recorded"
                );
                false
            }
            Err(_) => {
                warn!(reason, "an event could not be recorded in time");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::events::v1;
    use springtide_testkit::{FakeApi, ResourceType};

    use super::*;

    fn event(action: &str, message: &str) -> springtide_plan::Event {
        springtide_plan::Event {
            severity: Severity::Normal,
            action: action.to_owned(),
            reason: "Reason".to_owned(),
            message: message.to_owned(),
        }
    }

    fn publisher(fake: &FakeApi, metrics: Metrics) -> EventPublisher {
        let identity = "operator-0".to_owned();
        EventPublisher::new(
            fake.client(),
            identity,
            metrics,
            ActiveReconciles::default(),
        )
    }

    #[tokio::test]
    async fn each_decision_is_an_event_and_repeated_events_are_one() {
        let fake = FakeApi::new();
        let metrics = Metrics::new().unwrap();
        let events = publisher(&fake, metrics);
        let about = ObjectReference {
            name: Some("iris".to_owned()),
            namespace: Some("default".to_owned()),
            uid: Some("the-uid".to_owned()),
            ..ObjectReference::default()
        };
        events.publish(
            &about,
            vec![
                event(SCALE, "from 2 to 4"),
                event("MetricsHealthy", "a reading"),
                event(SCALE, "from 4 to 8"),
                event("MetricsHealthy", "a reading"),
                event(SCALE, &format!("\u{1b}[2J\u{202e}{}", "é".repeat(600))),
            ],
        );
        events.flush().await;
        let mut notes = fake
            .list(&ResourceType::of::<v1::Event>())
            .iter()
            .map(|event| event["note"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>();
        notes.sort();
        let hostile = notes.pop().unwrap();
        assert!(hostile.len() <= MAX_NOTE_BYTES && hostile.ends_with('…'));
        assert!(!hostile.contains(['\u{1b}', '\u{202e}']), "{hostile}");
        assert_eq!(notes, ["a reading", "from 2 to 4", "from 4 to 8"]);
    }

    #[tokio::test(start_paused = true)]
    async fn reconciles_precede_events_up_to_the_maximum_delay() {
        let fake = FakeApi::new();
        let metrics = Metrics::new().unwrap();
        let active = ActiveReconciles::default();
        let identity = "operator-0".to_owned();
        let events = EventPublisher::new(fake.client(), identity, metrics, active.clone());
        let about = ObjectReference {
            namespace: Some("default".to_owned()),
            ..ObjectReference::default()
        };
        let publish = || {
            events.publish(&about, vec![event(SCALE, "from 2 to 4")]);
        };
        let recorded_after = async || {
            let begun = Instant::now();
            events.flush().await;
            begun.elapsed()
        };
        let object = |number: usize| ObjectRef::new(&format!("iris-{number}"));
        for number in 0..=MAX_ACTIVE_RECONCILES {
            active.begin(object(number));
        }
        publish();
        assert_eq!(recorded_after().await.as_secs(), MAX_DELAY.as_secs());
        active.end(&object(0));
        publish();
        assert_eq!(recorded_after().await.as_secs(), 0);
    }

    /// `flush` ends although the API server never responds, and lost events are counted.
    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_and_lost_events_are_counted() {
        let fake = FakeApi::new();
        let metrics = Metrics::new().unwrap();
        let events = publisher(&fake, metrics.clone());
        let about = ObjectReference {
            namespace: Some("default".to_owned()),
            ..ObjectReference::default()
        };
        fake.inject(1, springtide_testkit::Fault::Stall);
        fake.inject(2, springtide_testkit::Fault::Status(403));
        events.publish(&about, vec![event(SCALE, "from 2 to 4"); MAX_WAITING + 3]);
        events.flush().await;
        // Three exceeded the capacity of the queue, and two failed.
        let text = metrics.render().unwrap();
        let lost = "springtide_operator_events_lost_total 5";
        assert!(text.lines().any(|line| line == lost), "{text}");
        assert_eq!(
            fake.list(&ResourceType::of::<v1::Event>()).len(),
            // The event without a response was recorded nevertheless.
            MAX_WAITING - 1
        );
    }
}
