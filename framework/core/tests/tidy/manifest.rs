//! Rules about which crate may depend on which, read from the manifests.

use crate::Finding;
use crate::tree::{Tree, TreeFile};
use std::io;

/// Our crates by directory, and which of our crates each may use. Examples and benches stand
/// above all the layers; nothing stands on them.
const CRATES: [(&str, &[&str]); 8] = [
    ("framework/core", &[]),
    ("framework/site", &["trefoil-core"]),
    ("transports", &["trefoil-core"]),
    ("backends", &["trefoil-core"]),
    ("arbiters", &["trefoil-core"]),
    (
        "daemon",
        &[
            "trefoil-core",
            "trefoil-site",
            "trefoil-transports",
            "trefoil-backends",
            "trefoil-arbiters",
        ],
    ),
    (
        "examples",
        &["trefoil-core", "trefoil-site", "trefoil-transports", "trefoil-backends", "trefoil"],
    ),
    (
        "benches",
        &["trefoil-core", "trefoil-site", "trefoil-transports", "trefoil-backends", "trefoil"],
    ),
];

/// The crate that may use actix.
const ACTORS: &str = "framework/site";

/// What `framework/core` never depends on: runtimes, I/O, clocks, randomness, shared state.
/// (`scripts/purity.sh` looks at all that it reaches; this names the line.)
const IMPURE: [&str; 18] = [
    "tokio",
    "tokio-util",
    "futures-executor",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "rustix",
    "libc",
    "nix",
    "rand",
    "getrandom",
    "fastrand",
    "jiff",
    "chrono",
    "parking_lot",
    "dashmap",
    "tracing",
];

/// A line of a manifest that names a dependency.
#[derive(Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name of the package.
    pub package: String,
    /// Whether it is only for tests, examples and benches of the crate.
    pub dev: bool,
    /// Whether its version is that of the workspace.
    pub from_workspace: bool,
    /// The line, counted from 1.
    pub line: usize,
}

/// The manifest of one member of the workspace.
pub struct Manifest {
    /// Its path, relative to the root.
    pub path: String,
    /// The directory of the crate.
    pub directory: String,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
    /// Whether it takes the lints of the workspace.
    pub workspace_lints: bool,
}

/// The manifests of all members; it is an error if there are none.
pub fn read_all(tree: &Tree) -> io::Result<Vec<Manifest>> {
    // What is below tools/ is no member: it is built apart, and nothing depends on it.
    let members = tree
        .with_extension(&["toml"])
        .filter(|file| file.path.ends_with("/Cargo.toml") && !file.path.starts_with("tools/"));
    let manifests: Vec<_> = members.map(parse).collect();
    if manifests.len() < CRATES.len() {
        let what = format!("{} manifests read, {} expected", manifests.len(), CRATES.len());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    Ok(manifests)
}

/// Dependencies on a layer beside or above, on actix outside the site, on I/O in core.
pub fn forbidden_dependencies(manifest: &Manifest) -> Vec<Finding> {
    let normal = manifest.dependencies.iter().filter(|dependency| !dependency.dev);
    let found = |dependency: &Dependency| {
        let what = why_forbidden(&manifest.directory, &dependency.package)?;
        Some(Finding::new(&manifest.path, dependency.line, what))
    };
    normal.filter_map(found).collect()
}

fn why_forbidden(directory: &str, package: &str) -> Option<String> {
    let of_actix = package == "actix" || package.starts_with("actix-");
    if of_actix && directory != ACTORS {
        return Some(format!("{package}: only {ACTORS} knows actix; use its embedding API"));
    }
    if directory == "framework/core" && IMPURE.contains(&package) {
        return Some(format!("{package}: core decides and does nothing; return an effect"));
    }
    let ours = package == "trefoil" || package.starts_with("trefoil-");
    let (_, below) = CRATES.iter().find(|(place, _)| *place == directory)?;
    if ours && !below.contains(&package) {
        return Some(format!("{package} is not below {directory}, which may use {below:?}"));
    }
    None
}

/// Members that the table of layers does not know.
pub fn without_a_place(manifests: &[Manifest]) -> Vec<Finding> {
    let known = |manifest: &&Manifest| CRATES.iter().any(|(place, _)| *place == manifest.directory);
    let what = "has no place in the layers: give it one in tidy/manifest.rs and ARCHITECTURE.md";
    let unknown = manifests.iter().filter(|manifest| !known(manifest));
    unknown.map(|manifest| Finding::new(&manifest.path, 1, what)).collect()
}

/// Lints or versions that are not those of the workspace.
pub fn own_ways(manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !manifest.workspace_lints {
        findings.push(Finding::new(&manifest.path, 1, "add [lints] workspace = true"));
    }
    for dependency in manifest.dependencies.iter().filter(|dependency| !dependency.from_workspace) {
        let package = &dependency.package;
        let what =
            format!("{package}: write its version in the root Cargo.toml, workspace = true here");
        findings.push(Finding::new(&manifest.path, dependency.line, what));
    }
    findings
}

/// Reads as much of TOML as cargo's manifests here use: one dependency a line, or a table of its
/// own.
fn parse(file: &TreeFile) -> Manifest {
    let directory = file.path.trim_end_matches("/Cargo.toml").to_owned();
    let mut manifest = Manifest {
        path: file.path.clone(),
        directory,
        dependencies: Vec::new(),
        workspace_lints: false,
    };
    let mut section = String::new();
    for (at, line) in file.text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or("").trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).to_owned();
            manifest.dependencies.extend(from_header(&section, at + 1));
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let (key, value) = (key.trim(), value.trim());
            manifest.workspace_lints |= section == "lints" && key == "workspace" && value == "true";
            if is_dependencies(&section) {
                manifest.dependencies.push(from_line(&section, key, value, at + 1));
            } else if let Some(last) =
                manifest.dependencies.last_mut().filter(|_| in_own_table(&section))
            {
                last.from_workspace |= key == "workspace" && value == "true";
                if key == "package" {
                    last.package = value.trim_matches('"').to_owned();
                }
            }
        }
    }
    manifest
}

/// Whether the lines of `section` are dependencies, as in `[target.….dev-dependencies]`.
fn is_dependencies(section: &str) -> bool {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .contains(&section.rsplit('.').next().unwrap_or(""))
}

/// Whether `section` is one dependency: `[dependencies.tokio]`.
fn in_own_table(section: &str) -> bool {
    section.rsplit_once('.').is_some_and(|(before, _)| is_dependencies(before))
}

fn from_header(section: &str, line: usize) -> Option<Dependency> {
    let (before, package) =
        section.rsplit_once('.').filter(|(before, _)| is_dependencies(before))?;
    let dev = before.ends_with("dev-dependencies");
    Some(Dependency { package: package.to_owned(), dev, from_workspace: false, line })
}

fn from_line(section: &str, key: &str, value: &str, line: usize) -> Dependency {
    let renamed = value.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
    let from_workspace = key.ends_with(".workspace") || value.contains("workspace = true");
    let package = renamed.unwrap_or(key.trim_end_matches(".workspace").trim_matches('"'));
    let dev = section.ends_with("dev-dependencies");
    Dependency { package: package.to_owned(), dev, from_workspace, line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str, text: &str) -> Manifest {
        parse(&TreeFile { path: path.to_owned(), text: text.to_owned() })
    }

    fn lines_of(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    fn forbidden(path: &str, text: &str) -> Vec<usize> {
        lines_of(&forbidden_dependencies(&manifest(path, text)))
    }

    #[test]
    fn dependencies_are_read_in_every_form() {
        let text = "[dependencies]\na.workspace = true\nb = { workspace = true } # why\n\
            c = \"1\"\nd = { package = \"dd\", version = \"1\" }\n[dev-dependencies]\n# f = \"1\"\n\
            e.workspace = true\n[dependencies.g]\nworkspace = true\n\
            [target.'cfg(unix)'.dependencies]\nh.workspace = true\n[lints]\nworkspace = true\n";
        let read = manifest("backends/Cargo.toml", text);
        let named: Vec<_> =
            read.dependencies.iter().map(|d| (d.package.as_str(), d.line)).collect();
        assert_eq!(named, [("a", 2), ("b", 3), ("c", 4), ("dd", 5), ("e", 8), ("g", 9), ("h", 12)]);
        let dev: Vec<_> = read.dependencies.iter().filter(|d| d.dev).map(|d| d.line).collect();
        assert_eq!(dev, [8]);
        assert!(read.workspace_lints);
        assert_eq!(lines_of(&own_ways(&read)), [4, 5]);
    }

    #[test]
    fn a_crate_that_knows_a_layer_beside_or_above_is_found() {
        let text = "[dependencies]\ntrefoil-core.workspace = true\n\
            trefoil-backends.workspace = true\n\
            [dev-dependencies]\ntrefoil-site.workspace = true\n";
        assert_eq!(forbidden("transports/Cargo.toml", text), [3]);
        assert_eq!(forbidden("framework/core/Cargo.toml", text), [2, 3]);
        assert!(forbidden("daemon/Cargo.toml", text).is_empty());
    }

    #[test]
    fn actix_outside_the_site_and_io_in_core_are_found() {
        let text = "[dependencies]\nactix.workspace = true\ntokio.workspace = true\n";
        assert!(forbidden("framework/site/Cargo.toml", text).is_empty());
        assert_eq!(forbidden("daemon/Cargo.toml", text), [2]);
        assert_eq!(forbidden("framework/core/Cargo.toml", text), [2, 3]);
    }

    #[test]
    fn a_crate_without_a_place_or_without_the_lints_is_found() {
        let stray = manifest("tools/Cargo.toml", "[package]\nname = \"tools\"\n");
        assert_eq!(lines_of(&own_ways(&stray)), [1]);
        assert_eq!(lines_of(&without_a_place(&[stray])), [1]);
    }
}
