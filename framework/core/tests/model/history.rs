//! Every update that was ever made, by its chain: what a site's history is, trimmed or not.

use crate::site::{blocks_of, id_of};
use crate::world::BLOCKS;
use std::cell::RefCell;
use std::collections::HashMap;
use trefoil_core::model::{Chain, Position};
use trefoil_core::record::Record;

/// One update, and the point before it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub before: Position,
    pub position: Position,
    /// The write's id, and its block; 0 for a record of control.
    pub id: u64,
    pub block: usize,
}

thread_local! {
    // A chain names its update and all before it, in whichever world: worlds share this.
    static MADE: RefCell<HashMap<Chain, Entry>> = RefCell::new(HashMap::new());
}

/// Notes that a record was made.
pub fn made(before: Position, record: &Record) {
    let extent = record.extent();
    let entry = Entry {
        before,
        position: record.position(),
        id: extent.map_or(0, |_| id_of(record.payload())),
        block: extent.map_or(0, |extent| blocks_of(extent).start),
    };
    MADE.with_borrow_mut(|all| all.insert(record.chain(), entry));
}

/// The updates of the history that ends at `newest`, newest first.
pub fn updates(newest: Position) -> impl Iterator<Item = Entry> {
    let find = |position: Position| MADE.with_borrow(|all| all.get(&position.chain).copied());
    std::iter::successors(find(newest), move |entry| find(entry.before))
}

/// The writes among them, newest first.
pub fn writes(newest: Position) -> impl Iterator<Item = Entry> {
    updates(newest).filter(|entry| entry.id != 0)
}

/// What the blocks hold after the history that ends at `newest`.
pub fn content(newest: Position) -> [u64; BLOCKS] {
    let mut blocks = [0; BLOCKS];
    for entry in writes(newest) {
        if blocks[entry.block] == 0 {
            blocks[entry.block] = entry.id;
        }
    }
    blocks
}

/// The point of the history that ends at `newest` with that number.
pub fn at(newest: Position, number: u64) -> Option<Position> {
    if number == 0 {
        return Some(Position::START);
    }
    updates(newest).map(|entry| entry.position).find(|at| at.number.value() == number)
}
