//! Enumerations as JSON names them: by name, where gRPC has numbers.

use serde::Serializer;

use super::message::DataType;
use super::message::model_instance_group::Kind;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn data_type<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let data_type = DataType::try_from(*number).unwrap_or_default();
    serializer.serialize_str(data_type.as_str_name())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn kind<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let kind = Kind::try_from(*number).unwrap_or_default();
    serializer.serialize_str(kind.as_str_name())
}
