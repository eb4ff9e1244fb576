//! What an analysis finds.

use std::fmt;

/// The most hazards that an analysis lists: a model that has as many may have more.
pub const MAXIMUM_HAZARDS: usize = 64;

/// What the graph of a model says about its rows and about what could end the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// Whether the rows of a batch are independent.
    pub verdict: Verdict,
    /// Nodes that could end the process that runs the model, [`MAXIMUM_HAZARDS`] at most.
    pub hazards: Vec<Hazard>,
}

/// Whether each row of a batch gives what it gives alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Proven: for every number of rows N of at least 1 and all values, each output has N rows along
    /// axis 0, and row i is a function of row i of the inputs alone (and of the lengths of the other
    /// axes), the same as with N = 1, up to the rounding of floats.
    Independent,
    /// A node makes rows depend on each other, or on their number or place.
    Dependent(Finding),
    /// Neither is proven, for want of knowledge about a node.
    Unknown(Finding),
}

/// The node that a verdict rests on. Shown as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name, or that of its first output; the name of the input or output that is at fault where
    /// `operator` is `input` or `output`.
    pub node: String,
    /// Its operator, with the domain if that isn't ONNX's own: `Softmax`, `com.microsoft.QAttention`.
    pub operator: String,
    /// What it does, as the rest of a sentence: "takes its scale from the whole batch".
    pub why: String,
    /// What would mend it, where that is known: "quantize statically, or per row".
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

/// A node that can end the process in ONNX Runtime, for instance by an integer division by zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// Its name, or that of its first output.
    pub node: String,
    /// Its operator, with the domain if that isn't ONNX's own.
    pub operator: String,
    /// How it can end the process, as the rest of a sentence: "divides by integers that may be zero".
    pub why: String,
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:?} ({}) {}", self.node, self.operator, self.why)
    }
}
