//! When which updates were made: enough to say how far behind another site is.

use std::collections::VecDeque;
use std::time::Duration;
use trefoil_core::model::UpdateNumber;
use trefoil_core::record::Record;

/// Samples lie at least this far apart, in microseconds.
const APART_US: u64 = 2_000;
/// How many samples are kept; older lags are told as of the oldest.
const SAMPLES_MAX: usize = 1 << 16;

/// A point in the history: this number was made then, after so many bytes.
#[derive(Clone, Copy, Debug)]
struct Sample {
    number: UpdateNumber,
    time_us: u64,
    bytes: u64,
}

/// When which updates were made, by the primary's clock.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<Sample>,
    bytes: u64,
}

impl History {
    /// Notes records as they are submitted.
    pub fn note(&mut self, records: &[Record]) {
        for record in records {
            let (number, time_us) = (record.number(), record.time());
            let due =
                self.samples.back().is_none_or(|last| time_us.abs_diff(last.time_us) >= APART_US);
            if due {
                self.samples.push_back(Sample { number, time_us, bytes: self.bytes });
            }
            self.bytes += record.encoded_bytes() as u64;
        }
        while self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// Forgets updates after `number`: the history goes on from there without them.
    pub fn cut_after(&mut self, number: UpdateNumber) {
        let gone = self.samples.partition_point(|sample| sample.number <= number);
        if let Some(first) = self.samples.get(gone) {
            self.bytes = first.bytes;
        }
        self.samples.truncate(gone);
    }

    /// Whether what [`History::since`] says of `number` is exact to a sample.
    pub fn reaches(&self, number: UpdateNumber) -> bool {
        self.samples.front().is_some_and(|first| first.number <= number.next())
    }

    /// Whether nothing after `number` is older than `within` at `now_us`. What is older than the
    /// oldest sample is not near: its age is not known.
    pub fn is_near(&self, number: UpdateNumber, now_us: u64, within: Duration) -> bool {
        self.reaches(number) && u128::from(self.since(number, now_us).0) <= within.as_micros()
    }

    /// The age of the oldest update after `number` at `now_us`, and the bytes after it.
    pub fn since(&self, number: UpdateNumber, now_us: u64) -> (u64, u64) {
        // The sample at or right before the first update that is lacked.
        let after = self.samples.partition_point(|sample| sample.number <= number.next());
        match after.checked_sub(1).and_then(|index| self.samples.get(index)) {
            Some(sample) => {
                (now_us.saturating_sub(sample.time_us), self.bytes.saturating_sub(sample.bytes))
            }
            None => match self.samples.front() {
                Some(oldest) => (now_us.saturating_sub(oldest.time_us), self.bytes),
                None => (0, 0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_core::model::Position;

    const SECOND: Duration = Duration::from_secs(1);

    /// 10,000 updates in a tenth of a second, from 10 s on; the first is number 101.
    fn burst() -> History {
        let mut end = Position { number: UpdateNumber::new(100), ..Position::START };
        let mut history = History::default();
        for index in 0..10_000 {
            let record = Record::heartbeat(&end, 10_000_000 + index * 10);
            end = record.position();
            history.note(&[record]);
        }
        history
    }

    #[test]
    fn a_burst_is_near_however_many_updates_it_has() {
        assert!(burst().is_near(UpdateNumber::new(100), 10_500_000, SECOND));
    }

    #[test]
    fn what_is_old_is_not_near() {
        assert!(!burst().is_near(UpdateNumber::new(100), 11_500_000, SECOND));
    }

    #[test]
    fn what_was_made_before_the_oldest_sample_is_not_near() {
        assert!(!burst().is_near(UpdateNumber::new(99), 10_500_000, SECOND));
    }
}
