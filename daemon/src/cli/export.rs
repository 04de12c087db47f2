//! `trefoil export`: consistent images of all volumes of a group.

use super::output::{Format, bytes, say, say_json, table};
use super::{Client, Common, Exit, Failure, block_on, group_of};
use crate::control::api::{ExportDocument, ExportRequest};
use std::path::PathBuf;
use std::time::Duration;
use trefoil_core::model::UpdateNumber;

/// Large volumes take their time; a client that hangs up ends the export.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Options of `trefoil export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group; the only one, if there is one only
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// As of this update, between restored and received; if not said, the newest answered
    /// where the site leads, else the newest restored one
    #[arg(long, value_name = "N")]
    update: Option<u64>,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
    /// Where VOLUME.img is written for each volume; made, if missing, by the daemon's user
    dir: PathBuf,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let Args { group, update, output, dir } = args;
    let config = common.load()?;
    let site = common.about(&config)?;
    let group = group_of(&config, group.as_deref())?;
    let dir = std::path::absolute(dir)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", dir.display())))?;
    let request = ExportRequest { dir, update: update.map(UpdateNumber::new) };
    let client = Client::of(&config, &site, &group)?;
    let path = format!("/v1/groups/{group}/actions/export");
    let document: ExportDocument = block_on(client.post(&path, &request, LIMIT))?;
    match output {
        Format::Json => say_json(&document),
        Format::Table => say(&tell(&document)),
    }
}

fn tell(document: &ExportDocument) -> String {
    let ExportDocument { schema: _, group, site, position, images } = document;
    let row = |image: &crate::control::api::ImageDocument| {
        vec![
            image.volume.to_string(),
            bytes(image.size_bytes),
            bytes(image.data_bytes),
            image.blake3.clone(),
            image.path.display().to_string(),
        ]
    };
    let header = ["VOLUME", "SIZE", "DATA", "BLAKE3", "IMAGE"];
    let rows = images.iter().map(row).collect();
    format!(
        "group {group} at site {site}, generation {}, update {}\n{}",
        position.generation,
        position.number,
        table(&header, rows)
    )
}
