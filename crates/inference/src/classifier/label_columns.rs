//! Columns of labels in the probabilities of a classifier.
//!
//! Declared classes are in the order of the columns. Otherwise, trial runs show the highest column of rows with a
//! label. It is taken as the label's column in three cases:
//!
//! - Labels are positions: each one seen was a column's number, most rows had the label of their highest
//!   column, and a label at least as large was among these. Exporters sort classes, so that `n` classes
//!   of 0 or more, of which the `k`th is `k`, are `0..=k` up to there.
//! - Most rows of the label had the same highest column, which is no other label's.
//! - The label wasn't seen, and labels and highest columns always went together: it is the only column
//!   that is left, or the row's own highest one if that is no other label's, and integers stay sorted.
//!
//! A label without a known column has no confidence: a wrong one would be worse.

use std::collections::{HashMap, HashSet};

use super::class::Class;

/// A model's classes, in the order of the columns of its probabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classes {
    /// Integers.
    Numbers(Vec<i64>),
    /// Names.
    Names(Vec<String>),
}

impl Classes {
    /// Number of classes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Names(names) => names.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn into_vec(self) -> Vec<Class> {
        match self {
            Self::Numbers(numbers) => numbers.into_iter().map(Class::Number).collect(),
            Self::Names(names) => names.into_iter().map(Class::Name).collect(),
        }
    }
}

/// Columns of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LabelColumns {
    /// The model declares its classes.
    Declared {
        classes: Vec<Class>,
        columns: HashMap<Class, usize>,
    },
    /// Learned from trial runs.
    Learned(Observations),
}

impl Default for LabelColumns {
    fn default() -> Self {
        Self::Learned(Observations::default())
    }
}

impl LabelColumns {
    pub(super) fn declared(classes: Classes) -> Self {
        let classes = classes.into_vec();
        let columns = classes.iter().cloned().zip(0..).collect();
        Self::Declared { classes, columns }
    }

    /// The class of a column, where the model declares as many classes as there are columns.
    pub(super) fn class(&self, column: usize, columns: usize) -> Option<Class> {
        match self {
            Self::Declared { classes, .. } if classes.len() == columns => {
                classes.get(column).cloned()
            }
            Self::Declared { .. } | Self::Learned(_) => None,
        }
    }

    /// The classes of all columns. None where one is unknown.
    pub(super) fn classes(&self, columns: usize) -> Option<Vec<Class>> {
        match self {
            Self::Declared { classes, .. } => (classes.len() == columns).then(|| classes.clone()),
            Self::Learned(observations) => (0..columns)
                .map(|column| observations.class(column))
                .collect(),
        }
    }

    /// The column of a row's label. None where it is unknown.
    pub(super) fn column(&self, label: &Class, row: &[f32]) -> Option<usize> {
        match self {
            // Otherwise the declared classes belong to something else, or two columns have one class.
            Self::Declared { columns, .. } if columns.len() == row.len() => {
                columns.get(label).copied()
            }
            Self::Declared { .. } => None,
            Self::Learned(observations) => observations.column(label, row),
        }
    }

    pub(super) fn learn(&mut self, label: Class, row: &[f32]) {
        if let Self::Learned(observations) = self {
            observations.learn(label, row);
        }
    }
}

/// Observations of trial runs, from rows with a unique highest column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Observations {
    /// Number of rows by label and highest column.
    rows: HashMap<Class, HashMap<usize, usize>>,
    /// Highest column of most rows of a label.
    columns: HashMap<Class, usize>,
    /// Whether labels and highest columns determine each other.
    follows: bool,
    positions: Positions,
}

/// Evidence that labels are the numbers of their columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Positions {
    /// Rows whose label is their highest column, and others.
    agree: usize,
    differ: usize,
    /// The largest label of those that agree.
    largest: usize,
    /// A label is no column's number.
    refuted: bool,
}

impl Positions {
    fn may_hold(&self) -> bool {
        !self.refuted && self.agree >= self.differ
    }

    fn hold_for(&self, position: usize) -> bool {
        !self.refuted && self.agree > self.differ && position <= self.largest
    }
}

impl Observations {
    fn learn(&mut self, label: Class, row: &[f32]) {
        let position = position(&label, row.len());
        // Learned whatever the row's numbers are.
        self.positions.refuted |= position.is_none();
        let (column, best) = argmax(row);
        if !best.is_finite() || row.iter().filter(|number| **number == best).count() > 1 {
            return;
        }
        match position {
            Some(position) if position == column => {
                self.positions.agree += 1;
                self.positions.largest = self.positions.largest.max(position);
            }
            _ => self.positions.differ += 1,
        }
        *self
            .rows
            .entry(label)
            .or_default()
            .entry(column)
            .or_default() += 1;
        self.find_own_columns();
    }

    /// Finds the columns that belong to one label.
    fn find_own_columns(&mut self) {
        let most = self.rows.iter().filter_map(|(label, columns)| {
            let all: usize = columns.values().sum();
            let (column, count) = columns.iter().max_by_key(|(_, count)| **count)?;
            (2 * count > all).then(|| (label.clone(), *column))
        });
        let mut owned: HashMap<Class, usize> = most.collect();
        let mut owners: HashMap<usize, usize> = HashMap::new();
        for column in owned.values() {
            *owners.entry(*column).or_default() += 1;
        }
        owned.retain(|_, column| owners.get(column) == Some(&1));
        self.follows =
            owned.len() == self.rows.len() && self.rows.values().all(|columns| columns.len() == 1);
        self.columns = owned;
    }

    /// The class of a column, where trial runs have shown it.
    fn class(&self, column: usize) -> Option<Class> {
        if self.positions.hold_for(column) {
            return Some(Class::Number(i64::try_from(column).ok()?));
        }
        let mut labels = self.columns.iter().filter(|(_, own)| **own == column);
        labels.next().map(|(label, _)| label.clone())
    }

    fn column(&self, label: &Class, row: &[f32]) -> Option<usize> {
        let position = position(label, row.len());
        if let Some(position) = position
            && self.positions.hold_for(position)
        {
            return Some(position);
        }
        if let Some(column) = self.columns.get(label) {
            return Some(*column);
        }
        let (_, best) = argmax(row);
        let is_best = |column: usize| row.get(column).is_some_and(|number| *number == best);
        if self.positions.may_hold()
            && let Some(position) = position
            && is_best(position)
        {
            // Both rules give this column.
            return Some(position);
        }
        if !self.follows || self.rows.contains_key(label) {
            return None;
        }
        let taken: HashSet<usize> = self.columns.values().copied().collect();
        let mut left = (0..row.len()).filter(|column| !taken.contains(column));
        if let (Some(only), None) = (left.next(), left.next()) {
            return Some(only).filter(|only| self.is_in_order(label, *only));
        }
        // A label that is a position would have another column.
        let is_undecided = position.is_some() && self.positions.may_hold();
        let free = (0..row.len()).find(|column| is_best(*column) && !taken.contains(column));
        free.filter(|free| !is_undecided && self.is_in_order(label, *free))
    }

    /// Whether integer labels stay sorted if a label has this column. Exporters sort them.
    fn is_in_order(&self, label: &Class, column: usize) -> bool {
        let Class::Number(number) = label else {
            return true;
        };
        self.columns.iter().all(|(other, others)| match other {
            Class::Number(other) => (number < other) == (column < *others),
            Class::Name(_) => true,
        })
    }
}

/// A label as the number of a column.
fn position(label: &Class, columns: usize) -> Option<usize> {
    match label {
        Class::Number(number) => usize::try_from(*number)
            .ok()
            .filter(|position| *position < columns),
        Class::Name(_) => None,
    }
}

/// Position and value of the highest number, the first of equal ones. NaN if any number is NaN.
pub(super) fn argmax(row: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (position, &number) in row.iter().enumerate() {
        if number.is_nan() {
            return (position, f32::NAN);
        }
        if number > best.1 {
            best = (position, number);
        }
    }
    best
}

#[cfg(test)]
mod tests;
