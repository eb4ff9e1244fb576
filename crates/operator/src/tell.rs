//! Events on ModelServices, as `kubectl describe` shows them.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use springtide_plan::Severity;
use tracing::warn;

use crate::error::{brief, is_terminating};

/// Name of this controller in events.
const CONTROLLER: &str = "springtide-operator";

/// Most bytes of an event's note (<https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>).
const MAX_NOTE_BYTES: usize = 1024;

/// Records events.
#[derive(Clone)]
pub(crate) struct Teller {
    recorder: Recorder,
}

impl Teller {
    pub(crate) fn new(client: Client, identity: String) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: Some(identity),
        };
        Self {
            recorder: Recorder::new(client, reporter),
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
                note: Some(shortened(event.message)),
                action: event.condition,
                secondary: None,
            };
            match self.recorder.publish(&event, about).await {
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

fn shortened(mut text: String) -> String {
    if text.len() > MAX_NOTE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_NOTE_BYTES - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_cut_between_characters() {
        assert_eq!(shortened("short".to_owned()), "short");
        let cut = shortened("é".repeat(600));
        assert!(
            cut.len() <= MAX_NOTE_BYTES && cut.ends_with('…'),
            "{}",
            cut.len()
        );
    }
}
