//! Rust source with its comments and literals blanked, so that rules about code look at code.

/// `source` with the text of comments, strings and characters replaced by blanks. Lines stay where
/// they were; documentation counts as comment.
pub fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped_until(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { c } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none begins there.
fn skipped_until(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    let in_word = at > 0 && is_word(chars[at - 1]);
    match (chars[at], next) {
        ('/', Some('/')) => find(chars, at, |rest| rest[0] == '\n'),
        ('/', Some('*')) => block_comment_end(chars, at),
        ('"', _) => quoted_end(chars, at + 1, '"'),
        ('r', Some('"' | '#')) if !in_word || chars[at - 1] == 'b' => raw_string_end(chars, at),
        ('\'', Some('\\')) => quoted_end(chars, at + 1, '\''),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find(chars: &[char], from: usize, end: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|&i| end(&chars[i..])).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i < chars.len() {
        match chars[i..] {
            ['/', '*', ..] => (depth, i) = (depth + 1, i + 2),
            ['*', '/', ..] if depth == 1 => return i + 2,
            ['*', '/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], mut i: usize, quote: char) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            c if c == quote => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at; // a raw identifier such as r#type
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest[1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    (find(chars, open + 1, closes) + 1 + hashes).min(chars.len())
}

#[test]
fn comments_and_literals_are_blanked_and_code_is_kept() {
    let blanked = |source: &str| code_only(source).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(blanked("a // unsafe\nb"), "a b");
    assert_eq!(blanked("a /* x /* y */ z */ b"), "a b");
    assert_eq!(blanked(r#"f("say \" unsafe", x)"#), "f( , x)");
    assert_eq!(blanked("g(r#\"a \" b\"#, r#type)"), "g( , r#type)");
    assert_eq!(blanked("h(br\"x\", b'\"', '\\'', k)"), "h(b , b , , k)");
    assert_eq!(blanked("fn f<'a>(x: &'a str, c: char) {}"), "fn f<'a>(x: &'a str, c: char) {}");
}

#[test]
fn lines_stay_where_they_were() {
    let source = "a\n/* b\nc */ d\n\"e\nf\" g\n";
    assert_eq!(code_only(source).lines().count(), source.lines().count());
    assert_eq!(code_only(source).lines().nth(4).map(str::trim), Some("g"));
}
