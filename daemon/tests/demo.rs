//! The demo as a person or a CI job runs it: the scripts end well, and their figures agree.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the demo with these words, and reads its report.
fn demo(directory: &Path, words: &[&str]) -> (Output, Value) {
    let report = directory.join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
    command.arg("demo").args(words).arg("--report").arg(&report).env("TMPDIR", directory);
    let output = command.output().unwrap();
    let text = std::fs::read_to_string(&report).unwrap();
    (output, serde_json::from_str(&text).unwrap())
}

fn told(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

/// What must hold in every report of a failover.
fn a_failover_lost_nothing(output: &Output, report: &Value) {
    let text = told(output);
    assert!(output.status.success(), "{text}");
    assert!(text.is_ascii() && !text.contains("FALSE") && !text.contains('\u{1b}'), "{text}");
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert!(report["ok"].as_bool().unwrap());
    assert!(number("sentences") >= 15);
    assert!(number("answered_updates") > 100);
    assert!(number("missing_updates") > 0, "{report}");
    assert_eq!(number("delta_updates"), number("missing_updates"));
    assert_eq!(number("delta_bytes"), number("missing_bytes"));
    // A record is a header of 96 bytes and, mostly, 4 KiB.
    assert!(number("delta_bytes") >= 96 * number("delta_updates"));
    assert!(number("delta_bytes") <= (4096 + 96) * number("delta_updates"));
    assert_eq!((number("lost_updates"), number("copied_bytes")), (0, 0));
    assert!(number("initial_copied_bytes") > 0);
    assert!(report["takeover_ms"].as_f64().unwrap() > 0.0);
    assert!(report["verdict"].as_str().unwrap().starts_with("ZERO"));
    let hash = report["b_hash"].as_str().unwrap();
    assert!(hash.len() == 64 && hash == report["c_hash"], "{report}");
}

#[test]
fn a_failover_in_memory_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let words = ["--script", "failover", "--seconds", "1", "--size", "16MiB"];
    let (output, report) = demo(directory.path(), &words);
    a_failover_lost_nothing(&output, &report);
    assert_eq!((&report["transport"], &report["backend"]), (&"memory".into(), &"memory".into()));
}

#[test]
fn a_failover_over_tcp_and_files_finds_its_input_again_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("input");
    std::fs::copy(env!("CARGO_MANIFEST_DIR").to_owned() + "/../Cargo.lock", &input).unwrap();
    let input = input.to_str().unwrap();
    let (output, report) = demo(
        directory.path(),
        &[
            "--script",
            "failover",
            "--seconds",
            "1",
            "--size",
            "16MiB",
            "--transport",
            "tcp",
            "--backend",
            "file",
            "--input",
            input,
        ],
    );
    a_failover_lost_nothing(&output, &report);
    assert_eq!((&report["transport"], &report["backend"]), (&"tcp".into(), &"file".into()));
    assert!(told(&output).contains("So is the input"), "{}", told(&output));
    let left = std::fs::read_dir(directory.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "input" || name == "report.json"), "{left:?}");
}

#[test]
fn a_flood_while_the_third_site_is_away_stays_within_the_limits() {
    let directory = tempfile::tempdir().unwrap();
    let words = ["--script", "flood", "--pause", "3s", "--size", "16MiB"];
    let (output, report) = demo(directory.path(), &words);
    let text = told(&output);
    assert!(output.status.success(), "{text}");
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert!(number("missing_updates") > 0, "{report}");
    assert!(number("delta_updates") >= number("missing_updates"));
    assert_eq!((number("lost_updates"), number("copied_bytes")), (0, 0));
    let grown = number("resident_peak_bytes") - number("resident_before_bytes");
    assert!(grown <= number("budget_bytes"));
    assert_eq!(report["a_hash"], report["c_hash"]);
}

#[test]
fn bad_input_and_a_missing_terminal_are_named_with_their_remedy() {
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
        command.arg("demo").args(words).stdin(std::process::Stdio::null()).output().unwrap()
    };
    let played = run(&[]);
    assert_eq!(played.status.code(), Some(1));
    assert!(told(&played).contains("--script failover"), "{}", told(&played));
    let missing = run(&["--script", "failover", "--input", "/nowhere/disk.img"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(told(&missing).contains("open input /nowhere/disk.img"), "{}", told(&missing));
    let unknown = run(&["--script", "failover", "--transport", "pigeon"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(told(&unknown).contains("memory, tcp"), "{}", told(&unknown));
}
