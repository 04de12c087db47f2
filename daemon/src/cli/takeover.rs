//! `trefoil takeover`: a site leads a group.

use super::action::OnGroup;
use super::output::{age, bytes};
use super::swap::where_to_go;
use super::{Common, Failure};
use crate::control::api::{TakeoverDocument, TakeoverRequest};
use std::fmt::Write;
use trefoil_site::status::{DoubtRange, InDoubt};

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

/// Writes that a host may send again: they are kept whether it was told of them or not.
fn tell_doubt(text: &mut String, doubt: Option<&InDoubt>) {
    let Some(InDoubt { after, up_to, writes, bytes: count, ranges, more_ranges }) = doubt else {
        return;
    };
    if *writes == 0 {
        return;
    }
    let _ = writeln!(
        text,
        "in doubt: {writes} writes ({}) of the updates from {} to {up_to} may or may not have been \
         answered; they are kept",
        bytes(*count),
        after.next()
    );
    for DoubtRange { volume, offset, length } in ranges {
        let _ = writeln!(text, "  {volume}: {} at byte {offset}", bytes(*length));
    }
    if *more_ranges > 0 {
        let _ = writeln!(text, "  and {more_ranges} ranges more");
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
    tell_doubt(&mut text, certificate.in_doubt.as_ref());
    let (took, total) = (age(certificate.took_us), age(certificate.total_us));
    let _ = writeln!(text, "answering hosts after {took} ({total} with the old lease)");
    text + &where_to_go(exports)
}
