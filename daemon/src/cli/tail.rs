//! `trefoil tail`: what a site set aside because the history went on without it.

use super::output::{Format, say, say_json};
use super::{Common, Exit, Failure, group_of};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use trefoil_backends::file::{list_tails, read_tail};
use trefoil_core::model::GroupName;
use trefoil_core::record::Record;

/// Options of `trefoil tail`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the files that a site set aside, by its directory in the configuration
    List {
        /// The group; the only one, if there is one only
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
    },
    /// List the updates in such a file
    Show {
        /// The file
        file: PathBuf,
        /// Write the content of this update to standard output, and nothing else
        #[arg(long, value_name = "NUMBER")]
        content_of: Option<u64>,
        /// The form of the output
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::List { group } => list(common, group.as_deref()),
        What::Show { file, content_of: Some(number), .. } => content(file, *number),
        What::Show { file, output, .. } => show(file, *output),
    }
}

fn list(common: &Common, group: Option<&str>) -> Result<(), Failure> {
    let config = common.load()?;
    let site = common.about(&config)?;
    let group = group_of(&config, group)?;
    let name = GroupName::new(&group)?;
    let directory = config.machine_of(&site, &name)?.journal_dir.join(&group);
    let tails = list_tails(&directory)?;
    if tails.is_empty() {
        return say(&format!("site {site} has set no updates of group {group} aside"));
    }
    let lines: Vec<String> = tails.iter().map(|path| path.display().to_string()).collect();
    say(&lines.join("\n"))
}

/// An update in a tail, as JSON shows it.
#[derive(Debug, Serialize)]
struct Update {
    number: u64,
    generation: String,
    time_us: u64,
    kind: String,
    volume: Option<u32>,
    offset: Option<u64>,
    length: Option<u64>,
}

impl From<&Record> for Update {
    fn from(record: &Record) -> Self {
        let extent = record.extent();
        Self {
            number: record.number().value(),
            generation: record.generation().to_string(),
            time_us: record.time(),
            kind: format!("{:?}", record.kind()).to_lowercase(),
            volume: extent.map(|extent| extent.volume.0),
            offset: extent.map(|extent| extent.offset),
            length: extent.map(|extent| extent.length),
        }
    }
}

fn show(file: &Path, output: Format) -> Result<(), Failure> {
    let updates: Vec<Update> = read_tail(file)?.iter().map(Update::from).collect();
    match output {
        Format::Json => say_json(&updates),
        Format::Table => say(&table(&updates)),
    }
}

fn table(updates: &[Update]) -> String {
    let mut text = format!(
        "{:>12}  {:<10}  {:>6}  {:>16}  {:>10}",
        "update", "kind", "volume", "offset", "bytes"
    );
    let cell = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for update in updates {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{:>12}  {:<10}  {:>6}  {:>16}  {:>10}",
            format!("{}.{}", update.generation, update.number),
            update.kind,
            cell(update.volume.map(u64::from)),
            cell(update.offset),
            cell(update.length)
        );
    }
    text
}

/// Writes the bytes of one update.
fn content(file: &Path, number: u64) -> Result<(), Failure> {
    let records = read_tail(file)?;
    let Some(record) = records.iter().find(|record| record.number().value() == number) else {
        return Err(Failure::new(
            Exit::Failed,
            format!("show update {number}: {} does not hold it", file.display()),
        ));
    };
    let written = std::io::Write::write_all(&mut std::io::stdout(), record.payload());
    written
        .map_err(|source| Failure::new(Exit::Failed, format!("write to standard output: {source}")))
}
