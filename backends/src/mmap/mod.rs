//! Volumes and journals in mapped files: the files of [`file`](mod@crate::file), written by copying
//! into memory instead of by system calls.
//!
//! The files and their format are those of the backend `file`, so that a site can be changed from
//! one to the other and back. The journal is
//! [`FileJournal`](crate::file::FileJournal) opened with
//! [`Medium::Mapped`](crate::file::Medium::Mapped).
//!
//! **What survives.** A killed process loses nothing: what was copied lies in the page cache. A
//! power loss takes what no `sync` (`msync`) made durable, in any order, as with `file`. After a
//! failed `msync` nothing is accepted any more.
//!
//! **SIGBUS.** An error of a mapped page has no return value: the kernel kills the process, with
//! every site and group in it, and it comes up again by recovery. There are three such errors:
//! - *No room* for a page. Excluded as far as the file system keeps its word: the whole volume is
//!   reserved when it is opened (a full disk is
//!   [`ErrorKind::Full`](trefoil_core::ErrorKind::Full) there), and zeroing never gives room back
//!   (no hole is punched). A file system that copies on write (btrfs, zfs, anything with
//!   snapshots) may need room for a page that was reserved, and is better served by `file`.
//! - *A file that something else made shorter.* Its size is checked before each batch and each
//!   sync, and then it is an error and the store is failed for ever; between check and copy a
//!   moment remains.
//! - *A page that the device cannot read.* `file` reports an error there and goes on.
//!
//! That is why it is not the default. What it saves is one system call a write; what it costs
//! is a page fault for each page that is first touched, reading a page from the disk before a
//! part of it is written, and all of a volume's size on the disk from the first day.

mod map;
mod reserve;
mod store;

pub(crate) use map::Map;
pub(crate) use reserve::{check_whole, reserve};
pub use store::MmapStore;
