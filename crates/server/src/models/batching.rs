//! Whether the requests of a version share batches: the decision at its load, and a mismatch that the sentinel
//! finds later.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::sync::OnceLock;

use springtide_batching::{Sentinel, Sharing};
use springtide_contract::batching::{BatchingMode, BatchingReason, BatchingStatus};
use springtide_contract::text::plain;
use springtide_inference::independence::{CheckOutcome, Effort};
use springtide_rows::{Finding, Verdict};

use super::MAX_MESSAGE;

/// Batching as the model's owner requests it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchingPreference {
    /// Who decides whether requests share batches.
    pub mode: BatchingMode,
    /// Maximum number of rows in one batch.
    pub max_rows: NonZeroUsize,
}

/// The decision before any trial run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GraphDecision {
    /// It is final.
    Decided(BatchingStatus),
    /// Trial runs with this effort decide.
    NeedsCheck(Effort),
}

/// Decides from the owner's preference and the model's graph, where they are sufficient.
pub(super) fn decide_from_graph(
    preference: BatchingPreference,
    has_row_axis: bool,
    verdict: &Verdict,
) -> GraphDecision {
    if !has_row_axis {
        let message = "Each request runs alone: an input of the model has no free first dimension for \
                       rows; export it with a dynamic batch axis to have requests share batches";
        return decided(BatchingReason::NoRowAxis, message);
    }
    if preference.max_rows == NonZeroUsize::MIN {
        let message = "Each request runs alone: the maximum batch size is 1";
        return decided(BatchingReason::OneRow, message);
    }
    match (preference.mode, verdict) {
        (BatchingMode::Never, _) => decided(
            BatchingReason::OwnerNever,
            "Each request runs alone: the batching mode is Never",
        ),
        (BatchingMode::Always, _) => decided(
            BatchingReason::OwnerAlways,
            "Requests share batches: the batching mode is Always",
        ),
        (BatchingMode::Auto, Verdict::Dependent(finding)) => decided(
            BatchingReason::Dependent,
            format!("Each request runs alone: {}", because(finding)),
        ),
        (BatchingMode::Auto, Verdict::Independent) => GraphDecision::NeedsCheck(Effort::Quick),
        (BatchingMode::Auto, Verdict::Unknown(_)) => GraphDecision::NeedsCheck(Effort::Full),
    }
}

/// Decides from the outcome of trial runs and the verdict on the graph.
pub(super) fn decide_from_check(verdict: &Verdict, outcome: &CheckOutcome) -> BatchingStatus {
    let unknown = match verdict {
        Verdict::Unknown(finding) | Verdict::Dependent(finding) => Some(because(finding)),
        Verdict::Independent => None,
    };
    match (outcome, unknown) {
        (CheckOutcome::Refuted(how), _) => status(
            BatchingReason::TrialRefuted,
            format!(
                "Each request runs alone: a trial run has shown that a row depends on the rows beside \
                 it: {how}"
            ),
        ),
        (_, None) => status(
            BatchingReason::Proven,
            "Requests share batches: the model's graph proves that rows are independent",
        ),
        (CheckOutcome::Passed, Some(why)) => status(
            BatchingReason::TrialPassed,
            format!(
                "Requests share batches: trial runs have found no dependence between rows, though the \
                 graph doesn't prove it: {why}"
            ),
        ),
        (CheckOutcome::Impossible(how), Some(why)) => status(
            BatchingReason::TrialImpossible,
            format!(
                "Each request runs alone: the graph doesn't prove that rows are independent ({why}), \
                 and it could not be tried: {how}; put valid rows into warmup.json"
            ),
        ),
    }
}

/// The decision after a full batch has failed, of rows that run alone.
pub(super) fn full_batch_failed(rows: NonZeroUsize) -> BatchingStatus {
    status(
        BatchingReason::TrialRefuted,
        format!("Each request runs alone: a batch of {rows} rows that run alone failed"),
    )
}

fn because(finding: &Finding) -> String {
    match &finding.remedy {
        Some(remedy) => format!("{finding}; {remedy}"),
        None => finding.to_string(),
    }
}

fn decided(reason: BatchingReason, message: impl Display) -> GraphDecision {
    GraphDecision::Decided(status(reason, message))
}

fn status(reason: BatchingReason, message: impl Display) -> BatchingStatus {
    BatchingStatus {
        enabled: reason.enables(),
        reason,
        message: format!("{message}."),
    }
}

/// Whether the requests of a version share batches: the decision at its load, unless the sentinel has found a
/// mismatch.
#[derive(Debug)]
pub struct Batching {
    at_load: BatchingStatus,
    mismatch: OnceLock<BatchingStatus>,
}

impl Batching {
    /// With the decision at the load.
    #[must_use]
    pub fn new(at_load: BatchingStatus) -> Self {
        Self {
            at_load: shown(at_load),
            mismatch: OnceLock::new(),
        }
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> &BatchingStatus {
        self.mismatch.get().unwrap_or(&self.at_load)
    }

    /// Whether requests share batches.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.status().enabled
    }

    /// The mode of the batcher.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        match self.at_load.reason {
            BatchingReason::Proven | BatchingReason::OwnerAlways => {
                Sharing::Checked(Sentinel::PROVEN)
            }
            BatchingReason::TrialPassed => Sharing::Checked(Sentinel::UNPROVEN),
            _ => Sharing::Alone,
        }
    }

    /// Records that the outputs of a row in a batch differ from those of the row alone. This holds until the model
    /// changes. With the mode `Always`, requests still share batches: the owner guarantees independence.
    pub fn record_mismatch(&self, difference: &str) {
        let always = self.at_load.reason == BatchingReason::OwnerAlways;
        let effect = if always {
            "Requests still share batches, since the batching mode is Always"
        } else {
            "Each request runs alone from now on"
        };
        let found = BatchingStatus {
            enabled: always,
            reason: BatchingReason::SentinelMismatch,
            message: format!(
                "{effect}: in production the outputs of a row in a batch differed from those of the row \
                 alone, so earlier responses may have been wrong: {difference}."
            ),
        };
        self.restore(found);
    }

    /// Restores a mismatch that was found when the same content of the version was served before.
    pub fn restore(&self, found: BatchingStatus) {
        // The first mismatch is kept: later ones say the same.
        let _already_found = self.mismatch.set(shown(found));
    }
}

/// The status fit for clients and the operator: its message contains names from the model.
fn shown(mut status: BatchingStatus) -> BatchingStatus {
    status.message = plain(&status.message, MAX_MESSAGE).into_owned();
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: NonZeroUsize = NonZeroUsize::new(32).unwrap();

    fn finding() -> Finding {
        Finding {
            node: "q".to_owned(),
            operator: "DynamicQuantizeLinear".to_owned(),
            why: "takes its scale from the whole batch".to_owned(),
            remedy: Some("quantize statically".to_owned()),
        }
    }

    fn from_graph(mode: BatchingMode, verdict: &Verdict) -> GraphDecision {
        let max_rows = ROWS;
        decide_from_graph(BatchingPreference { mode, max_rows }, true, verdict)
    }

    fn reason(before: GraphDecision) -> Option<BatchingReason> {
        match before {
            GraphDecision::Decided(status) => Some(status.reason),
            GraphDecision::NeedsCheck(_) => None,
        }
    }

    #[test]
    fn the_table_of_the_docs() {
        let auto = |verdict: &Verdict, outcome: CheckOutcome| match from_graph(
            BatchingMode::Auto,
            verdict,
        ) {
            GraphDecision::Decided(status) => status,
            GraphDecision::NeedsCheck(_) => decide_from_check(verdict, &outcome),
        };
        let (passed, refuted, impossible) = (
            || CheckOutcome::Passed,
            || CheckOutcome::Refuted("a row".to_owned()),
            || CheckOutcome::Impossible("no rows".to_owned()),
        );
        let unknown = Verdict::Unknown(finding());
        let dependent = Verdict::Dependent(finding());
        let independent = Verdict::Independent;
        for (verdict, outcome, expected, enabled) in [
            (&independent, passed(), BatchingReason::Proven, true),
            (&independent, impossible(), BatchingReason::Proven, true),
            (&independent, refuted(), BatchingReason::TrialRefuted, false),
            (&unknown, passed(), BatchingReason::TrialPassed, true),
            (
                &unknown,
                impossible(),
                BatchingReason::TrialImpossible,
                false,
            ),
            (&unknown, refuted(), BatchingReason::TrialRefuted, false),
            (&dependent, passed(), BatchingReason::Dependent, false),
        ] {
            let status = auto(verdict, outcome);
            assert_eq!((status.reason, status.enabled), (expected, enabled));
        }
    }

    #[test]
    fn what_can_be_decided_without_a_trial_needs_none() {
        for verdict in [
            Verdict::Independent,
            Verdict::Unknown(finding()),
            Verdict::Dependent(finding()),
        ] {
            let never = reason(from_graph(BatchingMode::Never, &verdict));
            assert_eq!(never, Some(BatchingReason::OwnerNever));
            let always = reason(from_graph(BatchingMode::Always, &verdict));
            assert_eq!(always, Some(BatchingReason::OwnerAlways));
            let preference = BatchingPreference {
                mode: BatchingMode::Always,
                max_rows: ROWS,
            };
            let no_axis = reason(decide_from_graph(preference, false, &verdict));
            assert_eq!(no_axis, Some(BatchingReason::NoRowAxis));
            let max_rows = NonZeroUsize::MIN;
            let one = reason(decide_from_graph(
                BatchingPreference {
                    max_rows,
                    ..preference
                },
                true,
                &verdict,
            ));
            assert_eq!(one, Some(BatchingReason::OneRow));
        }
        assert_eq!(
            from_graph(BatchingMode::Auto, &Verdict::Unknown(finding())),
            GraphDecision::NeedsCheck(Effort::Full)
        );
    }

    #[test]
    fn messages_name_the_node_and_what_would_mend_it() {
        let GraphDecision::Decided(status) =
            from_graph(BatchingMode::Auto, &Verdict::Dependent(finding()))
        else {
            panic!("undecided")
        };
        assert_eq!(
            status.message,
            "Each request runs alone: node \"q\" (DynamicQuantizeLinear) takes its scale from the whole \
             batch; quantize statically."
        );
    }

    #[test]
    fn what_a_model_calls_its_parts_is_shown_on_one_line_without_controls() {
        let name = format!("\0a\n\u{202e}b\u{9b}\u{2028}{}", "c".repeat(10_000));
        let batching = Batching::new(status(BatchingReason::TrialRefuted, &name));
        batching.record_mismatch(&name);
        for message in [&batching.at_load.message, &batching.status().message] {
            assert!(
                message.contains("\u{fffd}a \u{fffd}b\u{fffd} ccc"),
                "{message:?}"
            );
            assert!(message.len() <= MAX_MESSAGE && message.ends_with("c…"));
        }
    }

    #[test]
    fn a_mismatch_ends_sharing_for_good_but_for_owners_who_know() {
        let batching = Batching::new(decide_from_check(
            &Verdict::Independent,
            &CheckOutcome::Passed,
        ));
        assert!(batching.is_shared());
        batching.record_mismatch("0.5 for 0.25");
        assert!(!batching.is_shared());
        assert_eq!(batching.status().reason, BatchingReason::SentinelMismatch);
        assert!(batching.status().message.contains("0.5 for 0.25"));
        batching.record_mismatch("another");
        assert!(batching.status().message.contains("0.5 for 0.25"));
        let GraphDecision::Decided(always) =
            from_graph(BatchingMode::Always, &Verdict::Independent)
        else {
            panic!("undecided")
        };
        let batching = Batching::new(always);
        batching.record_mismatch("0.5 for 0.25");
        assert!(batching.is_shared());
        assert_eq!(batching.status().reason, BatchingReason::SentinelMismatch);
    }
}
