//! Requests of inference, and their resolution against a model.

use std::time::Duration;

use springtide_inference::{Dimension, Port, Signature, Tensor};

use crate::{InvalidRequest, datatype};

/// Maximum number of names in an error.
const MAX_LISTED: usize = 8;

/// A request of inference, from either transport.
#[derive(Debug, Clone, PartialEq)]
pub struct InferRequest {
    /// The client's id of the request, for the response.
    pub id: Option<String>,
    /// The client's timeout.
    pub timeout: Option<Duration>,
    /// The inputs, in the client's order.
    pub inputs: Vec<Input>,
    /// The requested outputs; empty for all.
    pub outputs: Vec<RequestedOutput>,
    /// Whether outputs are raw bytes by default. Over gRPC they always are.
    pub binary_output: bool,
}

/// An input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its elements.
    pub tensor: Tensor,
}

/// A requested output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
    /// Whether it is to be raw bytes. None for the default of the request.
    pub binary: Option<bool>,
}

/// A request that matches a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedRequest {
    /// The client's id of the request, for the response.
    pub id: Option<String>,
    /// The client's timeout.
    pub timeout: Option<Duration>,
    /// One tensor for each required input, in the model's order.
    pub inputs: Vec<Tensor>,
    /// Optional inputs that are given, with their position in [`Signature::inputs`].
    pub optional: Vec<(usize, Tensor)>,
    /// The requested outputs, in the client's order.
    pub outputs: Vec<Selected>,
}

/// An output of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// Its position in [`Signature::tensor_outputs`].
    pub index: usize,
    /// Whether it is written as raw bytes.
    pub binary: bool,
}

impl InferRequest {
    /// Matches inputs and outputs with those of the model, by name.
    ///
    /// # Errors
    /// When an input is missing, unknown, duplicate, or of another type or shape, or when an output is unknown or
    /// duplicate.
    pub fn resolve(self, signature: &Signature) -> Result<ResolvedRequest, InvalidRequest> {
        let outputs = select(&self.outputs, self.binary_output, signature)?;
        let (inputs, optional) = arrange(self.inputs, &signature.inputs)?;
        Ok(ResolvedRequest {
            inputs,
            optional,
            outputs,
            id: self.id,
            timeout: self.timeout,
        })
    }
}

/// The required inputs, and the given optional ones.
type Arranged = (Vec<Tensor>, Vec<(usize, Tensor)>);

fn arrange(inputs: Vec<Input>, ports: &[Port]) -> Result<Arranged, InvalidRequest> {
    let mut slots: Vec<Option<Tensor>> = vec![None; ports.len()];
    for Input { name, tensor } in inputs {
        let Some(index) = ports.iter().position(|port| port.name == name) else {
            let problem = format!("the model has no such input, it has {}", list(ports.iter()));
            return Err(InvalidRequest::input(&name, problem));
        };
        if ports[index].check(&tensor).is_err() {
            let problem = format!(
                "{} is expected, not {}",
                port_type(&ports[index]),
                given(&tensor)
            );
            return Err(InvalidRequest::input(&name, problem));
        }
        if slots[index].replace(tensor).is_some() {
            return Err(InvalidRequest::input(&name, "is given twice"));
        }
    }
    let (mut required, mut optional) = (Vec::with_capacity(ports.len()), Vec::new());
    for (index, (port, slot)) in ports.iter().zip(slots).enumerate() {
        match slot {
            Some(tensor) if port.optional => optional.push((index, tensor)),
            Some(tensor) => required.push(tensor),
            None if port.optional => {}
            None => {
                let problem = format!("is missing, {} is expected", port_type(port));
                return Err(InvalidRequest::input(&port.name, problem));
            }
        }
    }
    Ok((required, optional))
}

fn select(
    wanted: &[RequestedOutput],
    binary_output: bool,
    signature: &Signature,
) -> Result<Vec<Selected>, InvalidRequest> {
    if wanted.is_empty() {
        let all = signature.tensor_outputs().enumerate();
        return Ok(all
            .map(|(index, _port)| Selected {
                index,
                binary: binary_output,
            })
            .collect());
    }
    let mut selected: Vec<Selected> = Vec::with_capacity(wanted.len());
    for RequestedOutput { name, binary } in wanted {
        let found = signature
            .tensor_outputs()
            .position(|port| port.name == *name);
        let Some(index) = found else {
            let problem = format!(
                "the model gives no such output, it gives {}",
                list(signature.tensor_outputs())
            );
            return Err(InvalidRequest::output(name, problem));
        };
        if selected.iter().any(|output| output.index == index) {
            return Err(InvalidRequest::output(name, "is requested twice"));
        }
        selected.push(Selected {
            index,
            binary: binary.unwrap_or(binary_output),
        });
    }
    Ok(selected)
}

/// `"a", "b" and 3 more`.
fn list<'p>(ports: impl Iterator<Item = &'p Port>) -> String {
    let mut names: Vec<String> = ports.map(|port| format!("{:?}", port.name)).collect();
    let more = names.len().saturating_sub(MAX_LISTED);
    names.truncate(MAX_LISTED);
    match (names.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// `FP32 [-1, 4]`.
fn port_type(port: &Port) -> String {
    let Some(element) = port.element() else {
        return "something that isn't a tensor".to_owned();
    };
    let name = datatype::name(element);
    match &port.shape {
        Some(shape) => format!("{name} {:?}", dimensions(shape)),
        None => format!("{name} of any shape"),
    }
}

fn given(tensor: &Tensor) -> String {
    format!("{} {:?}", datatype::name(tensor.element()), tensor.shape())
}

/// Lengths in the protocol: -1 for any length.
pub(crate) fn dimensions(shape: &[Dimension]) -> Vec<i64> {
    let length = |dimension: &Dimension| match dimension {
        Dimension::Any => -1,
        Dimension::Fixed(length) => i64::try_from(*length).unwrap_or(i64::MAX),
    };
    shape.iter().map(length).collect()
}

#[cfg(test)]
mod tests {
    use springtide_inference::{ElementType, PortKind};

    use super::*;

    fn signature() -> Signature {
        let rows = |name: &str, element| {
            Port::tensor(name, element, [Dimension::Any, Dimension::Fixed(2)])
        };
        let maps = Port {
            name: "maps".to_owned(),
            kind: PortKind::Other("Sequence<Map<Int64, Float32>>".to_owned()),
            shape: None,
            optional: false,
        };
        Signature {
            inputs: vec![rows("a", ElementType::F32), rows("b", ElementType::I64)],
            outputs: vec![
                rows("y", ElementType::F32),
                maps,
                rows("z", ElementType::F32),
            ],
        }
    }

    fn input(name: &str, element: ElementType, shape: &[usize]) -> Input {
        Input {
            name: name.to_owned(),
            tensor: Tensor::zeros(element, shape.to_vec()).unwrap(),
        }
    }

    fn request(inputs: Vec<Input>, outputs: &[(&str, Option<bool>)]) -> InferRequest {
        let outputs = outputs.iter().map(|(name, binary)| RequestedOutput {
            name: (*name).to_owned(),
            binary: *binary,
        });
        InferRequest {
            id: None,
            timeout: None,
            inputs,
            outputs: outputs.collect(),
            binary_output: true,
        }
    }

    fn both() -> Vec<Input> {
        vec![
            input("b", ElementType::I64, &[3, 2]),
            input("a", ElementType::F32, &[3, 2]),
        ]
    }

    #[test]
    fn inputs_come_in_the_models_order() {
        let resolved = request(both(), &[]).resolve(&signature()).unwrap();
        let elements: Vec<_> = resolved.inputs.iter().map(Tensor::element).collect();
        assert_eq!(elements, [ElementType::F32, ElementType::I64]);
    }

    #[test]
    fn inputs_that_do_not_fit_are_named_with_what_is_expected() {
        let a = || input("a", ElementType::F32, &[3, 2]);
        for (inputs, complaint) in [
            (
                vec![a()],
                r#"input "b": is missing, INT64 [-1, 2] is expected"#,
            ),
            (
                vec![a(), input("c", ElementType::F32, &[1])],
                r#"input "c": the model has no such input, it has "a", "b""#,
            ),
            (vec![a(), a()], r#"input "a": is given twice"#),
            (
                vec![input("a", ElementType::F64, &[3, 2])],
                r#"input "a": FP32 [-1, 2] is expected, not FP64 [3, 2]"#,
            ),
            (
                vec![input("a", ElementType::F32, &[3])],
                r#"input "a": FP32 [-1, 2] is expected, not FP32 [3]"#,
            ),
            (
                vec![input("a", ElementType::F32, &[3, 4])],
                r#"input "a": FP32 [-1, 2] is expected, not FP32 [3, 4]"#,
            ),
        ] {
            let refused = request(inputs, &[]).resolve(&signature()).unwrap_err();
            assert_eq!(refused.to_string(), complaint);
        }
    }

    #[test]
    fn all_tensors_are_given_where_none_is_asked_for() {
        let resolved = request(both(), &[]).resolve(&signature()).unwrap();
        let output = |index| Selected {
            index,
            binary: true,
        };
        assert_eq!(resolved.outputs, [output(0), output(1)]);
    }

    #[test]
    fn outputs_are_given_in_the_order_and_form_asked_for() {
        let wanted = [("z", None), ("y", Some(false))];
        let resolved = request(both(), &wanted).resolve(&signature()).unwrap();
        let output = |index, binary| Selected { index, binary };
        assert_eq!(resolved.outputs, [output(1, true), output(0, false)]);
    }

    #[test]
    fn outputs_that_the_model_does_not_give_are_named() {
        for (wanted, complaint) in [
            (
                &[("maps", None)][..],
                r#"output "maps": the model gives no such output, it gives "y", "z""#,
            ),
            (
                &[("y", None), ("y", Some(true))],
                r#"output "y": is requested twice"#,
            ),
        ] {
            let refused = request(both(), wanted).resolve(&signature()).unwrap_err();
            assert_eq!(refused.to_string(), complaint);
        }
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let ports: Vec<Port> = (0..10)
            .map(|index| Port::tensor(index.to_string(), ElementType::F32, []))
            .collect();
        assert!(list(ports.iter()).ends_with(r#""7" and 2 more"#));
    }
}
