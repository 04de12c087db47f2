//! What may be open only once at a time, for disks that live in memory.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use trefoil_core::{Error, Result};

/// What of one disk is open now.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenOnce {
    /// Name → the claim that holds it.
    open: Arc<Mutex<Claims>>,
}

#[derive(Debug, Default)]
struct Claims {
    held: BTreeMap<String, u64>,
    made: u64,
}

impl OpenOnce {
    /// Claims `what` until the returned claim is dropped.
    pub(crate) fn claim(&self, what: String) -> Result<Claim> {
        let mut claims = self.open.lock();
        if claims.held.contains_key(&what) {
            return Err(Error::refused(format!(
                "open {what}: it is open already; close the first handle"
            )));
        }
        claims.made += 1;
        let id = claims.made;
        claims.held.insert(what.clone(), id);
        Ok(Claim { of: self.clone(), what, id })
    }

    /// Forgets every claim: the process that held them is gone.
    pub(crate) fn forget_all(&self) {
        self.open.lock().held.clear();
    }
}

/// Something that is open; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Claim {
    of: OpenOnce,
    what: String,
    id: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.of.open.lock();
        // A claim of a process that is gone must not release its successor's.
        if claims.held.get(&self.what) == Some(&self.id) {
            claims.held.remove(&self.what);
        }
    }
}
