//! Which updates' payloads are kept in memory, and how many bytes that is.

use crate::model::UpdateNumber;
use std::collections::VecDeque;

/// How many pieces each update has in an overlay, and the payload that they pin: a small piece
/// pins all of it.
///
/// Numbers are dense, and the oldest go first, so that this is a window of counts and not a tree:
/// it is touched twice for every write. It spans the updates that are not restored yet, which the
/// journal bounds.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// The number of the first entry.
    first: UpdateNumber,
    window: VecDeque<Pin>,
    payload_bytes: u64,
}

#[derive(Clone, Debug, Default)]
struct Pin {
    pieces: u32,
    payload_bytes: u32,
}

impl Pins {
    /// One more piece of `of` came, whose payload has so many bytes. A piece that was cut is of an
    /// update that is known already: its payload is not counted again.
    pub(super) fn came(&mut self, of: UpdateNumber, payload_bytes: u64) {
        if self.window.is_empty() {
            self.first = of;
        }
        while of < self.first {
            self.first = self.first.previous();
            self.window.push_front(Pin::default());
        }
        let at = place(of.since(self.first));
        if at >= self.window.len() {
            self.window.resize(at + 1, Pin::default());
        }
        let Some(pin) = self.window.get_mut(at) else { return };
        if pin.pieces == 0 {
            pin.payload_bytes = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
            self.payload_bytes += u64::from(pin.payload_bytes);
        }
        pin.pieces += 1;
    }

    /// A piece of `of` went.
    pub(super) fn went(&mut self, of: UpdateNumber) {
        if of < self.first {
            return;
        }
        let Some(pin) = self.window.get_mut(place(of.since(self.first))) else { return };
        pin.pieces = pin.pieces.saturating_sub(1);
        if pin.pieces > 0 {
            return;
        }
        self.payload_bytes -= u64::from(std::mem::take(&mut pin.payload_bytes));
        while self.window.front().is_some_and(|pin| pin.pieces == 0) {
            self.window.pop_front();
            self.first = self.first.next();
        }
    }

    /// The payload that is kept in memory, in bytes.
    pub(super) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// What the counts themselves take, in bytes.
    pub(super) fn own_bytes(&self) -> u64 {
        (self.window.len() * size_of::<Pin>()) as u64
    }
}

/// A distance in a window in memory. One that does not fit could not have been reached.
fn place(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_counts_as_a_map_does(steps in prop::collection::vec((0..24u64, 0..3u8), 0..200)) {
            let (mut pins, mut map) = (Pins::default(), BTreeMap::<u64, u64>::new());
            for (number, kind) in steps {
                let of = UpdateNumber::new(100 + number);
                if kind > 0 {
                    pins.came(of, number);
                    *map.entry(number).or_default() += 1;
                } else {
                    pins.went(of);
                    if let Some(pieces) = map.get_mut(&number) {
                        *pieces -= 1;
                        if *pieces == 0 {
                            map.remove(&number);
                        }
                    }
                }
                prop_assert_eq!(pins.payload_bytes(), map.keys().sum::<u64>());
                let newest = map.keys().next_back();
                prop_assert!(newest.is_some() || pins.window.is_empty());
                let first = map.keys().next().map(|number| UpdateNumber::new(100 + number));
                prop_assert!(first.is_none_or(|first| pins.first == first));
            }
        }
    }
}
