//! How results are shown: tables for people, JSON for scripts.

use super::{Exit, Failure};
use comfy_table::{Table, presets};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// The form of a verb's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For scripts; versioned by its `schema`.
    Json,
}

/// Writes `text` and a line end to standard output. Whoever stops reading is no failure.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("write output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a document as JSON.
pub(super) fn say_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::new(Exit::Failed, format!("write output as JSON: {error}")))?;
    say(&text)
}

/// A table without lines, as wide as what it holds.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    let text = table.to_string();
    let lines: Vec<&str> =
        text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n")
}

/// `text` as a warning: red on a terminal, unless `NO_COLOR` is set.
pub(super) fn alarm(text: &str) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        return format!("\u{1b}[31m{text}\u{1b}[0m");
    }
    text.to_owned()
}

/// A number of bytes, for people.
pub(super) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// An age, for people: `0.2 s`, `3 min`.
pub(super) fn age(us: u64) -> String {
    match us / 1_000_000 {
        0..=119 => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short_and_true() {
        assert_eq!(age(210_000), "0.2 s");
        assert_eq!(age(119_900_000), "119.9 s");
        assert_eq!(age(180_000_000), "3 min");
        assert_eq!(age(7_200_000_000), "2 h");
        assert_eq!(age(3 * 86_400_000_000), "3 d");
    }
}
