//! Fields of spans as JSON objects, in the order in which they are recorded.
//!
//! Those of `tracing-subscriber` are read back, put in order and written anew with each field that is
//! recorded later, for every request and every import, although hardly any line is written about them.

use std::fmt::{self, Debug, Write};

use tracing::{
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, FormattedFields, format::Writer},
};

/// Writes fields as JSON, and those that are recorded later behind them. Of two with the same name, whoever
/// reads the object finds the last.
pub(super) struct JsonFields;

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        writer.write_char('{')?;
        write_members(&mut writer, fields, true)?;
        writer.write_char('}')
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let written = &mut current.fields;
        if written.pop().is_none() {
            written.push('{');
        }
        let is_first = written.ends_with('{');
        write_members(written, fields, is_first)?;
        written.write_char('}')
    }
}

fn write_members(output: &mut dyn Write, fields: impl RecordFields, is_first: bool) -> fmt::Result {
    let mut members = Members {
        output,
        is_first,
        result: Ok(()),
    };
    fields.record(&mut members);
    members.result
}

/// Writes the members of an object.
struct Members<'o> {
    output: &'o mut dyn Write,
    is_first: bool,
    result: fmt::Result,
}

impl Members<'_> {
    fn write(&mut self, field: &Field, value: impl serde::Serialize) {
        if self.result.is_ok() {
            self.result = self.try_write(field.name(), value);
        }
    }

    fn try_write(&mut self, name: &str, value: impl serde::Serialize) -> fmt::Result {
        let separator = if std::mem::take(&mut self.is_first) {
            ""
        } else {
            ","
        };
        // A keyword of Rust that is a field's name.
        let name = name.strip_prefix("r#").unwrap_or(name);
        let name = serde_json::to_string(name).map_err(|_| fmt::Error)?;
        let value = serde_json::to_string(&value).map_err(|_| fmt::Error)?;
        write!(self.output, "{separator}{name}:{value}")
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing::field::{Empty, display};
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_has_all_that_was_recorded_of_its_spans() {
        let lines = Lines::default();
        let layer = crate::telemetry::json_lines().with_writer(lines.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let bare = tracing::info_span!("bare", later = Empty);
            let span = tracing::info_span!(
                parent: &bare,
                "full",
                text = "a \"quoted\"\nline",
                number = -7,
                amount = u64::MAX,
                ratio = 0.5,
                r#type = true,
                shown = %"ä",
                a.dotted = ?Some(1),
                later = Empty,
                last = Empty,
            );
            bare.record("later", "now");
            span.record("later", display(1));
            span.record("later", 2);
            span.record("last", "\\");
            span.in_scope(|| tracing::info!("message"));
        });
        let written = lines.0.lock().unwrap();
        let line: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(
            line["spans"],
            json!([
                { "name": "bare", "later": "now" },
                {
                    "name": "full",
                    "text": "a \"quoted\"\nline",
                    "number": -7,
                    "amount": u64::MAX,
                    "ratio": 0.5,
                    "type": true,
                    "shown": "ä",
                    "a.dotted": "Some(1)",
                    "later": 2,
                    "last": "\\",
                },
            ])
        );
        assert_eq!(line["message"], "message");
    }
}
