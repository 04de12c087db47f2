//! What the interactive demo shows: a table of three sites that moves.

use super::story::{count, size};
use std::fmt::Write as _;
use std::io::Write as _;
use trefoil_core::model::Role;
use trefoil_site::GroupStatus;
use trefoil_site::status::LegStatus;

/// What the keys do.
const HELP: &str = "w load  d delay A-C  p cut A-C  k kill A  t take over at B  v verify  q quit";

/// One site, as it is drawn.
pub(super) struct Row<'a> {
    pub name: &'static str,
    /// `None` when it was killed.
    pub status: Option<&'a GroupStatus>,
    /// What the site that leads says of it.
    pub leg: Option<&'a LegStatus>,
}

/// Everything that is drawn.
pub(super) struct Picture<'a> {
    pub title: &'a str,
    pub rows: Vec<Row<'a>>,
    pub host: &'a str,
    pub link: &'a str,
    pub doors: Option<(&'a str, &'a str)>,
    pub log: &'a [String],
}

/// The terminal's second page; dropping it brings the first one back.
pub(super) struct Screen;

impl Screen {
    /// Turns to the second page, and hides the cursor.
    pub fn open() -> Self {
        print!("\u{1b}[?1049h\u{1b}[?25l");
        Self
    }

    /// Draws over what was drawn before.
    pub fn draw(&self, picture: &Picture<'_>) {
        let mut out = String::from("\u{1b}[H");
        for line in picture.text().lines() {
            // Writing to a String cannot fail.
            let _ = write!(out, "{line}\u{1b}[K\r\n");
        }
        out.push_str("\u{1b}[J");
        let mut terminal = std::io::stdout().lock();
        // A terminal that is gone ends the demo by its keys.
        let _ = terminal.write_all(out.as_bytes()).and_then(|()| terminal.flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\u{1b}[?25h\u{1b}[?1049l");
        let _ = std::io::stdout().flush();
    }
}

impl Picture<'_> {
    fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        let header =
            ["SITE", "ROLE", "NEWEST", "RESTORED", "LAG: UPDATES", "BYTES", "SECONDS", "JOURNAL"];
        line(&mut text, &header.map(str::to_owned));
        for row in &self.rows {
            line(&mut text, &row.cells());
        }
        let _ = writeln!(text, "\nhost      {}", self.host);
        let _ = writeln!(text, "link A-C  {}", self.link);
        if let Some((nbd, metrics)) = self.doors {
            let _ = writeln!(text, "volume    {nbd}\nmetrics   {metrics}");
        }
        let _ = writeln!(text, "\n{HELP}\n");
        for entry in self.log {
            let _ = writeln!(text, "{entry}");
        }
        text
    }
}

fn line(text: &mut String, cells: &[String; 8]) {
    let [site, role, rest @ ..] = cells;
    let _ = write!(text, "{site:<5}{role:<17}");
    for (cell, width) in rest.iter().zip([10, 10, 14, 11, 9, 23]) {
        let _ = write!(text, "{cell:>width$}");
    }
    text.push('\n');
}

impl Row<'_> {
    fn cells(&self) -> [String; 8] {
        let name = self.name.to_uppercase();
        let nothing = || "-".to_owned();
        let Some(status) = self.status else {
            let role = "killed".to_owned();
            return [name, role, nothing(), nothing(), nothing(), nothing(), nothing(), nothing()];
        };
        let journal = format!(
            "{} of {}",
            size(status.journal_used_bytes),
            size(status.journal_capacity_bytes)
        );
        let (updates, bytes, seconds) = match self.leg {
            Some(leg) => (
                count(leg.lag_updates),
                size(leg.lag_bytes),
                format!("{:.1}", leg.lag_us as f64 / 1e6),
            ),
            None => (nothing(), nothing(), nothing()),
        };
        let (newest, restored) = (status.marks.received, status.marks.restored);
        let (newest, restored) = (count(newest.value()), count(restored.value()));
        [name, role(status, self.leg), newest, restored, updates, bytes, seconds, journal]
    }
}

fn role(status: &GroupStatus, leg: Option<&LegStatus>) -> String {
    match (status.role, leg) {
        (Role::Primary, _) if status.serving => "primary".to_owned(),
        (Role::Primary, _) => "primary, waiting".to_owned(),
        (Role::Candidate, _) => "candidate".to_owned(),
        (Role::Secondary, Some(leg)) if !leg.link_up => "cut off".to_owned(),
        (Role::Secondary, Some(leg)) => format!("{}, {}", leg.mode, leg.state),
        (Role::Secondary, None) => "secondary".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::group_status;

    #[test]
    fn every_site_has_a_line_with_its_lag_and_a_killed_one_says_so() {
        let status = group_status();
        let leg = status.legs.values().last();
        let rows = vec![
            Row { name: "a", status: None, leg: None },
            Row { name: "b", status: Some(&status), leg: None },
            Row { name: "c", status: Some(&status), leg },
        ];
        let log = ["one thing happened".to_owned()];
        let picture = Picture {
            title: "title",
            rows,
            host: "idle",
            link: "open",
            doors: Some(("nbd://x", "http://y")),
            log: &log,
        };
        let text = picture.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("SITE"), "{text}");
        assert!(lines[3].starts_with("A    killed"), "{text}");
        assert!(lines[4].contains("primary") && lines[4].contains("4 182"), "{text}");
        assert!(text.contains("nbd://x") && text.contains("one thing happened"), "{text}");
        assert!(lines[2..6].iter().all(|line| line.chars().count() <= 100), "{text}");
    }
}
