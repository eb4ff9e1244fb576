//! Results of an analysis.

use std::fmt;

/// Maximum number of hazards in an analysis. A model with this number may have more.
pub const MAXIMUM_HAZARDS: usize = 64;

/// Analysis of a model's graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// Whether the rows of a batch are independent.
    pub verdict: Verdict,
    /// Nodes that could crash the process, or use all of its time or memory; at most [`MAXIMUM_HAZARDS`].
    pub hazards: Vec<Hazard>,
}

/// Whether the outputs of each row in a batch are those of the row alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Proven: for every number of rows N of at least 1 and all values, each output has N rows along
    /// axis 0, and row i is a function of row i of the inputs alone (and of the lengths of the other
    /// axes), the same as with N = 1, up to the rounding of floats.
    Independent,
    /// A node makes rows depend on each other, on their number or on their position.
    Dependent(Finding),
    /// Undecided, because of a node.
    Unknown(Finding),
}

/// The node that decides a verdict. Displayed as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name, or that of its first output. Where `operator` is `input` or `output`: the name of that input or
    /// output.
    pub node: String,
    /// Its operator, with the domain if that isn't ONNX's own: `Softmax`, `com.microsoft.QAttention`.
    pub operator: String,
    /// Its effect, as the end of a sentence: "takes its scale from the whole batch".
    pub why: String,
    /// How to change the model, where that is known: "quantize statically, or per row".
    pub remedy: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operator.as_str() {
            "input" | "output" => write!(f, "{} {:?} {}", self.operator, self.node, self.why),
            operator => write!(f, "node {:?} ({operator}) {}", self.node, self.why),
        }
    }
}

/// A node that could crash ONNX Runtime, for example by an integer division by zero, or use all time or memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// Its name, or that of its first output.
    pub node: String,
    /// Its operator, with the domain if that isn't ONNX's own.
    pub operator: String,
    /// The cause, as the end of a sentence: "divides by integers that may be zero".
    pub why: String,
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:?} ({}) {}", self.node, self.operator, self.why)
    }
}
