//! Prints what is found about each model file of the command line, one JSON object a line.
#![allow(clippy::print_stdout, reason = "a program that prints")]

use springtide_rows::{Finding, Model, Verdict, analyse};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let line = match Model::decode(std::fs::read(&path)?.into()) {
            Err(error) => serde_json::json!({ "path": path, "error": error.to_string() }),
            Ok(model) => {
                let analysis = analyse(&model);
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
