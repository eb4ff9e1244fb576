//! Parses the JSON body of a request for an image model.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::request::{FieldError, InvalidRequest, Options, Protocol, check_count, item, kind};

/// Maximum number of images of a request.
pub const MAX_IMAGES: usize = 64;

/// Maximum bytes of a body for any model. It limits memory.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A valid request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// The files. At least one.
    pub images: Vec<Vec<u8>>,
    /// Whether the response has lists.
    pub list: bool,
    /// The field with the images.
    field: &'static str,
    /// The options.
    pub options: Options,
}

impl ImageRequest {
    /// A request of image files.
    ///
    /// # Errors
    /// When there is none, or there are more than [`MAX_IMAGES`].
    pub fn new(
        images: Vec<Vec<u8>>,
        list: bool,
        field: &'static str,
        options: Options,
    ) -> Result<Self, FieldError> {
        check_count(field, images.len(), "images", MAX_IMAGES)?;
        Ok(Self {
            images,
            list,
            field,
            options,
        })
    }

    /// The field of an image in messages.
    #[must_use]
    pub fn row(&self, position: usize) -> String {
        item(self.field, self.list, position)
    }
}

/// Parses a JSON body: the field `image`, or `instances` of `KServe`'s V1, each image as base64.
///
/// # Errors
/// [`InvalidRequest`].
pub fn parse(body: &[u8], protocol: Protocol) -> Result<ImageRequest, InvalidRequest> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| InvalidRequest::Malformed(error.to_string()))?;
    let mut options = Options::default();
    for (field, value) in &fields {
        options.set(field, value)?;
    }
    let (field, expected) = match protocol {
        Protocol::Predict => ("image", "an image as base64, or a list of them"),
        Protocol::V1 => ("instances", "a list of images as base64"),
    };
    let required = || FieldError::new(field, format!("is required: {expected}"));
    let value = fields.remove(field).ok_or_else(required)?;
    let list = value.is_array();
    let images = match (value, protocol) {
        (Value::Array(values), _) => {
            let image = |(at, value)| decoded(&format!("{field}[{at}]"), value);
            values
                .into_iter()
                .enumerate()
                .map(image)
                .collect::<Result<_, _>>()?
        }
        (value, Protocol::Predict) => vec![decoded(field, value)?],
        (other, Protocol::V1) => {
            let problem = format!("must be {expected}, not {}", kind(&other));
            return Err(FieldError::new(field, problem).into());
        }
    };
    Ok(ImageRequest::new(images, list, field, options)?)
}

/// An image: base64, a data URL, or an object with one of them as `b64` or `image`.
fn decoded(field: &str, value: Value) -> Result<Vec<u8>, FieldError> {
    let unlike =
        |value: &Value| FieldError::new(field, format!("must be base64, not {}", kind(value)));
    let text = match value {
        Value::String(text) => text,
        Value::Object(mut fields) => {
            let nested = ["b64", "image", "image_bytes"]
                .iter()
                .find_map(|name| fields.remove(*name));
            match nested {
                Some(Value::String(text)) => text,
                Some(Value::Object(mut fields)) => match fields.remove("b64") {
                    Some(Value::String(text)) => text,
                    _ => return Err(unlike(&Value::Object(fields))),
                },
                _ => return Err(unlike(&Value::Object(fields))),
            }
        }
        other => return Err(unlike(&other)),
    };
    let base64 = match text.strip_prefix("data:") {
        Some(url) => url
            .split_once(";base64,")
            .map_or("", |(_, content)| content),
        None => &text,
    };
    let decoded = BASE64_STANDARD.decode(base64.trim_ascii());
    decoded.map_err(|_invalid| FieldError::new(field, "is no valid base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_base64_alone_in_lists_and_in_instances() {
        let read = |body: &str, protocol| parse(body.as_bytes(), protocol);
        let one = read(r#"{"image": "aGk=", "top_k": 2}"#, Protocol::Predict).unwrap();
        assert_eq!((&*one.images, one.list), (&[b"hi".to_vec()][..], false));
        assert_eq!(one.row(0), "image");
        let url = r#"{"image": ["data:image/png;base64,aGk="]}"#;
        let list = read(url, Protocol::Predict).unwrap();
        assert_eq!(
            (&*list.images, list.row(0)),
            (&[b"hi".to_vec()][..], "image[0]".to_owned())
        );
        let body = r#"{"instances": ["aGk=", {"b64": "aGk="}, {"image": {"b64": "aGk="}}]}"#;
        assert_eq!(
            read(body, Protocol::V1).unwrap().images,
            vec![b"hi".to_vec(); 3]
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (body, field, problem) in [
            (
                "{}",
                "image",
                "is required: an image as base64, or a list of them",
            ),
            (r#"{"image": 1}"#, "image", "must be base64, not a number"),
            (
                r#"{"image": ["aGk=", "?"]}"#,
                "image[1]",
                "is no valid base64",
            ),
            (r#"{"image": "data:image/png,x"}"#, "image", ""),
            (r#"{"image": []}"#, "image", "must not be empty"),
        ] {
            match parse(body.as_bytes(), Protocol::Predict) {
                Err(InvalidRequest::Field(error)) => {
                    assert_eq!((&*error.field, &*error.problem), (field, problem), "{body}");
                }
                // An empty file, which is no image.
                other => assert_eq!(other.unwrap().images, [Vec::<u8>::new()], "{body}"),
            }
        }
    }
}
