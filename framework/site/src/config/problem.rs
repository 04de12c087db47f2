//! What is wrong with a configuration: every problem with its place, what was expected and a
//! remedy, several at once.

use serde::Serialize;
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind of problem, for tools: `config::unknown_key`. Stable.
    pub code: String,
    /// Where in the configuration: `link.ab.transport`; empty for the whole of it.
    pub path: String,
    /// What is wrong, and what was expected.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where in the file, if it came from there.
    pub place: Option<Place>,
    /// What set the value instead of the file: `environment variable TREFOIL__SITE`.
    pub set_by: Option<String>,
}

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters are meant.
    pub width: usize,
    /// The text of the line.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: ", self.code)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        if let Some(set_by) = &self.set_by {
            write!(f, " (from {set_by})")?;
        }
        if let Some(place) = &self.place {
            write!(f, "\n{place}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, width, text } = self;
        let gutter = line.to_string().len();
        writeln!(f, "{:gutter$}--> {file}:{line}:{column}", "")?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{line} | {text}")?;
        let before: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "{:gutter$} | {before}{}", "", "^".repeat((*width).max(1)))
    }
}

/// All that is wrong with a configuration; at least one problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for trefoil_core::Error {
    fn from(problems: Problems) -> Self {
        Self::invalid(format!("read configuration: {problems}"))
    }
}
