//! The suite for journals: every claim of [`JournalStore`]'s "To be correct" list that can be seen
//! from outside.
//!
//! ```ignore
//! #[async_trait]
//! impl JournalStoreBench for Mine {
//!     async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
//!         Ok(Box::new(MyJournal::create(self.next_path(), CAPACITY_BYTES)?))
//!     }
//! }
//! journal_store::prove_all(&mut Mine::default()).await.unwrap();
//! ```

mod append;
mod failure;
mod room;
mod survive;

use super::{Claim, Violation, break_claim, names, prove_claim, prove_claims};
use crate::model::{Generation, Position, SiteName, VolumeId};
use crate::port::JournalStore;
use crate::record::{GenerationMark, Record};
use crate::{ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;

/// Makes the journals that the suite tries. None that it returns was recovered yet.
#[async_trait]
pub trait JournalStoreBench: Send {
    /// A new journal at a new place, that holds [`CAPACITY_BYTES`] or a little less. Handles of
    /// earlier ones were dropped.
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>>;

    /// Opens the newest journal again, as a new process would; its handle was dropped. `None` if
    /// it cannot outlive its handle: the claims about that are passed over.
    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        Ok(None)
    }

    /// Takes the power from the newest journal, and opens it again. `None` if that cannot be tried.
    async fn lose_power(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        Ok(None)
    }

    /// Damages the last bytes of what was appended last, and opens the newest journal again; its
    /// handle was dropped. `None` if that cannot be tried.
    async fn tear_tail(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        Ok(None)
    }

    /// Opens the newest journal as if it were that of another site; its handle was dropped. It is
    /// an error to succeed. `None` if a journal has no owner.
    async fn open_as_other(&mut self) -> Option<Result<Box<dyn JournalStore>>> {
        None
    }

    /// Lets the next sync of the newest journal fail. False if that cannot be tried.
    fn fail_next_sync(&mut self) -> bool {
        false
    }
}

/// The size of the journals that the suite asks for, in bytes.
pub const CAPACITY_BYTES: u64 = 16 << 20;

/// A bench, whoever made it.
type Bench = dyn JournalStoreBench + 'static;

/// A claim by name, and its trial.
macro_rules! claim {
    ($name:literal, $trial:path) => {
        Claim { name: $name, trial: |bench: &mut Bench| Box::pin($trial(bench)) }
    };
}

const TABLE: [Claim<Bench>; 17] = [
    claim!("a_new_journal_is_empty", append::empty),
    claim!("what_was_appended_is_read_byte_for_byte", append::reads_back),
    claim!("records_that_do_not_follow_are_invalid", append::refuses_gaps),
    claim!("a_new_generation_follows_and_the_old_one_ends", append::generations),
    claim!("a_batch_that_does_not_fit_is_refused_whole", room::full),
    claim!("trimming_lets_go_of_no_more_than_asked", room::trims),
    claim!("trimming_makes_room", room::trim_makes_room),
    claim!("a_reset_begins_anew_right_after_its_base", room::resets),
    claim!("what_is_set_aside_stays_in_the_journal", room::sets_aside),
    claim!("truncating_drops_exactly_what_is_behind", room::truncates),
    claim!("a_state_is_replaced_whole", survive::state),
    claim!("what_was_appended_survives_the_process", survive::process),
    claim!("what_was_synced_survives_a_power_loss", survive::power),
    claim!("a_torn_tail_is_cut_and_the_rest_kept", survive::torn_tail),
    claim!("a_sync_and_appends_go_on_at_the_same_time", append::sync_meanwhile),
    claim!("a_foreign_journal_is_refused_and_unharmed", failure::foreign),
    claim!("after_a_failed_sync_nothing_works", failure::failed_sync),
];

/// What is proved, by name and in this order.
pub const CLAIMS: [&str; TABLE.len()] = names(&TABLE);

/// Proves every claim, each on a fresh journal.
///
/// # Errors
/// The first claim that does not hold, and what was seen.
pub async fn prove_all(bench: &mut (dyn JournalStoreBench + 'static)) -> Result<(), Violation> {
    prove_claims(bench, &TABLE).await
}

/// Proves the claim of that name, one of [`CLAIMS`].
///
/// # Errors
/// That it does not hold, or that there is no such claim.
pub async fn prove(
    bench: &mut (dyn JournalStoreBench + 'static),
    claim: &str,
) -> Result<(), Violation> {
    prove_claim(bench, &TABLE, claim).await
}

fn start() -> Position {
    Position { generation: Generation { count: 3, id: 77 }, ..Position::START }
}

fn records(before: &Position, count: u64, bytes: usize) -> Result<Vec<Record>> {
    let mut last = *before;
    let mut records = Vec::new();
    for i in 0..count {
        let number = last.number.next().value();
        let record = match number % 7 {
            6 => Record::heartbeat(&last, number),
            _ => {
                let fill = (number % 251) as u8;
                let payload = Bytes::from(vec![fill; bytes + (i % 5) as usize]);
                Record::write(&last, number, VolumeId(0), number * 512, payload)?
            }
        };
        last = record.position();
        records.push(record);
    }
    Ok(records)
}

async fn filled(
    bench: &mut dyn JournalStoreBench,
    count: u64,
    bytes: usize,
) -> Result<(Box<dyn JournalStore>, Vec<Record>)> {
    let mut journal = bench.fresh().await?;
    journal.recover().await?;
    let mark = GenerationMark {
        generation: start().generation,
        parent: Position::START,
        primary: SiteName::new("a")?,
    };
    let mut held = vec![Record::generation_mark(&mark, 1)?];
    let first = held.iter().map(Record::position).last().unwrap_or_default();
    held.extend(records(&first, count.saturating_sub(1), bytes)?);
    journal.append(held.clone()).await?;
    Ok((journal, held))
}

fn newest(held: &[Record]) -> Position {
    held.last().map_or(Position::START, Record::position)
}

async fn expect(journal: &mut dyn JournalStore, held: &[Record], when: &str) -> Result<()> {
    let mut at = 0;
    while let Some(next) = held.get(at) {
        let batch = journal.read(next.number(), 20_000).await?;
        if batch.is_empty() {
            return break_claim(format!("{when}: reading from {} gives nothing", next.number()));
        }
        for record in batch {
            if held.get(at) != Some(&record) {
                return break_claim(format!("{when}: {record:?} came in place {at}"));
            }
            at += 1;
        }
    }
    Ok(())
}

async fn expect_kind(what: &str, kind: ErrorKind, result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => break_claim(format!("{what} is {}, not {kind}: {error}", error.kind())),
        Ok(()) => break_claim(format!("{what} is accepted")),
    }
}

async fn expect_end(journal: &mut dyn JournalStore, held: &[Record], when: &str) -> Result<()> {
    expect(journal, held, when).await?;
    match journal.read(newest(held).number.next(), 100).await {
        Err(error) if error.kind() == ErrorKind::Invalid => Ok(()),
        other => break_claim(format!("{when}: behind the newest lies {other:?}")),
    }
}
