//! The shape of the schema.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use crate::schema;

/// Calls `visit` with each schema below `schema` and its path.
fn walk(path: &str, schema: &JSONSchemaProps, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
    visit(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        walk(&format!("{path}[]"), item, visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &schema.additional_properties {
        walk(&format!("{path}.*"), value, visit);
    }
}

fn spec() -> JSONSchemaProps {
    schema().properties.unwrap().remove("spec").unwrap()
}

#[test]
fn everything_in_the_spec_is_bounded() {
    let mut unbounded = Vec::new();
    walk("spec", &spec(), &mut |path, schema| {
        let is_bounded = match schema.type_.as_deref() {
            Some("boolean") => true,
            Some("integer") => schema.minimum.is_some() && schema.maximum.is_some(),
            Some("string") => schema.max_length.is_some() || schema.enum_.is_some(),
            Some("array") => schema.max_items.is_some(),
            Some("object") => {
                schema.additional_properties.is_none() || schema.max_properties.is_some()
            }
            None => schema.x_kubernetes_int_or_string == Some(true) && schema.max_length.is_some(),
            Some(_) => false,
        };
        if !is_bounded {
            unbounded.push(path.to_owned());
        }
    });
    assert_eq!(unbounded, Vec::<String>::new());
}

#[test]
fn everything_is_described() {
    let mut silent = Vec::new();
    walk("", &schema(), &mut |path, schema| {
        let is_value = path.ends_with("[]") || path.ends_with(".*");
        if schema.description.is_none() && !is_value {
            silent.push(path.to_owned());
        }
    });
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn nothing_is_null_or_of_unknown_shape_or_broken_into_lines() {
    walk("", &schema(), &mut |path, schema| {
        assert!(
            !schema
                .description
                .as_deref()
                .unwrap_or_default()
                .contains('\n'),
            "{path}"
        );
        // A limit that isn't there.
        let may_be_null = path == ".spec.server.resources.limits.*";
        assert_eq!(schema.nullable, may_be_null.then_some(true), "{path}");
        // A spec of another version of the operator may have other fields.
        let is_any_spec = path == ".status.lastValid.spec";
        assert_eq!(
            schema.x_kubernetes_preserve_unknown_fields,
            is_any_spec.then_some(true),
            "{path}"
        );
    });
}

#[test]
fn every_rule_says_which_field_it_is_about() {
    let mut rules = 0;
    walk("", &schema(), &mut |path, schema| {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            let message = rule.message.as_deref().unwrap_or_default();
            let root = if path.is_empty() {
                "metadata."
            } else {
                "spec."
            };
            assert!(message.starts_with(root), "{path}: {message:?}");
            rules += 1;
        }
    });
    assert!(rules > 10);
}

#[test]
fn lists_say_how_they_merge() {
    walk("", &schema(), &mut |path, schema| {
        if schema.type_.as_deref() == Some("array") {
            assert!(schema.x_kubernetes_list_type.is_some(), "{path}");
        }
    });
}

#[test]
fn the_resource_has_status_scale_columns_and_short_names() {
    let crd = springtide_api::crd();
    assert_eq!(
        crd.metadata.name.as_deref(),
        Some("modelservices.serving.springtide.dev")
    );
    assert_eq!(crd.spec.group, springtide_api::GROUP);
    assert_eq!(crd.spec.scope, "Namespaced");
    assert_eq!(crd.spec.names.short_names, Some(vec!["msvc".to_owned()]));
    assert_eq!(
        crd.spec.names.categories,
        Some(vec!["springtide".to_owned()])
    );
    let version = &crd.spec.versions[0];
    assert_eq!(version.name, springtide_api::VERSION);
    let columns = version.additional_printer_columns.iter().flatten();
    assert_eq!(
        columns
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>(),
        [
            "Ready", "Reason", "Min", "Replicas", "Max", "Engine", "URL", "Model", "Image", "Age"
        ]
    );
    let subresources = version.subresources.as_ref().unwrap();
    assert!(subresources.status.is_some());
    let scale = subresources.scale.as_ref().unwrap();
    assert_eq!(scale.spec_replicas_path, ".spec.replicas");
    assert_eq!(scale.status_replicas_path, ".status.replicas");
    assert_eq!(
        scale.label_selector_path.as_deref(),
        Some(".status.selector")
    );
}

/// What `kubectl get modelservices` shows, as the README shows it.
#[test]
fn the_columns_of_the_readme_are_those_of_the_definition() {
    let readme = include_str!("../../../../README.md");
    let shown = readme
        .lines()
        .find(|line| line.starts_with("NAME "))
        .unwrap();
    let crd = springtide_api::crd();
    let columns = crd.spec.versions[0].additional_printer_columns.iter();
    let columns = columns
        .flatten()
        .filter(|column| column.priority.unwrap_or_default() == 0)
        .map(|column| column.name.to_uppercase());
    let expected: Vec<_> = ["NAME".to_owned()].into_iter().chain(columns).collect();
    assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), expected);
}
