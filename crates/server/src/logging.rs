//! Logs: one JSON object per line on standard error. Their texts are plain: names in a model, and what a
//! library says of it, are whatever their authors wrote.

use std::fmt;

use serde_json::Deserializer;
use springtide_contract::text::plain;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Most bytes of one text of a line. Container runtimes cut lines of 16 KiB in two.
const MAX_TEXT: usize = 8 << 10;

/// Sends the process's logs to standard error. `RUST_LOG` filters them; without it, or where it
/// can't be read, everything from level info up is shown.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    lines(filter, std::io::stderr).init();
}

fn lines<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .map_event_format(Plain)
        .with_writer(writer)
        .with_env_filter(filter)
        .finish()
}

/// What another format writes as JSON, with its texts made plain.
struct Plain<F>(F);

impl<S, N, F> FormatEvent<S, N> for Plain<F>
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

/// The same JSON, each of its texts plain and bounded.
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
        tracing::subscriber::with_default(lines(EnvFilter::new("info"), writer), log);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_controls_a_terminal_or_the_direction_is_not_logged() {
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
    fn what_people_write_and_numbers_stay_as_they_are() {
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
    fn json_without_texts_and_of_empty_texts_stays() {
        for json in ["", "{}\n", "[1, null]", r#"{"": "", "a":["\\"]}"#] {
            assert_eq!(
                plain_texts(json).unwrap().replace(' ', ""),
                json.replace(' ', "")
            );
        }
    }
}
