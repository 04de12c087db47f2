//! What was written to a volume goes to the disk little by little: a sync that hands over all of
//! it at once fills the disk's queue, and who syncs a journal meanwhile waits behind it.

use super::awaited::JOURNALS;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;

/// The unit in which it is remembered where a file was written, in bytes.
const PLACE_BYTES: u64 = 256 << 10;
/// The most places that are remembered; what is written elsewhere is left to the sync.
const PLACES_MAX: usize = 1 << 16;
/// So much is handed over in one go, in bytes. The less it is, the sooner others have their turn,
/// and the more it costs: each go is waited for.
const GO_BYTES: u64 = 1 << 20;
/// The same while somebody waits for journals.
const SHORT_GO_BYTES: u64 = 256 << 10;

/// Where a file was written since its last sync: place → bytes.
#[derive(Debug, Default)]
pub(super) struct WriteBack {
    written: Mutex<BTreeMap<u64, u64>>,
}

impl WriteBack {
    /// Notes that `bytes` were written at `offset`.
    pub(super) fn note(&self, offset: u64, bytes: u64) {
        let mut written = self.written.lock();
        let end = offset.saturating_add(bytes);
        let mut at = offset;
        while at < end {
            let place = at / PLACE_BYTES;
            let next = end.min((place + 1) * PLACE_BYTES);
            if written.len() < PLACES_MAX || written.contains_key(&place) {
                *written.entry(place).or_default() += next - at;
            }
            at = next;
        }
    }

    /// Hands over what was noted, one go after the other. A sync must follow: it finds little to
    /// do, and makes durable what this does not.
    ///
    /// # Errors
    /// What the kernel says of pages that it could not write. It says so once, so that the sync
    /// that follows would know nothing of it.
    pub(super) fn run(&self, file: &File) -> std::io::Result<()> {
        let mut rest = std::mem::take(&mut *self.written.lock());
        while !rest.is_empty() {
            let bytes = if JOURNALS.are_awaited() { SHORT_GO_BYTES } else { GO_BYTES };
            let go = next_go(&mut rest, bytes);
            for place in &go {
                if !begin(file, *place)? {
                    return Ok(());
                }
            }
            for place in &go {
                call(file, *place, libc::SYNC_FILE_RANGE_WAIT_BEFORE)?;
            }
        }
        Ok(())
    }
}

/// Takes out the next places, until `bytes` were written there.
fn next_go(written: &mut BTreeMap<u64, u64>, bytes: u64) -> Vec<u64> {
    let (mut go, mut taken) = (Vec::new(), 0);
    while taken < bytes {
        let Some((place, more)) = written.pop_first() else { break };
        go.push(place);
        taken += more;
    }
    go
}

/// Begins to write a place; `false` where that cannot be asked for, and is left to the sync.
fn begin(file: &File, place: u64) -> std::io::Result<bool> {
    match call(file, place, libc::SYNC_FILE_RANGE_WRITE) {
        Ok(()) => Ok(true),
        // The kernel has no such call, or a filter does not let it through.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn call(file: &File, place: u64, flags: libc::c_uint) -> std::io::Result<()> {
    #![expect(unsafe_code, reason = "no crate offers this call")]
    // A file is shorter than what an offset can say.
    let offset = i64::try_from(place * PLACE_BYTES).unwrap_or(i64::MAX);
    let bytes = PLACE_BYTES as i64;
    // SAFETY: the call reads and writes no memory of this process, and `file` is open.
    let done = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, bytes, flags) };
    match done {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::FileExt;

    proptest! {
        #[test]
        fn all_that_was_written_goes_in_order_and_no_go_is_longer_than_need_be(
            writes in prop::collection::vec((0..1u64 << 24, 1..1u64 << 20), 1..40),
            bytes in 1..1u64 << 21,
        ) {
            let write_back = WriteBack::default();
            for (offset, length) in &writes {
                write_back.note(*offset, *length);
            }
            let mut rest = write_back.written.into_inner();
            let all = rest.clone();
            prop_assert_eq!(all.values().sum::<u64>(), writes.iter().map(|(_, l)| l).sum::<u64>());
            let mut places = Vec::new();
            while !rest.is_empty() {
                let go = next_go(&mut rest, bytes);
                let before_last = go.iter().rev().skip(1).map(|place| all[place]).sum::<u64>();
                prop_assert!(before_last < bytes);
                places.extend(go);
            }
            prop_assert!(places.iter().eq(all.keys()));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let write_back = WriteBack::default();
        for place in 0..PLACES_MAX as u64 + 9 {
            write_back.note(place * PLACE_BYTES, 1);
        }
        write_back.note(0, 1);
        let written = write_back.written.into_inner();
        assert_eq!((written.len(), written[&0]), (PLACES_MAX, 2));
    }

    #[test]
    fn what_was_noted_is_written_once() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 * PLACE_BYTES).unwrap();
        let write_back = WriteBack::default();
        for offset in [0, 3 * PLACE_BYTES - 1] {
            file.write_all_at(b"xy", offset).unwrap();
            write_back.note(offset, 2);
        }
        assert_eq!(write_back.written.lock().keys().copied().collect::<Vec<_>>(), [0, 2, 3]);
        write_back.run(&file).unwrap();
        assert!(write_back.written.lock().is_empty());
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error() {
        let write_back = WriteBack::default();
        write_back.note(0, 1);
        let no_file = File::open("/dev/null").unwrap();
        let error = write_back.run(&no_file).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESPIPE));
    }
}
