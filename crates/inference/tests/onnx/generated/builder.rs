//! A graph that grows node by node, at random.

use fastrand::Rng;

use super::proto::{self, Attribute, Graph, Node, Tensor, ValueInfo};

/// Where a graph has N rows, a length is `rows` · N + `fixed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Len {
    pub(super) rows: i64,
    pub(super) fixed: i64,
}

pub(super) const ROWS: Len = Len { rows: 1, fixed: 0 };
pub(super) const ONE: Len = Len { rows: 0, fixed: 1 };

impl Len {
    pub(super) const fn of(fixed: i64) -> Self {
        Self { rows: 0, fixed }
    }

    pub(super) fn is_fixed(self) -> bool {
        self.rows == 0
    }

    /// None where it isn't linear.
    pub(super) fn times(self, other: Self) -> Option<Self> {
        (self.is_fixed() || other.is_fixed()).then_some(Self {
            rows: self.rows * other.fixed + other.rows * self.fixed,
            fixed: self.fixed * other.fixed,
        })
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            fixed: self.fixed + other.fixed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    Bool,
}

/// A tensor of the graph. Its shape is what the generator believes: what is wrong, ONNX Runtime refuses.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) shape: Vec<Len>,
    /// Integers are at least 0 and below this.
    pub(super) bound: Option<i64>,
}

impl Value {
    pub(super) fn rank(&self) -> usize {
        self.shape.len()
    }

    pub(super) fn last(&self) -> Option<Len> {
        self.shape.last().copied()
    }

    pub(super) fn fixed_last(&self) -> Option<i64> {
        let last = self.last()?;
        last.is_fixed().then_some(last.fixed)
    }

    pub(super) fn with(&self, axis: usize, length: Len) -> Vec<Len> {
        let mut shape = self.shape.clone();
        shape[axis] = length;
        shape
    }
}

pub(super) struct Builder {
    pub(super) random: Rng,
    pub(super) graph: Graph,
    pub(super) values: Vec<Value>,
    /// Whether axes are chosen beside the rows' own.
    pub(super) careful: bool,
    pub(super) opset: i64,
    /// Whether rounding may be seen: a node jumps where its input moves a little.
    pub(super) jumps: bool,
    names: usize,
}

/// What a node takes, by names; empty for one that is left out.
pub(super) type Names<'a> = &'a [&'a str];

impl Builder {
    pub(super) fn new(mut random: Rng) -> Self {
        Self {
            careful: random.bool(),
            opset: random.choice([12, 17, 18, 21]).unwrap_or(17),
            random,
            graph: Graph::default(),
            values: Vec::new(),
            jumps: false,
            names: 0,
        }
    }

    pub(super) fn name(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}{}", self.names)
    }

    pub(super) fn one_of<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        self.random.choice(among.iter().copied())
    }

    /// None where the graph's operator set is older.
    pub(super) fn since(&self, opset: i64) -> Option<()> {
        (self.opset >= opset).then_some(())
    }

    /// True once in so many times.
    pub(super) fn rarely(&mut self, times: u8) -> bool {
        self.random.u8(..times) == 0
    }

    /// True once in so many times, and never where rows are to be kept apart.
    pub(super) fn carelessly(&mut self, times: u8) -> bool {
        !self.careful && self.rarely(times)
    }

    pub(super) fn length(&mut self) -> i64 {
        self.random.i64(1..=4)
    }

    /// Eighths from -1 to 1 without 0, so that sums of a few are exact.
    pub(super) fn weight(&mut self) -> f32 {
        let eighths = f32::from(self.random.u8(1..=8)) / 8.0;
        if self.random.bool() {
            eighths
        } else {
            -eighths
        }
    }

    pub(super) fn weights(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.weight()).collect()
    }

    /// A number that exact sums, and sums of parts that are 1, don't come near.
    pub(super) fn threshold(&mut self) -> f32 {
        self.weight() + 0.05
    }

    /// An initializer of random floats.
    pub(super) fn floats(&mut self, shape: &[i64]) -> String {
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
        let float_data = self.weights(count);
        self.floats_of(shape, float_data)
    }

    pub(super) fn floats_of(&mut self, shape: &[i64], float_data: Vec<f32>) -> String {
        let name = self.name("w");
        self.graph.initializer.push(Tensor {
            name: name.clone(),
            dims: shape.to_vec(),
            data_type: proto::FLOAT,
            float_data,
            ..Tensor::default()
        });
        name
    }

    pub(super) fn bytes_of(&mut self, shape: &[i64], int32_data: Vec<i32>) -> String {
        let name = self.name("q");
        self.graph.initializer.push(Tensor {
            name: name.clone(),
            dims: shape.to_vec(),
            data_type: proto::UINT8,
            int32_data,
            ..Tensor::default()
        });
        name
    }

    /// An initializer of integers, of one axis or in another shape.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        self.ints_of(&[i64::try_from(values.len()).unwrap_or(0)], values)
    }

    pub(super) fn ints_of(&mut self, shape: &[i64], values: &[i64]) -> String {
        let name = self.name("c");
        self.graph.initializer.push(Tensor {
            name: name.clone(),
            dims: shape.to_vec(),
            data_type: proto::INT64,
            int64_data: values.to_vec(),
            ..Tensor::default()
        });
        name
    }

    pub(super) fn scalar(&mut self, value: i64) -> String {
        self.ints_of(&[], &[value])
    }

    pub(super) fn nodes(
        &mut self,
        operator: &str,
        inputs: Names<'_>,
        attribute: Vec<Attribute>,
        outputs: usize,
    ) -> Vec<String> {
        let (domain, op_type) = match operator.rsplit_once('.') {
            Some((domain, operator)) => (domain.to_owned(), operator.to_owned()),
            None => (String::new(), operator.to_owned()),
        };
        let output: Vec<String> = (0..outputs).map(|_| self.name("v")).collect();
        self.graph.node.push(Node {
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: output.clone(),
            name: String::new(),
            op_type,
            attribute,
            domain,
        });
        output
    }

    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: Names<'_>,
        attributes: Vec<Attribute>,
    ) -> String {
        self.nodes(operator, inputs, attributes, 1).remove(0)
    }

    pub(super) fn has(&self, operator: &str) -> bool {
        let mut nodes = self.graph.node.iter();
        nodes.any(|node| node.op_type == operator)
    }

    /// A tensor that later nodes may take.
    pub(super) fn give(&mut self, name: String, kind: Kind, shape: Vec<Len>) {
        self.give_bounded(name, kind, shape, None);
    }

    pub(super) fn give_bounded(
        &mut self,
        name: String,
        kind: Kind,
        shape: Vec<Len>,
        bound: Option<i64>,
    ) {
        // What grows without end says nothing more.
        let elements = shape
            .iter()
            .map(|len| len.rows + len.fixed)
            .product::<i64>();
        if elements <= 4096 && shape.len() <= 6 {
            self.values.push(Value {
                name,
                kind,
                shape,
                bound,
            });
        }
    }

    /// A tensor that something can be made of, the last ones first.
    pub(super) fn pick(&mut self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let fitting: Vec<&Value> = self.values.iter().filter(|value| fits(value)).collect();
        // Chains rather than many short ways.
        let from = match self.random.u8(..8) {
            0 => 0,
            1 | 2 => fitting.len().saturating_sub(3),
            _ => fitting.len().saturating_sub(1),
        };
        let chosen = self.random.choice(fitting.get(from..)?.iter().copied());
        chosen.cloned()
    }

    pub(super) fn pick_float(&mut self, least: usize, most: usize) -> Option<Value> {
        self.pick(|value| value.kind == Kind::Float && (least..=most).contains(&value.rank()))
    }

    /// An axis that something may be done along.
    pub(super) fn axis(&mut self, value: &Value) -> Option<usize> {
        let careful = self.careful;
        let axes = (0..value.rank()).filter(|axis| !careful || value.shape[*axis].is_fixed());
        self.random.choice(axes.collect::<Vec<_>>())
    }

    /// An axis of a fixed length, and that.
    pub(super) fn fixed_axis(&mut self, value: &Value) -> Option<(usize, i64)> {
        let axes = (0..value.rank()).filter(|axis| value.shape[*axis].is_fixed());
        let axis = self.random.choice(axes.collect::<Vec<_>>())?;
        Some((axis, value.shape[axis].fixed))
    }

    /// The axis as an attribute has it: from the front or from the end.
    pub(super) fn signed(&mut self, axis: usize, rank: usize) -> i64 {
        let number = |number: usize| i64::try_from(number).unwrap_or(0);
        if self.random.bool() {
            number(axis)
        } else {
            number(axis) - number(rank)
        }
    }

    /// A node whose axes are an input from an operator set on, and an attribute before.
    pub(super) fn with_axes(
        &mut self,
        operator: &str,
        input: &str,
        axes: &[i64],
        since: i64,
        mut attributes: Vec<Attribute>,
    ) -> String {
        if self.opset >= since {
            let axes = self.ints(axes);
            self.node(operator, &[input, &axes], attributes)
        } else {
            attributes.push(proto::ints("axes", axes.to_vec()));
            self.node(operator, &[input], attributes)
        }
    }

    /// The length of an axis as exporters take it, with one axis itself or none.
    pub(super) fn length_of(&mut self, value: &str, axis: i64, unsqueezed: bool) -> String {
        let shape = self.node("Shape", &[value], Vec::new());
        if unsqueezed && self.random.bool() {
            let axis = self.ints(&[axis]);
            return self.node("Gather", &[&shape, &axis], vec![proto::int("axis", 0)]);
        }
        let axis = self.scalar(axis);
        let length = self.node("Gather", &[&shape, &axis], vec![proto::int("axis", 0)]);
        if unsqueezed {
            self.with_axes("Unsqueeze", &length, &[0], 13, Vec::new())
        } else {
            length
        }
    }
}

/// An input or output as the graph declares it; `shape` is None where it doesn't say.
pub(super) fn declared(
    name: &str,
    element: i32,
    shape: Option<Vec<proto::Dimension>>,
) -> ValueInfo {
    let shape = shape.map(|dim| proto::Shape { dim });
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(proto::Type {
            tensor: Some(proto::TensorType { element, shape }),
        }),
    }
}
