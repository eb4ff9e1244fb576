//! A [`Report`] as text for people.

use std::fmt::Write as _;

use springtide_contract::text::plain;

use super::report::{FileFacts, LoadedFacts, PortFacts, Report, RuntimeFacts, TaskFacts};

/// Width of the first column.
const WIDTH: usize = 10;

/// Maximum number of names in a list.
const MAX_NAMES: usize = 10;

/// Maximum bytes of a line. Models choose the names in it.
const MAX_LINE: usize = 8 << 10;

/// The lines of a report.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// A line with a title.
    fn fact(&mut self, title: &str, fact: &str) {
        self.line(&format!("{title:WIDTH$} {fact}"));
    }

    /// Lines under one title.
    fn facts(&mut self, title: &str, facts: impl IntoIterator<Item = String>) {
        for (index, fact) in facts.into_iter().enumerate() {
            self.fact(if index == 0 { title } else { "" }, &fact);
        }
    }

    fn line(&mut self, line: &str) {
        // Writing to a String can't fail.
        let _written = writeln!(self.0, "{}", plain(line, MAX_LINE));
    }
}

/// The report as text.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut lines = Lines::default();
    lines.fact("model", &report.path);
    if let Some(file) = &report.file {
        of_file(&mut lines, file, report.onnxruntime.as_ref());
    }
    if let Some(runtime) = &report.onnxruntime {
        lines.fact(
            "library",
            &format!("{} ({})", runtime.library, runtime.build),
        );
        let fallback = runtime.fallback.as_deref();
        let fallback = fallback.map(|reason| format!(": {reason}"));
        let fallback = fallback.unwrap_or_default();
        lines.fact(
            "runs on",
            &format!("{}{fallback}", runtime.execution_provider),
        );
    }
    if let Some(model) = &report.model {
        of_model(&mut lines, model);
    }
    lines.facts("problems", report.problems.iter().cloned());
    let verdict = if report.can_be_served { "yes" } else { "no" };
    lines.fact("servable", verdict);
    if let Some(model) = &report.model {
        requests(&mut lines, &report.path, model);
    }
    lines.0
}

fn of_file(lines: &mut Lines, file: &FileFacts, runtime: Option<&RuntimeFacts>) {
    lines.fact("size", &bytes(file.bytes));
    if let Some(sha256) = &file.sha256 {
        lines.fact("sha256", sha256);
    }
    if !file.producer.is_empty() {
        lines.fact("exporter", &file.producer);
    }
    let newest = |version: Option<u64>| match version {
        Some(version) => format!(" (this ONNX Runtime supports {version} at most)"),
        None => String::new(),
    };
    if let Some(version) = file.ir_version {
        let newest = newest(runtime.and_then(|runtime| runtime.newest_ir_version));
        lines.fact("format", &format!("IR version {version}{newest}"));
    }
    let sets = file.operator_sets.iter().map(|set| {
        let newest = match &*set.domain {
            "ai.onnx" => newest(runtime.and_then(|runtime| runtime.newest_operator_set)),
            _ => String::new(),
        };
        format!("{} {}{newest}", set.domain, set.version)
    });
    lines.facts("operators", sets);
    let data = file.external_data.iter().map(|data| match data.bytes {
        Some(size) => format!("{}, {}", data.name, bytes(size)),
        None => format!("{}, missing", data.name),
    });
    lines.facts("data", data);
}

fn of_model(lines: &mut Lines, model: &LoadedFacts) {
    lines.facts("inputs", model.inputs.iter().map(port));
    lines.facts("outputs", model.outputs.iter().map(port));
    match &model.task {
        TaskFacts::Tabular {
            columns,
            classifier,
            classes,
        } => {
            let kind = if *classifier {
                "tabular, classes"
            } else {
                "tabular, numbers"
            };
            lines.fact("task", kind);
            let columns = columns.iter().map(|column| match column.values {
                1 => format!("{} {}", column.name, column.datatype),
                values => format!("{} {}, {values} values", column.name, column.datatype),
            });
            lines.facts("columns", columns);
            names(lines, classes);
        }
        TaskFacts::Text {
            task,
            max_tokens,
            classes,
            embedding_size,
        } => {
            lines.fact("task", &format!("{task}, {max_tokens} tokens at most"));
            names(lines, classes);
            if let Some(size) = embedding_size {
                lines.fact("embedding", &format!("{size} numbers"));
            }
        }
        TaskFacts::Image {
            task,
            width,
            height,
            channels,
            classes,
        } => {
            let size = match (width, height) {
                (Some(width), Some(height)) => format!("{width}×{height}"),
                _ => "any size".to_owned(),
            };
            lines.fact("task", &format!("{task}, {size}, {channels} channels"));
            names(lines, classes);
        }
        TaskFacts::Tensor { reason } => {
            lines.fact("task", &format!("none for /predict: {reason}"));
        }
    }
    let batching = &model.batching;
    let reason = batching.reason.name();
    lines.fact("batches", &format!("{} ({reason})", batching.message));
    if let Some(memory) = model.memory_bytes {
        let workers = match model.workers {
            1 => "1 worker".to_owned(),
            workers => format!("{workers} workers"),
        };
        let (memory, ms) = (bytes(memory), model.load_ms);
        lines.fact(
            "memory",
            &format!("{memory} for {workers}, loaded in {ms} ms"),
        );
    }
}

fn names(lines: &mut Lines, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let shown: Vec<&str> = names.iter().take(MAX_NAMES).map(String::as_str).collect();
    let more = names.len() - shown.len();
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    lines.fact("classes", &format!("{}{more}", shown.join(", ")));
}

fn port(port: &PortFacts) -> String {
    let length = |length: &i64| match length {
        -1 => "N".to_owned(),
        length => length.to_string(),
    };
    let shape = match &port.shape {
        Some(shape) => shape.iter().map(length).collect::<Vec<_>>().join(", "),
        None => "…".to_owned(),
    };
    let optional = if port.optional { ", optional" } else { "" };
    format!("{} {} [{shape}]{optional}", port.name, port.datatype)
}

fn bytes(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1 << 20;
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..MEBIBYTE => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(MEBIBYTE)),
    }
}

fn requests(lines: &mut Lines, path: &str, model: &LoadedFacts) {
    lines.line("");
    lines.line("Serve the model:");
    let path = path.replace('\'', r"'\''");
    lines.line(&format!("  springtide-server serve --model-path '{path}'"));
    for request in &model.requests {
        lines.line("");
        lines.line(&format!(
            "A request to {}, and the same in Python:",
            request.path
        ));
        lines.line(&format!("  {}", request.curl));
        lines.line("");
        for line in request.python.lines() {
            lines.line(&format!("  {line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use springtide_contract::batching::{BatchingReason, BatchingStatus};

    use super::super::report::{ColumnFacts, ExternalFile, OperatorSetFacts};
    use super::*;

    fn file() -> FileFacts {
        FileFacts {
            bytes: 2_049,
            sha256: Some("0f".repeat(32)),
            ir_version: Some(99),
            operator_sets: vec![OperatorSetFacts {
                domain: "ai.onnx".to_owned(),
                version: 17,
            }],
            producer: String::new(),
            external_data: vec![ExternalFile {
                name: "weights\n.bin".to_owned(),
                bytes: None,
            }],
        }
    }

    fn runtime() -> RuntimeFacts {
        RuntimeFacts {
            library: "libonnxruntime.so".to_owned(),
            build: "build".to_owned(),
            execution_provider: "cpu",
            fallback: None,
            newest_ir_version: Some(11),
            newest_operator_set: Some(24),
        }
    }

    #[test]
    fn a_model_that_can_not_be_served_has_its_problems_on_lines() {
        let mut report = Report {
            path: "m.onnx".to_owned(),
            file: Some(file()),
            onnxruntime: Some(runtime()),
            ..Report::default()
        };
        report.problems = report.problems_of_the_file();
        let text = render(&report);
        for line in [
            "size       3 KiB\n",
            "format     IR version 99 (this ONNX Runtime supports 11 at most)\n",
            "operators  ai.onnx 17 (this ONNX Runtime supports 24 at most)\n",
            "data       weights .bin, missing\n",
            "problems   the IR version of the file is 99, and this ONNX Runtime supports 11 at most: ",
            "           external data is missing (weights .bin): put these files beside",
            "servable   no\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_model_that_can_be_served_has_columns_and_batching() {
        let port = |name: &str, shape: Option<Vec<i64>>| PortFacts {
            name: name.to_owned(),
            datatype: "FP32".to_owned(),
            shape,
            optional: false,
        };
        let report = Report {
            path: "m.onnx".to_owned(),
            can_be_served: true,
            model: Some(LoadedFacts {
                inputs: vec![port("x", Some(vec![-1, 4]))],
                outputs: vec![port("y", None), port("z", Some(Vec::new()))],
                task: TaskFacts::Tabular {
                    columns: vec![ColumnFacts {
                        name: "x".to_owned(),
                        datatype: "FP32",
                        values: 4,
                    }],
                    classifier: true,
                    classes: (0..12).map(|class| format!("c{class}")).collect(),
                },
                batching: BatchingStatus {
                    enabled: true,
                    reason: BatchingReason::Proven,
                    message: "Requests share batches.".to_owned(),
                },
                memory_bytes: Some(3 << 20),
                workers: 2,
                load_ms: 7,
                requests: Vec::new(),
            }),
            ..Report::default()
        };
        assert_eq!(
            render(&report),
            "model      m.onnx\n\
             inputs     x FP32 [N, 4]\n\
             outputs    y FP32 […]\n           z FP32 []\n\
             task       tabular, classes\n\
             columns    x FP32, 4 values\n\
             classes    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more\n\
             batches    Requests share batches. (Proven)\n\
             memory     3 MiB for 2 workers, loaded in 7 ms\n\
             servable   yes\n\n\
             Serve the model:\n  springtide-server serve --model-path 'm.onnx'\n"
        );
    }
}
