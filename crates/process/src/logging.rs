//! Logs: one event per line. The texts of JSON lines are plain and bounded, because names in a model and messages
//! of libraries about it are chosen by its author.

use std::fmt;

use serde_json::Deserializer;
use springtide_contract::text::plain;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use tracing_subscriber::EnvFilter;

/// Maximum bytes of one text of a line. Container runtimes split lines of 16 KiB.
const MAX_TEXT: usize = 8 << 10;

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    Json,
    /// Text for people.
    Text,
}

/// The filter in the environment variable `RUST_LOG`. If it is unset or invalid: level info and above.
#[must_use]
pub fn filter_of_environment() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"))
}

/// Starts to log the events of the process that pass the filter, for example to [`std::io::stderr`].
pub fn start<W>(filter: EnvFilter, format: Format, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    match format {
        Format::Json => json(filter, writer).init(),
        Format::Text => {
            let builder = tracing_subscriber::fmt().with_env_filter(filter);
            builder.with_writer(writer).init();
        }
    }
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .map_event_format(PlainTexts)
        .with_writer(writer)
        .with_env_filter(filter)
        .finish()
}

/// The JSON of another format with plain texts.
struct PlainTexts<F>(F);

impl<S, N, F> FormatEvent<S, N> for PlainTexts<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        let plain = plain_texts(&line).map_err(|_not_json| fmt::Error)?;
        writer.write_str(&plain)
    }
}

/// The same JSON with plain and bounded texts.
fn plain_texts(json: &str) -> serde_json::Result<String> {
    let mut rewritten = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, from_text)) = rest.find('"').and_then(|at| rest.split_at_checked(at)) {
        rewritten.push_str(before);
        let mut texts = Deserializer::from_str(from_text).into_iter::<String>();
        if let Some(text) = texts.next() {
            rewritten.push_str(&serde_json::to_string(&plain(&text?, MAX_TEXT))?);
        }
        let (_, after) = from_text.split_at(texts.byte_offset());
        rest = after;
    }
    rewritten.push_str(rest);
    Ok(rewritten)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};
    use std::sync::Mutex;

    use serde_json::Value;

    use super::*;

    fn logged(log: impl FnOnce()) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let writer = Mutex::new(file.try_clone().unwrap());
        tracing::subscriber::with_default(json(EnvFilter::new("info"), writer), log);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn controls_of_terminals_and_of_the_direction_are_not_logged() {
        let name = "nul\0 esc\u{1b}[2J csi\u{9b} \u{202e}turned\u{2028}new\nline \"quoted\\\"";
        let text = logged(|| tracing::info!(model = %name, raw = name, "loaded \u{202e}{name}"));
        assert!(
            text.ends_with('\n') && text.trim_end().lines().count() == 1,
            "{text}"
        );
        let line: Value = serde_json::from_str(&text).unwrap();
        let shown = "nul\u{fffd} esc\u{fffd}[2J csi\u{fffd} \u{fffd}turned new line \"quoted\\\"";
        assert_eq!(
            (&line["model"], &line["raw"]),
            (&shown.into(), &shown.into())
        );
        assert_eq!(line["message"], format!("loaded \u{fffd}{shown}"));
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn ordinary_texts_and_numbers_are_unchanged() {
        let text = logged(|| tracing::warn!(rows = 3, fits = true, part = 0.5, "größe 5 µm: 模型"));
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "größe 5 µm: 模型");
        assert_eq!((&line["rows"], &line["fits"]), (&3.into(), &true.into()));
        assert_eq!(line["part"], 0.5);
    }

    #[test]
    fn a_text_is_bounded() {
        let text = logged(|| tracing::info!(model = "x".repeat(100_000), "loaded"));
        assert!(text.len() < MAX_TEXT + 500, "{}", text.len());
        let line: Value = serde_json::from_str(&text).unwrap();
        let model = line["model"].as_str().unwrap();
        assert!(
            model.len() <= MAX_TEXT && model.ends_with("x…"),
            "{}",
            model.len()
        );
    }

    #[test]
    fn json_with_no_or_empty_texts_is_unchanged() {
        for json in ["", "{}\n", "[1, null]", r#"{"": "", "a":["\\"]}"#] {
            assert_eq!(
                plain_texts(json).unwrap().replace(' ', ""),
                json.replace(' ', "")
            );
        }
    }
}
