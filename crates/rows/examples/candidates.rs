//! Prints the values and lengths on which each model file of the command line may run, one JSON object a line.
#![allow(clippy::print_stdout, reason = "a program that prints")]

use serde_json::{Map, Value, json};
use springtide_rows::{Candidate, Length, Model, Values, candidates};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let line = match Model::decode(std::fs::read(&path)?.into()) {
            Err(error) => json!({ "path": path, "error": error.to_string() }),
            Ok(model) => {
                let inputs: Map<String, Value> = candidates(&model)
                    .inputs
                    .iter()
                    .map(|(name, candidate)| (name.clone(), shown(candidate)))
                    .collect();
                json!({ "path": path, "inputs": inputs })
            }
        };
        println!("{line}");
    }
    Ok(())
}

fn shown(candidate: &Candidate) -> Value {
    let columns: Map<String, Value> = candidate
        .columns
        .iter()
        .map(|(position, found)| (position.to_string(), values(found)))
        .collect();
    let lengths: Map<String, Value> = candidate
        .lengths
        .iter()
        .map(|(axis, length)| {
            let length = match length {
                Length::Exactly(length) => json!({ "exactly": length }),
                Length::AtLeast(length) => json!({ "at_least": length }),
            };
            (axis.to_string(), length)
        })
        .collect();
    json!({ "columns": columns, "values": candidate.values.as_ref().map(values), "lengths": lengths })
}

fn values(values: &Values) -> Value {
    match values {
        Values::Strings(list) => json!({ "strings": list }),
        Values::Integers(list) => json!({ "integers": list }),
        Values::Floats(list) => json!({ "floats": list }),
        Values::Range { least, greatest } => json!({ "least": least, "greatest": greatest }),
    }
}
