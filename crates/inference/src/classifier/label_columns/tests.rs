use super::*;

fn number(label: i64) -> Class {
    Class::Number(label)
}

fn name(label: &str) -> Class {
    Class::Name(label.to_owned())
}

/// What rows show: each a label and its probabilities.
fn seen(rows: &[(Class, &[f32])]) -> LabelColumns {
    let mut label_columns = LabelColumns::default();
    for (label, row) in rows {
        label_columns.learn(label.clone(), row);
    }
    label_columns
}

const FIRST: &[f32] = &[0.8, 0.1, 0.1];
const SECOND: &[f32] = &[0.1, 0.8, 0.1];
const THIRD: &[f32] = &[0.1, 0.1, 0.8];

#[test]
fn the_models_own_classes_are_the_columns() {
    let label_columns = LabelColumns::declared(Classes::Numbers(vec![10, 20, 0]));
    assert_eq!(label_columns.column(&number(0), FIRST), Some(2));
    assert_eq!(label_columns.column(&number(20), FIRST), Some(1));
    assert_eq!(label_columns.column(&number(1), FIRST), None, "no class");
    assert_eq!(label_columns.class(1, 3), Some(number(20)));
    let names = Classes::Names(vec!["b".to_owned(), "a".to_owned()]);
    let label_columns = LabelColumns::declared(names);
    assert_eq!(label_columns.column(&name("a"), &[0.7, 0.3]), Some(1));
}

#[test]
fn classes_that_are_no_columns_place_nothing() {
    let twice = LabelColumns::declared(Classes::Numbers(vec![1, 1, 2]));
    let few = LabelColumns::declared(Classes::Numbers(vec![1, 2]));
    for label_columns in [twice, few] {
        assert_eq!(label_columns.column(&number(2), FIRST), None);
    }
}

#[test]
fn what_runs_show_of_a_models_own_classes_changes_nothing() {
    let mut label_columns = LabelColumns::declared(Classes::Numbers(vec![1, 2, 3]));
    label_columns.learn(number(1), THIRD);
    assert_eq!(label_columns.column(&number(1), FIRST), Some(0));
}

#[test]
fn labels_that_were_positions_are_positions_whatever_is_highest() {
    let label_columns = seen(&[(number(0), FIRST), (number(2), THIRD)]);
    for (label, column) in [(0, 0), (1, 1), (2, 2)] {
        assert_eq!(label_columns.column(&number(label), FIRST), Some(column));
    }
    assert_eq!(label_columns.column(&number(3), FIRST), None, "no position");
}

#[test]
fn a_tuned_threshold_does_not_hide_positions() {
    let label_columns = seen(&[
        (number(0), &[0.9, 0.1]),
        (number(1), &[0.2, 0.8]),
        (number(1), &[0.6, 0.4]),
    ]);
    assert_eq!(label_columns.column(&number(1), &[0.6, 0.4]), Some(1));
    assert_eq!(label_columns.column(&number(0), &[0.6, 0.4]), Some(0));
}

#[test]
fn labels_from_one_on_are_not_taken_for_positions() {
    let label_columns = seen(&[(number(1), FIRST), (number(2), SECOND)]);
    assert_eq!(label_columns.column(&number(1), SECOND), Some(0));
    assert_eq!(label_columns.column(&number(2), SECOND), Some(1));
    assert_eq!(label_columns.column(&number(3), THIRD), Some(2));
    assert_eq!(
        label_columns.column(&number(3), FIRST),
        Some(2),
        "all that is left"
    );
}

#[test]
fn a_larger_label_than_those_seen_may_be_no_position() {
    // The classes may be 0, 2 and 7.
    let label_columns = seen(&[(number(0), FIRST)]);
    assert_eq!(
        label_columns.column(&number(2), THIRD),
        Some(2),
        "both agree"
    );
    assert_eq!(label_columns.column(&number(2), SECOND), None);
}

#[test]
fn integers_stay_sorted() {
    let label_columns = seen(&[(number(10), FIRST), (number(30), THIRD)]);
    assert_eq!(label_columns.column(&number(20), FIRST), Some(1));
    for label in [5, 40] {
        assert_eq!(
            label_columns.column(&number(label), SECOND),
            None,
            "{label}"
        );
    }
}

#[test]
fn a_name_goes_with_the_column_that_it_was_seen_with() {
    let label_columns = seen(&[
        (name("a"), FIRST),
        (name("a"), FIRST),
        (name("a"), SECOND),
        (name("b"), SECOND),
    ]);
    assert_eq!(label_columns.column(&name("a"), SECOND), Some(0));
    assert_eq!(label_columns.column(&name("b"), FIRST), Some(1));
    let unseen = label_columns.column(&name("c"), THIRD);
    assert_eq!(unseen, None, "labels don't follow the highest");
}

#[test]
fn a_name_that_was_not_seen_goes_with_a_column_that_is_nobodys() {
    let row: &[f32] = &[0.1, 0.1, 0.7, 0.1];
    let label_columns = seen(&[(name("a"), &[0.7, 0.1, 0.1, 0.1])]);
    assert_eq!(label_columns.column(&name("c"), row), Some(2));
    let another = label_columns.column(&name("c"), &[0.7, 0.1, 0.1, 0.1]);
    assert_eq!(another, None, "the column of a");
}

#[test]
fn two_labels_with_one_column_have_none() {
    let label_columns = seen(&[(name("a"), FIRST), (name("b"), FIRST)]);
    assert_eq!(label_columns.column(&name("a"), FIRST), None);
    assert_eq!(label_columns.column(&name("c"), THIRD), None);
}

#[test]
fn without_any_run_only_what_is_certain_is_placed() {
    let label_columns = LabelColumns::default();
    assert_eq!(label_columns.column(&number(1), SECOND), Some(1));
    assert_eq!(label_columns.column(&number(1), FIRST), None);
    assert_eq!(label_columns.column(&number(9), FIRST), None);
    assert_eq!(label_columns.column(&name("a"), FIRST), None);
}

#[test]
fn ties_and_rows_that_are_no_numbers_show_nothing() {
    let label_columns = seen(&[
        (name("a"), &[0.5, 0.5, 0.0]),
        (name("b"), &[f32::NAN, 0.5, 0.5]),
    ]);
    assert_eq!(label_columns.column(&name("a"), FIRST), None);
    assert_eq!(label_columns.column(&name("b"), FIRST), None);
}
