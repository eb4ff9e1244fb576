use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::Request as HttpRequest;

use super::*;
use crate::http::testing::{AT_ONCE, MODEL, app, get_path, ready_app, send};

const DOCS: &str = include_str!("../../../../docs/serving.md");

/// The methods that `OpenAPI` has and this server uses.
const METHODS: [&str; 2] = ["get", "post"];

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => found.push(target.clone()),
                    value => references(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_server_describes_its_endpoints() {
    let answer = get_path(&app(), "/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json(), document());
    assert_eq!(answer.json()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn references_have_targets_and_schemas_are_used() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(&reference), "{name} is not used");
    }
}

#[test]
fn operations_are_complete_and_have_ids_of_their_own() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(METHODS.contains(&&**method), "{method}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id}");
            let declared = operation["parameters"].as_array();
            let declared = declared.into_iter().flatten();
            let in_path: Vec<&str> = declared
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(path_parameters(path).collect::<Vec<_>>(), in_path, "{path}");
            assert!(operation["responses"]["200"]["description"].is_string());
            assert_eq!(operation["requestBody"].is_object(), method == "post");
        }
    }
    assert_eq!(ids.len(), OPERATIONS.len());
    let tags = operations::TAGS.map(|(name, _)| name);
    assert!(OPERATIONS.iter().all(|one| tags.contains(&one.tag)));
}

/// Whether a value has the required properties and types of a schema, as far as this server's schemas use them.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        return fits(document, target.unwrap(), value);
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        return alternatives.iter().any(|one| fits(document, one, value));
    }
    let is_type = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    };
    let of_type = match &schema["type"] {
        Value::String(name) => is_type(name),
        Value::Array(names) => names.iter().any(|name| is_type(name.as_str().unwrap())),
        _ => true,
    };
    let listed = |names: &Value| names.as_array().is_none_or(|all| all.contains(value));
    let required = schema["required"].as_array();
    let mut required = required.into_iter().flatten();
    let has_all = required.all(|name| value.get(name.as_str().unwrap()).is_some());
    let properties = schema["properties"].as_object();
    let mut properties = properties.into_iter().flatten();
    let fit = properties.all(|(name, schema)| {
        value
            .get(name)
            .is_none_or(|value| fits(document, schema, value))
    });
    let items = value.as_array().into_iter().flatten();
    let items_fit = schema.get("items").is_none_or(|schema| {
        let mut items = items;
        items.all(|item| fits(document, schema, item))
    });
    of_type && listed(&schema["enum"]) && has_all && fit && items_fit
}

#[test]
fn examples_fit_their_schemas() {
    let document = document();
    let mut checked = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert!(fits(&document, schema, example), "{name}: {example}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

/// The path with the name and the version of the test's model.
fn filled(path: &str) -> String {
    path.replace("{name}", MODEL).replace("{version}", "1")
}

#[tokio::test]
async fn every_described_endpoint_exists_and_answers_as_described() {
    let document = document();
    let app = ready_app(AT_ONCE, 100);
    for operation in OPERATIONS {
        let path = filled(operation.path);
        let method = operation.method.to_uppercase();
        let sent = |method: &str, body: &'static str| {
            let request = HttpRequest::builder().method(method).uri(&path);
            send(&app, request.body(Body::from(body)).unwrap())
        };
        // A body that no endpoint takes.
        let body = if method == "POST" { "[" } else { "" };
        let answer = sent(&method, body).await;
        let status = answer.status.to_string();
        let described = &document["paths"][operation.path][operation.method];
        assert!(!matches!(answer.status, 404 | 405), "{method} {path}");
        if operation.path != "/v2/repository/index" {
            let response = &described["responses"][&status];
            assert!(response.is_object(), "{method} {path}: {status}");
            let schema = &response["content"]["application/json"]["schema"];
            if !schema.is_null() {
                assert!(fits(&document, schema, &answer.json()), "{}", answer.text);
            }
        }
        let methods = document["paths"][operation.path].as_object().unwrap();
        if methods.len() == 1 {
            let other = if method == "POST" { "GET" } else { "POST" };
            // The path of a model in V1 has the path of predictions.
            let status = sent(other, "").await.status;
            assert!(matches!(status, 405 | 404), "{other} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn predictions_fit_their_schemas() {
    let document = document();
    let app = ready_app(AT_ONCE, 100);
    let rows = r#"{"features": [[1, 0], [0, 0]], "request_id": "a"}"#;
    let tensor = r#"{"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1, 0]}]}"#;
    for (path, body) in [
        ("/predict", r#"{"features": [1, 0]}"#),
        ("/predict/{name}", rows),
        ("/v1/models/{name}:predict", r#"{"instances": [[1, 0]]}"#),
        ("/v2/models/{name}/infer", tensor),
    ] {
        let request = HttpRequest::post(filled(path)).body(Body::from(body));
        let answer = send(&app, request.unwrap()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let content = &document["paths"][path]["post"]["responses"]["200"]["content"];
        let schema = &content["application/json"]["schema"];
        assert!(fits(&document, schema, &answer.json()), "{}", answer.text);
    }
}

#[test]
fn every_endpoint_of_the_documentation_is_described() {
    let described: BTreeSet<String> = OPERATIONS
        .iter()
        .map(|one| format!("{} {}", one.method.to_uppercase(), one.path))
        .collect();
    let mut found = 0;
    for method in ["GET", "POST"] {
        let start = format!("`{method} /");
        let named = DOCS.split(&start).skip(1);
        for text in named.filter_map(|rest| rest.split('`').next()) {
            // Optional parts are in brackets: the path without them.
            let path = text.replace("[/versions/<version>]", "");
            let path = path.replace("<name>", "{name}");
            let endpoint = format!("{method} /{path}");
            if path.is_empty() || path.starts_with("page") {
                // The page for browsers.
                continue;
            }
            assert!(described.contains(&endpoint), "{endpoint}");
            found += 1;
        }
    }
    assert!(found > 5, "{found}");
}
