//! Prints what is found about each model file of the command line, one JSON object a line; after
//! `--named-lengths`, as for a server that checks that axes of one name are equally long.
#![allow(clippy::print_stdout, reason = "a program that prints")]

use springtide_rows::{Finding, Model, Verdict, analyse, analyse_named_lengths};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let named = paths
        .first()
        .is_some_and(|first| first == "--named-lengths");
    let judge = if named {
        analyse_named_lengths
    } else {
        analyse
    };
    for path in paths.drain(usize::from(named)..) {
        let line = match Model::decode(std::fs::read(&path)?.into()) {
            Err(error) => serde_json::json!({ "path": path, "error": error.to_string() }),
            Ok(model) => {
                let analysis = judge(&model);
                let (verdict, finding) = match &analysis.verdict {
                    Verdict::Independent => ("Independent", None),
                    Verdict::Dependent(finding) => ("Dependent", Some(finding)),
                    Verdict::Unknown(finding) => ("Unknown", Some(finding)),
                };
                let hazards: Vec<String> =
                    analysis.hazards.iter().map(ToString::to_string).collect();
                serde_json::json!({
                    "path": path,
                    "verdict": verdict,
                    "finding": finding.map(Finding::to_string),
                    "remedy": finding.and_then(|finding| finding.remedy.clone()),
                    "hazards": hazards,
                })
            }
        };
        println!("{line}");
    }
    Ok(())
}
