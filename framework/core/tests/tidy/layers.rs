//! Rules about what the code of `framework/core` may name: no I/O, no clock, no layer above.

use crate::Finding;
use crate::lexer::code_only;
use crate::tree::TreeFile;

/// The source of the pure crate.
const CORE: &str = "framework/core/src/";

/// What code of core never names, and what it does instead.
const IMPURE: [(&str, &str); 13] = [
    ("std::fs", "return an effect; a backend does the I/O"),
    ("std::net", "return an effect; a transport does the I/O"),
    ("std::env", "take the setting as an argument"),
    ("std::process", "return an effect; the site acts on it"),
    ("std::thread", "return an effect; the site runs it"),
    ("std::io::stdin", "take the input as an argument"),
    ("Instant::now", "take the time as an argument"),
    ("SystemTime::now", "take the time as an argument"),
    ("println!", "return what is to be said; the site traces it"),
    ("eprintln!", "return what is to be said; the site traces it"),
    ("HashMap", "use BTreeMap: its order is the same in every run of a seed"),
    ("HashSet", "use BTreeSet: its order is the same in every run of a seed"),
    ("RandomState", "take the seed as an argument"),
];

/// The modules of core, and the modules whose items each may use. `error` is below them all.
const MODULES: [(&str, &[&str]); 7] = [
    ("model", &[]),
    ("record", &["model"]),
    ("port", &["model", "record"]),
    ("wire", &["model", "record", "port"]),
    ("engine", &["model", "record", "port", "wire"]),
    ("topology", &["model", "record", "port", "wire", "engine"]),
    ("conformance", &["model", "record", "port", "wire", "topology"]),
];

/// Core does nothing itself: it takes events and returns effects.
pub fn impure(file: &TreeFile) -> Vec<Finding> {
    if !file.path.starts_with(CORE) {
        return Vec::new();
    }
    let code = code_only(&file.text);
    let found = |(at, line): (usize, &str)| {
        let (name, remedy) = IMPURE.iter().find(|(name, _)| mentions(line, name))?;
        Some(Finding::new(&file.path, at + 1, format!("{name} in core: {remedy}")))
    };
    code.lines().enumerate().filter_map(found).collect()
}

/// A module of core uses only the modules below it.
pub fn upward_imports(file: &TreeFile) -> Vec<Finding> {
    let Some(rest) = file.path.strip_prefix(CORE) else { return Vec::new() };
    let module = rest.split(['/', '.']).next().unwrap_or("");
    let Some((_, below)) = MODULES.iter().find(|(name, _)| *name == module) else {
        return unknown(file, module);
    };
    let above = |path: &str| {
        let used = path.split(':').next().unwrap_or("");
        let known = MODULES.iter().any(|(name, _)| *name == used);
        known && used != module && !below.contains(&used)
    };
    let code = code_only(&file.text);
    let uses = crate_paths(&code).into_iter().filter(|(_, path)| above(path));
    let what = |path: &str| format!("{module} uses {path}; below {module} are only {below:?}");
    uses.map(|(line, path)| Finding::new(&file.path, line, what(&path))).collect()
}

/// A module that the table does not know has no layer; `lib` and `error` need none.
fn unknown(file: &TreeFile, module: &str) -> Vec<Finding> {
    if ["lib", "error"].contains(&module) {
        return Vec::new();
    }
    let what = format!("module {module} has no place in the layers: give it one in tidy/layers.rs");
    vec![Finding::new(&file.path, 1, what)]
}

/// Whether `name` stands in `line` as a name of its own, not as the end of a longer one.
fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].chars().next();
        let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !in_word(before) && !in_word(after)
    })
}

/// The paths after each `crate::`, with their lines; `crate::{a, b::{c, d}}` gives `a` and `b::`.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (at, root) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{') {
            None => paths.push((line, first_path(rest))),
            Some(group) => paths.extend(group_paths(group).into_iter().map(|path| (line, path))),
        }
    }
    paths
}

fn first_path(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect()
}

/// The paths of the parts of a `{…}` group, whose opening brace is already behind.
fn group_paths(group: &str) -> Vec<String> {
    let mut paths = vec![first_path(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => paths.push(first_path(&group[at + 1..])),
            _ => {}
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(path: &str, text: &str) -> TreeFile {
        TreeFile { path: format!("{CORE}{path}"), text: text.to_owned() }
    }

    fn lines_of(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_clock_or_a_file_in_core_is_found_and_elsewhere_is_not() {
        let text = "// std::fs\nlet now = Instant::now();\nuse std::fs::File;\n";
        assert_eq!(lines_of(&impure(&core("engine/volume.rs", text))), [2, 3]);
        let elsewhere = TreeFile { path: "backends/src/file.rs".to_owned(), text: text.to_owned() };
        assert_eq!(impure(&elsewhere), []);
        assert_eq!(impure(&core("model/a.rs", "fn f(x: MyInstant) { std::fsync(x) }\n")), []);
    }

    #[test]
    fn an_import_from_above_is_found_in_every_form() {
        for import in ["use crate::engine::judge;", "use crate::{\n Error, engine::{a, b}};"] {
            let findings = upward_imports(&core("model/number.rs", import));
            assert_eq!(lines_of(&findings), [1], "{import}");
        }
        assert_eq!(
            lines_of(&upward_imports(&core("record/a.rs", "\n x: crate::port::Content,"))),
            [2]
        );
    }

    #[test]
    fn imports_from_below_and_of_the_root_are_fine() {
        let text =
            "use crate::{Error, model::{A, B}, record::Record};\nuse crate::engine::pieces;\n";
        assert_eq!(upward_imports(&core("engine/volume.rs", text)), []);
        assert_eq!(upward_imports(&core("lib.rs", "use crate::engine::judge;")), []);
    }

    #[test]
    fn a_module_without_a_layer_is_found() {
        assert_eq!(lines_of(&upward_imports(&core("util/mod.rs", ""))), [1]);
    }
}
