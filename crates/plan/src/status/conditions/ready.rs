//! `Ready`: the summary.

use super::{Finding, Reason, Truth};

/// True where everything else is; otherwise the first that is false, or else the first that isn't
/// known, speaks for all.
pub(super) fn summarise<const N: usize>(findings: [(&'static str, &Finding); N]) -> Finding {
    let first = |truth| findings.iter().find(|(_, finding)| finding.truth == truth);
    match first(Truth::False).or_else(|| first(Truth::Unknown)) {
        None => Finding::yes(
            Reason::Ready,
            "The model is served and scaled as the spec says.",
        ),
        Some((condition, finding)) => Finding::new(
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
        let yes = Finding::yes("Fine", "fine");
        let no = Finding::no("Broken", "broken");
        let unknown = Finding::unknown("Pending", "pending");
        assert_eq!(summarise([("A", &yes), ("B", &yes)]).truth, Truth::True);
        assert_eq!(
            summarise([("A", &yes), ("B", &unknown)]),
            Finding::unknown("Pending", "B: pending")
        );
        assert_eq!(
            summarise([("A", &unknown), ("B", &no), ("C", &yes)]),
            Finding::no("Broken", "B: broken")
        );
    }
}
