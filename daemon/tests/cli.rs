//! The command line as a script sees it: exit codes, and what goes where.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/config/three-site.toml");

/// Runs `trefoil` with nothing of this process' configuration.
fn trefoil(words: &[&str]) -> Output {
    trefoil_with(&[], words)
}

fn trefoil_with(variables: &[(&str, &str)], words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
    let ours = |name: &str| name.to_ascii_uppercase().starts_with("TREFOIL");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).args(words).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The example, changed, in a directory of its own.
fn changed(dir: &TempDir, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    assert!(text.contains(from), "the example has no {from}");
    let path = dir.path().join("site.toml");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn help_and_version_end_well_and_a_wrong_word_is_usage() {
    for words in [["--help"], ["--version"]] {
        let output = trefoil(&words);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("trefoil"));
    }
    for words in [&["frobnicate"][..], &[], &["status", "--oops"], &["wait"]] {
        let output = trefoil(words);
        assert_eq!(code(&output), 2, "{words:?}");
        assert_eq!(stdout(&output), "", "{words:?}");
        assert!(stderr(&output).contains("Usage"), "{words:?}");
    }
}

#[test]
fn check_says_what_would_run() {
    let output = trefoil(&["check", "--config", EXAMPLE]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = stdout(&output);
    for words in ["would run site a", "db0", "256.0 MiB", "127.0.0.1:10809", "a => b -> c", "tcp"] {
        assert!(said.contains(words), "no {words} in\n{said}");
    }
    assert_eq!(stderr(&output), "");
    let output = trefoil(&["check", "-o", "json", "--config", EXAMPLE]);
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["schema"], "trefoil.check/1");
    assert_eq!(document["groups"][0], "orders");
}

#[test]
fn the_environment_picks_the_site_and_the_option_wins() {
    let words = ["check", "--config", EXAMPLE];
    let output = trefoil_with(&[("TREFOIL__SITE", "b")], &words);
    assert!(stdout(&output).contains("would run site b"), "{}", stderr(&output));
    let words = ["check", "--config", EXAMPLE, "--site", "c"];
    let output = trefoil_with(&[("TREFOIL__SITE", "b")], &words);
    assert!(stdout(&output).contains("would run site c"), "{}", stderr(&output));
    let output = trefoil_with(&[("TREFOIL_CONFIG", EXAMPLE)], &["check"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_wrong_configuration_exits_78_and_names_file_line_and_remedy() {
    let dir = TempDir::new().unwrap();
    let path = changed(&dir, "durability = \"flush\"", "durabilty = \"flush\"");
    let written = std::fs::read_to_string(&path).unwrap();
    let line = written.lines().position(|line| line.starts_with("durabilty")).unwrap() + 1;
    for verb in ["check", "run", "status"] {
        let output = trefoil(&[verb, "--config", text(&path)]);
        assert_eq!(code(&output), 78, "{verb}");
        let said = stderr(&output);
        assert!(said.contains("error[config::unknown_key]: group.orders.durabilty"), "{said}");
        assert!(said.contains(&format!("{}:{line}:1", text(&path))), "{said}");
        assert!(said.contains("did you mean `durability`?"), "{said}");
    }
    let output = trefoil(&["check", "--config", "/nonexistent/t.toml"]);
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("/nonexistent/t.toml"));
    let output = trefoil(&["check", "--config", EXAMPLE, "--site", "d"]);
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("(from option --site)"), "{}", stderr(&output));
}

#[test]
fn run_refuses_a_transport_that_stays_in_the_process() {
    let dir = TempDir::new().unwrap();
    let path = changed(&dir, "transport = \"tcp\"", "transport = \"memory\"");
    for verb in ["check", "run"] {
        let output = trefoil(&[verb, "--config", text(&path)]);
        assert_eq!(code(&output), 78, "{verb}");
        assert!(stderr(&output).contains("sites of the same process only"), "{}", stderr(&output));
    }
    let output = trefoil(&["check", "--config", text(&path), "--site", "c"]);
    assert_eq!(code(&output), 0, "c has no such link: {}", stderr(&output));
}

#[test]
fn a_daemon_that_is_not_there_is_not_reachable() {
    let dir = TempDir::new().unwrap();
    let path = changed(&dir, "orders", "orders");
    for words in [
        &["status"][..],
        &["takeover", "--at", "b"],
        &["wait", "--at", "c", "--update", "latest"],
        &["export", "images"],
    ] {
        let output = trefoil(&[words, &["--config", text(&path)]].concat());
        assert_eq!(code(&output), 5, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("trefoil run --site"), "{}", stderr(&output));
    }
}

#[test]
fn names_and_numbers_that_cannot_be_are_usage() {
    for words in [
        &["status", "--at", "d"][..],
        &["status", "--at", "D"],
        &["takeover", "--group", "order"],
        &["wait", "--update", "newest"],
        &["wait", "--update", "3", "--timeout", "soon"],
        &["wait", "--update", "3", "--durable", "--restored"],
    ] {
        let output = trefoil(&[words, &["--config", EXAMPLE]].concat());
        assert_eq!(code(&output), 2, "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn run_names_a_port_in_use_and_a_directory_that_cannot_be_made() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = changed(&dir, "127.0.0.1:9464", &address);
    let output = trefoil(&["run", "--config", text(&path)]);
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    assert!(said.contains(&address) && said.contains("set `metrics` of site a"), "{said}");

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let path = changed(&dir, "trefoil-data/a.sock", &format!("{}/a.sock", text(&file)));
    let output = trefoil(&["run", "--config", text(&path)]);
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    assert!(said.contains(text(&file)) && said.contains("set `control` of this site"), "{said}");
}
