//! Counts what a journal holds, record by record.

use std::collections::BTreeMap;
use trefoil_core::Result;
use trefoil_core::model::UpdateNumber;
use trefoil_site::Group;

/// Records are read in pieces of about so many bytes.
const READ_BYTES: usize = 4 << 20;

/// The records that were seen in a journal: their encoded bytes, by update number.
#[derive(Debug, Default)]
pub(super) struct Census(BTreeMap<UpdateNumber, u64>);

/// Records in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub updates: u64,
    /// Encoded bytes.
    pub bytes: u64,
    /// Whether every number of the range was seen.
    pub whole: bool,
}

impl Census {
    /// Reads on, from right after `from` or what was read before, up to `up_to`.
    ///
    /// # Errors
    /// Whatever the journal says.
    pub async fn read(
        &mut self,
        group: &Group,
        from: UpdateNumber,
        up_to: UpdateNumber,
    ) -> Result<()> {
        let seen = self.0.last_key_value().map_or(from, |(number, _)| *number);
        let mut next = seen.max(from).next();
        while next <= up_to {
            let records = group.records(next, up_to, READ_BYTES).await?;
            let Some(last) = records.last().map(|record| record.number()) else { return Ok(()) };
            self.0.extend(records.iter().map(|r| (r.number(), r.encoded_bytes() as u64)));
            next = last.next();
        }
        Ok(())
    }

    /// The records in `(after, up_to]`.
    pub fn count(&self, after: UpdateNumber, up_to: UpdateNumber) -> Count {
        if up_to <= after {
            return Count { updates: 0, bytes: 0, whole: true };
        }
        let range = self.0.range(after.next()..=up_to);
        let (updates, bytes) = range.fold((0, 0), |(n, sum), (_, bytes)| (n + 1, sum + bytes));
        Count { updates, bytes, whole: updates == up_to.since(after) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_counted_without_its_lower_end_and_a_gap_is_seen() {
        let number = UpdateNumber::new;
        let mut census = Census((3..=9).map(|n| (number(n), 100)).collect());
        let count = census.count(number(4), number(8));
        assert_eq!(count, Count { updates: 4, bytes: 400, whole: true });
        assert_eq!(census.count(number(8), number(8)).updates, 0);
        census.0.remove(&number(6));
        assert!(!census.count(number(4), number(8)).whole);
        assert!(!census.count(number(1), number(4)).whole, "what was never read is missing");
    }
}
