//! The body of a request to /predict: features, rows and columns.

#![no_main]

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use springtide_inference::{Dimension, ElementType, Port, Signature};
use springtide_tasks::request::Protocol;
use springtide_tasks::tabular::Table;
use springtide_tasks::tabular::request::parse;

const MAX_ROWS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// A model with one input, and one with columns of several types.
static TABLES: LazyLock<[Table; 2]> = LazyLock::new(|| {
    let column = |name: &str, element, width| {
        Port::tensor(name, element, [Dimension::Any, Dimension::Fixed(width)])
    };
    let features = vec![column("x", ElementType::F32, 3)];
    let columns = vec![
        column("a", ElementType::F64, 1),
        column("b", ElementType::I8, 2),
        column("c", ElementType::String, 1),
        column("d", ElementType::Bool, 1),
    ];
    [features, columns].map(|inputs| {
        let outputs = vec![];
        Table::new(&Signature { inputs, outputs }, &[]).unwrap()
    })
});

fuzz_target!(|body: &[u8]| {
    for table in &*TABLES {
        for protocol in [Protocol::Predict, Protocol::V1] {
            let Ok(request) = parse(body, table, MAX_ROWS, protocol) else {
                continue;
            };
            assert!(request.rows <= MAX_ROWS);
            assert!(
                request
                    .inputs
                    .iter()
                    .all(|input| input.rows() == request.rows.get())
            );
        }
    }
});
