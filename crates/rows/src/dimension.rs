//! Lengths of axes as polynomials over the number of rows and the lengths of other axes.

use std::collections::BTreeMap;

/// What a length is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Symbol {
    /// The number of rows, N, at least 1.
    Rows,
    /// A number of at least 1 that is the same whatever the rows and N.
    Length(u32),
    /// A number of at least 0 that is the same whatever the rows and N.
    Free(u32),
    /// A number of at least 0 that may depend on anything.
    Wild(u32),
}

/// A polynomial with integer coefficients. Two that are equal stand for the same number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Dim {
    /// Products of symbols, each sorted, with their coefficients; sorted, none of them 0.
    terms: Vec<(Vec<Symbol>, i64)>,
}

/// The most terms of a polynomial, and symbols of a term: real models stay below 8.
const MAXIMUM_TERMS: usize = 24;
const MAXIMUM_DEGREE: usize = 12;

impl Dim {
    pub(crate) fn constant(value: i64) -> Self {
        Self {
            terms: if value == 0 {
                Vec::new()
            } else {
                vec![(Vec::new(), value)]
            },
        }
    }

    pub(crate) fn one() -> Self {
        Self::constant(1)
    }

    pub(crate) fn symbol(symbol: Symbol) -> Self {
        Self {
            terms: vec![(vec![symbol], 1)],
        }
    }

    /// The number of rows, N.
    pub(crate) fn rows() -> Self {
        Self::symbol(Symbol::Rows)
    }

    /// The number that this is whatever the symbols, if it is one.
    pub(crate) fn as_constant(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [(symbols, value)] if symbols.is_empty() => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn is(&self, value: i64) -> bool {
        self.as_constant() == Some(value)
    }

    /// Whether this is the same for every N and all values of the rows.
    pub(crate) fn is_row_free(&self) -> bool {
        self.symbols()
            .all(|symbol| matches!(symbol, Symbol::Free(_) | Symbol::Length(_)))
    }

    pub(crate) fn has_wild(&self) -> bool {
        self.symbols()
            .any(|symbol| matches!(symbol, Symbol::Wild(_)))
    }

    pub(crate) fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.terms
            .iter()
            .flat_map(|(symbols, _)| symbols.iter().copied())
    }

    /// `q` where this is N · q and q is row-free.
    pub(crate) fn per_row(&self) -> Option<Self> {
        if self.terms.is_empty() {
            return None;
        }
        self.divide(&Self::rows()).filter(Self::is_row_free)
    }

    /// Its size for one row and all other symbols of this size, or more.
    pub(crate) fn magnitude(&self, size: i64) -> i64 {
        let term = |(symbols, coefficient): &(Vec<Symbol>, i64)| {
            let others = symbols.iter().filter(|symbol| **symbol != Symbol::Rows);
            others.fold(coefficient.saturating_abs(), |product, _| {
                product.saturating_mul(size)
            })
        };
        self.terms.iter().map(term).fold(0, i64::saturating_add)
    }

    /// A number that this is never below, if there is one.
    pub(crate) fn minimum(&self) -> Option<i64> {
        let mut minimum = 0_i64;
        for (symbols, coefficient) in &self.terms {
            let at_least_one = symbols
                .iter()
                .all(|symbol| matches!(symbol, Symbol::Rows | Symbol::Length(_)));
            if at_least_one && (symbols.is_empty() || *coefficient > 0) {
                minimum = minimum.checked_add(*coefficient)?;
            } else if *coefficient < 0 {
                return None;
            }
        }
        Some(minimum)
    }

    /// Whether both are equal (`Some(true)`), or never (`Some(false)`), as far as that is known.
    pub(crate) fn equals(&self, other: &Self) -> Option<bool> {
        if self == other {
            return Some(true);
        }
        let above = self
            .subtract(other)
            .and_then(|d| d.minimum())
            .is_some_and(|m| m > 0);
        let below = other
            .subtract(self)
            .and_then(|d| d.minimum())
            .is_some_and(|m| m > 0);
        (above || below).then_some(false)
    }

    pub(crate) fn add(&self, other: &Self) -> Option<Self> {
        Self::collect(self.terms.iter().chain(&other.terms).cloned())
    }

    pub(crate) fn subtract(&self, other: &Self) -> Option<Self> {
        self.add(&other.multiply(&Self::constant(-1))?)
    }

    pub(crate) fn multiply(&self, other: &Self) -> Option<Self> {
        let mut products = Vec::with_capacity(self.terms.len() * other.terms.len());
        for (left, a) in &self.terms {
            for (right, b) in &other.terms {
                let mut symbols = [left.as_slice(), right.as_slice()].concat();
                symbols.sort_unstable();
                products.push((symbols, a.checked_mul(*b)?));
            }
        }
        Self::collect(products)
    }

    fn collect(terms: impl IntoIterator<Item = (Vec<Symbol>, i64)>) -> Option<Self> {
        let mut sums: BTreeMap<Vec<Symbol>, i64> = BTreeMap::new();
        for (symbols, coefficient) in terms {
            if symbols.len() > MAXIMUM_DEGREE {
                return None;
            }
            let sum = sums.entry(symbols).or_insert(0);
            *sum = sum.checked_add(coefficient)?;
        }
        let terms: Vec<_> = sums
            .into_iter()
            .filter(|(_, coefficient)| *coefficient != 0)
            .collect();
        (terms.len() <= MAXIMUM_TERMS).then_some(Self { terms })
    }

    /// The quotient where the division is exact whatever the symbols.
    pub(crate) fn divide(&self, divisor: &Self) -> Option<Self> {
        // The longest product of symbols leads; any order would do that products keep.
        fn lead(dim: &Dim) -> Option<&(Vec<Symbol>, i64)> {
            dim.terms.iter().max_by(|(a, _), (b, _)| {
                (a.len(), std::cmp::Reverse(a)).cmp(&(b.len(), std::cmp::Reverse(b)))
            })
        }
        let (divisor_symbols, divisor_coefficient) = lead(divisor)?;
        let mut rest = self.clone();
        let mut quotient = Self::constant(0);
        for _ in 0..=MAXIMUM_TERMS {
            let Some((symbols, coefficient)) = lead(&rest) else {
                return Some(quotient);
            };
            if coefficient.checked_rem(*divisor_coefficient)? != 0 {
                return None;
            }
            let mut symbols = symbols.clone();
            for symbol in divisor_symbols {
                let at = symbols.iter().position(|candidate| candidate == symbol)?;
                symbols.remove(at);
            }
            let term = Self {
                terms: vec![(symbols, coefficient.checked_div(*divisor_coefficient)?)],
            };
            rest = rest.subtract(&term.multiply(divisor)?)?;
            quotient = quotient.add(&term)?;
        }
        None
    }

    /// The product of all, where it stays within bounds.
    pub(crate) fn product<'a>(dims: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        dims.into_iter()
            .try_fold(Self::one(), |product, dim| product.multiply(dim))
    }
}

impl From<i64> for Dim {
    fn from(value: i64) -> Self {
        Self::constant(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dim, Symbol};

    fn free(id: u32) -> Dim {
        Dim::symbol(Symbol::Free(id))
    }

    #[test]
    fn divides_only_where_it_is_exact() {
        let n = Dim::rows();
        let product = n
            .multiply(&free(1))
            .unwrap()
            .multiply(&Dim::from(6))
            .unwrap();
        assert_eq!(
            product.divide(&Dim::from(3)),
            Some(
                n.multiply(&free(1))
                    .unwrap()
                    .multiply(&Dim::from(2))
                    .unwrap()
            )
        );
        assert_eq!(product.divide(&Dim::from(4)), None);
        assert_eq!(product.divide(&free(2)), None);
        assert_eq!(product.divide(&Dim::from(0)), None);
        let sum = free(1).add(&Dim::from(1)).unwrap();
        let square = sum.multiply(&sum).unwrap();
        assert_eq!(square.divide(&sum), Some(sum.clone()));
        assert_eq!(square.divide(&free(1)), None);
    }

    #[test]
    fn knows_what_is_per_row() {
        let both = Dim::rows().multiply(&free(0)).unwrap();
        assert_eq!(both.per_row(), Some(free(0)));
        assert_eq!(both.add(&Dim::one()).unwrap().per_row(), None);
        assert_eq!(Dim::rows().multiply(&Dim::rows()).unwrap().per_row(), None);
        assert_eq!(free(0).per_row(), None);
        assert!(!both.is_row_free());
    }

    #[test]
    fn compares_what_never_meets() {
        assert_eq!(Dim::rows().equals(&Dim::from(-1)), Some(false));
        assert_eq!(Dim::rows().equals(&Dim::from(0)), Some(false));
        assert_eq!(Dim::rows().equals(&Dim::from(1)), None);
        assert_eq!(free(0).equals(&Dim::from(0)), None);
        assert_eq!(free(0).equals(&free(0)), Some(true));
    }

    #[test]
    fn overflow_is_no_result() {
        let large = Dim::from(i64::MAX);
        assert_eq!(large.add(&Dim::one()), None);
        assert_eq!(large.multiply(&Dim::from(2)), None);
    }
}
