//! Collects the constraints of nodes on graph inputs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::tensor::{Axis, Elements, Origins, Tensor, Trace};
use super::valid_values::{ValidValues, both, bounded, either, first, with_others};
use super::{Candidate, Candidates, Length, Values};

/// Maximum number of distinguished columns of an input.
const MAXIMUM_COLUMNS: usize = 1024;
/// Maximum number of values of all columns.
const MAXIMUM_SIZE: usize = 1 << 21;
/// Maximum length of an axis: longer ones take memory and show no more.
const MAXIMUM_LENGTH: i64 = 1 << 20;
/// Preferred minimum length where any multiple works, so that rows differ.
const COMFORTABLE: i64 = 8;

/// Strength of a constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// Other values work, but these show more: values that the input is compared with.
    Hint,
    /// Other values give infinities or NaN.
    Meaningful,
    /// Other values are meaningless: it is a mask.
    Mask,
    /// Other values fail.
    Required,
}

/// Constraints of the graph's inputs.
pub(super) struct Collector {
    inputs: Vec<Input>,
    /// How many more values are looked at.
    room: usize,
}

struct Input {
    name: String,
    kind: i32,
    /// Whether each axis has no declared length.
    free: Vec<bool>,
    values: BTreeMap<Option<usize>, (Strength, Values)>,
    lengths: BTreeMap<usize, LengthConstraint>,
    /// Whether a branch is chosen by it.
    decides: bool,
}

#[derive(Default)]
struct LengthConstraint {
    exactly: Option<i64>,
    least: i64,
    multiple: i64,
}

impl Collector {
    pub(super) fn new() -> Self {
        Self {
            inputs: Vec::new(),
            room: MAXIMUM_SIZE,
        }
    }

    /// Adds an input with these axes; its number is the order.
    pub(super) fn input(&mut self, name: &str, kind: i32, axes: &[Option<i64>]) -> usize {
        self.inputs.push(Input {
            name: name.to_owned(),
            kind,
            free: axes.iter().map(Option::is_none).collect(),
            values: BTreeMap::new(),
            lengths: BTreeMap::new(),
            decides: false,
        });
        self.inputs.len() - 1
    }

    pub(super) fn constrain(
        &mut self,
        tensor: &Tensor<'_>,
        strength: Strength,
        valid: &ValidValues,
    ) {
        if let Some(origins) = tensor.origins() {
            self.constrain_origins(origins, strength, valid);
        }
    }

    /// Adds a constraint for each position along the tensor's last axis.
    pub(super) fn constrain_each(
        &mut self,
        tensor: &Tensor<'_>,
        strength: Strength,
        valid: impl Fn(usize) -> ValidValues,
    ) {
        let width = tensor
            .axes()
            .and_then(|axes| axes.last())
            .and_then(Axis::fixed)
            .and_then(|width| usize::try_from(width).ok());
        let Elements::Inputs(origins) = &tensor.elements else {
            return;
        };
        match width.and_then(|width| origins.each(width)) {
            Some(each) => {
                for (position, origin) in each.into_iter().enumerate() {
                    if let Some(origin) = origin {
                        self.constrain_origins(&Origins::Whole(origin), strength, &valid(position));
                    }
                }
            }
            None => self.constrain_origins(origins, strength, &valid(0)),
        }
    }

    fn constrain_origins(&mut self, origins: &Origins, strength: Strength, valid: &ValidValues) {
        for origin in origins.all() {
            let Some(room) = self.room.checked_sub(valid.size()) else {
                return;
            };
            self.room = room;
            let Some(input) = self.inputs.get_mut(origin.input) else {
                continue;
            };
            let Some(values) = valid.of_input(origin, input.kind) else {
                continue;
            };
            let room = input.values.len() < MAXIMUM_COLUMNS;
            match input.values.entry(origin.column) {
                Entry::Occupied(mut entry) => {
                    let merged = merge(entry.get().clone(), (strength, values));
                    entry.insert(merged);
                }
                Entry::Vacant(entry) if room => {
                    entry.insert((strength, values));
                }
                Entry::Vacant(_) => {}
            }
        }
    }

    /// Says that this input is a mask, if it has integers and an axis besides the rows'.
    pub(super) fn mask(&mut self, input: usize) {
        let Some(input) = self.inputs.get_mut(input) else {
            return;
        };
        if input.free.len() < 2 || !super::tensor::is_integer(input.kind) {
            return;
        }
        let mask = (Strength::Mask, Values::Integers(vec![1, 0]));
        let merged = match input.values.remove(&None) {
            Some(known) => merge(known, mask),
            None => mask,
        };
        input.values.insert(None, merged);
    }

    /// Says that this input chooses a branch.
    pub(super) fn decides(&mut self, input: usize) {
        if let Some(input) = self.inputs.get_mut(input) {
            input.decides = true;
        }
    }

    /// Says that both lengths are the same.
    pub(super) fn equal(&mut self, left: &Axis, right: &Axis) {
        match (left, right) {
            (Axis::Fixed(length), other) | (other, Axis::Fixed(length)) => {
                self.exactly(other, *length);
            }
            (Axis::Traced(left), Axis::Traced(right)) if left.same_axis(right) && left != right => {
                self.multiple(left, left.multiplier.max(right.multiplier));
            }
            _ => {}
        }
    }

    /// Says that the length is this.
    pub(super) fn exactly(&mut self, axis: &Axis, length: i64) {
        match axis {
            Axis::Traced(trace) if !trace.resized => {
                if let Some(length) = trace.needed(length) {
                    self.constraint(trace, |constraint| {
                        constraint.exactly.get_or_insert(length);
                    });
                }
            }
            Axis::Product { factor, traces } if *factor > 0 && length % factor == 0 => {
                let Some(root) = root(length / factor, traces.len()) else {
                    return;
                };
                for trace in traces.iter() {
                    self.exactly(&Axis::Traced(*trace), root);
                }
            }
            _ => {}
        }
    }

    /// Says that the length is at least this.
    pub(super) fn at_least(&mut self, axis: &Axis, length: i64) {
        if let Axis::Traced(trace) = axis
            && !trace.resized
            && let Some(length) = trace.needed(length)
        {
            self.constraint(trace, |constraint| {
                constraint.least = constraint.least.max(length);
            });
        }
    }

    /// Says that the input's axis should be a multiple of this.
    pub(super) fn multiple(&mut self, trace: &Trace, multiple: i64) {
        self.constraint(trace, |constraint| {
            constraint.multiple = constraint.multiple.max(multiple);
        });
    }

    fn constraint(&mut self, trace: &Trace, change: impl FnOnce(&mut LengthConstraint)) {
        let Some(input) = self.inputs.get_mut(trace.input) else {
            return;
        };
        if input.free.get(trace.axis) == Some(&true) {
            change(input.lengths.entry(trace.axis).or_default());
        }
    }

    pub(super) fn finish(self) -> Candidates {
        let mut candidates = Candidates::default();
        for input in self.inputs {
            let mut candidate = Candidate::default();
            let all = input.values.get(&None).cloned();
            for (column, known) in input.values {
                let (strength, values) = match (column, &all) {
                    (Some(_), Some(all)) => merge(known, all.clone()),
                    _ => known,
                };
                // Lengths and other values are those of the branch that is looked at first.
                let values = bounded(match strength {
                    Strength::Hint if input.decides => first(values),
                    Strength::Hint => with_others(values),
                    _ => values,
                });
                match column {
                    None => candidate.values = Some(values),
                    Some(column) => {
                        candidate.columns.insert(column, values);
                    }
                }
            }
            candidate.lengths = input
                .lengths
                .into_iter()
                .filter_map(|(axis, constraint)| Some((axis, constraint.length()?)))
                .collect();
            if candidate != Candidate::default() {
                candidates.inputs.insert(input.name, candidate);
            }
        }
        candidates
    }
}

impl LengthConstraint {
    fn length(&self) -> Option<Length> {
        let bounded = |length: i64| {
            usize::try_from(length)
                .ok()
                .filter(|_| (1..=MAXIMUM_LENGTH).contains(&length))
        };
        if let Some(exactly) = self.exactly {
            return bounded(exactly).map(Length::Exactly);
        }
        if self.multiple > 1 {
            let times = self.least.max(COMFORTABLE).checked_add(self.multiple - 1)? / self.multiple;
            return bounded(times.checked_mul(self.multiple)?).map(Length::Exactly);
        }
        bounded(self.least)
            .filter(|least| *least > 1)
            .map(Length::AtLeast)
    }
}

/// Merges two constraints: both if they are compatible, otherwise the stronger one.
fn merge(left: (Strength, Values), right: (Strength, Values)) -> (Strength, Values) {
    let (less, more) = if left.0 < right.0 {
        (left, right)
    } else {
        (right, left)
    };
    let is_level = less.0 == more.0;
    if less.0 == Strength::Hint && is_level {
        return (Strength::Hint, either(more.1, less.1));
    }
    // A hint, and what a mask is computed into, say nothing about what is needed.
    if !is_level
        && (less.0 == Strength::Hint || less.0 == Strength::Mask || more.0 == Strength::Mask)
    {
        return more;
    }
    match both(&more.1, &less.1) {
        Some(values) => (more.0, values),
        None => more,
    }
}

/// The whole number whose power of `degree` this is.
fn root(value: i64, degree: usize) -> Option<i64> {
    if degree == 1 {
        return Some(value);
    }
    let degree = u32::try_from(degree).ok()?;
    (1..=4096_i64)
        .take_while(|root| root.checked_pow(degree).is_some_and(|power| power <= value))
        .last()
        .filter(|root| root.checked_pow(degree) == Some(value))
}
