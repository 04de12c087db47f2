//! `trefoil rejoin`: a site with updates of its own comes back under the site that leads.

use super::output::{Format, say, say_json};
use super::{Client, Common, Failure, block_on, group_of};
use crate::control::api::RejoinDocument;
use std::time::Duration;

/// A little longer than the daemon's own limit, so that its words arrive.
const LIMIT: Duration = Duration::from_secs(130);

/// Options of `trefoil rejoin`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group; the only one, if there is one only
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let config = common.load()?;
    let site = common.about(&config)?;
    let group = group_of(&config, args.group.as_deref())?;
    let client = Client::of(&config, &site, &group)?;
    let path = format!("/v1/groups/{group}/actions/rejoin");
    let document: RejoinDocument = block_on(client.post(&path, &(), LIMIT))?;
    match args.output {
        Format::Json => say_json(&document),
        Format::Table => say(&tell(&document)),
    }
}

fn tell(document: &RejoinDocument) -> String {
    let RejoinDocument { schema: _, group, site, follows } = document;
    let mut text = format!("group {group}: site {site} follows {}", follows.source);
    if let Some(plan) = &follows.plan {
        text.push_str(&format!(", by {}: {}", plan.kind, plan.why));
    }
    if let Some(place) = &follows.set_aside {
        text.push_str(&format!("\nthe updates that only {site} had are kept in {place}"));
        text.push_str("\n`trefoil tail show FILE` lists them");
    }
    text
}
