//! Where values come from: file < environment < command line, and which of them set a value.

use super::problem::{Place, Problem, Problems};
use ::config::{Config, Environment, File, FileFormat, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, TableLike};

/// The longest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a configuration is read from. The file counts least, the command line most.
#[derive(Clone, Debug)]
pub struct Sources {
    name: String,
    text: String,
    dir: PathBuf,
    environment: BTreeMap<String, String>,
    overrides: Vec<(String, String, String)>,
}

impl Sources {
    /// Reads the file at `path`. Relative paths inside it are relative to its directory.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than [`FILE_BYTES_MAX`] or is not text.
    pub fn file(path: &Path) -> Result<Self, Problems> {
        let name = path.display().to_string();
        let failed = |what: String, help: &str| {
            Problems(vec![Problem {
                code: "config::unreadable".to_owned(),
                path: String::new(),
                what,
                help: Some(help.to_owned()),
                place: None,
                set_by: None,
            }])
        };
        let read = |source: std::io::Error| {
            failed(
                format!("cannot read configuration file {name}: {source}"),
                "give the file with --config FILE, or in the environment variable TREFOIL_CONFIG",
            )
        };
        let length = std::fs::metadata(path).map_err(read)?.len();
        if length > FILE_BYTES_MAX {
            return Err(failed(
                format!("configuration file {name} has {length} bytes"),
                "at most 1 MiB is read; is this the right file?",
            ));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let absolute = std::path::absolute(path).map_err(read)?;
        let dir = absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
        Ok(Self { dir, ..Self::text(&name, &text) })
    }

    /// Takes the configuration from `text`; `name` is what messages call it. Relative paths stay
    /// relative to the working directory.
    pub fn text(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            dir: PathBuf::new(),
            environment: BTreeMap::new(),
            overrides: Vec::new(),
        }
    }

    /// Lets the variables named `TREFOIL__SECTION__KEY` override the file; others are left out.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = |name: &str| name.to_ascii_uppercase().starts_with("TREFOIL__");
        self.environment.extend(variables.into_iter().filter(|(name, _)| ours(name)));
        self
    }

    /// Lets an option of the command line (`--site`) override everything else.
    #[must_use]
    pub fn option(mut self, option: &str, path: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.overrides.push((path.to_owned(), option.to_owned(), value.to_owned()));
        }
        self
    }

    /// `path` as the file means it: relative to the file's directory.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    /// The merged tree, and where each of its values came from.
    pub(super) fn merge(&self) -> Result<(BTreeMap<String, Value>, Origins), Problems> {
        let document = Document::parse(self.text.as_str()).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let what = error.message().trim().replace('\n', ", ");
            Problems(vec![Problem {
                code: "config::syntax".to_owned(),
                path: String::new(),
                what: format!("not valid TOML: {what}"),
                help: None,
                place: Some(place(&self.name, &self.text, span)),
                set_by: None,
            }])
        })?;
        let mut origins = Origins {
            name: self.name.clone(),
            text: self.text.clone(),
            spans: BTreeMap::new(),
            set_by: BTreeMap::new(),
        };
        note_spans(document.as_table(), "", &mut origins.spans);
        for name in self.environment.keys() {
            let path = name.to_ascii_lowercase()["trefoil__".len()..].replace("__", ".");
            origins.set_by.insert(path, format!("environment variable {name}"));
        }
        for (path, option, _) in &self.overrides {
            origins.set_by.insert(path.clone(), format!("option {option}"));
        }
        let tree = self.layered().map_err(|error| {
            Problems(vec![Problem {
                code: "config::layers".to_owned(),
                path: String::new(),
                what: format!("cannot put file and environment together: {error}"),
                help: Some("variables are named TREFOIL__SECTION__KEY".to_owned()),
                place: None,
                set_by: None,
            }])
        })?;
        Ok((tree, origins))
    }

    fn layered(&self) -> Result<BTreeMap<String, Value>, ::config::ConfigError> {
        let variables = self.environment.clone().into_iter().collect();
        let mut builder =
            Config::builder().add_source(File::from_str(&self.text, FileFormat::Toml)).add_source(
                Environment::with_prefix("TREFOIL")
                    .prefix_separator("__")
                    .separator("__")
                    .source(Some(variables)),
            );
        for (path, _, value) in &self.overrides {
            builder = builder.set_override(path, value.as_str())?;
        }
        Ok(builder.build()?.cache.into_table()?.into_iter().collect())
    }
}

/// Which source set which value.
#[derive(Debug)]
pub(super) struct Origins {
    name: String,
    text: String,
    spans: BTreeMap<String, Spans>,
    set_by: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Spans {
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

/// What of an entry a problem points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

impl Origins {
    /// Completes a problem with where its path was set.
    pub(super) fn locate(&self, mut problem: Problem, part: Part) -> Problem {
        if let Some(by) = self.set_by(&problem.path) {
            problem.set_by = Some(by.to_owned());
            return problem;
        }
        // What is missing is reported at the nearest table that is there.
        let mut path = problem.path.as_str();
        loop {
            if let Some(spans) = self.spans.get(path) {
                let whole = path.len() == problem.path.len();
                let span = match part {
                    Part::Value if whole => spans.value.clone().or(spans.key.clone()),
                    _ => spans.key.clone().or(spans.value.clone()),
                };
                problem.place = span.map(|span| place(&self.name, &self.text, span));
                return problem;
            }
            match path.rfind('.') {
                Some(dot) => path = &path[..dot],
                None => return problem,
            }
        }
    }

    /// The variable or option that set `path`, or something below it that the file lacks.
    fn set_by(&self, path: &str) -> Option<&str> {
        let exact = self.set_by.get(path);
        let below = || {
            let inside = |set: &str| set.strip_prefix(path).is_some_and(|r| r.starts_with('.'));
            let missing = !path.is_empty() && !self.spans.contains_key(path);
            missing.then(|| self.set_by.iter().find(|(set, _)| inside(set)).map(|(_, by)| by))
        };
        exact.or_else(|| below().flatten()).map(String::as_str)
    }
}

fn note_spans(table: &dyn TableLike, path: &str, spans: &mut BTreeMap<String, Spans>) {
    for (name, item) in table.iter() {
        let here = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let key = table.key(name).and_then(toml_edit::Key::span);
        let value = match item {
            Item::Value(value) => value.span(),
            _ => None,
        };
        spans.insert(here.clone(), Spans { key, value });
        if let Some(inner) = item.as_table_like() {
            note_spans(inner, &here, spans);
        }
    }
}

fn place(name: &str, text: &str, span: Range<usize>) -> Place {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let shown = span.end.min(line_end).max(start);
    Place {
        file: name.to_owned(),
        line: text[..start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        width: text.get(start..shown).map_or(1, |meant| meant.chars().count()),
        text: text[line_start..line_end].trim_end().to_owned(),
    }
}
