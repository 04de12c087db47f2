//! A ring of direct writes. The only unsafe code of this backend is the one call that hands a
//! buffer to the kernel.
#![expect(unsafe_code, reason = "the kernel reads a buffer while this program goes on")]

use super::aligned::Aligned;
use super::batch::{PIECE_BYTES_MAX, Piece};
use io_uring::{IoUring, Probe, opcode, types};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};

/// How many writes are under way at most.
const DEPTH: u32 = 32;

/// What one entry of the ring is writing.
#[derive(Debug)]
struct Slot {
    buffer: Aligned,
    /// Where the buffer's first byte goes.
    offset: u64,
    /// How many of its bytes are to be written, and how many are.
    length: usize,
    done: usize,
}

/// A ring, with the memory that the kernel reads from. It stays with one thread.
pub(super) struct Ring {
    ring: IoUring,
    /// Given back only when the kernel is done with all of them.
    slots: ManuallyDrop<Vec<Slot>>,
    free: Vec<usize>,
    /// The kernel no longer says what became of writes that are under way.
    broken: bool,
}

impl Ring {
    /// A ring, if this kernel has one that can write.
    pub(super) fn new() -> Result<Self> {
        let ring = IoUring::new(DEPTH)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Write::CODE) {
            return Err(Error::new(ErrorKind::Unsupported, "the ring of this kernel cannot write"));
        }
        let buffer = || Aligned::new(PIECE_BYTES_MAX);
        let slot = |_| Slot { buffer: buffer(), offset: 0, length: 0, done: 0 };
        let slots = ManuallyDrop::new((0..DEPTH).map(slot).collect());
        Ok(Self { ring, slots, free: (0..DEPTH as usize).collect(), broken: false })
    }

    /// Writes all pieces, in any order, and waits for them; the first error, if there is one.
    pub(super) fn write_all(&mut self, file: &File, pieces: Vec<Piece>) -> Result<()> {
        if self.broken {
            return Err(Error::other("the ring failed before; restart the site"));
        }
        let fd = file.as_raw_fd();
        let (mut pieces, mut failed) = (pieces.into_iter(), None);
        loop {
            while failed.is_none()
                && let Some(slot) = self.free.pop()
            {
                let Some(piece) = pieces.next() else {
                    self.free.push(slot);
                    break;
                };
                self.fill(slot, &piece);
                failed = self.push(fd, slot).err();
            }
            if self.free.len() == self.slots.len() {
                return failed.map_or(Ok(()), Err);
            }
            self.wait()?;
            failed = self.reap(fd).err().or(failed);
        }
    }

    fn fill(&mut self, slot: usize, piece: &Piece) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.length = slot.buffer.fill(piece.parts.iter().map(AsRef::as_ref));
            (slot.offset, slot.done) = (piece.offset, 0);
        }
    }

    /// Queues what is left to be written of a slot. After an error the slot is free again.
    fn push(&mut self, fd: RawFd, index: usize) -> Result<()> {
        let Some(slot) = self.slots.get(index) else { return Ok(()) };
        let left = slot.buffer.bytes().get(slot.done..slot.length).unwrap_or_default();
        let length = u32::try_from(left.len()).map_err(Error::other)?;
        let entry = opcode::Write::new(types::Fd(fd), left.as_ptr(), length)
            .offset(slot.offset + slot.done as u64)
            .build()
            .user_data(index as u64);
        // SAFETY: the kernel reads `length` bytes at `left` until it posts the completion of this
        // entry. They belong to a slot, whose memory is never moved; a slot is filled again only
        // once it is free, which it is by its completion, and all slots are given back only when
        // every one is free (`drop`). The file is open until then: `write_all` borrows it, and
        // returns when every slot is free, or when the ring is broken after the kernel took its
        // own reference to the file with the entry.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(|full| {
            self.free.push(index);
            Error::other(full)
        })
    }

    /// Hands over what is queued, and waits for a completion.
    fn wait(&mut self) -> Result<()> {
        loop {
            match self.ring.submit_and_wait(1) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.broken = true;
                    return Err(error);
                }
            }
        }
    }

    /// Takes the completions; what was written in part is queued again.
    fn reap(&mut self, fd: RawFd) -> Result<()> {
        let ended: Vec<(usize, i32)> = self
            .ring
            .completion()
            .map(|entry| (entry.user_data() as usize, entry.result()))
            .collect();
        let mut outcome = Ok(());
        for (index, result) in ended {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let error = match usize::try_from(result) {
                Ok(0) => Some(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    slot.done += written;
                    None
                }
                Err(_) => Some(Error::from_raw_os_error(-result)),
            };
            let again = error.as_ref().is_some_and(|error| error.kind() == ErrorKind::Interrupted);
            if again || (error.is_none() && slot.done < slot.length) {
                outcome = outcome.and(self.push(fd, index));
                continue;
            }
            self.free.push(index);
            outcome = outcome.and(error.map_or(Ok(()), Err));
        }
        outcome
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.free.len() == self.slots.len() {
            // SAFETY: every slot is free, so the kernel reads from none; it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.slots) };
        }
    }
}
