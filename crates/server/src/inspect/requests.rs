//! Requests that fit a model, as commands for a shell and as Python.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};
use springtide_contract::task::Task;
use springtide_inference::{Dimension, ElementType, Port, Signature};
use springtide_open_inference::datatype_name;
use springtide_tasks::TaskModel;
use springtide_tasks::tabular::Table;

/// Address of a server with the default port.
const ADDRESS: &str = "http://localhost:8000";

/// Maximum bytes of a body in a command. Longer ones are made by Python.
const MAX_BODY_BYTES: usize = 2_000;

/// Minimum number of equal elements that Python repeats.
const MIN_REPEATED: usize = 17;

/// A request to a server with this model alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampleRequest {
    /// The path.
    pub path: String,
    /// The body. None for the file `image.jpg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The command for a shell.
    pub curl: String,
    /// The same in Python.
    pub python: String,
}

/// The requests for a model that is served under a name.
#[must_use]
pub fn samples(name: &str, signature: &Signature, task: Option<&TaskModel>) -> Vec<SampleRequest> {
    let predict = match task {
        Some(TaskModel::Tabular(model)) => Some(with_body("/predict", rows(&model.table))),
        Some(TaskModel::Text(model)) => Some(with_body("/predict", texts(model.task()))),
        Some(TaskModel::Image(_)) => Some(image()),
        None => None,
    };
    let infer = tensors(signature).map(|body| with_body(&format!("/v2/models/{name}/infer"), body));
    predict.into_iter().chain(infer).collect()
}

/// A row with a value for each column.
fn rows(table: &Table) -> Value {
    if let (Some((element, width)), [only]) = (table.features(), table.columns())
        && only.width == width
    {
        return json!({ "features": vec![value(element); width.get()] });
    }
    let cells = table.columns().iter().map(|column| {
        let cell = match column.width.get() {
            1 => value(column.element),
            width => Value::Array(vec![value(column.element); width]),
        };
        (column.name.clone(), cell)
    });
    json!({ "rows": [Value::Object(cells.collect::<Map<_, _>>())] })
}

fn texts(task: Task) -> Value {
    match task {
        Task::TextPair => json!({
            "text": "Where is Berlin?",
            "text_pair": "Berlin is the capital of Germany.",
        }),
        _ => json!({ "text": "Berlin is the capital of Germany." }),
    }
}

/// One row of tensors. None if the rank of an input isn't declared.
fn tensors(signature: &Signature) -> Option<Value> {
    let inputs: Option<Vec<Value>> = signature.required_inputs().map(tensor).collect();
    Some(json!({ "inputs": inputs? }))
}

fn tensor(port: &Port) -> Option<Value> {
    let element = port.element()?;
    let length = |dimension: &Dimension| match dimension {
        Dimension::Any => 1,
        Dimension::Fixed(length) => *length,
    };
    let shape: Vec<usize> = port.shape.as_ref()?.iter().map(length).collect();
    let count = shape
        .iter()
        .try_fold(1_usize, |count, length| count.checked_mul(*length))?;
    // 100 million elements are more than a request may have.
    let data = (count <= 100_000_000).then(|| vec![value(element); count])?;
    Some(json!({
        "name": port.name, "shape": shape, "datatype": datatype_name(element), "data": data,
    }))
}

/// A value that most models take: 0 is a valid index.
fn value(element: ElementType) -> Value {
    match element {
        ElementType::Bool => json!(false),
        ElementType::String => json!("text"),
        ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64 => json!(0.0),
        _ => json!(0),
    }
}

fn with_body(path: &str, body: Value) -> SampleRequest {
    let json = body.to_string();
    let literal = python(&body);
    let curl = if json.len() <= MAX_BODY_BYTES {
        format!("curl -s {ADDRESS}{path} -d {}", quoted(&json))
    } else {
        let program = format!("import json; print(json.dumps({literal}))");
        format!(
            "python3 -c {} | curl -s {ADDRESS}{path} -d @-",
            quoted(&program)
        )
    };
    // A long body would make a long report, and the command makes it anyway.
    let body = (json.len() <= MAX_BODY_BYTES).then_some(body);
    SampleRequest {
        path: path.to_owned(),
        body,
        curl,
        python: format!(
            "import json, urllib.request\nbody = json.dumps({literal}).encode()\n\
             print(urllib.request.urlopen(\"{ADDRESS}{path}\", body).read().decode())"
        ),
    }
}

/// An image file.
fn image() -> SampleRequest {
    SampleRequest {
        path: "/predict".to_owned(),
        body: None,
        curl: format!(
            "curl -s {ADDRESS}/predict -H 'Content-Type: image/jpeg' --data-binary @image.jpg"
        ),
        python: format!(
            "import urllib.request\nrequest = urllib.request.Request(\"{ADDRESS}/predict\", \
             open(\"image.jpg\", \"rb\").read(), {{\"Content-Type\": \"image/jpeg\"}})\n\
             print(urllib.request.urlopen(request).read().decode())"
        ),
    }
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value as a literal of Python, in ASCII.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => python_text(text),
        Value::Array(values) => match &**values {
            [first, ..]
                if values.len() >= MIN_REPEATED && values.iter().all(|other| other == first) =>
            {
                format!("[{}] * {}", python(first), values.len())
            }
            values => {
                let values: Vec<String> = values.iter().map(python).collect();
                format!("[{}]", values.join(", "))
            }
        },
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", python_text(name), python(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

fn python_text(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            ' '..='~' => literal.push(character),
            _ => {
                // Writing to a String can't fail.
                let _written = write!(literal, "\\U{:08x}", u32::from(character));
            }
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use springtide_tasks::tabular::TabularModel;

    use super::*;

    fn signature(inputs: Vec<Port>) -> Signature {
        let outputs = vec![Port::tensor("y", ElementType::F32, [Dimension::Any])];
        Signature { inputs, outputs }
    }

    fn of(inputs: Vec<Port>) -> Vec<SampleRequest> {
        let signature = signature(inputs);
        let task = TabularModel::new(&signature, None, &[]).ok();
        let task = task.map(|model| TaskModel::Tabular(Box::new(model)));
        samples("m", &signature, task.as_ref())
    }

    #[test]
    fn one_input_takes_features() {
        let width = Dimension::Fixed(2);
        let requests = of(vec![Port::tensor(
            "x",
            ElementType::F32,
            [Dimension::Any, width],
        )]);
        assert_eq!(
            requests[0].curl,
            r#"curl -s http://localhost:8000/predict -d '{"features":[0.0,0.0]}'"#
        );
        let expected = json!({"inputs": [
            {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 0.0]},
        ]});
        assert_eq!(requests[1].path, "/v2/models/m/infer");
        assert_eq!(requests[1].body, Some(expected));
    }

    #[test]
    fn several_inputs_take_rows_with_their_names() {
        let column = |name: &str, element| Port::tensor(name, element, [Dimension::Any]);
        let requests = of(vec![
            column("it's", ElementType::String),
            column("age", ElementType::I64),
        ]);
        let expected = json!({"rows": [{"it's": "text", "age": 0}]});
        assert_eq!(requests[0].body, Some(expected));
        assert!(
            requests[0].curl.contains(r"it'\''s"),
            "{}",
            requests[0].curl
        );
    }

    #[test]
    fn large_tensors_are_made_by_python_and_unknown_ranks_have_no_request() {
        let lengths = [1, 3, 224, 224].map(Dimension::Fixed);
        let requests = of(vec![Port::tensor("pixels", ElementType::F32, lengths)]);
        let [only] = &*requests else {
            panic!("{requests:?}")
        };
        assert!(only.curl.starts_with("python3 -c '"), "{}", only.curl);
        assert!(only.curl.contains("[0.0] * 150528"), "{}", only.curl);
        assert_eq!(only.body, None);
        let unranked = Port {
            shape: None,
            ..Port::tensor("x", ElementType::F32, [])
        };
        assert_eq!(of(vec![unranked]), []);
    }

    #[test]
    fn python_literals_are_ascii() {
        let value = json!({"ä\"": [true, null, 1, "b\n"]});
        assert_eq!(
            python(&value),
            r#"{"\U000000e4\"": [True, None, 1, "b\U0000000a"]}"#
        );
    }
}
