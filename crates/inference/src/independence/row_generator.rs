//! Generates rows for trial runs.

use fastrand::Rng;
use half::{bf16, f16};
use springtide_rows::{Candidate, Candidates, Length, Values};

use super::MAX_ELEMENTS;
use crate::data::Data;
use crate::element::ElementType;
use crate::signature::{Dimension, Port, Signature};
use crate::tensor::{Tensor, element_count};

/// Lengths of free dimensions, in the order in which they are tried. The first ones give rows several elements that
/// could mix. Small images need 32 or more. Some models accept only 1.
const LENGTHS: [usize; 10] = [5, 12, 32, 64, 1, 2, 3, 16, 128, 224];

/// Maximum number of elements of a generated row with free lengths.
const MAX_FREE_ELEMENTS: usize = 1 << 20;

/// Elements of a generated row where the graph gives no constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filling {
    /// Integers 0 and 1, and empty strings.
    Bits,
    /// Integers 1 and 2, and short words.
    Small,
    /// Ones, and the string "1".
    Ones,
}

/// Source of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSource {
    /// The rows of the model's owner.
    Owner,
    /// Generated rows.
    Generated(Recipe),
}

/// How rows are generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    filling: Filling,
    length: usize,
}

/// Generates rows for a model.
#[derive(Debug)]
pub struct RowGenerator<'a> {
    signature: &'a Signature,
    candidates: &'a Candidates,
    owner: &'a [Vec<Tensor>],
}

impl<'a> RowGenerator<'a> {
    /// A generator from the constraints of the graph and the rows of the owner. Each row has one tensor for each
    /// required input.
    #[must_use]
    pub const fn new(
        signature: &'a Signature,
        candidates: &'a Candidates,
        owner: &'a [Vec<Tensor>],
    ) -> Self {
        Self {
            signature,
            candidates,
            owner,
        }
    }

    /// The sources to try, the most promising first.
    #[must_use]
    pub fn sources(&self) -> Vec<RowSource> {
        let mut sources = Vec::new();
        if !self.owner.is_empty() {
            sources.push(RowSource::Owner);
        }
        let lengths: &[usize] = if self.has_free_lengths() {
            &LENGTHS
        } else {
            &LENGTHS[..1]
        };
        for filling in [Filling::Bits, Filling::Small, Filling::Ones] {
            for &length in lengths {
                sources.push(RowSource::Generated(Recipe { filling, length }));
            }
        }
        sources
    }

    /// Whether a dimension other than the first is free, so that its length must be chosen.
    #[must_use]
    pub fn has_free_lengths(&self) -> bool {
        self.signature
            .required_inputs()
            .flat_map(|port| port.shape.iter().flatten().skip(1))
            .any(|dimension| *dimension == Dimension::Any)
    }

    /// The row with this number: one tensor for each required input, whose free first dimension has length 1. Rows
    /// differ in scale, offset and sign. None where an input isn't a tensor, has no rank, or has too many elements.
    #[must_use]
    pub fn row(&self, source: RowSource, number: usize) -> Option<Vec<Tensor>> {
        match source {
            RowSource::Owner => {
                let index = number.checked_rem(self.owner.len())?;
                self.owner.get(index).cloned()
            }
            RowSource::Generated(recipe) => {
                // The same row at every start, so that the decision is the same.
                let mut random = Rng::with_seed(0x5eed_0000 + number as u64);
                self.elements(recipe).filter(|all| *all <= MAX_ELEMENTS)?;
                self.signature
                    .required_inputs()
                    .map(|port| self.tensor(port, recipe, number, &mut random))
                    .collect()
            }
        }
    }

    /// Number of elements of a row.
    fn elements(&self, recipe: Recipe) -> Option<usize> {
        let none = Candidate::default();
        let mut ports = self.signature.required_inputs();
        ports.try_fold(0_usize, |all, port| {
            let candidate = self.candidates.inputs.get(&port.name).unwrap_or(&none);
            let shape = shape(port, candidate, recipe.length)?;
            all.checked_add(element_count(&shape)?)
        })
    }

    fn tensor(
        &self,
        port: &Port,
        recipe: Recipe,
        number: usize,
        random: &mut Rng,
    ) -> Option<Tensor> {
        let none = Candidate::default();
        let candidate = self.candidates.inputs.get(&port.name).unwrap_or(&none);
        let shape = shape(port, candidate, recipe.length)?;
        let count = element_count(&shape)?;
        // A scalar is one column.
        let width = Some(shape.last().map_or(1, |width| *width)).filter(|width| *width > 0)?;
        let values = |position: usize| {
            let column = candidate.columns.get(&(position % width));
            column.or(candidate.values.as_ref())
        };
        let distribution = Distribution::of(number);
        let floats = |random: &mut Rng| -> Vec<f64> {
            (0..count)
                .map(|position| match values(position) {
                    Some(values) => one_of(values, random),
                    None => distribution.float(random),
                })
                .collect()
        };
        let integers = |random: &mut Rng| -> Vec<i64> {
            (0..count)
                .map(|position| match values(position) {
                    Some(Values::Integers(all)) => random.choice(all).copied().unwrap_or(0),
                    Some(Values::Range { least, greatest }) => {
                        random.i64(*least..=(*greatest).max(*least))
                    }
                    _ => recipe.filling.integer(random),
                })
                .collect()
        };
        macro_rules! whole {
            ($element:ty) => {{
                let clamp = |integer: i64| <$element>::try_from(integer).unwrap_or_default();
                Data::from(integers(random).into_iter().map(clamp).collect::<Vec<_>>())
            }};
        }
        let data = match port.element()? {
            ElementType::Bool => (0..count)
                .map(|_| random.bool())
                .collect::<Vec<bool>>()
                .into(),
            ElementType::U8 => whole!(u8),
            ElementType::U16 => whole!(u16),
            ElementType::U32 => whole!(u32),
            ElementType::U64 => whole!(u64),
            ElementType::I8 => whole!(i8),
            ElementType::I16 => whole!(i16),
            ElementType::I32 => whole!(i32),
            ElementType::I64 => integers(random).into(),
            ElementType::F16 => (floats(random).into_iter().map(f16::from_f64))
                .collect::<Vec<_>>()
                .into(),
            ElementType::Bf16 => (floats(random).into_iter().map(bf16::from_f64))
                .collect::<Vec<_>>()
                .into(),
            #[expect(clippy::cast_possible_truncation, reason = "numbers of a trial")]
            ElementType::F32 => (floats(random).into_iter().map(|number| number as f32))
                .collect::<Vec<_>>()
                .into(),
            ElementType::F64 => floats(random).into(),
            ElementType::String => (0..count)
                .map(|position| match values(position) {
                    Some(Values::Strings(all)) => random.choice(all).cloned().unwrap_or_default(),
                    _ => recipe.filling.string(random),
                })
                .collect::<Vec<String>>()
                .into(),
        };
        Tensor::new(shape, data).ok()
    }
}

fn shape(port: &Port, candidate: &Candidate, length: usize) -> Option<Vec<usize>> {
    let declared = port.shape.as_ref()?;
    let free = |axis: usize| match candidate.lengths.get(&axis) {
        Some(Length::Exactly(exactly)) => *exactly,
        Some(Length::AtLeast(least)) => length.max(*least),
        None => length,
    };
    let lengths = declared
        .iter()
        .enumerate()
        .map(|(axis, dimension)| match dimension {
            Dimension::Fixed(length) => *length,
            Dimension::Any if axis == 0 => 1,
            Dimension::Any => free(axis),
        });
    let shape: Vec<usize> = lengths.collect();
    let is_free = declared
        .iter()
        .skip(1)
        .any(|dimension| *dimension == Dimension::Any);
    let most = if is_free {
        MAX_FREE_ELEMENTS
    } else {
        MAX_ELEMENTS
    };
    (element_count(&shape)? <= most).then_some(shape)
}

fn one_of(values: &Values, random: &mut Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "numbers of a trial")]
    match values {
        Values::Floats(all) => random.choice(all).copied().unwrap_or(0.0),
        Values::Integers(all) => random.choice(all).copied().unwrap_or(0) as f64,
        Values::Range { least, greatest } => random.i64(*least..=(*greatest).max(*least)) as f64,
        Values::Strings(_) => 0.0,
    }
}

impl Filling {
    fn integer(self, random: &mut Rng) -> i64 {
        match self {
            Self::Bits => random.i64(0..=1),
            Self::Small => random.i64(1..=2),
            Self::Ones => 1,
        }
    }

    fn string(self, random: &mut Rng) -> String {
        let words: &[&str] = match self {
            Self::Bits => &["", "a", "a b c", "zebra 7"],
            Self::Small => &["0", "1", "2.5", "-3"],
            Self::Ones => &["1"],
        };
        random.choice(words).copied().unwrap_or_default().to_owned()
    }
}

/// Distribution of the floats of a row. Rows with the same distribution would hide a scale that is computed over all
/// of them.
#[derive(Debug, Clone, Copy)]
struct Distribution {
    scale: f64,
    offset: f64,
    /// Fraction of elements that are 0.
    zeros: f64,
}

impl Distribution {
    fn of(number: usize) -> Self {
        let (scale, offset, zeros) = [
            (1.0, 0.0, 0.0),
            (100.0, 0.0, 0.0),
            (0.001, 0.0, 0.0),
            (0.5, 10.0, 0.0),
            (0.5, -10.0, 0.0),
            (50.0, 0.0, 0.9),
            (1.0, 0.0, 0.0),
            (10.0, 128.0, 0.0),
        ][number % 8];
        Self {
            scale,
            offset,
            zeros,
        }
    }

    fn float(self, random: &mut Rng) -> f64 {
        if random.f64() < self.zeros {
            return 0.0;
        }
        // The sum of three uniform numbers approximates a normal distribution with variance 1.
        let noise = 2.0 * (random.f64() + random.f64() + random.f64() - 1.5);
        self.offset + self.scale * noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataView;

    const ANY: Dimension = Dimension::Any;

    fn signature(inputs: Vec<Port>) -> Signature {
        Signature {
            inputs,
            outputs: vec![],
        }
    }

    #[test]
    fn rows_fit_the_signature_and_differ() {
        let inputs = ElementType::ALL.map(|element| {
            Port::tensor(
                element.to_string(),
                element,
                [ANY, ANY, Dimension::Fixed(3)],
            )
        });
        let signature = signature(inputs.to_vec());
        let candidates = Candidates::default();
        let generator = RowGenerator::new(&signature, &candidates, &[]);
        assert!(generator.has_free_lengths());
        for source in generator.sources() {
            let rows: Vec<_> = (0..8)
                .map(|row| generator.row(source, row).unwrap())
                .collect();
            for row in &rows {
                let tensors: Vec<&Tensor> = row.iter().collect();
                assert_eq!(signature.check(&tensors), Ok(()));
                assert_eq!(row[0].rows(), 1);
            }
            assert_ne!(rows[0], rows[1]);
            assert_eq!(
                generator.row(source, 0).unwrap(),
                rows[0],
                "the same each time"
            );
        }
    }

    #[test]
    fn what_the_graph_says_is_kept_to() {
        let signature = signature(vec![
            Port::tensor("ids", ElementType::I64, [ANY, ANY]),
            Port::tensor("color", ElementType::String, [ANY, Dimension::Fixed(2)]),
        ]);
        let ids = Candidate {
            values: Some(Values::Range {
                least: 5,
                greatest: 9,
            }),
            lengths: [(1, Length::Exactly(4))].into(),
            ..Candidate::default()
        };
        let color = Candidate {
            columns: [(1, Values::Strings(vec!["red".to_owned()]))].into(),
            ..Candidate::default()
        };
        let candidates = Candidates {
            inputs: [("ids".to_owned(), ids), ("color".to_owned(), color)].into(),
        };
        let generator = RowGenerator::new(&signature, &candidates, &[]);
        for source in generator.sources() {
            for number in 0..8 {
                let row = generator.row(source, number).unwrap();
                let DataView::I64(ids) = row[0].view().data() else {
                    panic!("not integers")
                };
                assert_eq!(ids.len(), 4);
                assert!(ids.iter().all(|id| (5..=9).contains(id)));
                let DataView::String(colors) = row[1].view().data() else {
                    panic!("not strings")
                };
                assert_eq!(colors[1], "red");
            }
        }
    }

    #[test]
    fn the_owners_rows_come_first_and_as_they_are() {
        let signature = signature(vec![Port::tensor("x", ElementType::F32, [ANY])]);
        let row = |number: f32| vec![Tensor::new(vec![1], vec![number]).unwrap()];
        let owner = [row(1.0), row(2.0)];
        let candidates = Candidates::default();
        let generator = RowGenerator::new(&signature, &candidates, &owner);
        assert_eq!(generator.sources()[0], RowSource::Owner);
        assert_eq!(generator.row(RowSource::Owner, 3), Some(row(2.0)));
    }

    #[test]
    fn what_is_too_large_is_not_made() {
        let signature = signature(vec![Port::tensor(
            "video",
            ElementType::F32,
            [ANY, ANY, ANY, ANY],
        )]);
        let candidates = Candidates::default();
        let generator = RowGenerator::new(&signature, &candidates, &[]);
        let large = RowSource::Generated(Recipe {
            filling: Filling::Bits,
            length: 224,
        });
        assert_eq!(generator.row(large, 0), None);
    }
    #[test]
    fn a_scalar_is_made_up_beside_the_others() {
        let audio = Port::tensor("audio", ElementType::F32, [ANY, ANY]);
        let rate = Port::tensor("rate", ElementType::I64, []);
        let signature = signature(vec![audio, rate]);
        let candidates = Candidates::default();
        let generator = RowGenerator::new(&signature, &candidates, &[]);
        let row = generator.row(generator.sources()[0], 0).unwrap();
        assert_eq!(row[0].shape(), [1, 5]);
        assert_eq!(row[1].shape(), [0; 0]);
    }

    #[test]
    fn many_inputs_are_not_made_where_they_are_too_large_together() {
        let port = |name: usize| {
            let width = Dimension::Fixed(MAX_ELEMENTS / 4);
            Port::tensor(name.to_string(), ElementType::U8, [ANY, width])
        };
        let signature = signature((0..5).map(port).collect());
        let candidates = Candidates::default();
        let generator = RowGenerator::new(&signature, &candidates, &[]);
        assert_eq!(generator.row(generator.sources()[0], 0), None);
    }
}
