//! `trefoil takeover`: a site leads a group.

use super::action::OnGroup;
use super::output::age;
use super::swap::where_to_go;
use super::{Common, Failure};
use crate::control::api::{TakeoverDocument, TakeoverRequest};
use std::fmt::Write;

/// Options of `trefoil takeover`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    on: OnGroup,
    /// Consent to a loss that cannot be ruled out
    #[arg(long)]
    accept_loss: bool,
    /// State that the old primary cannot answer hosts any more: its lease is not waited for
    #[arg(long)]
    primary_is_fenced: bool,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let Args { on, accept_loss, primary_is_fenced } = args;
    let request =
        TakeoverRequest { accept_loss: *accept_loss, primary_is_fenced: *primary_is_fenced };
    on.act(common, "takeover", &request, tell)
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
