use proptest::prelude::*;

use super::*;

fn memory(at_rest: i32, request: &str, limit: &str) -> MemoryAtRest {
    MemoryAtRest {
        at_rest_mebibytes: Some(at_rest),
        report_deadline: None,
        request: Quantity(request.to_owned()),
        limit: Some(Quantity(limit.to_owned())),
    }
}

fn is_followed(at_rest: i32, request: &str, percent: i32) -> bool {
    let memory = memory(at_rest, request, "1Ti");
    let target = target(&memory, Some(percent), &Observed::default());
    target == MemoryTarget::Followed
}

#[test]
fn memory_is_followed_if_memory_at_rest_is_clearly_below_the_target() {
    for (at_rest, request, percent, expected) in [
        // 80 % of 512 MiB are 410, nine tenths of which are 369.
        (368, "512Mi", 80, true),
        (369, "512Mi", 80, false),
        (596, "512Mi", 80, false),
        (596, "1Gi", 80, true),
        (596, "1073741824", 80, true),
        (900, "1G", 100, false),
        (40, "64Mi", 80, true),
        (600, "512Mi", 200, true),
    ] {
        assert_eq!(
            is_followed(at_rest, request, percent),
            expected,
            "{at_rest} MiB at rest, {percent} % of {request}"
        );
    }
}

#[test]
fn a_request_that_cannot_be_read_leaves_memory_followed() {
    assert!(is_followed(1 << 20, "much", 80));
}

#[test]
fn no_request_is_too_large() {
    for digits in 1..40 {
        let request = "9".repeat(digits);
        for unit in ["", "Mi", "E", "Ei"] {
            let is_small = digits < 6 && unit.is_empty();
            let is_followed = is_followed(1, &format!("{request}{unit}"), 1000);
            assert_eq!(is_followed, !is_small, "{request}{unit}");
        }
    }
}

#[test]
fn the_request_that_would_do_is_one_that_people_write() {
    for (at_rest, percent, expected) in [
        (596, 80, 1280),
        (40, 80, 128),
        (300, 80, 576),
        (6000, 80, 11_264),
        (600, 1000, 128),
    ] {
        assert_eq!(sufficient_mebibytes(at_rest, percent), expected);
    }
}

#[test]
fn reported_memory_is_rounded_up_and_bounded() {
    assert_eq!(in_steps(0), 0);
    assert_eq!(in_steps(1), 4);
    assert_eq!(in_steps(4 << 20), 4);
    assert_eq!(in_steps((596 << 20) + 1), 600);
    assert_eq!(in_steps(u64::MAX), 16 << 20);
}

proptest! {
    /// A user who follows the remedy of the condition has memory followed, with room for differences between pods.
    #[test]
    fn the_request_that_is_named_does(
        at_rest in 0..=16_i32 << 20,
        percent in 1..=1000,
        request in 1..=4096,
    ) {
        let before = memory(at_rest, &format!("{request}Mi"), "512Mi");
        let target = target(&before, Some(percent), &Observed::default());
        if let MemoryTarget::NoHeadroom(no_headroom) = target {
            let Quantity(sufficient_request) = &no_headroom.sufficient_request;
            let exceeds = nanos(sufficient_request) > nanos("512Mi");
            prop_assert_eq!(no_headroom.exceeds_limit, exceeds);
            let fits = i64::from(at_rest) * 300 / (i64::from(percent) * 2) < i64::from(i32::MAX) - 1024;
            prop_assert!(!fits || is_followed(at_rest + at_rest / 4, sufficient_request, percent));
        } else {
            prop_assert_eq!(target, MemoryTarget::Followed);
        }
    }
}
