//! Style is a test: what neither the compiler, rustfmt nor clippy says about this tree.
//!
//! Every finding names `file:line` and what to do instead. The rules are in the modules, each with
//! tests that show it find something; the tests here hold the tree against them.

mod cases;
mod layers;
mod lexer;
mod lines;
mod manifest;
mod surface;
mod tree;

use std::error::Error;
use std::fmt;
use std::path::Path;
use tree::{Tree, TreeFile};

type Outcome = Result<(), Box<dyn Error>>;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// The file, relative to the root of the workspace.
    path: String,
    /// The line, counted from 1.
    line: usize,
    /// What is wrong, and the remedy.
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Fails with all findings at once.
fn none(findings: Vec<Finding>) -> Outcome {
    if findings.is_empty() {
        return Ok(());
    }
    let mut message = format!("{} findings:", findings.len());
    for finding in &findings {
        message.push_str(&format!("\n  {finding}"));
    }
    Err(message.into())
}

/// The findings of `rule` over the files that end in one of `extensions`; at least one file must
/// have been looked at, so that a rule cannot pass by looking nowhere.
fn over(extensions: &[&str], rule: impl Fn(&TreeFile) -> Vec<Finding>) -> Outcome {
    let tree = Tree::read()?;
    let files: Vec<_> = tree.with_extension(extensions).collect();
    if files.is_empty() {
        return Err(format!("read tree: no file ends in {extensions:?}").into());
    }
    none(files.into_iter().flat_map(rule).collect())
}

#[test]
fn every_source_file_opens_with_what_it_is_for() -> Outcome {
    over(&["rs"], lines::module_doc)
}

#[test]
fn no_public_signature_names_a_runtime_or_a_wire_library() -> Outcome {
    over(&["rs"], surface::foreign)
}

#[test]
fn every_exception_for_a_public_signature_is_needed() -> Outcome {
    none(surface::unused_exceptions(Tree::read()?.with_extension(&["rs"])))
}

#[test]
fn no_source_file_is_over_500_lines() -> Outcome {
    over(&["rs"], lines::length)
}

#[test]
fn no_source_line_is_over_100_columns() -> Outcome {
    over(&["rs"], lines::columns)
}

#[test]
fn no_line_has_tabs_or_ends_in_white_space() -> Outcome {
    over(&["rs", "md", "toml", "sh"], lines::white_space)
}

#[test]
fn nothing_is_left_undone() -> Outcome {
    over(&["rs", "md", "toml", "sh"], lines::left_undone)
}

#[test]
fn sites_are_named_by_the_words_of_the_field() -> Outcome {
    over(&["rs", "md", "toml"], lines::words)
}

#[test]
fn unsafe_code_is_only_where_it_is_explained() -> Outcome {
    over(&["rs"], lines::unsafe_code)
}

#[test]
fn core_does_no_io_and_reads_no_clock() -> Outcome {
    over(&["rs"], layers::impure)
}

#[test]
fn modules_of_core_import_only_the_layers_below() -> Outcome {
    over(&["rs"], layers::upward_imports)
}

#[test]
fn crates_depend_only_on_the_layers_below() -> Outcome {
    let manifests = manifest::read_all(&Tree::read()?)?;
    none(manifests.iter().flat_map(manifest::forbidden_dependencies).collect())
}

#[test]
fn every_crate_has_its_place_in_the_layers() -> Outcome {
    let tree = Tree::read()?;
    none(manifest::without_a_place(&manifest::read_all(&tree)?))
}

#[test]
fn every_crate_takes_lints_and_versions_from_the_workspace() -> Outcome {
    let manifests = manifest::read_all(&Tree::read()?)?;
    none(manifests.iter().flat_map(manifest::own_ways).collect())
}

/// Clippy reads only the nearest `clippy.toml`: that of core must say all that the root's says.
#[test]
fn clippy_rules_of_the_workspace_hold_in_core() -> Outcome {
    let tree = Tree::read()?;
    let core = tree.file("framework/core/clippy.toml")?;
    let root = tree.file("clippy.toml")?;
    let missing = |(at, line): (usize, &str)| {
        let held = line.trim().is_empty() || core.text.lines().any(|other| other == line);
        let what = format!("framework/core/clippy.toml lacks this line: {line}");
        (!held).then(|| Finding::new(&root.path, at + 1, what))
    };
    none(root.text.lines().enumerate().filter_map(missing).collect())
}

#[test]
fn every_edge_case_and_hole_names_tests_that_exist() -> Outcome {
    none(cases::index(&Tree::read()?)?)
}

#[cfg(unix)]
#[test]
fn scripts_can_be_run() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::read()?;
    let scripts = tree.with_extension(&["sh"]).chain(tree.file(".ci/run").ok());
    let mut findings = Vec::new();
    for script in scripts {
        let mode =
            std::fs::metadata(Path::new(&tree.root).join(&script.path))?.permissions().mode();
        if mode & 0o111 == 0 {
            findings.push(Finding::new(&script.path, 1, "is not executable: chmod +x it"));
        }
    }
    none(findings)
}
