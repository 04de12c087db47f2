//! The figures of a script, for other programs.

use serde::Serialize;
use std::path::Path;
use trefoil_core::{Error, Result};

/// The schema of [`Report`].
const SCHEMA: &str = "trefoil.demo/1";

/// What both scripts report. Within the schema fields are only added.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report<T> {
    schema: &'static str,
    version: &'static str,
    script: String,
    transport: String,
    backend: String,
    /// How long the whole script took.
    seconds: f64,
    /// Whether every sentence was true.
    ok: bool,
    sentences: u64,
    false_sentences: Vec<String>,
    #[serde(flatten)]
    figures: T,
}

impl<T: Serialize> Report<T> {
    /// A report of a script that ended.
    pub fn new(
        [script, transport, backend]: [String; 3],
        seconds: f64,
        (sentences, lies): (u64, &[String]),
        figures: T,
    ) -> Self {
        let (schema, version) = (SCHEMA, env!("CARGO_PKG_VERSION"));
        let (ok, false_sentences) = (lies.is_empty(), lies.to_vec());
        Self {
            schema,
            version,
            script,
            transport,
            backend,
            seconds,
            ok,
            sentences,
            false_sentences,
            figures,
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let doing = || format!("write report {}", path.display());
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::io(doing(), std::io::Error::other(error)))?;
        text.push('\n');
        std::fs::write(path, text).map_err(|source| Error::io(doing(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_which_sentences_were_false() {
        let words = || ["s", "t", "b"].map(str::to_owned);
        let lies = ["C lost something (found: 1)".to_owned()];
        let figures = std::collections::BTreeMap::from([("lost_updates", 1)]);
        let report = Report::new(words(), 1.5, (7, &lies), figures);
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!((&value["ok"], &value["sentences"]), (&false.into(), &7.into()));
        assert_eq!(value["false_sentences"][0], lies[0]);
        assert_eq!(value["lost_updates"], 1);
        let report = Report::new(words(), 1.5, (7, &[]), ());
        assert_eq!(serde_json::to_value(&report).unwrap()["ok"], true);
    }
}
