//! The state of the parser, and the rules of values, rows and columns.

use std::num::NonZeroUsize;

use springtide_inference::{Data, ElementType, Tensor};
use springtide_open_inference::http::non_finite_literal;

use super::content::{Source, TableRequest};
use crate::request::{FieldError, InvalidRequest, Options, Protocol};
use crate::tabular::cells::{self, Cell, Null, out_of_range, plural, singular};
use crate::tabular::table::{Column, Table};

/// The current field of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// A field at the top, by its name: `features`.
    Field(&'static str),
    /// An element of it: `features[i]`.
    Element(usize),
    /// An element of that: `features[i][j]`.
    Nested(usize, usize),
    /// A column of a row: `rows[i].age`.
    Cell(usize, usize),
    /// An element of that: `rows[i].x[j]`.
    CellElement(usize, usize, usize),
    /// A list of a column: `columns.age`.
    Column(usize),
    /// An element of it: `columns.age[i]`.
    ColumnElement(usize, usize),
    /// An element of that: `columns.x[i][j]`.
    ColumnNested(usize, usize, usize),
}

/// The rows that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) source: Source,
    pub(super) rows: usize,
    pub(super) list: bool,
}

/// The state of the parser. `serde` has errors as text only, so the invalid field is kept here while the parser
/// returns.
pub(super) struct Reader<'t> {
    pub(super) table: &'t Table,
    pub(super) max_rows: NonZeroUsize,
    pub(super) protocol: Protocol,
    pub(super) path: Option<Path>,
    pub(super) content: Option<Content>,
    pub(super) options: Options,
    problem: Option<FieldError>,
    inputs: Vec<Data>,
    /// The row in which each column was seen last, counted from 1.
    seen: Vec<usize>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(table: &'t Table, max_rows: NonZeroUsize, protocol: Protocol) -> Self {
        let inputs = table
            .inputs
            .iter()
            .map(|input| Data::zeros(input.element, 0));
        Self {
            table,
            max_rows,
            protocol,
            path: None,
            content: None,
            options: Options::default(),
            problem: None,
            inputs: inputs.collect(),
            seen: vec![0; table.columns().len()],
        }
    }

    /// The source of the rows while they are read.
    fn source(&self) -> Source {
        match (self.content, self.protocol) {
            (Some(content), _) => content.source,
            (None, Protocol::Predict) => Source::Features,
            (None, Protocol::V1) => Source::Instances,
        }
    }

    fn named(&self, path: Path) -> String {
        let source = self.source().name();
        let column = |at: usize| {
            self.table
                .columns()
                .get(at)
                .map_or("", |column| &column.name)
        };
        match path {
            Path::Field(name) => name.to_owned(),
            Path::Element(i) => format!("{source}[{i}]"),
            Path::Nested(i, j) => format!("{source}[{i}][{j}]"),
            Path::Cell(row, at) => format!("{source}[{row}].{}", column(at)),
            Path::CellElement(row, at, j) => format!("{source}[{row}].{}[{j}]", column(at)),
            Path::Column(at) => format!("{source}.{}", column(at)),
            Path::ColumnElement(at, i) => format!("{source}.{}[{i}]", column(at)),
            Path::ColumnNested(at, i, j) => format!("{source}.{}[{i}][{j}]", column(at)),
        }
    }

    pub(super) fn fail<E: serde::de::Error>(
        &mut self,
        field: impl Into<String>,
        problem: impl Into<String>,
    ) -> E {
        let problem = FieldError::new(field, problem);
        let text = problem.to_string();
        self.problem = Some(problem);
        E::custom(text)
    }

    pub(super) fn fail_here<E: serde::de::Error>(&mut self, problem: impl Into<String>) -> E {
        let path = self.path.unwrap_or(Path::Field(self.source().name()));
        let field = self.named(path);
        self.fail(field, problem)
    }

    /// Puts a value into a row of a column, at a position of its width.
    pub(super) fn put<E: serde::de::Error>(
        &mut self,
        column: usize,
        row: usize,
        at: usize,
        cell: Cell<'_>,
    ) -> Result<(), E> {
        let (input, offset) = match self.table.columns().get(column) {
            Some(column) => (column.input, column.offset + at),
            None => (0, at),
        };
        // `features` are the contract's: all numbers must be given.
        let null = match self.source() {
            Source::Features => Null::IsRefused,
            Source::Rows | Source::Columns | Source::Instances => Null::IsNan,
        };
        self.put_at(input, row, offset, cell, null)
    }

    /// Puts a value into a row without names.
    pub(super) fn put_feature<E: serde::de::Error>(
        &mut self,
        row: usize,
        at: usize,
        cell: Cell<'_>,
    ) -> Result<(), E> {
        let null = match self.source() {
            Source::Instances => Null::IsNan,
            Source::Features | Source::Rows | Source::Columns => Null::IsRefused,
        };
        self.put_at(0, row, at, cell, null)
    }

    fn put_at<E: serde::de::Error>(
        &mut self,
        input: usize,
        row: usize,
        offset: usize,
        cell: Cell<'_>,
        null: Null,
    ) -> Result<(), E> {
        let width = self
            .table
            .inputs
            .get(input)
            .map_or(1, |input| input.width.get());
        let Some(data) = self.inputs.get_mut(input) else {
            return Ok(());
        };
        match cells::set(data, row * width + offset, cell, null) {
            Ok(()) => Ok(()),
            Err(problem) => Err(self.fail_here(problem)),
        }
    }

    /// Notes that a column was seen in a row. False if it was seen there before.
    pub(super) fn see(&mut self, column: usize, row: usize) -> bool {
        match self.seen.get_mut(column) {
            Some(seen) => std::mem::replace(seen, row + 1) != row + 1,
            None => true,
        }
    }

    /// The first column that wasn't seen in a row.
    pub(super) fn missing(&self, row: usize) -> Option<usize> {
        self.seen.iter().position(|seen| *seen != row + 1)
    }

    /// The words for a row without names: "a list of 4 numbers".
    pub(super) fn row_words(&self) -> String {
        let (element, width) = self.features();
        format!("a list of {width} {}", plural(element))
    }

    /// The words for a value without a name: "a finite number".
    pub(super) fn value_words(&self) -> &'static str {
        singular(self.features().0)
    }

    pub(super) fn features(&self) -> (ElementType, usize) {
        match self.table.features() {
            Some((element, width)) => (element, width.get()),
            None => (ElementType::F32, 0),
        }
    }

    /// Checks the length of a row without names.
    pub(super) fn check_row_length<E: serde::de::Error>(&mut self, length: usize) -> Result<(), E> {
        let (element, features) = self.features();
        self.check_length(length, element, features)
    }

    /// Checks the length of a list of values.
    pub(super) fn check_length<E: serde::de::Error>(
        &mut self,
        length: usize,
        element: ElementType,
        expected: usize,
    ) -> Result<(), E> {
        if length == expected {
            return Ok(());
        }
        let plural = plural(element);
        Err(self.fail_here(match length {
            0 => "must not be empty".to_owned(),
            1 => format!(
                "has 1 {}, the model takes {expected}",
                plural.trim_end_matches('s')
            ),
            _ => format!("has {length} {plural}, the model takes {expected}"),
        }))
    }

    /// The error at which the parser returned.
    pub(super) fn error(self, body: &[u8], error: &serde_json::Error) -> InvalidRequest {
        if let Some(problem) = self.problem {
            return problem.into();
        }
        if let Some(path) = self.path {
            // Some writers of JSON accept them, but JSON doesn't have them.
            if let Some(literal) = non_finite_literal(body, error) {
                let problem = format!("must be a finite number, not {literal}");
                return FieldError::new(self.named(path), problem).into();
            }
            if error.is_syntax() && error.to_string().starts_with("number out of range") {
                let problem = out_of_range(self.element(path));
                return FieldError::new(self.named(path), problem).into();
            }
        }
        InvalidRequest::Malformed(error.to_string())
    }

    fn element(&self, path: Path) -> ElementType {
        let of_column = |at: usize| self.table.columns().get(at).map(|column| column.element);
        let of_path = match path {
            Path::Field(_) | Path::Element(_) | Path::Nested(..) => None,
            Path::Cell(_, at) | Path::CellElement(_, at, _) => of_column(at),
            Path::Column(at) | Path::ColumnElement(at, _) | Path::ColumnNested(at, ..) => {
                of_column(at)
            }
        };
        of_path.unwrap_or(self.features().0)
    }

    pub(super) fn finish(self) -> Result<TableRequest, InvalidRequest> {
        let Some(Content { source, rows, list }) = self.content else {
            return Err(self.without_rows().into());
        };
        let name = source.name();
        if rows > self.max_rows.get() {
            let problem = format!(
                "has {rows} rows, the maximum is {} (--max-batch-size)",
                self.max_rows
            );
            return Err(FieldError::new(name, problem).into());
        }
        let empty = || FieldError::new(name, "must not be empty");
        let inputs = self.table.inputs.iter().zip(self.inputs);
        let tensors = inputs.map(|(input, data)| Tensor::new(input.shape(rows), data));
        Ok(TableRequest {
            inputs: tensors
                .collect::<Result<_, _>>()
                .map_err(|_mismatch| empty())?,
            rows: NonZeroUsize::new(rows).ok_or_else(empty)?,
            list,
            source,
            options: self.options,
        })
    }

    /// The error of a body without rows.
    fn without_rows(&self) -> FieldError {
        if self.protocol == Protocol::V1 {
            return FieldError::new("instances", "is required: a list of rows");
        }
        match self.table.features() {
            Some(_) => {
                let row = self.row_words();
                FieldError::new(
                    "features",
                    format!("is required: {row}, or a list of such lists"),
                )
            }
            None => {
                let example = example(self.table.columns());
                let problem =
                    format!("is required: a list of objects with the model's columns, {example}");
                FieldError::new("rows", problem)
            }
        }
    }
}

/// An example of a row: `{"age": 0.0, "sex": ""}`.
fn example(columns: &[Column]) -> String {
    let value = |column: &Column| match column.element {
        ElementType::Bool => "false",
        ElementType::String => "\"\"",
        ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64 => "0.0",
        _ => "0",
    };
    let field = |column: &Column| match column.width.get() {
        1 => format!("{:?}: {}", column.name, value(column)),
        _ => format!("{:?}: [{}, …]", column.name, value(column)),
    };
    let fields: Vec<String> = columns.iter().take(8).map(field).collect();
    let more = if columns.len() > fields.len() {
        ", …"
    } else {
        ""
    };
    format!("{{{}{more}}}", fields.join(", "))
}
