//! `trefoil rejoin`: a site with updates of its own comes back under the site that leads.

use super::action::OnGroup;
use super::{Common, Failure};
use crate::control::api::RejoinDocument;

/// Options of `trefoil rejoin`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    on: OnGroup,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    args.on.act(common, "rejoin", &(), tell)
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
