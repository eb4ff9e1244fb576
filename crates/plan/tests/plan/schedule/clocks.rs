//! Clock changes in both hemispheres.

use crate::schedule::{changes, window};

#[test]
fn a_day_shift_keeps_its_times_when_the_clocks_change() {
    // Berlin changes from +1 to +2 on 2027-03-28. Sydney changes from +11 to +10 on 2027-04-04.
    let berlin = window("0 8 * * *", "0 18 * * *", "Europe/Berlin");
    assert_eq!(
        changes(&berlin, "2027-03-27T00:00", "2027-03-29T00:00"),
        [
            "from 03-27T07:00",
            "to 03-27T17:00",
            "from 03-28T06:00",
            "to 03-28T16:00"
        ]
    );
    let sydney = window("0 8 * * *", "0 18 * * *", "Australia/Sydney");
    assert_eq!(
        changes(&sydney, "2027-04-02T12:00", "2027-04-04T12:00"),
        [
            "from 04-02T21:00",
            "to 04-03T07:00",
            "from 04-03T22:00",
            "to 04-04T08:00"
        ]
    );
}

#[test]
fn a_night_shift_is_an_hour_shorter_or_longer() {
    let berlin = window("0 22 * * *", "0 6 * * *", "Europe/Berlin");
    assert_eq!(
        changes(&berlin, "2027-03-27T12:00", "2027-03-28T12:00"),
        ["from 03-27T21:00", "to 03-28T04:00"]
    );
    assert_eq!(
        changes(&berlin, "2027-10-30T12:00", "2027-10-31T12:00"),
        ["from 10-30T20:00", "to 10-31T05:00"]
    );
}

#[test]
fn an_hour_that_the_clocks_skip_is_over_at_once() {
    // 02:30 doesn't exist on 2027-03-28 in Berlin, nor on 2027-10-03 in Sydney.
    for (zone, from, to, gap) in [
        (
            "Europe/Berlin",
            "2027-03-27T12:00",
            "2027-03-28T05:00",
            "03-28T01:00",
        ),
        (
            "Australia/Sydney",
            "2027-10-02T02:00",
            "2027-10-02T20:00",
            "10-02T16:00",
        ),
    ] {
        let starts = changes(&window("30 2 * * *", "0 10 * * *", zone), from, to);
        assert_eq!(starts, [format!("from {gap}")], "{zone}");
        let ends = changes(&window("0 0 * * *", "30 2 * * *", zone), from, to);
        assert_eq!(ends.last(), Some(&format!("to {gap}")), "{zone}");
        let both = changes(&window("15 2 * * *", "45 2 * * *", zone), from, to);
        assert_eq!(both, Vec::<String>::new(), "{zone}");
        // A window that starts in the gap and ends with it is empty. One that ends in the gap and starts again with it
        // has no break.
        let none = changes(&window("30 2 * * *", "0 3 * * *", zone), from, to);
        assert_eq!(none, Vec::<String>::new(), "{zone}");
        let whole = changes(&window("0 3 * * *", "30 2 * * *", zone), from, to);
        assert_eq!(whole, Vec::<String>::new(), "{zone}");
    }
}

#[test]
fn a_time_that_the_clocks_show_twice_counts_the_second_time() {
    // 02:30 occurs twice on 2027-10-31 in Berlin, at 00:30 and 01:30 UTC.
    let day = ("2027-10-30T12:00", "2027-10-31T05:00");
    let berlin = |start, end| changes(&window(start, end, "Europe/Berlin"), day.0, day.1);
    assert_eq!(berlin("30 2 * * *", "0 10 * * *"), ["from 10-31T01:30"]);
    assert_eq!(
        berlin("0 22 * * *", "30 2 * * *"),
        ["from 10-30T20:00", "to 10-31T01:30"]
    );
    assert_eq!(
        berlin("15 2 * * *", "45 2 * * *"),
        [
            "from 10-31T00:15",
            "to 10-31T00:45",
            "from 10-31T01:15",
            "to 10-31T01:45"
        ]
    );
    // Sydney, 2027-04-04, at 15:30 and 16:30 UTC of the day before.
    assert_eq!(
        changes(
            &window("30 2 * * *", "0 10 * * *", "Australia/Sydney"),
            "2027-04-03T02:00",
            "2027-04-03T20:00"
        ),
        ["from 04-03T16:30"]
    );
}

#[test]
fn half_an_hour_is_a_change_of_the_clocks_too() {
    // Lord Howe: on 2027-10-03, 02:00 is 02:30, at 15:30 UTC of the day before.
    assert_eq!(
        changes(
            &window("15 2 * * *", "0 10 * * *", "Australia/Lord_Howe"),
            "2027-10-02T02:00",
            "2027-10-03T12:00"
        ),
        ["from 10-02T15:30", "to 10-02T23:00"]
    );
}

#[test]
fn the_clocks_may_skip_midnight() {
    // Santiago: 2027-09-05 begins at 01:00, at 04:00 UTC.
    assert_eq!(
        changes(
            &window("0 0 * * *", "0 12 * * *", "America/Santiago"),
            "2027-09-04T20:00",
            "2027-09-05T20:00"
        ),
        ["from 09-05T04:00", "to 09-05T15:00"]
    );
}
