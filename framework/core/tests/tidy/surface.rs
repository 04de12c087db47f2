//! What crates of ours show to others names no runtime and no wire library: whoever embeds a site,
//! or writes an adapter, is not bound to the versions that we use.
//!
//! Lexical, not complete: it reads the signatures of public items and fields, in all of core and
//! the adapters, and in those modules of the site crate that its `lib.rs` shows.

use crate::Finding;
use crate::lexer::code_only;
use crate::tree::TreeFile;
use std::collections::BTreeSet;

/// Crates that no public signature names.
const FOREIGN: [&str; 8] =
    ["actix", "actix_rt", "quinn", "rcgen", "rustls", "rustls_pki_types", "tokio", "tokio_rustls"];

/// Where public items are looked for.
const SHOWN: [&str; 13] = [
    "framework/core/src/",
    "transports/src/",
    "backends/src/",
    "framework/site/src/builder.rs",
    "framework/site/src/clock.rs",
    "framework/site/src/config/",
    "framework/site/src/handle.rs",
    "framework/site/src/parts.rs",
    "framework/site/src/registry.rs",
    "framework/site/src/site.rs",
    "framework/site/src/snapshot.rs",
    "framework/site/src/status.rs",
    "framework/site/src/wan/traffic.rs",
];

/// File, foreign name, and why it may stay.
const EXCEPTIONS: [(&str, &str, &str); 4] = [
    (
        "transports/src/tls/credentials.rs",
        "ServerConfig",
        "the daemon's NBD front end does its handshakes with the same settings",
    ),
    (
        "transports/src/tls/credentials.rs",
        "SupportedProtocolVersion",
        "which versions of TLS those settings speak",
    ),
    (
        "transports/src/tls/refusal.rs",
        "TlsError",
        "the front end has a failed handshake explained in our words",
    ),
    (
        "transports/src/tls/identity.rs",
        "CertificateDer",
        "the front end asks whom a certificate that it took belongs to",
    ),
];

/// Public signatures of a file that name something foreign.
pub fn foreign(file: &TreeFile) -> Vec<Finding> {
    let tests = file.path.ends_with("tests.rs");
    if tests || !SHOWN.iter().any(|shown| file.path.starts_with(shown)) {
        return Vec::new();
    }
    let code = code_only(&file.text);
    let names = foreign_names(&code);
    let excepted = |name: &str| EXCEPTIONS.iter().any(|(p, n, _)| *p == file.path && *n == name);
    let mut findings = Vec::new();
    for (line, signature) in signatures(&code) {
        let found = words(&signature).find(|word| names.contains(*word) && !excepted(word));
        if let Some(name) = found {
            let what = format!(
                "a public signature names `{name}`, which is not ours: wrap it, or make the item \
                 pub(crate)"
            );
            findings.push(Finding::new(&file.path, line, what));
        }
    }
    findings
}

/// The foreign crates, and what a file uses of them by a shorter name.
fn foreign_names(code: &str) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> = FOREIGN.into_iter().collect();
    for used in code.split("use ").skip(1) {
        let used = used.split(';').next().unwrap_or_default();
        let mut parts = words(used);
        if parts.next().is_some_and(|first| FOREIGN.contains(&first)) {
            names.extend(parts.filter(|word| *word != "self" && *word != "as"));
        }
    }
    names
}

/// Public items and fields up to their body, each with its line.
fn signatures(code: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.trim_start().starts_with("pub ") {
            continue;
        }
        let mut text = String::new();
        for next in &lines[at..] {
            text.push_str(next);
            text.push(' ');
            let count = |c: char| text.matches(c).count();
            let closed = count('(') == count(')');
            if text.contains('{') || (closed && next.trim_end().ends_with([';', ','])) {
                break;
            }
        }
        let text = text.split('{').next().unwrap_or_default();
        // Of a tuple struct only public fields are seen.
        let text = match text.split_once("struct ").and_then(|(_, rest)| rest.split_once('(')) {
            Some((_, fields)) => fields.split("pub ").skip(1).collect::<Vec<_>>().join(" "),
            // A name of our own may be that of something foreign.
            None => match text.split_once("fn ").and_then(|(_, rest)| rest.split_once('(')) {
                Some((_, rest)) => rest.to_owned(),
                None => text.to_owned(),
            },
        };
        found.push((at + 1, text));
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Exceptions of files that do not name what is excepted any more.
pub fn unused_exceptions<'a>(files: impl Iterator<Item = &'a TreeFile>) -> Vec<Finding> {
    let files: Vec<&TreeFile> = files.collect();
    let used = |path: &str, name: &str| {
        files.iter().filter(|file| file.path == path).any(|file| {
            let code = code_only(&file.text);
            signatures(&code).iter().any(|(_, text)| words(text).any(|word| word == name))
        })
    };
    let unused = EXCEPTIONS.iter().filter(|(path, name, _)| !used(path, name));
    unused.map(|(path, name, _)| Finding::new(path, 1, format!("`{name}` needs none"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        let (path, text) = ("backends/src/x.rs".to_owned(), text.to_owned());
        foreign(&TreeFile { path, text }).len()
    }

    #[test]
    fn a_foreign_type_in_a_public_signature_is_found_by_its_path_and_by_its_short_name() {
        assert_eq!(found("pub fn x() -> tokio::task::JoinHandle<()> {}"), 1);
        assert_eq!(found("use quinn::{Endpoint, Side};\npub fn x(\n    at: Endpoint,\n) {}"), 1);
        assert_eq!(found("use tokio::sync::watch;\npub struct W(pub watch::Sender<()>);"), 1);
        assert_eq!(found("pub struct X {\n    pub cause: rustls::Error,\n}"), 1);
    }

    #[test]
    fn what_is_private_or_in_a_body_is_not_found() {
        assert_eq!(found("use tokio::sync::watch;\npub struct W(watch::Sender<()>);"), 0);
        assert_eq!(found("pub(crate) fn x() -> rustls::Error {}"), 0);
        assert_eq!(found("pub fn x() {\n    let y = tokio::spawn(z());\n}"), 0);
        assert_eq!(found("// pub fn x() -> tokio::Y\npub fn x() {}"), 0);
    }
}
