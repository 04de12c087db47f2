//! The index of edge cases and holes: every case has its row, and every test and scenario that a
//! row names exists.

use crate::Finding;
use crate::tree::{Tree, TreeFile};
use std::collections::BTreeSet;
use std::io;

/// Where the cases are listed.
const INDEX: &str = "docs/edge_cases.md";

/// Where the end-to-end scenarios are listed.
const SCENARIOS: &str = "scripts/e2e/main.py";

/// The names of all tests in the tree.
fn tests(tree: &Tree) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for file in tree.with_extension(&["rs"]) {
        let mut is_test = false;
        for line in file.text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                names.extend(rest.split('(').next());
            }
            let begins = line == "#[test]" || line.starts_with("#[tokio::test");
            is_test = begins || (is_test && line.starts_with("#["));
        }
    }
    names
}

/// What stands in backticks.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What is wrong with the index.
pub fn index(tree: &Tree) -> io::Result<Vec<Finding>> {
    let scenarios = std::fs::read_to_string(tree.root.join(SCENARIOS))?;
    let file = tree.file(INDEX)?;
    Ok(rows(file, &tests(tree), &scenarios))
}

fn rows(file: &TreeFile, tests: &BTreeSet<&str>, scenarios: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut wanted: BTreeSet<String> = (1..=35).map(|n| format!("E{n}")).collect();
    wanted.extend((1..=28).map(|n| format!("H{n}")));
    for (at, line) in file.text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, case, _, test, last, _] = cells.as_slice() else { continue };
        if !wanted.remove(*case) {
            continue;
        }
        let mut find = |what: String| findings.push(Finding::new(&file.path, at + 1, what));
        if named(test).next().is_none() && !test.starts_with("missing") {
            find(format!("{case} names no test: name one, or say that it is missing"));
        }
        for name in named(test).filter(|name| !tests.contains(name)) {
            find(format!("{case}: there is no test {name}"));
        }
        for name in named(last).filter(|name| !scenarios.contains(&format!("(\"{name}\","))) {
            find(format!("{case}: there is no scenario {name} in {SCENARIOS}"));
        }
    }
    let missing = wanted.into_iter().map(|case| format!("{case} has no row"));
    findings.extend(missing.map(|what| Finding::new(&file.path, 1, what)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_names_what_is_not_there_is_found() {
        let text = "| E1 | x | `there` | `run` |\n| E2 | x | `gone` | `gone` |\n| E3 | x | | |\n";
        let file = TreeFile { path: INDEX.to_owned(), text: text.to_owned() };
        let findings = rows(&file, &BTreeSet::from(["there"]), "(\"run\", x)");
        let of = |line: usize| findings.iter().filter(|f| f.line == line).count();
        // Line 1 also stands for the rows that are not there at all: E4 to E35, H1 to H28.
        assert_eq!((of(1), of(2), of(3)), (32 + 28, 2, 1));
    }
}
