//! `Ready`: the summary.

use super::{ConditionResult, ConditionStatus, Reason};

/// True where everything else is; otherwise the first that is false, or else the first that isn't
/// known, speaks for all.
pub(super) fn summarise<const N: usize>(
    findings: [(&'static str, &ConditionResult); N],
) -> ConditionResult {
    let first = |truth| findings.iter().find(|(_, finding)| finding.truth == truth);
    match first(ConditionStatus::False).or_else(|| first(ConditionStatus::Unknown)) {
        None => ConditionResult::yes(
            Reason::Ready,
            "The model is served and scaled as the spec says.",
        ),
        Some((condition, finding)) => ConditionResult::new(
            finding.truth,
            finding.reason.clone(),
            format!("{condition}: {}", finding.message),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_false_speaks_before_what_is_unknown() {
        let yes = ConditionResult::yes("Fine", "fine");
        let no = ConditionResult::no("Broken", "broken");
        let unknown = ConditionResult::unknown("Pending", "pending");
        assert_eq!(
            summarise([("A", &yes), ("B", &yes)]).truth,
            ConditionStatus::True
        );
        assert_eq!(
            summarise([("A", &yes), ("B", &unknown)]),
            ConditionResult::unknown("Pending", "B: pending")
        );
        assert_eq!(
            summarise([("A", &unknown), ("B", &no), ("C", &yes)]),
            ConditionResult::no("Broken", "B: broken")
        );
    }
}
