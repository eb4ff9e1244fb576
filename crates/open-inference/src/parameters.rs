//! Supported parameters of requests, inputs and outputs. Others are ignored.

use std::time::Duration;

use crate::InvalidRequest;

/// Parameters that are read or rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    BinaryData,
    BinaryDataOutput,
    BinaryDataSize,
    Classification,
    SequenceId,
    SharedMemory,
    Timeout,
    Other,
}

impl Name {
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "binary_data" => Self::BinaryData,
            "binary_data_output" => Self::BinaryDataOutput,
            "binary_data_size" => Self::BinaryDataSize,
            "classification" => Self::Classification,
            "sequence_id" => Self::SequenceId,
            "timeout" => Self::Timeout,
            _ if name.starts_with("shared_memory_") => Self::SharedMemory,
            _ => Self::Other,
        }
    }
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    /// Wide enough for all 64-bit integers, with and without sign.
    Integer(i128),
    Text(String),
    /// Anything else.
    Other,
}

impl Value {
    fn boolean(&self, name: &str) -> Result<bool, InvalidRequest> {
        match self {
            Self::Bool(value) => Ok(*value),
            _ => Err(InvalidRequest::new(format!("{name} must be true or false"))),
        }
    }

    fn unsigned<T: TryFrom<i128>>(&self, name: &str) -> Result<T, InvalidRequest> {
        match self {
            Self::Integer(value) if *value >= 0 => T::try_from(*value).ok(),
            _ => None,
        }
        .ok_or_else(|| {
            InvalidRequest::new(format!("{name} must be an integer that is not negative"))
        })
    }

    fn is_zero_or_empty(&self) -> bool {
        match self {
            Self::Integer(value) => *value == 0,
            Self::Text(text) => text.is_empty(),
            Self::Bool(_) | Self::Other => false,
        }
    }
}

/// Parameters of one kind.
pub(crate) trait Parameters: Default {
    /// Adds a parameter.
    ///
    /// # Errors
    /// When it has a wrong type or requests an unsupported feature.
    fn set(&mut self, name: Name, value: &Value) -> Result<(), InvalidRequest>;
}

/// Parameters of a request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct RequestParameters {
    /// The client's timeout.
    pub(crate) timeout: Option<Duration>,
    /// Whether outputs are binary by default.
    pub(crate) binary_output: bool,
}

impl Parameters for RequestParameters {
    fn set(&mut self, name: Name, value: &Value) -> Result<(), InvalidRequest> {
        match name {
            Name::BinaryDataOutput => self.binary_output = value.boolean("binary_data_output")?,
            // Zero is the server's timeout.
            Name::Timeout => {
                let microseconds = value.unsigned("timeout")?;
                self.timeout = (microseconds > 0).then_some(Duration::from_micros(microseconds));
            }
            Name::SequenceId if !value.is_zero_or_empty() => {
                let message =
                    "sequence_id: sequences are not supported, each request is independent";
                return Err(InvalidRequest::unsupported(message));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Parameters of an input.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct InputParameters {
    /// Size of its elements after the JSON, in bytes.
    pub(crate) binary_size: Option<usize>,
}

impl Parameters for InputParameters {
    fn set(&mut self, name: Name, value: &Value) -> Result<(), InvalidRequest> {
        match name {
            Name::BinaryDataSize => self.binary_size = Some(value.unsigned("binary_data_size")?),
            Name::SharedMemory => return Err(no_shared_memory()),
            _ => {}
        }
        Ok(())
    }
}

/// Parameters of a requested output.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct OutputParameters {
    /// Whether it is to be binary.
    pub(crate) binary: Option<bool>,
}

impl Parameters for OutputParameters {
    fn set(&mut self, name: Name, value: &Value) -> Result<(), InvalidRequest> {
        match name {
            Name::BinaryData => self.binary = Some(value.boolean("binary_data")?),
            Name::SharedMemory => return Err(no_shared_memory()),
            Name::Classification if !value.is_zero_or_empty() => {
                let message = "classification: ranking of outputs is not supported";
                return Err(InvalidRequest::unsupported(message));
            }
            _ => {}
        }
        Ok(())
    }
}

fn no_shared_memory() -> InvalidRequest {
    InvalidRequest::unsupported("shared memory is not supported: send the elements")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<P: Parameters>(name: &str, value: &Value) -> Result<P, InvalidRequest> {
        let mut parameters = P::default();
        parameters.set(Name::of(name), value).map(|()| parameters)
    }

    #[test]
    fn a_timeout_is_in_microseconds_and_zero_is_none() {
        let timeout = |value| set::<RequestParameters>("timeout", &value).map(|set| set.timeout);
        assert_eq!(
            timeout(Value::Integer(1500)),
            Ok(Some(Duration::from_micros(1500)))
        );
        assert_eq!(timeout(Value::Integer(0)), Ok(None));
        for value in [
            Value::Integer(-1),
            Value::Integer(i128::from(u64::MAX) + 1),
            Value::Text("5".to_owned()),
            Value::Other,
        ] {
            let refused = timeout(value).unwrap_err();
            assert!(
                refused.to_string().starts_with("timeout must be"),
                "{refused}"
            );
        }
    }

    #[test]
    fn sequences_are_refused_and_their_absence_is_not() {
        let sequence = |value| set::<RequestParameters>("sequence_id", &value);
        assert!(sequence(Value::Integer(0)).is_ok());
        assert!(sequence(Value::Text(String::new())).is_ok());
        for value in [Value::Integer(7), Value::Text("a".to_owned())] {
            let refused = sequence(value).unwrap_err();
            assert!(matches!(refused, InvalidRequest::Unsupported(_)));
        }
    }

    #[test]
    fn shared_memory_and_classification_are_refused() {
        let region = || Value::Text("region".to_owned());
        let refused = [
            set::<InputParameters>("shared_memory_region", &region()).unwrap_err(),
            set::<OutputParameters>("shared_memory_region", &region()).unwrap_err(),
            set::<OutputParameters>("classification", &Value::Integer(3)).unwrap_err(),
        ];
        for refused in refused {
            assert!(matches!(refused, InvalidRequest::Unsupported(_)));
        }
        assert!(set::<OutputParameters>("classification", &Value::Integer(0)).is_ok());
    }

    #[test]
    fn what_the_server_does_not_know_changes_nothing() {
        for name in ["priority", "mine", "sequence_start", "triton_x"] {
            assert_eq!(
                set(name, &Value::Other),
                Ok(RequestParameters::default()),
                "{name}"
            );
        }
    }

    #[test]
    fn flags_are_booleans() {
        let flag = |value| set::<OutputParameters>("binary_data", &value);
        assert_eq!(flag(Value::Bool(true)).unwrap().binary, Some(true));
        assert!(flag(Value::Integer(1)).is_err());
    }
}
