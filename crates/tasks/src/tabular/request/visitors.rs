//! The visitors of the JSON text.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::content::Source;
use super::reader::{Content, Path, Reader};
use crate::request::Protocol;
use crate::tabular::cells::{Cell, plural, singular};

/// Reads a body.
///
/// # Errors
/// At the first error in the text.
pub(super) fn read(reader: &mut Reader<'_>, body: &[u8]) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_slice(body);
    json.deserialize_map(Body(reader))?;
    json.end()
}

/// A field of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Features,
    Rows,
    Columns,
    Instances,
    RequestId,
    Probabilities,
    TopK,
    #[serde(other)]
    Other,
}

impl Key {
    const fn source(self) -> Option<Source> {
        match self {
            Self::Features => Some(Source::Features),
            Self::Rows => Some(Source::Rows),
            Self::Columns => Some(Source::Columns),
            Self::Instances => Some(Source::Instances),
            Self::RequestId | Self::Probabilities | Self::TopK | Self::Other => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::Instances => "instances",
            Self::RequestId => "request_id",
            Self::Probabilities => "probabilities",
            Self::TopK => "top_k",
            Self::Other => "",
        }
    }

    /// Whether a protocol has the field.
    const fn is_of(self, protocol: Protocol) -> bool {
        match self {
            Self::Instances => matches!(protocol, Protocol::V1),
            Self::Features | Self::Rows | Self::Columns => matches!(protocol, Protocol::Predict),
            Self::RequestId | Self::Probabilities | Self::TopK => true,
            Self::Other => false,
        }
    }
}

/// The body.
struct Body<'r, 't>(&'r mut Reader<'t>);

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with the field features")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(reader) = self;
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<Key>()? {
            if !key.is_of(reader.protocol) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if seen.contains(&key) {
                return Err(A::Error::custom(format_args!(
                    "{} appears twice",
                    key.name()
                )));
            }
            seen.push(key);
            if let Some(source) = key.source() {
                if let Some(other) = reader.content {
                    let problem = format!("can't be combined with {}", other.source.name());
                    return Err(reader.fail(key.name(), problem));
                }
                let (rows, list) = (0, true);
                reader.content = Some(Content { source, rows, list });
                reader.path = Some(Path::Field(source.name()));
                if source == Source::Features && reader.table.features().is_none() {
                    let problem = format!(
                        "can't be used, since the model has several inputs: send rows with the columns {}",
                        reader.table.listed()
                    );
                    return Err(reader.fail_here(problem));
                }
            } else {
                let value: serde_json::Value = map.next_value()?;
                if let Err(error) = reader.options.set(key.name(), &value) {
                    return Err(reader.fail(error.field, error.problem));
                }
                continue;
            }
            map.next_value_seed(Value {
                reader,
                slot: Slot::Field(key),
            })?;
            reader.path = None;
        }
        Ok(())
    }
}

/// The place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// A field of the body.
    Field(Key),
    /// An element of `features` or `instances`: a value of the only row, or a row.
    Element(usize),
    /// An element of `rows`.
    Row(usize),
    /// A value of a row without names: row, position.
    Feature(usize, usize),
    /// The value of a column: column, row.
    Cell(usize, usize),
    /// An element of it: column, row, position.
    CellElement(usize, usize, usize),
    /// The list of a column.
    Column(usize),
}

/// A value, which is given to the reader if its type is right.
struct Value<'r, 't> {
    reader: &'r mut Reader<'t>,
    slot: Slot,
}

impl Value<'_, '_> {
    /// The error of a value with the wrong type.
    fn type_error<E: serde::de::Error>(self, found: &str) -> E {
        let reader = self.reader;
        let is_list = reader.content.is_some_and(|content| content.list);
        let of_column = |column: usize| {
            let column = reader.table.columns().get(column);
            column.map(|column| match column.width.get() {
                1 => singular(column.element).to_owned(),
                width => format!("a list of {width} {}", plural(column.element)),
            })
        };
        let expected = match self.slot {
            Slot::Field(Key::Rows) => "a list of objects".to_owned(),
            Slot::Field(Key::Columns) => "an object with a list for each column".to_owned(),
            Slot::Field(Key::Instances) => "a list of rows".to_owned(),
            Slot::Field(_) => reader.row_words(),
            Slot::Row(_) => "an object with the model's columns".to_owned(),
            Slot::Element(_) if reader.protocol == Protocol::V1 => match reader.table.features() {
                Some(_) => format!(
                    "{}, or an object with the model's columns",
                    reader.row_words()
                ),
                None => "an object with the model's columns".to_owned(),
            },
            Slot::Element(row) if is_list && row > 0 => reader.row_words(),
            Slot::Element(_) | Slot::Feature(..) => reader.value_words().to_owned(),
            Slot::Cell(column, _) => of_column(column).unwrap_or_default(),
            Slot::CellElement(column, ..) => {
                let column = reader.table.columns().get(column);
                column
                    .map_or("", |column| singular(column.element))
                    .to_owned()
            }
            Slot::Column(column) => match reader.table.columns().get(column) {
                Some(column) if column.width.get() == 1 => {
                    format!("a list of {}", plural(column.element))
                }
                _ => "a list of lists".to_owned(),
            },
        };
        let problem = format!("must be {expected}, not {found}");
        reader.fail_here(problem)
    }

    /// A scalar.
    fn scalar<E: serde::de::Error>(self, cell: Cell<'_>) -> Result<(), E> {
        let reader = &mut *self.reader;
        match self.slot {
            Slot::Element(index) => match reader.content {
                // A list of values is one row.
                Some(content)
                    if content.source == Source::Features && (index == 0 || !content.list) =>
                {
                    set_list(reader, false);
                    reader.put_feature(0, index, cell)
                }
                Some(content)
                    if content.source == Source::Instances && reader.features().1 == 1 =>
                {
                    reader.put_feature(index, 0, cell)
                }
                _ => Err(self.type_error(cell.kind())),
            },
            Slot::Feature(row, at) => reader.put_feature(row, at, cell),
            Slot::Cell(column, row) if width_of(reader, column) == 1 => {
                reader.put(column, row, 0, cell)
            }
            Slot::CellElement(column, row, at) => reader.put(column, row, at, cell),
            Slot::Field(_) | Slot::Row(_) | Slot::Cell(..) | Slot::Column(_) => {
                Err(self.type_error(cell.kind()))
            }
        }
    }
}

fn set_list(reader: &mut Reader<'_>, list: bool) {
    if let Some(content) = &mut reader.content {
        content.list = list;
    }
}

fn set_rows(reader: &mut Reader<'_>, rows: usize) {
    if let Some(content) = &mut reader.content {
        content.rows = rows;
    }
}

fn width_of(reader: &Reader<'_>, column: usize) -> usize {
    reader
        .table
        .columns()
        .get(column)
        .map_or(1, |column| column.width.get())
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Cell::Boolean(value))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.scalar(Cell::Unsigned(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.scalar(Cell::Signed(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.scalar(Cell::Float(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.scalar(Cell::Text(text))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(Cell::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        let reader = &mut *self.reader;
        match self.slot {
            Slot::Field(Key::Features) => features(reader, list),
            Slot::Field(Key::Rows) => rows(reader, list, Slot::Row),
            Slot::Field(Key::Instances) => rows(reader, list, Slot::Element),
            Slot::Element(row) if reader.table.features().is_some() => match reader.content {
                Some(content) if content.list => unnamed_row(reader, row, list),
                _ => Err(self.type_error("a list")),
            },
            Slot::Cell(column, row) if width_of(reader, column) > 1 => {
                let path = reader.path;
                cell_list(reader, column, row, path, list)
            }
            Slot::Column(column) => column_list(reader, column, list),
            _ => Err(self.type_error("a list")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.slot {
            Slot::Field(Key::Columns) => columns(self.reader, map),
            Slot::Row(row) => named_row(self.reader, row, map),
            Slot::Element(row) if self.reader.protocol == Protocol::V1 => {
                named_row(self.reader, row, map)
            }
            _ => Err(self.type_error("an object")),
        }
    }
}

/// Reads `features`: the values of a row, or rows.
fn features<'de, A: SeqAccess<'de>>(reader: &mut Reader<'_>, mut list: A) -> Result<(), A::Error> {
    let (_, width) = reader.features();
    let mut index = 0;
    loop {
        reader.path = Some(Path::Element(index));
        let is_list = reader.content.is_some_and(|content| content.list);
        let full = index > 0
            && index
                == if is_list {
                    reader.max_rows.get()
                } else {
                    width
                };
        if full {
            index += count_rest(&mut list)?;
            break;
        }
        let slot = Slot::Element(index);
        if list.next_element_seed(Value { reader, slot })?.is_none() {
            break;
        }
        index += 1;
    }
    reader.path = Some(Path::Field(Source::Features.name()));
    if index == 0 {
        return Err(reader.fail_here("must not be empty"));
    }
    if reader.content.is_some_and(|content| content.list) {
        set_rows(reader, index);
        Ok(())
    } else {
        set_rows(reader, 1);
        reader.check_row_length(index)
    }
}

/// Reads a list of rows.
fn rows<'de, A: SeqAccess<'de>>(
    reader: &mut Reader<'_>,
    mut list: A,
    slot: fn(usize) -> Slot,
) -> Result<(), A::Error> {
    let most = reader.max_rows.get();
    let row = elements(reader, &mut list, most, |row| {
        (Path::Element(row), slot(row))
    })?;
    set_rows(reader, row);
    Ok(())
}

/// Reads a row without names.
fn unnamed_row<'de, A: SeqAccess<'de>>(
    reader: &mut Reader<'_>,
    row: usize,
    mut list: A,
) -> Result<(), A::Error> {
    let (_, width) = reader.features();
    let place = |at| (Path::Nested(row, at), Slot::Feature(row, at));
    let at = elements(reader, &mut list, width, place)?;
    reader.path = Some(Path::Element(row));
    reader.check_row_length(at)
}

/// Reads a row with names.
fn named_row<'de, A: MapAccess<'de>>(
    reader: &mut Reader<'_>,
    row: usize,
    mut map: A,
) -> Result<(), A::Error> {
    let (mut expected, mut count) = (0, 0);
    while let Some(column) = map.next_key_seed(ColumnName {
        reader,
        expected,
        row: Some(row),
    })? {
        reader.path = Some(Path::Cell(row, column));
        if !reader.see(column, row) {
            return Err(reader.fail_here("appears twice"));
        }
        let slot = Slot::Cell(column, row);
        map.next_value_seed(Value { reader, slot })?;
        expected = column + 1;
        count += 1;
    }
    if count == reader.table.columns().len() {
        return Ok(());
    }
    if let Some(missing) = reader.missing(row) {
        reader.path = Some(Path::Cell(row, missing));
        return Err(reader.fail_here("is missing"));
    }
    Ok(())
}

/// Reads a list of values of a column in one row.
fn cell_list<'de, A: SeqAccess<'de>>(
    reader: &mut Reader<'_>,
    column: usize,
    row: usize,
    path: Option<Path>,
    mut list: A,
) -> Result<(), A::Error> {
    let Some((element, width)) = reader
        .table
        .columns()
        .get(column)
        .map(|column| (column.element, column.width.get()))
    else {
        return Ok(());
    };
    let place = |at| {
        let at_path = match path {
            Some(Path::ColumnElement(..)) => Path::ColumnNested(column, row, at),
            _ => Path::CellElement(row, column, at),
        };
        (at_path, Slot::CellElement(column, row, at))
    };
    let at = elements(reader, &mut list, width, place)?;
    reader.path = path;
    reader.check_length(at, element, width)
}

/// Reads `columns`.
fn columns<'de, A: MapAccess<'de>>(reader: &mut Reader<'_>, mut map: A) -> Result<(), A::Error> {
    let mut expected = 0;
    let mut first: Option<(usize, usize)> = None;
    while let Some(column) = map.next_key_seed(ColumnName {
        reader,
        expected,
        row: None,
    })? {
        reader.path = Some(Path::Column(column));
        if !reader.see(column, 0) {
            return Err(reader.fail_here("appears twice"));
        }
        map.next_value_seed(Value {
            reader,
            slot: Slot::Column(column),
        })?;
        reader.path = Some(Path::Column(column));
        let rows = reader.content.map_or(0, |content| content.rows);
        match first {
            None => first = Some((column, rows)),
            Some((other, others)) if others != rows => {
                let other = reader
                    .table
                    .columns()
                    .get(other)
                    .map_or("", |other| &other.name);
                let problem = format!("has {rows} values, columns.{other} has {others}");
                return Err(reader.fail_here(problem));
            }
            Some(_) => {}
        }
        expected = column + 1;
    }
    if let Some(missing) = reader.missing(0) {
        reader.path = Some(Path::Column(missing));
        return Err(reader.fail_here("is missing"));
    }
    Ok(())
}

/// Reads the list of a column.
fn column_list<'de, A: SeqAccess<'de>>(
    reader: &mut Reader<'_>,
    column: usize,
    mut list: A,
) -> Result<(), A::Error> {
    let most = reader.max_rows.get();
    let place = |row| (Path::ColumnElement(column, row), Slot::Cell(column, row));
    let row = elements(reader, &mut list, most, place)?;
    set_rows(reader, row);
    Ok(())
}

/// The name of a column. Rows usually have the columns in the same order, so the next one is tried first.
struct ColumnName<'r, 't> {
    reader: &'r mut Reader<'t>,
    expected: usize,
    /// The row. None in `columns`.
    row: Option<usize>,
}

impl<'de> DeserializeSeed<'de> for ColumnName<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for ColumnName<'_, '_> {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a column")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        let table = self.reader.table;
        if table
            .columns()
            .get(self.expected)
            .is_some_and(|column| column.name == name)
        {
            return Ok(self.expected);
        }
        if let Some(column) = table.position(name) {
            return Ok(column);
        }
        let source = self
            .reader
            .content
            .map_or("rows", |content| content.source.name());
        let short: String = name.chars().take(100).collect();
        let field = match self.row {
            Some(row) => format!("{source}[{row}].{short}"),
            None => format!("{source}.{short}"),
        };
        let problem = format!(
            "is no column of the model, which has the columns {}",
            table.listed()
        );
        Err(self.reader.fail(field, problem))
    }
}

/// Reads at most `most` elements of a list, each with its path and place. Gives the number of all.
fn elements<'de, A: SeqAccess<'de>>(
    reader: &mut Reader<'_>,
    list: &mut A,
    most: usize,
    place: impl Fn(usize) -> (Path, Slot),
) -> Result<usize, A::Error> {
    for at in 0..most {
        let (path, slot) = place(at);
        reader.path = Some(path);
        if list.next_element_seed(Value { reader, slot })?.is_none() {
            return Ok(at);
        }
    }
    Ok(most + count_rest(list)?)
}

/// Reads to the end of a list that has reached its maximum length, without keeping the elements. Gives their number
/// for the error.
fn count_rest<'de, A: SeqAccess<'de>>(list: &mut A) -> Result<usize, A::Error> {
    let mut count = 0;
    while list.next_element::<IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}
