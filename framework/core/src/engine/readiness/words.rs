//! Forecasts in words, and the commands that go with them.

use super::{Candidacy, Resync};
use crate::model::{Fence, GroupName, SiteName, Verdict};

/// Microseconds as seconds for people.
fn seconds(us: u64) -> String {
    format!("{}.{} s", us / 1_000_000, us / 100_000 % 10)
}

/// The command that lets `site` lead.
pub(super) fn takeover(site: &SiteName, consent: bool, group: &GroupName) -> String {
    let consent = if consent { " --accept-loss" } else { "" };
    format!("trefoil takeover --at {site}{consent} --group {group}")
}

/// The command that brings a site back.
pub(super) fn bring_back(site: &SiteName) -> String {
    format!("trefoil run --site {site}")
}

/// The site that leads is alone.
pub(super) fn alone(primary: &SiteName, lease_us: u64) -> String {
    format!(
        "{primary} leads, but nobody renews its lease: within {} it answers no host any more, and \
         goes on by itself when another site is back; nothing is lost",
        seconds(lease_us)
    )
}

/// The site that leads goes on without `members` of the in-sync set, or without sites that nobody
/// waits for.
pub(super) fn goes_on(
    primary: &SiteName,
    members: &[&SiteName],
    fence: Fence,
    waits_us: u64,
) -> String {
    let names: Vec<String> = members.iter().map(ToString::to_string).collect();
    let names = names.join(" and ");
    match (members.is_empty(), fence) {
        (true, _) => format!("{primary} goes on, no host waits; nothing is lost"),
        (_, Fence::Status) => format!(
            "{primary} goes on; host writes wait some {} until it is recorded that {names} is out; \
             nothing is lost",
            seconds(waits_us)
        ),
        (_, Fence::Never) => format!(
            "{primary} goes on at once; what it answers without {names} is lost with it, and no \
             takeover can prove zero loss until {names} is back in sync"
        ),
        (_, Fence::Data) => format!(
            "{primary} leads, but host writes wait, then fail, until {names} is back or an \
             operator records that it is out; nothing is lost"
        ),
    }
}

/// Nobody could take over from the site that leads.
pub(super) fn nobody(primary: &SiteName, refusals: &[String]) -> String {
    let why = match refusals {
        [] => "no other site is heard".to_owned(),
        some => some.join("; "),
    };
    format!("nobody can take over from {primary}: {why}")
}

/// A survivor takes over.
pub(super) fn takes_over(
    chosen: &Candidacy,
    automatic: Option<u64>,
    waits_us: u64,
    resyncs: &[Resync],
) -> String {
    let Candidacy { site, verdict, stake, reads, .. } = chosen;
    let who = match automatic {
        Some(_) => format!("{site} takes over by itself"),
        None => format!("{site} can take over"),
    };
    let lost = match verdict {
        Some(Verdict::Zero) => "nothing that was answered is lost".to_owned(),
        Some(Verdict::Flushed) => "nothing that was flushed is lost".to_owned(),
        _ if stake.updates == 0 => {
            "with consent: it holds all that is known to be answered, but cannot prove it"
                .to_owned()
        }
        _ => format!(
            "with consent to the loss of {} updates ({} bytes, {})",
            stake.updates,
            stake.bytes,
            seconds(stake.us)
        ),
    };
    let reads: Vec<String> = reads.iter().map(ToString::to_string).collect();
    let first = match reads.is_empty() {
        true => String::new(),
        false => format!(" once it has read the rest from {}", reads.join(" and ")),
    };
    let mut text = format!("{who}{first}: {lost}; hosts wait at most {}", seconds(waits_us));
    for resync in resyncs {
        text.push_str(&format!(
            "; {} follows by {} ({} updates, {} bytes)",
            resync.follower, resync.kind, resync.updates, resync.bytes
        ));
    }
    text
}
