//! Gathers what nodes say about inputs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::tensor::{Axis, Elements, Origins, Tensor, Trace};
use super::wanted::{Wanted, both, bounded, either};
use super::{Candidate, Candidates, Length, Values};

/// The most columns of one input that are told apart.
const MAXIMUM_COLUMNS: usize = 1024;
/// Longer axes would cost memory rather than show that the model runs.
const MAXIMUM_LENGTH: i64 = 1 << 20;

/// How much depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Other values work as well, but these tell more: what is compared with, a mask.
    Hint,
    /// Other values give infinities and the like.
    Sense,
    /// Other values fail.
    Must,
}

/// What the nodes want of the graph's inputs.
pub(super) struct Collector {
    inputs: Vec<Input>,
}

struct Input {
    name: String,
    kind: i32,
    /// Whether each axis has no declared length.
    free: Vec<bool>,
    values: BTreeMap<Option<usize>, (Need, Values)>,
    lengths: BTreeMap<usize, Wish>,
}

#[derive(Default)]
struct Wish {
    exactly: Option<i64>,
    least: i64,
    multiple: i64,
}

impl Collector {
    pub(super) fn new() -> Self {
        Self { inputs: Vec::new() }
    }

    /// Adds an input with these axes; its number is the order.
    pub(super) fn input(&mut self, name: &str, kind: i32, axes: &[Option<i64>]) -> usize {
        self.inputs.push(Input {
            name: name.to_owned(),
            kind,
            free: axes.iter().map(Option::is_none).collect(),
            values: BTreeMap::new(),
            lengths: BTreeMap::new(),
        });
        self.inputs.len() - 1
    }

    pub(super) fn want(&mut self, tensor: &Tensor<'_>, need: Need, wanted: &Wanted) {
        if let Some(origins) = tensor.origins() {
            self.want_of(origins, need, wanted);
        }
    }

    /// Wants something else of each position along the tensor's last axis.
    pub(super) fn want_each(
        &mut self,
        tensor: &Tensor<'_>,
        need: Need,
        wanted: impl Fn(usize) -> Wanted,
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
                        self.want_of(&Origins::Whole(origin), need, &wanted(position));
                    }
                }
            }
            None => self.want_of(origins, need, &wanted(0)),
        }
    }

    fn want_of(&mut self, origins: &Origins, need: Need, wanted: &Wanted) {
        for origin in origins.all() {
            let Some(input) = self.inputs.get_mut(origin.input) else {
                continue;
            };
            let Some(values) = wanted.of_input(origin, input.kind) else {
                continue;
            };
            let room = input.values.len() < MAXIMUM_COLUMNS;
            match input.values.entry(origin.column) {
                Entry::Occupied(mut entry) => {
                    let merged = merge(entry.get().clone(), (need, values));
                    entry.insert(merged);
                }
                Entry::Vacant(entry) if room => {
                    entry.insert((need, values));
                }
                Entry::Vacant(_) => {}
            }
        }
    }

    /// A hint that this input, which must have an axis besides the rows', is a mask.
    pub(super) fn mask(&mut self, input: usize) {
        let Some(input) = self.inputs.get_mut(input) else {
            return;
        };
        if input.free.len() < 2 || !super::tensor::is_integer(input.kind) {
            return;
        }
        let mask = (Need::Hint, Values::Integers(vec![1, 0]));
        let merged = match input.values.remove(&None) {
            // One comes first, whatever the mask is compared with.
            Some(known) => merge(mask, known),
            None => mask,
        };
        input.values.insert(None, merged);
    }

    /// Says that both lengths are the same.
    pub(super) fn equal(&mut self, left: &Axis, right: &Axis) {
        match (left, right) {
            (Axis::Fixed(length), other) | (other, Axis::Fixed(length)) => {
                self.exactly(other, *length)
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
                    self.wish(trace, |wish| {
                        wish.exactly.get_or_insert(length);
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
            self.wish(trace, |wish| wish.least = wish.least.max(length));
        }
    }

    /// Says that the input's axis should be a multiple of this.
    pub(super) fn multiple(&mut self, trace: &Trace, multiple: i64) {
        self.wish(trace, |wish| wish.multiple = wish.multiple.max(multiple));
    }

    fn wish(&mut self, trace: &Trace, change: impl FnOnce(&mut Wish)) {
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
                match (column, &all) {
                    (None, _) => candidate.values = Some(bounded(known.1)),
                    (Some(column), None) => {
                        candidate.columns.insert(column, bounded(known.1));
                    }
                    (Some(column), Some(all)) => {
                        let (_, values) = merge(known, all.clone());
                        candidate.columns.insert(column, bounded(values));
                    }
                }
            }
            candidate.lengths = input
                .lengths
                .into_iter()
                .filter_map(|(axis, wish)| Some((axis, wish.length()?)))
                .collect();
            if candidate != Candidate::default() {
                candidates.inputs.insert(input.name, candidate);
            }
        }
        candidates
    }
}

impl Wish {
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
            let times = self.least.max(1).checked_add(self.multiple - 1)? / self.multiple;
            return bounded(times.checked_mul(self.multiple)?).map(Length::Exactly);
        }
        bounded(self.least)
            .filter(|least| *least > 1)
            .map(Length::AtLeast)
    }
}

/// What to make of two wishes: more need wins, unless both can be had.
fn merge(left: (Need, Values), right: (Need, Values)) -> (Need, Values) {
    let need = left.0.max(right.0);
    if left.0.min(right.0) == Need::Hint {
        return match left.0.cmp(&right.0) {
            std::cmp::Ordering::Equal => (need, either(left.1, right.1)),
            std::cmp::Ordering::Less => right,
            std::cmp::Ordering::Greater => left,
        };
    }
    match both(&left.1, &right.1) {
        Some(values) => (need, values),
        None if right.0 > left.0 => right,
        None => left,
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
