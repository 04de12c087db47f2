//! Within a generation a number names the same bytes at every site.

use super::{Broken, Verdict};
use crate::model::{Entry, Registry};
use crate::oracle::SITES;
use trefoil_core::record::Record;

/// Checks a record against every record ever seen of its number and generation, and notes it.
pub fn check(registry: &mut Registry, site: usize, record: &Record) -> Verdict {
    let (at, name) = (record.position(), SITES[site]);
    let Some(entry) = Entry::of(record) else {
        return Err(broken(format!("{name} appends {at}, whose bytes no host wrote")));
    };
    registry.note(entry).map_err(|known| {
        broken(format!("{name} appends {at} as {entry:?}, elsewhere it is {known:?}"))
    })
}

fn broken(what: String) -> Broken {
    Broken::new("same_number_same_update", what)
}
