//! What the host was told: which write of each block was answered, and which are in doubt.

use super::blocks::{BLOCK_BYTES, Stamp};
use super::writer::WRITERS;
use parking_lot::Mutex;
use std::fs::File;
use std::os::unix::fs::FileExt;
use trefoil_core::model::UpdateNumber;
use trefoil_core::{Error, Result};

/// What a block should hold.
#[derive(Clone, Debug, Default)]
struct Expected {
    /// The newest answered write; 0 if there was none.
    answered: u64,
    /// The newest write that was begun.
    begun: u64,
    /// Writes begun after the answered one and not answered: each may have happened or not.
    in_doubt: Vec<u64>,
}

/// What a block was found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nobody wrote it, and it is as it was.
    Untouched,
    /// The newest write that was answered.
    Answered,
    /// A write that had not been answered, which is as good.
    Doubtful,
    /// Something else, in words.
    Wrong(String),
}

/// What the volume held before the load, beyond the generated part.
#[derive(Debug)]
pub(super) struct Input {
    pub file: File,
    pub length: u64,
}

/// What the host was told of each block of a volume.
#[derive(Debug)]
pub(super) struct Ledger {
    seed: u64,
    input: Option<Input>,
    blocks: Mutex<Vec<Expected>>,
    totals: Mutex<Totals>,
}

/// What the host was told, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Writes answered.
    pub writes: u64,
    /// The highest update number among the answers.
    pub highest: UpdateNumber,
    /// Writes that were begun, and failed or were cut off.
    pub unanswered: u64,
}

impl Ledger {
    /// A ledger for a volume of `volume_bytes`, where nothing was written yet but `input`.
    pub fn new(seed: u64, volume_bytes: u64, input: Option<Input>) -> Self {
        let count = usize::try_from(volume_bytes).unwrap_or(usize::MAX) / BLOCK_BYTES;
        let blocks = Mutex::new(vec![Expected::default(); count]);
        Self { seed, input, blocks, totals: Mutex::default() }
    }

    /// The number of blocks.
    pub fn count(&self) -> u64 {
        self.blocks.lock().len() as u64
    }

    /// What was written first, if it came from a file.
    pub fn input(&self) -> Option<&Input> {
        self.input.as_ref()
    }

    /// Whether the load may write there: half of the input stays as it is, and so does half of a
    /// volume without input.
    pub fn open_to_load(&self, block: u64) -> bool {
        match self.input {
            Some(_) => block / WRITERS % 2 == 1,
            None => block < self.count() / 2,
        }
    }

    /// Begins a write of a block: what is to be written.
    pub fn begin(&self, block: u64) -> Stamp {
        let mut blocks = self.blocks.lock();
        let mut sequence = 0;
        if let Some(expected) = index(block).and_then(|at| blocks.get_mut(at)) {
            expected.begun += 1;
            sequence = expected.begun;
            expected.in_doubt.push(sequence);
        }
        Stamp { seed: self.seed, block, sequence }
    }

    /// One update that wrote these blocks was answered.
    pub fn answered(&self, stamps: &[Stamp], number: UpdateNumber) {
        let mut blocks = self.blocks.lock();
        for stamp in stamps {
            if let Some(expected) = index(stamp.block).and_then(|at| blocks.get_mut(at)) {
                expected.answered = stamp.sequence;
                // Whatever was in doubt before it is covered by it.
                expected.in_doubt.retain(|sequence| *sequence > stamp.sequence);
            }
        }
        drop(blocks);
        self.answered_input(number);
    }

    /// One update of the input was answered.
    pub fn answered_input(&self, number: UpdateNumber) {
        let mut totals = self.totals.lock();
        totals.writes += 1;
        totals.highest = totals.highest.max(number);
    }

    /// One write was not answered: it may have happened or not.
    pub fn unanswered(&self) {
        self.totals.lock().unanswered += 1;
    }

    /// What the host was told so far.
    pub fn totals(&self) -> Totals {
        *self.totals.lock()
    }

    /// How many blocks were written and answered.
    pub fn written(&self) -> u64 {
        self.blocks.lock().iter().filter(|expected| expected.answered > 0).count() as u64
    }

    /// Compares a block with what the host was told.
    ///
    /// # Errors
    /// When the input cannot be read any more.
    pub fn check(&self, block: u64, bytes: &[u8]) -> Result<Found> {
        let expected = {
            let blocks = self.blocks.lock();
            index(block).and_then(|at| blocks.get(at)).cloned().unwrap_or_default()
        };
        let seed = self.seed;
        let is = |sequence| Stamp { seed, block, sequence }.content() == bytes;
        if expected.answered > 0 && is(expected.answered) {
            return Ok(Found::Answered);
        }
        if expected.in_doubt.iter().any(|sequence| is(*sequence)) {
            return Ok(Found::Doubtful);
        }
        if expected.answered == 0 && self.before(block)? == bytes {
            return Ok(Found::Untouched);
        }
        let held = match Stamp::read(bytes) {
            Some(stamp) => format!("write {} of block {}", stamp.sequence, stamp.block),
            None => "no write of this demo".to_owned(),
        };
        Ok(Found::Wrong(format!(
            "block {block} holds {held}; write {} was answered",
            expected.answered
        )))
    }

    /// What a block held before the load wrote it.
    fn before(&self, block: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; BLOCK_BYTES];
        let offset = block * BLOCK_BYTES as u64;
        if let Some(input) = self.input.as_ref().filter(|input| offset < input.length) {
            let rest = usize::try_from(input.length - offset).unwrap_or(usize::MAX);
            let part = &mut bytes[..rest.min(BLOCK_BYTES)];
            let failed = |source| Error::io("read the input again", source);
            input.file.read_exact_at(part, offset).map_err(failed)?;
        }
        Ok(bytes)
    }
}

fn index(block: u64) -> Option<usize> {
    usize::try_from(block).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(7, 8 * BLOCK_BYTES as u64, None)
    }

    #[test]
    fn an_answered_write_must_be_there() {
        let ledger = ledger();
        let zeroes = vec![0; BLOCK_BYTES];
        assert_eq!(ledger.check(3, &zeroes).unwrap(), Found::Untouched);
        let first = ledger.begin(3);
        ledger.answered(&[first], UpdateNumber::new(9));
        assert_eq!(ledger.check(3, &first.content()).unwrap(), Found::Answered);
        assert!(matches!(ledger.check(3, &zeroes).unwrap(), Found::Wrong(_)));
        let second = ledger.begin(3);
        ledger.answered(&[second], UpdateNumber::new(10));
        assert!(matches!(ledger.check(3, &first.content()).unwrap(), Found::Wrong(_)));
        assert_eq!(ledger.totals().highest, UpdateNumber::new(10));
    }

    #[test]
    fn a_write_in_doubt_may_have_either_outcome_until_one_after_it_is_answered() {
        let ledger = ledger();
        let first = ledger.begin(0);
        ledger.answered(&[first], UpdateNumber::new(1));
        let doubtful = ledger.begin(0);
        ledger.unanswered();
        assert_eq!(ledger.check(0, &first.content()).unwrap(), Found::Answered);
        assert_eq!(ledger.check(0, &doubtful.content()).unwrap(), Found::Doubtful);
        let third = ledger.begin(0);
        ledger.answered(&[third], UpdateNumber::new(3));
        assert!(matches!(ledger.check(0, &doubtful.content()).unwrap(), Found::Wrong(_)));
        assert_eq!(ledger.check(0, &third.content()).unwrap(), Found::Answered);
    }
}
