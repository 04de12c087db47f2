//! Reads a merged tree section by section and collects every problem, rather than stopping at the
//! first.

use super::problem::{Problem, Problems};
use super::source::{Origins, Part};
use ::config::{Value, ValueKind};
use std::collections::BTreeMap;

/// A value with the path where it stands, for what is found wrong with it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot<T> {
    pub(super) value: T,
    pub(super) path: String,
}

/// Collects problems, each with its place.
#[derive(Debug)]
pub(super) struct Report {
    origins: Origins,
    problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(origins: Origins) -> Self {
        Self { origins, problems: Vec::new() }
    }

    /// Notes a problem with the value at `path`.
    pub(super) fn value(&mut self, code: &str, path: &str, what: String, help: Option<String>) {
        self.note(code, path, what, help, Part::Value);
    }

    /// Notes a problem with the key or table at `path`.
    pub(super) fn key(&mut self, code: &str, path: &str, what: String, help: Option<String>) {
        self.note(code, path, what, help, Part::Key);
    }

    fn note(&mut self, code: &str, path: &str, what: String, help: Option<String>, part: Part) {
        let problem = Problem {
            code: format!("config::{code}"),
            path: path.to_owned(),
            what,
            help,
            place: None,
            set_by: None,
        };
        self.problems.push(self.origins.locate(problem, part));
    }

    /// Whether nothing was noted at `path` itself.
    pub(super) fn is_clean(&self, path: &str) -> bool {
        self.problems.iter().all(|problem| problem.path != path)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems in the order of the file; what has no place in it comes first.
    pub(super) fn finish(mut self) -> Problems {
        self.problems
            .sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
        Problems(self.problems)
    }
}

/// One table that is being read. What nobody asked for is reported by [`Section::finish`].
#[derive(Debug)]
pub(super) struct Section {
    path: String,
    entries: BTreeMap<String, Value>,
    asked: Vec<String>,
}

impl Section {
    pub(super) fn root(entries: BTreeMap<String, Value>) -> Self {
        Self { path: String::new(), entries, asked: Vec::new() }
    }

    fn empty(path: String) -> Self {
        Self { path, entries: BTreeMap::new(), asked: Vec::new() }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of `key` in this table.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.asked.push(key.to_owned());
        self.entries.remove(key)
    }

    /// A scalar, as text.
    pub(super) fn text(&mut self, key: &str, report: &mut Report) -> Option<Spot<String>> {
        let path = self.at(key);
        let value = match self.take(key)?.kind {
            ValueKind::String(text) => text,
            ValueKind::Boolean(value) => value.to_string(),
            ValueKind::I64(value) => value.to_string(),
            ValueKind::I128(value) => value.to_string(),
            ValueKind::U64(value) => value.to_string(),
            ValueKind::U128(value) => value.to_string(),
            ValueKind::Float(value) => value.to_string(),
            other => {
                let what = format!("expected one value, found {}", kind(&other));
                report.key("wrong_type", &path, what, None);
                return None;
            }
        };
        Some(Spot { value, path })
    }

    /// A scalar that `parse` understands; its error says what was expected.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        report: &mut Report,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Spot<T>> {
        let Spot { value, path } = self.text(key, report)?;
        match parse(&value) {
            Ok(value) => Some(Spot { value, path }),
            Err(what) => {
                report.value("bad_value", &path, what, None);
                None
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str, report: &mut Report) -> Option<Spot<Vec<String>>> {
        let path = self.at(key);
        let list = match self.take(key)?.kind {
            ValueKind::Array(list) => list,
            // A variable cannot hold a list: TREFOIL__LINK__WAN__BETWEEN=a,b
            ValueKind::String(text) => {
                let value = text.split(',').map(|part| part.trim().to_owned()).collect();
                return Some(Spot { value, path });
            }
            other => {
                let what = format!("expected a list of names, found {}", kind(&other));
                report.key("wrong_type", &path, what, None);
                return None;
            }
        };
        let value = list.into_iter().filter_map(|item| item.into_string().ok()).collect();
        Some(Spot { value, path })
    }

    /// A table; an empty one when it is not there.
    pub(super) fn section(&mut self, key: &str, report: &mut Report) -> Self {
        let path = self.at(key);
        match self.take(key) {
            None => Self::empty(path),
            Some(value) => Self::of(value, path, report),
        }
    }

    /// A table that may be left out.
    pub(super) fn optional(&mut self, key: &str, report: &mut Report) -> Option<Self> {
        let path = self.at(key);
        self.take(key).map(|value| Self::of(value, path, report))
    }

    /// The tables inside a table, by name: `[sites.a]`, `[sites.b]`.
    pub(super) fn named(&mut self, key: &str, report: &mut Report) -> Vec<(String, Self)> {
        let outer = self.section(key, report);
        let Self { path, entries, asked: _ } = outer;
        let inside = |(name, value): (String, Value)| {
            let section = Self::of(value, format!("{path}.{name}"), report);
            (name, section)
        };
        entries.into_iter().map(inside).collect()
    }

    fn of(value: Value, path: String, report: &mut Report) -> Self {
        match value.kind {
            ValueKind::Table(table) => {
                Self { path, entries: table.into_iter().collect(), asked: Vec::new() }
            }
            other => {
                let what = format!("expected a table, found {}", kind(&other));
                let help = match other {
                    ValueKind::Array(_) => {
                        "tables have names here, so that variables reach them: [link.ab]"
                    }
                    _ => "write it as a table: [group.orders]",
                };
                report.key("wrong_type", &path, what, Some(help.to_owned()));
                Self::empty(path)
            }
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, report: &mut Report) {
        let asked: Vec<&str> = self.asked.iter().map(String::as_str).collect();
        for name in self.entries.keys() {
            let help = match nearest(name, &asked) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", asked.join(", ")),
            };
            let what = "unknown key".to_owned();
            report.key("unknown_key", &self.at(name), what, Some(help));
        }
    }
}

fn kind(value: &ValueKind) -> &'static str {
    match value {
        ValueKind::Nil => "nothing",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
        _ => "a single value",
    }
}

/// The known word that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(word, candidate);
    let close = |candidate: &&&str| {
        let longer = word.len().max(candidate.len());
        let few = distance(candidate) <= (longer / 3).max(1) && distance(candidate) < longer;
        few || strsim::jaro_winkler(word, candidate) >= 0.85
    };
    known.iter().filter(close).min_by_key(|candidate| distance(candidate)).copied()
}

/// "did you mean `x`?", or the known words.
pub(super) fn meant(word: &str, known: &[&str]) -> Option<String> {
    match nearest(word, known) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known: {}", known.join(", "))),
    }
}
