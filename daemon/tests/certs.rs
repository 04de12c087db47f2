//! `trefoil certs`, and what `check` makes of the certificates, as an operator types them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const EXAMPLE: &str = include_str!("../../examples/config/three-site-tls.toml");

fn trefoil(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
    command.current_dir(dir).args(words).output().unwrap()
}

/// Runs a verb that must do well: what it said.
fn well(dir: &Path, words: &[&str]) -> String {
    let output = trefoil(dir, words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a verb that must not: its exit code, and why.
fn refused(dir: &Path, words: &[&str]) -> (i32, String) {
    let output = trefoil(dir, words);
    assert!(!output.status.success(), "{words:?} did well");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The example's own commands, and its file beside them.
fn example() -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("trefoil.toml"), EXAMPLE).unwrap();
    for line in EXAMPLE.lines().filter_map(|line| line.strip_prefix("#     trefoil certs ")) {
        let words: Vec<&str> = ["certs"].into_iter().chain(line.split_whitespace()).collect();
        well(dir.path(), &words);
    }
    dir
}

#[test]
fn the_example_works_after_the_commands_that_it_names() {
    let dir = example();
    let tls = dir.path().join("tls");
    assert_eq!(mode(&tls), 0o700);
    assert_eq!(mode(&tls.join("db1")), 0o700);
    for key in ["ca.key", "a.key", "db1.key", "db1/client-key.pem"] {
        assert_eq!(mode(&tls.join(key)), 0o600, "{key}");
    }
    for open in ["ca.pem", "accepted", "a.pem", "db1/ca-cert.pem", "db1/client-cert.pem"] {
        assert_eq!(mode(&tls.join(open)), 0o644, "{open}");
    }
    for site in ["a", "b", "c"] {
        let said = well(dir.path(), &["check", "--config", "trefoil.toml", "--site", site]);
        assert!(said.contains(": ok") && !said.contains("warning"), "{said}");
    }
}

#[test]
fn check_refuses_what_run_would_refuse_and_warns_of_what_ends_soon() {
    let dir = example();
    let check = ["check", "--config", "trefoil.toml"];
    let key = dir.path().join("tls/a.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (code, why) = refused(dir.path(), &check);
    assert!(code == 78 && why.contains("a.key") && why.contains("chmod"), "{code} {why}");
    std::fs::copy(dir.path().join("tls/b.pem"), dir.path().join("tls/a.pem")).unwrap();
    let (_, why) = refused(dir.path(), &check);
    assert!(why.contains("it is that of site b, this is site a"), "{why}");
    let soon = ["certs", "renew", "b", "--dir", "tls", "--valid-for", "9days"];
    well(dir.path(), &soon);
    let said = well(dir.path(), &["check", "--config", "trefoil.toml", "--site", "b"]);
    assert!(said.contains("warning: certificate ") && said.contains(" days; renew it"), "{said}");
    std::fs::remove_dir_all(dir.path().join("tls")).unwrap();
    let (code, why) = refused(dir.path(), &check);
    assert!(code == 78 && why.contains("ca.pem"), "{code} {why}");
}

#[test]
fn nothing_is_overwritten_and_no_key_is_shown() {
    let dir = example();
    let key = std::fs::read_to_string(dir.path().join("tls/a.key")).unwrap();
    let (_, why) = refused(dir.path(), &["certs", "issue", "a"]);
    assert!(why.contains("there already"), "{why}");
    let (_, why) = refused(dir.path(), &["certs", "init"]);
    assert!(why.contains("there already"), "{why}");
    assert_eq!(std::fs::read_to_string(dir.path().join("tls/a.key")).unwrap(), key);
    let (code, why) = refused(dir.path(), &["certs", "issue", "A"]);
    assert!(code != 0 && why.contains("lower-case"), "{why}");

    well(dir.path(), &["certs", "renew", "db1", "--layout", "qemu"]);
    let document: Value =
        serde_json::from_str(&well(dir.path(), &["certs", "show", "-o", "json"])).unwrap();
    assert_eq!(document["schema"], "trefoil.certs/1");
    let row = |name: &str| {
        let all = document["certificates"].as_array().unwrap();
        all.iter().find(|row| row["name"] == name).unwrap().clone()
    };
    assert_eq!(row("a")["kind"], "site");
    assert_eq!(row("db1")["kind"], "host");
    assert_eq!(row("db1")["accepted"], true);
    assert_eq!(row("a")["days_left"], 364);
    assert_eq!(row("a")["sha256"].as_str().unwrap().len(), 64);
    let copied = dir.path().join("tls/db1/client-key.pem");
    let own = dir.path().join("tls/db1.key");
    assert_eq!(std::fs::read(copied).unwrap(), std::fs::read(own).unwrap(), "renewed, too");

    assert!(well(dir.path(), &["certs", "revoke", "db1", "--old"]).contains("took 1 out"));
    assert!(well(dir.path(), &["certs", "revoke", "db1"]).contains("took 1 out"));
    let table = well(dir.path(), &["certs", "show"]);
    let line = table.lines().find(|line| line.starts_with("db1")).unwrap();
    assert!(line.contains(" no "), "{table}");
    let piece = key.lines().nth(1).unwrap();
    assert!(!table.contains(piece) && !document.to_string().contains(piece));
}
