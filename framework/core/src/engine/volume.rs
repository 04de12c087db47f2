//! The volumes of a leading site: host changes get their numbers here, and their answers.

use super::commit::Acking;
use crate::model::{
    Durability, Extent, Generation, Incarnation, Marks, Position, SiteName, UpdateNumber, VolumeId,
    VolumeSpec,
};
use crate::port::Content;
use crate::record::{GenerationMark, PAYLOAD_BYTES_MAX, Record};
use crate::{Error, Result};
use std::collections::VecDeque;

/// A host's change of a volume.
#[derive(Clone, Debug)]
pub struct Change {
    /// The volume.
    pub volume: VolumeId,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// What the range becomes.
    pub content: Content,
}

/// Checks that a range lies in a volume of `size` bytes.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), naming both.
pub fn check_range(offset: u64, length: u64, size: u64) -> Result<()> {
    if offset.checked_add(length).is_some_and(|end| end <= size) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "access bytes {offset} to {}: the volume has {size}",
        offset.saturating_add(length)
    )))
}

/// Numbers host changes, and says which hosts can be answered. `T` is whatever stands for a host
/// that waits.
///
/// Waiters leave in the order of their numbers, in bulk when the commit moves: there is no work
/// per write in flight.
#[derive(Clone, Debug)]
pub struct VolumeEngine<T> {
    durability: Durability,
    assigned: Position,
    acking: Acking,
    writes: VecDeque<(UpdateNumber, T)>,
    flushes: VecDeque<(UpdateNumber, T)>,
}

impl<T> VolumeEngine<T> {
    /// The volumes of a reign that begins after `parent`; the primary itself has come to `own`.
    pub fn new(durability: Durability, parent: Position, own: Marks) -> Self {
        Self {
            durability,
            assigned: parent,
            acking: Acking::new(own),
            writes: VecDeque::new(),
            flushes: VecDeque::new(),
        }
    }

    /// The first record of the reign `generation` of `primary`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it cannot be encoded.
    pub fn begin(
        &mut self,
        generation: Generation,
        primary: SiteName,
        time: u64,
    ) -> Result<Record> {
        let mark = GenerationMark { generation, parent: self.assigned, primary };
        let record = Record::generation_mark(&mark, time)?;
        self.assigned = record.position();
        Ok(record)
    }

    /// A heartbeat record.
    pub fn heartbeat(&mut self, time: u64) -> Record {
        let record = Record::heartbeat(&self.assigned, time);
        self.assigned = record.position();
        record
    }

    /// The last record of the reign: `to` is to lead next.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it cannot be encoded.
    pub fn hand_over(&mut self, to: &SiteName, time: u64) -> Result<Record> {
        let record = Record::handover(&self.assigned, time, to)?;
        self.assigned = record.position();
        Ok(record)
    }

    /// From here on the group has these volumes; `waiter` is answered as for a write.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if they cannot be encoded, with the waiter
    /// back.
    pub fn set_volumes(
        &mut self,
        volumes: &[VolumeSpec],
        time: u64,
        waiter: T,
    ) -> Result<Record, (Error, T)> {
        match Record::volumes(&self.assigned, time, volumes) {
            Ok(record) => {
                self.assigned = record.position();
                self.writes.push_back((self.assigned.number, waiter));
                Ok(record)
            }
            Err(error) => Err((error, waiter)),
        }
    }

    /// Numbers a change that was checked against its volume's size; a long one becomes several
    /// records. `waiter` is answered when all of it may be.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it is empty, with the waiter back.
    pub fn admit(
        &mut self,
        change: Change,
        time: u64,
        waiter: T,
        into: &mut Vec<Record>,
    ) -> Result<(), (Error, T)> {
        let Change { volume, mut offset, content } = change;
        if content.length() == 0 {
            return Err((Error::invalid("change zero bytes: nothing to do"), waiter));
        }
        match content {
            Content::Zero(length) => {
                let record = Record::zero(&self.assigned, time, Extent { volume, offset, length });
                self.number(record, into);
            }
            Content::Data(mut data) => {
                while !data.is_empty() {
                    let piece = data.split_to(data.len().min(PAYLOAD_BYTES_MAX));
                    let length = piece.len() as u64;
                    match Record::write(&self.assigned, time, volume, offset, piece) {
                        Ok(record) => self.number(record, into),
                        Err(error) => return Err((error, waiter)),
                    }
                    offset += length;
                }
            }
        }
        self.writes.push_back((self.assigned.number, waiter));
        Ok(())
    }

    fn number(&mut self, record: Record, into: &mut Vec<Record>) {
        self.assigned = record.position();
        into.push(record);
    }

    /// A host waits until everything answered before is durable at every acking site; returns the
    /// number that has to be.
    pub fn flush(&mut self, waiter: T) -> UpdateNumber {
        // Writes are answered up to the commit; a later one is not covered by this flush, but
        // taking what is assigned costs nothing and keeps flush waiters in order.
        let number = self.assigned.number;
        self.flushes.push_back((number, waiter));
        number
    }

    /// The newest position assigned.
    pub fn assigned(&self) -> Position {
        self.assigned
    }

    /// The acking set.
    pub fn acking(&self) -> &Acking {
        &self.acking
    }

    /// The primary itself has come to `own`.
    pub fn advance_own(&mut self, own: Marks) {
        self.acking.advance_own(own);
    }

    /// A follower has come to `marks`.
    pub fn advance(&mut self, site: &SiteName, incarnation: Incarnation, marks: Marks) {
        self.acking.advance(site, incarnation, marks);
    }

    /// From now on `site` is waited for; what is assigned now is its mark (rule R5).
    pub fn join(&mut self, site: SiteName, incarnation: Incarnation, marks: Marks) {
        self.acking.join(site, incarnation, marks, self.assigned.number);
    }

    /// `site` is not waited for any more.
    pub fn leave(&mut self, site: &SiteName) {
        self.acking.leave(site);
    }

    /// The hosts that may be answered now, each with its number.
    pub fn answerable(&mut self) -> Vec<(UpdateNumber, T)> {
        let written = match self.durability {
            Durability::Flush => self.acking.commit(),
            Durability::Write => self.acking.horizon(),
        };
        let mut ready = Vec::new();
        take_up_to(&mut self.writes, written, &mut ready);
        take_up_to(&mut self.flushes, self.acking.horizon(), &mut ready);
        ready
    }

    /// The hosts that wait for numbers up to `number`: they waited long enough, and their outcome
    /// is unknown.
    pub fn expire(&mut self, number: UpdateNumber) -> Vec<T> {
        let mut late = Vec::new();
        take_up_to(&mut self.writes, number, &mut late);
        take_up_to(&mut self.flushes, number, &mut late);
        late.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// All hosts that wait: the reign is over, their outcome is unknown.
    pub fn abandon(&mut self) -> Vec<T> {
        self.writes.drain(..).chain(self.flushes.drain(..)).map(|(_, waiter)| waiter).collect()
    }

    /// How many hosts wait.
    pub fn waiting(&self) -> usize {
        self.writes.len() + self.flushes.len()
    }
}

/// Moves the waiters up to `number` over.
fn take_up_to<T>(
    waiters: &mut VecDeque<(UpdateNumber, T)>,
    number: UpdateNumber,
    into: &mut Vec<(UpdateNumber, T)>,
) {
    while waiters.front().is_some_and(|(waits_for, _)| *waits_for <= number) {
        into.extend(waiters.pop_front());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn marks(received: u64, durable: u64) -> Marks {
        Marks {
            received: UpdateNumber::new(received),
            durable: UpdateNumber::new(durable),
            ..Marks::default()
        }
    }

    fn write(length: usize) -> Change {
        let content = Content::Data(Bytes::from(vec![7; length]));
        Change { volume: VolumeId(0), offset: 0, content }
    }

    #[test]
    fn a_long_write_is_answered_when_its_last_record_is_held() {
        let mut volume = VolumeEngine::new(Durability::Flush, Position::START, Marks::default());
        let mut records = Vec::new();
        volume.admit(write(PAYLOAD_BYTES_MAX + 1), 0, "host", &mut records).unwrap();
        assert_eq!(records.len(), 2);
        volume.advance_own(marks(1, 0));
        assert!(volume.answerable().is_empty());
        volume.advance_own(marks(2, 0));
        assert_eq!(volume.answerable(), [(UpdateNumber::new(2), "host")]);
    }

    #[test]
    fn a_flush_waits_until_durable_everywhere() {
        let mut volume = VolumeEngine::new(Durability::Flush, Position::START, Marks::default());
        let b = SiteName::new("b").unwrap();
        volume.join(b.clone(), Incarnation(1), Marks::default());
        let mut records = Vec::new();
        volume.admit(write(1), 0, "write", &mut records).unwrap();
        volume.flush("flush");
        volume.advance_own(marks(1, 1));
        volume.advance(&b, Incarnation(1), marks(1, 0));
        assert_eq!(volume.answerable(), [(UpdateNumber::new(1), "write")]);
        volume.advance(&b, Incarnation(1), marks(1, 1));
        assert_eq!(volume.answerable(), [(UpdateNumber::new(1), "flush")]);
    }

    #[test]
    fn with_durable_writes_the_answer_waits_for_durability() {
        let mut volume = VolumeEngine::new(Durability::Write, Position::START, Marks::default());
        volume.admit(write(1), 0, (), &mut Vec::new()).unwrap();
        volume.advance_own(marks(1, 0));
        assert!(volume.answerable().is_empty());
        volume.advance_own(marks(1, 1));
        assert_eq!(volume.answerable().len(), 1);
    }

    #[test]
    fn who_waited_long_enough_is_let_go_in_order() {
        let mut volume = VolumeEngine::new(Durability::Flush, Position::START, Marks::default());
        for host in ["first", "second"] {
            volume.admit(write(1), 0, host, &mut Vec::new()).unwrap();
        }
        volume.flush("flush");
        assert_eq!(volume.expire(UpdateNumber::new(1)), ["first"]);
        assert_eq!(volume.expire(UpdateNumber::new(2)), ["second", "flush"]);
    }

    #[test]
    fn ranges_beyond_the_end_are_refused() {
        assert!(check_range(0, 10, 10).is_ok());
        assert!(check_range(1, 10, 10).is_err());
        assert!(check_range(u64::MAX, 2, 10).is_err());
    }
}
