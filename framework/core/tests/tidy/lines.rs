//! Rules about single files: length, columns, white space, module docs, words.

use crate::Finding;
use crate::lexer::code_only;
use crate::tree::TreeFile;

/// The longest source file, in lines: what one reader holds in one room.
const LINES_MAX: usize = 500;

/// The widest source line, in characters; rustfmt leaves long strings and comments alone.
const COLUMNS_MAX: usize = 100;

/// What marks unfinished work. Put together here so that this file does not hold them.
const UNDONE: [(&str, &str); 10] = [
    (concat!("to", "do!("), "finish it: nothing lands half done"),
    (concat!("unimple", "mented!("), "finish it: nothing lands half done"),
    (concat!("TO", "DO"), "do it, or open an issue"),
    (concat!("FIX", "ME"), "mend it, or open an issue"),
    (concat!("X", "XX"), "mend it, or open an issue"),
    (concat!("not imple", "mented"), "say what is done instead, as a limit with its remedy"),
    (concat!("simplified for", " now"), "finish it, or state the limit and its reason"),
    (concat!("#[ig", "nore"), "a test that does not run proves nothing: mend it or take it out"),
    (concat!("#[al", "low("), "use #[expect(..., reason = \"...\")]"),
    (concat!("#![al", "low("), "use #![expect(..., reason = \"...\")]"),
];

/// Words that others use for what has its own name here. Put together for the same reason.
const WORDS: [(&str, &str); 5] = [
    (concat!("mas", "ter"), "primary"),
    (concat!("sla", "ve"), "secondary"),
    (concat!("rep", "lica"), "secondary, or site"),
    (concat!("ep", "och"), "generation"),
    (concat!("l", "sn"), "update number"),
];

/// A file says what it is for before anything else.
pub fn module_doc(file: &TreeFile) -> Vec<Finding> {
    let first = file.text.lines().next().unwrap_or("");
    let said = first.strip_prefix("//!").unwrap_or("");
    if said.chars().any(char::is_alphabetic) {
        return Vec::new();
    }
    vec![Finding::new(&file.path, 1, "open the file with a //! line: what it is for")]
}

/// No file is longer than [`LINES_MAX`].
pub fn length(file: &TreeFile) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if lines <= LINES_MAX {
        return Vec::new();
    }
    let what = format!("{lines} lines, at most {LINES_MAX}: split it, one concept per file");
    vec![Finding::new(&file.path, LINES_MAX + 1, what)]
}

/// No line is wider than [`COLUMNS_MAX`].
pub fn columns(file: &TreeFile) -> Vec<Finding> {
    each_line(file, |line| {
        let columns = line.chars().count();
        (columns > COLUMNS_MAX).then(|| format!("{columns} columns, at most {COLUMNS_MAX}"))
    })
}

/// Blanks only, none at the end of a line, and a line end at the end of the file.
pub fn white_space(file: &TreeFile) -> Vec<Finding> {
    let mut findings = each_line(file, |line| {
        if line.contains('\t') {
            Some("a tab: indent with blanks".to_owned())
        } else if line.ends_with(char::is_whitespace) {
            Some("white space at the end of the line".to_owned())
        } else {
            None
        }
    });
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let last = file.text.lines().count();
        findings.push(Finding::new(&file.path, last, "the last line does not end in a line end"));
    }
    findings
}

/// Nothing marks unfinished work.
pub fn left_undone(file: &TreeFile) -> Vec<Finding> {
    each_line(file, |line| {
        let (mark, remedy) = UNDONE.iter().find(|(mark, _)| line.contains(mark))?;
        Some(format!("{mark}: {remedy}"))
    })
}

/// Sites, numbers and reigns have one name each, in prose and in code.
pub fn words(file: &TreeFile) -> Vec<Finding> {
    each_line(file, |line| {
        let line = words_of(line);
        let (word, better) = WORDS.iter().find(|(word, _)| names(&line, word))?;
        Some(format!("{word}: the word here is {better}"))
    })
}

/// The only files that may hold unsafe code.
const UNSAFE_FILES: [&str; 4] = [
    "backends/src/file/write_back.rs",
    "backends/src/mmap/map.rs",
    "backends/src/uring/ring.rs",
    "daemon/src/memory.rs",
];

/// No block, function or impl is unsafe, but for the files named above; there each one stands right
/// below a `// SAFETY:` comment. (A lint forbids it too, but a lint can be expected away.)
pub fn unsafe_code(file: &TreeFile) -> Vec<Finding> {
    let allowed = UNSAFE_FILES.iter().any(|path| file.path == *path);
    let text: Vec<&str> = file.text.lines().map(str::trim).collect();
    let explained = |at: usize| {
        let above = text.get(..at).unwrap_or_default().iter().rev();
        let mut comment = above.take_while(|line| line.starts_with("//"));
        comment.any(|line| line.starts_with("// SAFETY:"))
    };
    let code = code_only(&file.text);
    let is_unsafe = |line: &str| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == concat!("uns", "afe"))
    };
    let lines = code.lines().enumerate().filter(|(_, line)| is_unsafe(line));
    let findings = lines.filter_map(|(at, _)| match (allowed, explained(at)) {
        (true, true) => None,
        (true, false) => Some((at, "unsafe code without a `// SAFETY:` comment right above")),
        (false, _) => Some((at, "unsafe code has no place here")),
    });
    findings.map(|(at, what)| Finding::new(&file.path, at + 1, what)).collect()
}

fn each_line(file: &TreeFile, rule: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let lines = file.text.split('\n').enumerate();
    lines.filter_map(|(at, line)| Some(Finding::new(&file.path, at + 1, rule(line)?))).collect()
}

/// The words of a line in lower case; `snake_case` and `CamelCase` come apart, links are left out.
fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for piece in line.split_whitespace().filter(|piece| !piece.contains("://")) {
        let mut before = ' ';
        for c in piece.chars() {
            if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
                words.push(String::new());
            }
            if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
                word.extend(c.to_lowercase());
            }
            before = c;
        }
        words.push(String::new());
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether `word` or its plural is among `line`; the Unix one counts seconds, not reigns.
fn names(line: &[String], word: &str) -> bool {
    line.iter().enumerate().any(|(at, other)| {
        let same = other == word || other.strip_suffix('s') == Some(word);
        same && !(at > 0 && line[at - 1] == "unix")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> TreeFile {
        TreeFile { path: "a.rs".to_owned(), text: text.to_owned() }
    }

    fn lines_of(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_missing_or_empty_module_doc_is_found() {
        assert_eq!(module_doc(&file("//! What it is for.\n")), []);
        assert_eq!(lines_of(&module_doc(&file("use std::fmt;\n"))), [1]);
        assert_eq!(lines_of(&module_doc(&file("//! .\n"))), [1]);
        assert_eq!(lines_of(&module_doc(&file(""))), [1]);
    }

    #[test]
    fn the_limits_hold_exactly() {
        assert_eq!(length(&file(&"\n".repeat(LINES_MAX))), []);
        assert_eq!(length(&file(&"\n".repeat(LINES_MAX + 1))).len(), 1);
        assert_eq!(columns(&file(&"ä".repeat(COLUMNS_MAX))), []);
        assert_eq!(lines_of(&columns(&file(&format!("\n{}", "a".repeat(COLUMNS_MAX + 1))))), [2]);
    }

    #[test]
    fn tabs_and_trailing_blanks_are_found() {
        assert_eq!(lines_of(&white_space(&file("a\n\tb\nc \r\nd\r\n"))), [2, 3, 4]);
        assert_eq!(lines_of(&white_space(&file("a\nb"))), [2]);
        assert_eq!(white_space(&file("a\n\nb\n")), []);
    }

    #[test]
    fn each_mark_of_unfinished_work_is_found() {
        for (mark, _) in UNDONE {
            assert_eq!(lines_of(&left_undone(&file(&format!("a\n  {mark}x\n")))), [2], "{mark}");
        }
    }

    #[test]
    fn words_are_found_in_prose_and_in_names() {
        for (word, _) in WORDS {
            let capital = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
            for line in [format!("the {word}s."), format!("is_{word}_of"), format!("My{capital}")] {
                assert_eq!(lines_of(&words(&file(&format!("a\n{line}\n")))), [2], "{line}");
            }
        }
    }

    #[test]
    fn other_words_of_the_same_stem_are_let_through() {
        let others = ["replication, replicated", "since UNIX_EPOCH", "https://x.org/tree/master/a"];
        for line in others {
            assert_eq!(words(&file(line)), [], "{line}");
        }
    }

    #[test]
    fn unsafe_is_found_in_code_only() {
        assert_eq!(lines_of(&unsafe_code(&file("// unsafe\nunsafe { x() }\n"))), [2]);
        assert_eq!(unsafe_code(&file("#[expect(unsafe_code)] \"unsafe\" // unsafe\n")), []);
    }

    #[test]
    fn where_unsafe_is_allowed_each_block_says_why_it_is_safe() {
        let found = |text: &str| {
            let path = UNSAFE_FILES[0].to_owned();
            lines_of(&unsafe_code(&TreeFile { path, text: text.to_owned() }))
        };
        assert_eq!(found("// SAFETY: x\n// lives.\nunsafe { x() }\n"), []);
        assert_eq!(found("// SAFETY: x lives.\n\nunsafe { x() }\n"), [3]);
        assert_eq!(found("// SAFETY: x lives.\nunsafe { x() };\nunsafe { y() }\n"), [3]);
        assert_eq!(lines_of(&unsafe_code(&file("// SAFETY: x\nunsafe { x() }\n"))), [2]);
    }
}
