//! Events on ModelServices, as `kubectl describe` shows them.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use springtide_contract::text::plain;
use springtide_plan::{SCALE, Severity};
use tracing::warn;

use crate::error::{brief, is_terminating};

/// Name of this controller in events.
const CONTROLLER: &str = "springtide-operator";

/// Most bytes of an event's note (<https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>).
const MAX_NOTE_BYTES: usize = 1024;

/// Records events.
#[derive(Clone)]
pub(crate) struct Teller {
    client: Client,
    reporter: Reporter,
    /// Folds what comes again and again into one event, which keeps its first text.
    folding: Recorder,
}

impl Teller {
    pub(crate) fn new(client: Client, identity: String) -> Self {
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

    /// Records what is new about a ModelService. An event that can't be recorded changes nothing: the
    /// condition says the same.
    pub(crate) async fn tell(&self, about: &ObjectReference, events: Vec<springtide_plan::Event>) {
        for event in events {
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
            // A recorder that knows of nothing yet folds nothing.
            let recorder = if event.action == SCALE {
                Recorder::new(self.client.clone(), self.reporter.clone())
            } else {
                self.folding.clone()
            };
            match recorder.publish(&event, about).await {
                // Nothing can be recorded any more, and nobody would read it.
                Err(error) if is_terminating(&error) => return,
                Err(error) => warn!(
                    reason = event.reason,
                    error = brief(&error),
                    "an event could not be recorded"
                ),
                Ok(()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::events::v1;
    use springtide_testkit::{FakeApi, ResourceType};

    use super::*;

    #[tokio::test]
    async fn each_decision_is_an_event_and_what_comes_again_is_one() {
        let fake = FakeApi::new();
        let teller = Teller::new(fake.client(), "operator-0".to_owned());
        let about = ObjectReference {
            name: Some("iris".to_owned()),
            namespace: Some("default".to_owned()),
            uid: Some("the-uid".to_owned()),
            ..ObjectReference::default()
        };
        let event = |action: &str, message: &str| springtide_plan::Event {
            severity: Severity::Normal,
            action: action.to_owned(),
            reason: "Reason".to_owned(),
            message: message.to_owned(),
        };
        teller
            .tell(
                &about,
                vec![
                    event(SCALE, "from 2 to 4"),
                    event("MetricsHealthy", "a reading"),
                    event(SCALE, "from 4 to 8"),
                    event("MetricsHealthy", "a reading"),
                    event(SCALE, &format!("\u{1b}[2J\u{202e}{}", "é".repeat(600))),
                ],
            )
            .await;
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
}
