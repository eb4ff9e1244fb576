//! `springtide-server inspect`: a report on a model before it is served.
//!
//! [`facts`] collects the [`report::Report`], [`text`] writes it for people, [`requests`] makes requests that fit the
//! model.

pub mod facts;
pub mod report;
pub mod requests;
pub mod text;

use std::io::{self, Write as _};

use crate::cli::InspectArgs;

/// Inspects a model and prints the report. Gives whether the model can be served.
///
/// # Errors
/// When the report can't be written.
pub fn run(args: &InspectArgs) -> io::Result<bool> {
    let report = facts::collect(args);
    let printed = if args.json {
        let json = serde_json::to_string(&report).map_err(io::Error::other)?;
        format!("{json}\n")
    } else {
        text::render(&report)
    };
    io::stdout().write_all(printed.as_bytes())?;
    Ok(report.can_be_served)
}
