//! A story whose every sentence is checked when it is told.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Columns of a line before it is broken.
const WIDTH: usize = 96;
/// What the lines after the first begin with.
const INDENT: &str = "         ";

/// Tells sentences, and remembers which were false.
pub(super) struct Story {
    out: Box<dyn Write + Send>,
    colour: bool,
    told: u64,
    lies: Vec<String>,
}

impl Story {
    /// A story on standard output.
    pub fn new() -> Self {
        let out = std::io::stdout();
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out: Box::new(out), colour, told: 0, lies: Vec::new() }
    }

    /// A title. It claims nothing.
    pub fn chapter(&mut self, title: &str) {
        let title =
            if self.colour { format!("\u{1b}[1m{title}\u{1b}[0m") } else { title.to_owned() };
        self.line(&format!("\n{title}"));
    }

    /// A line of facts about this run, such as its options. It claims nothing.
    pub fn line(&mut self, text: &str) {
        // Whoever stops reading has heard enough: the exit code still tells.
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    /// A sentence, and whether it is true; where it is not, `figures` say what was found. Returns
    /// whether it is true.
    pub fn say(&mut self, truth: bool, sentence: impl Display, figures: impl Display) -> bool {
        self.told += 1;
        let sentence = sentence.to_string();
        if truth {
            let mark = self.paint("32", "ok   ");
            self.line(&format!("  {mark}  {}", broken(&sentence)));
        } else {
            let mark = self.paint("31", "FALSE");
            self.line(&format!("  {mark}  {}", broken(&sentence)));
            self.line(&format!("{INDENT}found: {}", broken(&figures.to_string())));
            self.lies.push(format!("{sentence} (found: {figures})"));
        }
        truth
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// How many sentences were told.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// The sentences that were false, with what was found.
    pub fn lies(&self) -> &[String] {
        &self.lies
    }
}

/// Breaks a text into lines that fit.
fn broken(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let (line, figure) = lines.last().map_or((0, false), |line| {
            (line.chars().count(), line.ends_with(|last: char| last.is_ascii_digit()))
        });
        // The thousands of one number stay together.
        let digits = word.trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
        let thousand = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = figure && thousand;
        if line > 0 && !number && INDENT.len() + line + 1 + word.chars().count() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{INDENT}"))
}

/// What is shown on standard error while something takes its time: a bar on a terminal, one plain
/// line elsewhere.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of `length` bytes.
    pub fn bytes(what: &str, length: u64) -> Self {
        Self::begin(what, ProgressBar::new(length), "{binary_bytes} of {binary_total_bytes}")
    }

    /// Of updates.
    pub fn updates(what: &str, length: u64) -> Self {
        Self::begin(what, ProgressBar::new(length), "{pos} of {len} updates")
    }

    /// Of a time that must pass.
    pub fn time(what: &str, length: Duration) -> Self {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self::begin(what, ProgressBar::new(length), "{elapsed_precise}")
    }

    fn begin(what: &str, bar: ProgressBar, figures: &str) -> Self {
        if std::io::stderr().is_terminal() {
            let template = format!("  ...    {{msg}} [{{bar:30}}] {figures}");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(what.to_owned());
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            eprintln!("  ...    {what}");
        }
        Self(bar)
    }

    /// How far it is.
    pub fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    /// Goes on by so much.
    pub fn advance(&self, by: u64) {
        self.0.inc(by);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A number of bytes, for people.
pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// A whole number with its thousands apart, for people.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds, for people.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn story() -> (Story, Page) {
        let page = Page::default();
        let out = Box::new(page.clone());
        (Story { out, colour: false, told: 0, lies: Vec::new() }, page)
    }

    #[test]
    fn a_false_sentence_is_called_false_with_its_figures_and_remembered() {
        let (mut story, page) = story();
        assert!(story.say(true, "two and two are four", 4));
        assert!(!story.say(false, "two and two are five", "4"));
        let text = String::from_utf8(page.0.lock().clone()).unwrap();
        assert!(text.contains("ok     two and two are four"), "{text}");
        assert!(text.contains("FALSE  two and two are five"), "{text}");
        assert!(text.contains("found: 4"), "{text}");
        assert_eq!((story.told(), story.lies().len()), (2, 1));
    }

    #[test]
    fn long_sentences_are_broken_between_words() {
        let words = "word ".repeat(40);
        let text = broken(words.trim());
        assert!(text.lines().count() > 1);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.split_whitespace().count(), 40);
        let number = format!("{} 22 951 is one number", "x".repeat(WIDTH - INDENT.len() - 4));
        assert!(broken(&number).contains("22 951"), "{}", broken(&number));
        let hash = format!("{} blake3 03e4281a6b83", "x".repeat(WIDTH - INDENT.len() - 8));
        assert_eq!(broken(&hash).lines().count(), 2, "a hash is no thousand");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([count(7), count(1234), count(1_234_567)], ["7", "1 234", "1 234 567"]);
        assert_eq!(size(64 << 20), "64.0 MiB");
        assert_eq!(milliseconds(Duration::from_micros(1250)), "1.2 ms");
    }
}
