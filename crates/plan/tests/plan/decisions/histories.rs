//! Properties of all histories.

use proptest::prelude::*;

use super::{Bed, reads};

/// The next event.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// The HPA scales.
    Scales(i32),
    /// The HPA syncs and doesn't scale.
    Syncs,
    /// A user sets the replicas.
    ByHand(i32),
    /// A reconcile.
    Looks,
}

fn next() -> impl Strategy<Value = Next> {
    prop_oneof![
        3 => (2..20_i32).prop_map(Next::Scales),
        2 => Just(Next::Syncs),
        1 => (2..20_i32).prop_map(Next::ByHand),
        3 => Just(Next::Looks),
    ]
}

/// Runs the history with 15 s between events. `sleepless`: there is a reconcile after each event.
fn run(history: Vec<Next>, sleepless: bool) -> (Bed, Vec<(i32, i32)>) {
    let mut bed = Bed::hpa();
    let (mut number, mut last_scale_time) = (2, None);
    let mut changes = vec![(0, 2)];
    for (second, next) in (15..).step_by(15).zip(history) {
        match next {
            Next::Scales(to) if to != number => {
                bed.scaled(second, number, to, reads(100, 0, "DesiredWithinRange"));
                last_scale_time = Some(second);
                changes.insert(0, (number, to));
                number = to;
            }
            Next::ByHand(to) if to != number => {
                bed.replicas(to, "kubectl", second);
                changes.insert(0, (number, to));
                number = to;
            }
            Next::Scales(_) | Next::Syncs => bed.synced(last_scale_time, number),
            Next::ByHand(_) | Next::Looks => drop(bed.look()),
        }
        if sleepless {
            bed.look();
        }
    }
    changes.truncate(5);
    (bed, changes)
}

proptest! {
    #[test]
    fn who_never_sleeps_misses_nothing(history in prop::collection::vec(next(), 0..30)) {
        let (bed, changes) = run(history, true);
        prop_assert_eq!(bed.changes(), changes);
    }

    #[test]
    fn occasional_passes_end_at_the_present_replicas(
        history in prop::collection::vec(next(), 0..30)
    ) {
        let (mut bed, changes) = run(history, false);
        bed.look();
        let number = changes[0].1;
        prop_assert_eq!(bed.decisions()[0].to, number);
        prop_assert!(bed.decisions().len() <= 5);
        for decision in bed.decisions() {
            prop_assert_ne!(decision.from, decision.to);
        }
        for pair in bed.decisions().windows(2) {
            prop_assert!(pair[0].time > pair[1].time);
            // An unobserved change is omitted only if the next one reverted it.
            prop_assert!(pair[0].from == pair[1].to || pair[0].to == pair[1].to);
        }
    }
}
