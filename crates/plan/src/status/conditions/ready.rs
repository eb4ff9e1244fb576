//! `Ready`: the summary.

use super::{ConditionResult, ConditionStatus, Reason};

/// True if all results are. Otherwise the first false result, or else the first unknown one, is the summary.
pub(super) fn summarise<const N: usize>(
    results: [(&'static str, &ConditionResult); N],
) -> ConditionResult {
    let first = |status| results.iter().find(|(_, result)| result.status == status);
    match first(ConditionStatus::False).or_else(|| first(ConditionStatus::Unknown)) {
        None => ConditionResult::yes(
            Reason::Ready,
            "The model is served and scaled according to the spec.",
        ),
        Some((condition, result)) => ConditionResult::new(
            result.status,
            result.reason.clone(),
            format!("{condition}: {}", result.message),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn false_results_precede_unknown_ones() {
        let yes = ConditionResult::yes("Fine", "fine");
        let no = ConditionResult::no("Broken", "broken");
        let unknown = ConditionResult::unknown("Pending", "pending");
        assert_eq!(
            summarise([("A", &yes), ("B", &yes)]).status,
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
