//! What the workspace is built from, held against `deny.toml` with cargo alone: licences, crates
//! that are banned, and registries. (`make deny` asks cargo-deny for the same, where it is there.)

use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::process::Command;

type Outcome = Result<(), Box<dyn Error>>;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every package that any feature brings in, on the platforms that releases are built for.
fn packages() -> Result<Vec<Value>, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--format-version", "1", "--all-features"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    command.args(["--filter-platform", "aarch64-unknown-linux-gnu"]);
    let output = command.current_dir(root()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    if packages.len() < 100 {
        return Err(format!("cargo metadata lists {} packages only", packages.len()).into());
    }
    Ok(packages)
}

/// The quoted words of `deny.toml` from the line that is `begin` to one that is `]`.
fn listed(begin: &str, between: (&str, &str)) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let text = std::fs::read_to_string(root().join("deny.toml"))?;
    let lines = text.lines().map(str::trim).skip_while(|line| *line != begin).skip(1);
    let word = |line: &str| {
        let (_, rest) = line.split_once(between.0)?;
        rest.split_once(between.1).map(|(word, _)| word.to_owned())
    };
    let words: BTreeSet<_> = lines.take_while(|line| *line != "]").filter_map(word).collect();
    if words.is_empty() {
        Err(format!("deny.toml lists nothing at {begin}").into())
    } else {
        Ok(words)
    }
}

/// Whether an SPDX expression can be met by licences that are allowed.
fn can_be_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at, allowed) && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, allowed);
    }
    met
}

fn both(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = either(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    let mut licence = (*word).to_owned();
    if let (Some(&"WITH"), Some(exception)) = (words.get(*at), words.get(*at + 1)) {
        licence = format!("{licence} WITH {exception}");
        *at += 2;
    }
    allowed.contains(&licence)
}

#[test]
fn every_licence_is_on_the_list() -> Outcome {
    let allowed = listed("allow = [", ("\"", "\""))?;
    let bad: Vec<_> = packages()?
        .iter()
        .map(|package| (package["name"].clone(), package["license"].clone()))
        .filter(|(_, licence)| !licence.as_str().is_some_and(|text| can_be_met(text, &allowed)))
        .collect();
    if bad.is_empty() { Ok(()) } else { Err(format!("not allowed by deny.toml: {bad:?}").into()) }
}

#[test]
fn no_banned_crate_and_no_second_crypto_provider_is_there() -> Outcome {
    let mut banned = listed("deny = [", ("{ crate = \"", "\""))?;
    // actix is banned outside of the site crate only, which the tidy test looks after.
    if !banned.remove("actix") || !banned.contains("aws-lc-sys") {
        return Err("deny.toml bans neither actix nor aws-lc-sys: is it read rightly?".into());
    }
    let packages = packages()?;
    let names = packages.iter().filter_map(|package| package["name"].as_str());
    let found: Vec<_> = names.filter(|name| banned.contains(*name)).collect();
    if found.is_empty() { Ok(()) } else { Err(format!("banned by deny.toml: {found:?}").into()) }
}

#[test]
fn everything_is_from_the_one_registry_or_from_here() -> Outcome {
    let packages = packages()?;
    let elsewhere = |package: &&Value| {
        let ours = package["name"].as_str().is_some_and(|name| name.starts_with("trefoil"));
        package["source"] != *REGISTRY && !(ours && package["source"].is_null())
    };
    let found: Vec<_> = packages.iter().filter(elsewhere).map(|p| &p["id"]).collect();
    if found.is_empty() { Ok(()) } else { Err(format!("from elsewhere: {found:?}").into()) }
}

#[test]
fn an_expression_is_met_only_by_what_is_allowed() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "A WITH e".to_owned()]);
    for met in ["MIT", "MIT OR X", "X/MIT", "X OR (MIT AND A WITH e)", "(MIT)"] {
        assert!(can_be_met(met, &allowed), "{met}");
    }
    for not in ["", "X", "MIT AND X", "A", "MIT AND (X OR Y)", "(MIT", "MIT WITH e", "MIT X"] {
        assert!(!can_be_met(not, &allowed), "{not}");
    }
}
