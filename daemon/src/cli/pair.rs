//! `trefoil pair`: the operator suspends a leg, and lets it go on.

use super::output::{Format, say, say_json};
use super::{Client, Common, Exit, Failure, block_on, group_of};
use crate::control::api::{PairDocument, PairRequest};
use std::time::Duration;
use trefoil_core::model::SiteName;

/// A little longer than the daemon's own limit, so that its words arrive.
const LIMIT: Duration = Duration::from_secs(130);

/// Options of `trefoil pair`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The leading site serves the other one no longer, until told otherwise; hosts go on
    Suspend(Leg),
    /// The other site follows again, by what it lacks
    Resume(Leg),
}

/// A leg from the site that the verb is about.
#[derive(Debug, clap::Args)]
struct Leg {
    /// The site at the other end
    #[arg(long, value_name = "NAME")]
    to: String,
    /// The group; the only one, if there is one only
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let (leg, action) = match &args.what {
        What::Suspend(leg) => (leg, "suspend"),
        What::Resume(leg) => (leg, "resume"),
    };
    let config = common.load()?;
    let site = common.about(&config)?;
    let group = group_of(&config, leg.group.as_deref())?;
    let to = SiteName::new(&leg.to);
    let to = to.map_err(|error| Failure::new(Exit::Usage, format!("--to: {error}")))?;
    let client = Client::of(&config, &site, &group)?;
    let path = format!("/v1/groups/{group}/actions/{action}");
    let document: PairDocument = block_on(client.post(&path, &PairRequest { to }, LIMIT))?;
    match leg.output {
        Format::Json => say_json(&document),
        Format::Table => say(&tell(&document)),
    }
}

fn tell(document: &PairDocument) -> String {
    let PairDocument { schema: _, group, site, to, suspended } = document;
    let how = match suspended {
        true => format!(
            "is suspended: what the host writes is kept for {to} in the journal, and brought when \
             you `trefoil pair resume --site {site} --to {to}`"
        ),
        false => "goes on".to_owned(),
    };
    format!("group {group}: the leg from {site} to {to} {how}")
}
