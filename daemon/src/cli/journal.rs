//! `trefoil journal`: what a site's journal holds, and for whom.

use super::action::OnGroup;
use super::output::{age, bytes, table};
use super::{Common, Failure};
use crate::control::api::{JournalDocument, RecordDocument};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Options of `trefoil journal`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    on: OnGroup,
    /// List so many records
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    limit: u64,
    /// List from this update on; the newest ones if not said
    #[arg(long, value_name = "NUMBER")]
    from: Option<u64>,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let Args { on, limit, from } = args;
    let config = common.load()?;
    let site = common.about(&config)?;
    let limit = if from.is_some() { (*limit).max(1) } else { *limit };
    let from = from.map_or_else(String::new, |from| format!("&from={from}"));
    let document: JournalDocument =
        on.look(&config, &site, &format!("journal?limit={limit}{from}"))?;
    on.show(&document, |document| tell(document, now_us()))
}

fn now_us() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

fn tell(document: &JournalDocument, now_us: u64) -> String {
    let journal = &document.journal;
    let marks = journal.marks;
    let (used, capacity) = (journal.used_bytes, journal.capacity_bytes);
    let percent = used.saturating_mul(100).checked_div(capacity).unwrap_or(0);
    let mut text = format!(
        "group {}, journal of {}: {} of {} ({percent} %), {} records\n\
         base {} (chain {}), newest {} (chain {})\n\
         durable {}, restored {}, checkpointed {}",
        document.group,
        document.site,
        bytes(used),
        bytes(capacity),
        journal.newest.number.since(journal.base.number),
        journal.base,
        journal.base.chain,
        journal.newest,
        journal.newest.chain,
        marks.durable,
        marks.restored,
        marks.checkpointed,
    );
    // Writing to a String cannot fail.
    if journal.oldest_us > 0 {
        let old = age(now_us.saturating_sub(journal.oldest_us));
        let _ = write!(text, "\nthe oldest record is {old} old");
    }
    for (site, floor) in &journal.floors {
        let _ = write!(text, "\n{site} holds everything up to {floor}");
        if let Some(map) = journal.maps.get(site) {
            let what = map.bytes.map_or_else(|| "everything".to_owned(), bytes);
            let _ = write!(text, "; a map from {} on names {what} to copy", map.from);
        } else if let Some(room) = document.headroom.get(site) {
            let _ = write!(text, "; {} more ({} updates", bytes(room.bytes), room.updates);
            let left = room.us.map_or_else(String::new, |us| format!(", {}", age(us)));
            let _ = write!(text, "{left}) before it needs a map");
        }
    }
    if let Some(full) = &document.full {
        let _ = write!(
            text,
            "\njournal full in {}, if {} stands still",
            age(full.in_us),
            full.held_for
        );
    }
    if !document.records.is_empty() {
        let header = ["UPDATE", "KIND", "VOLUME", "OFFSET", "LENGTH", "BYTES", "CHAIN"];
        let rows = document.records.iter().map(row).collect();
        let _ = write!(text, "\n\n{}", table(&header, rows));
    }
    text
}

fn row(record: &RecordDocument) -> Vec<String> {
    let cell = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let extent = record.extent;
    vec![
        record.position.to_string(),
        record.kind.clone(),
        cell(extent.map(|extent| u64::from(extent.volume.0))),
        cell(extent.map(|extent| extent.offset)),
        cell(extent.map(|extent| extent.length)),
        record.bytes.to_string(),
        record.position.chain.to_string(),
    ]
}
