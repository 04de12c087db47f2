//! How much room there is for a read: much under load, little on a link that idles.

use bytes::BytesMut;

/// The most room that there is for one read, in bytes: about sixty updates of 4 KiB, so that one
/// call and one wake-up serve a whole batch. Longer frames get the room that they need.
pub const READ_BYTES: usize = 256 << 10;

/// The least room, in bytes: heartbeats are smaller, and a site may have thousands of idle links.
const READ_BYTES_MIN: usize = 4 << 10;

/// A buffer is so many times the longest read of the one before: a part of it may be filled before
/// the next batch comes.
const READS_AHEAD: usize = 4;

/// Sizes the buffers of one stream by what comes.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// How long the buffer was when it was taken, in bytes.
    taken: usize,
    /// The longest read since then.
    longest: usize,
}

impl Room {
    /// Notes that so many bytes came with one read.
    pub(super) fn note(&mut self, read: usize) {
        self.longest = self.longest.max(read);
    }

    /// Makes room in `buffer` for `missing` bytes at least, or for some reads like the last ones.
    /// Where less than a quarter of that is left a new buffer is taken: reads in small pieces cost
    /// more than the copy of the piece of a frame that has come.
    pub(super) fn make(&mut self, buffer: &mut BytesMut, missing: usize) {
        let room = buffer.capacity() - buffer.len();
        if room > 0 && room >= missing.max(self.taken.min(READ_BYTES) / READS_AHEAD) {
            return;
        }
        let wanted = (self.longest * READS_AHEAD).clamp(READ_BYTES_MIN, READ_BYTES).max(missing);
        self.longest = 0;
        // A buffer whose frames are all gone is used again, if it is not far too long by now.
        let fits = (wanted..=READS_AHEAD * wanted).contains(&self.taken);
        if fits && buffer.try_reclaim(wanted) {
            return;
        }
        let mut fresh = BytesMut::with_capacity(buffer.len() + wanted);
        fresh.extend_from_slice(buffer);
        self.taken = wanted;
        *buffer = fresh;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads and consumes `count` times `bytes` bytes; the length of the buffer then.
    fn read(room: &mut Room, buffer: &mut BytesMut, bytes: usize, count: usize) -> usize {
        for _ in 0..count {
            let mut left = bytes;
            while left > 0 {
                room.make(buffer, 0);
                let come = left.min(buffer.capacity() - buffer.len());
                buffer.extend_from_slice(&vec![7; come]);
                room.note(come);
                left -= come;
            }
            drop(buffer.split());
        }
        room.taken
    }

    #[test]
    fn an_idle_link_takes_little_and_a_busy_one_much() {
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        assert_eq!(read(&mut room, &mut buffer, 300, 100), READ_BYTES_MIN);
        assert_eq!(read(&mut room, &mut buffer, READ_BYTES, 10), READ_BYTES);
        assert_eq!(read(&mut room, &mut buffer, 300, 2000), READ_BYTES_MIN, "it is quiet again");
    }

    #[test]
    fn a_long_frame_gets_the_room_it_needs_and_keeps_what_came() {
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        room.make(&mut buffer, 0);
        buffer.extend_from_slice(b"the beginning");
        room.make(&mut buffer, 3 << 20);
        assert!(buffer.capacity() - buffer.len() >= 3 << 20);
        assert_eq!(&buffer[..], b"the beginning");
    }

    #[test]
    fn frames_that_are_kept_are_not_written_over() {
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        let mut kept = Vec::new();
        for value in 0..=255 {
            room.make(&mut buffer, 1000);
            buffer.extend_from_slice(&[value; 1000]);
            room.note(1000);
            kept.push(buffer.split().freeze());
        }
        assert!((0..=255).zip(&kept).all(|(value, frame)| **frame == [value; 1000]));
    }
}
