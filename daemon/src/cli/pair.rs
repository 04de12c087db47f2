//! `trefoil pair`: the operator suspends a leg, and lets it go on.

use super::action::OnGroup;
use super::{Common, Exit, Failure};
use crate::control::api::{PairDocument, PairRequest};
use trefoil_core::model::SiteName;

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
    #[command(flatten)]
    on: OnGroup,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let (leg, action) = match &args.what {
        What::Suspend(leg) => (leg, "suspend"),
        What::Resume(leg) => (leg, "resume"),
    };
    let to = SiteName::new(&leg.to);
    let to = to.map_err(|error| Failure::new(Exit::Usage, format!("--to: {error}")))?;
    leg.on.act(common, action, &PairRequest { to }, tell)
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
