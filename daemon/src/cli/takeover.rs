//! `trefoil takeover`: a site leads a group.

use super::output::{Format, age, say, say_json};
use super::swap::where_to_go;
use super::{Client, Common, Failure, block_on, group_of};
use crate::control::api::{TakeoverDocument, TakeoverRequest};
use std::fmt::Write;
use std::time::Duration;

/// A little longer than the daemon's own limit, so that its words arrive.
const LIMIT: Duration = Duration::from_secs(130);

/// Options of `trefoil takeover`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group; the only one, if there is one only
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Consent to a loss that cannot be ruled out
    #[arg(long)]
    accept_loss: bool,
    /// State that the old primary cannot answer hosts any more: its lease is not waited for
    #[arg(long)]
    primary_is_fenced: bool,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let Args { group, accept_loss, primary_is_fenced, output } = args;
    let config = common.load()?;
    let site = common.about(&config)?;
    let group = group_of(&config, group.as_deref())?;
    let client = Client::of(&config, &site, &group)?;
    let request =
        TakeoverRequest { accept_loss: *accept_loss, primary_is_fenced: *primary_is_fenced };
    let path = format!("/v1/groups/{group}/actions/takeover");
    let document: TakeoverDocument = block_on(client.post(&path, &request, LIMIT))?;
    match output {
        Format::Json => say_json(&document),
        Format::Table => say(&tell(&document)),
    }
}

fn tell(document: &TakeoverDocument) -> String {
    let TakeoverDocument { schema: _, group, certificate, exports } = document;
    let mut text = format!(
        "group {group}: site {} leads, generation {}\nverdict: {}\n",
        certificate.primary, certificate.generation, certificate.verdict
    );
    // Writing to a String cannot fail.
    let _ = writeln!(text, "history continues after {}", certificate.newest);
    for (site, position) in &certificate.evidence {
        let _ = writeln!(text, "  site {site} promised, and holds {position}");
    }
    let (took, total) = (age(certificate.took_us), age(certificate.total_us));
    let _ = writeln!(text, "answering hosts after {took} ({total} with the old lease)");
    text + &where_to_go(exports)
}
