//! What our libraries show to others is written down in `docs/api/`, and changes there only on
//! purpose: `make fix` writes it, `make verify` compares.

#![expect(clippy::expect_used, reason = "a test fails where it panics")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use trefoil_api::{Crate, Surface};

/// The libraries that others build on, by directory.
const LIBRARIES: [(&str, &str); 5] = [
    ("trefoil_core", "framework/core"),
    ("trefoil_site", "framework/site"),
    ("trefoil_transports", "transports"),
    ("trefoil_backends", "backends"),
    ("trefoil_arbiters", "arbiters"),
];

/// Crates of others that signatures may name, and why.
const AGREED: [(&str, &str); 2] = [
    ("bytes", "payloads are shared and never copied, through every port"),
    ("serde", "status, configuration and messages can be written down by whoever embeds a site"),
];

/// Crate of ours, crate of others, and why it is there all the same.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "trefoil_transports",
    "rustls",
    "the daemon's NBD front end does its handshakes by the settings that sites have",
)];

/// Set to `write`, the test writes what it would compare.
const SWITCH: &str = "TREFOIL_API";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn surface(name: &str, directory: &str) -> Surface {
    let src = root().join(directory).join("src");
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let parsed = Crate::load(name, &src, &read).expect("the sources are Rust");
    Surface::of(&parsed)
}

#[test]
fn the_public_interface_is_as_committed() {
    let writes = std::env::var(SWITCH).is_ok_and(|word| word == "write");
    let mut wrong = String::new();
    for (name, directory) in LIBRARIES {
        let shown = surface(name, directory).text(name);
        assert!(shown.lines().count() > 10, "{name} shows next to nothing: it was not read");
        let path = root().join("docs/api").join(format!("{name}.txt"));
        if writes {
            std::fs::write(&path, &shown).expect("docs/api can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        for (sign, line) in differences(&committed, &shown) {
            let _ = write!(wrong, "\n  {name}: {sign} {line}");
        }
    }
    assert!(
        wrong.is_empty(),
        "the public interface differs from docs/api (- committed, + now); if that is meant, \
         `make fix` writes it:{wrong}"
    );
}

/// Lines that are only in one of the two, in order.
fn differences<'a>(old: &'a str, new: &'a str) -> Vec<(char, &'a str)> {
    let only = |a: &'a str, b: &str, sign| {
        let mut left: Vec<&str> = b.lines().collect();
        let gone = a.lines().filter(move |line| {
            let found = left.iter().position(|other| other == line);
            found.map(|at| left.swap_remove(at)).is_none()
        });
        gone.map(move |line| (sign, line)).collect::<Vec<_>>()
    };
    [only(old, new, '-'), only(new, old, '+')].concat()
}

#[test]
fn no_type_of_another_library_is_in_the_public_interface() {
    let mut found = String::new();
    for (name, directory) in LIBRARIES {
        for (krate, item) in surface(name, directory).foreign {
            let ours = LIBRARIES.iter().any(|(other, _)| *other == krate);
            let agreed = AGREED.iter().any(|(other, _)| *other == krate);
            let excepted = EXCEPTIONS.iter().any(|(a, b, _)| *a == name && *b == krate);
            if !ours && !agreed && !excepted {
                let _ = write!(found, "\n  {item} names {krate}");
            }
        }
    }
    assert!(found.is_empty(), "wrap these, or make them pub(crate):{found}");
}

#[test]
fn every_exception_is_needed() {
    for (name, krate, _) in EXCEPTIONS {
        let (_, directory) = LIBRARIES.iter().find(|(other, _)| *other == name).expect("ours");
        let named = surface(name, directory).foreign;
        assert!(named.iter().any(|(other, _)| other == krate), "{name} names no {krate} any more");
    }
}

/// The surface of a library made of these files.
fn of(files: &[(&str, &str)]) -> (String, Vec<String>) {
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let parsed = Crate::load("ours", Path::new(""), &read).expect("the sources are Rust");
    let surface = Surface::of(&parsed);
    let foreign = surface.foreign.iter().map(|(krate, _)| krate.clone()).collect();
    (surface.text("ours"), foreign)
}

#[test]
fn a_re_export_shows_what_it_names_and_nothing_private_is_shown() {
    let (text, foreign) = of(&[
        ("lib.rs", "mod inner;\npub use inner::Cup as Mug;\npub(crate) fn hidden() {}"),
        (
            "inner.rs",
            "pub struct Cup { pub size: u8, secret: u8 }\npub struct Unseen;\n\
             impl Cup { pub fn fill(&mut self) -> bool { true } fn spill(&self) {} }\n\
             impl Clone for Cup { fn clone(&self) -> Self { todo() } }",
        ),
    ]);
    assert!(text.contains("ours::Mug") && text.contains("size: u8"), "{text}");
    assert!(text.contains("pub fn fill(&mut self) -> bool"), "{text}");
    assert!(text.contains("impl Clone for Cup"), "{text}");
    for private in ["secret", "spill", "hidden", "Unseen", "true"] {
        assert!(!text.contains(private), "{private} is in {text}");
    }
    assert_eq!(foreign, Vec::<String>::new());
}

#[test]
fn a_type_of_another_library_is_shown_by_its_whole_path_however_short_it_was_written() {
    let (text, foreign) = of(&[(
        "lib.rs",
        "use tokio::sync::watch;\nuse quinn::{Endpoint as Port, Side};\n\
         pub fn wait() -> watch::Receiver<Port> { loop {} }\nfn side() -> Side { loop {} }",
    )]);
    assert!(text.contains("tokio::sync::watch::Receiver<quinn::Endpoint>"), "{text}");
    assert_eq!(foreign, ["quinn", "tokio"]);
}

#[test]
fn a_change_of_a_signature_is_a_difference_and_a_change_of_a_body_is_none() {
    let text = |source: &str| of(&[("lib.rs", source)]).0;
    let before = text("pub fn f(a: u8) -> u8 { a }");
    assert_eq!(before, text("/// Doubles.\npub fn f(a: u8) -> u8 { a * 2 }"));
    let after = text("pub fn f(a: u16) -> u8 { 0 }");
    let differences = differences(&before, &after);
    assert_eq!(differences.len(), 2, "{differences:?}");
}
