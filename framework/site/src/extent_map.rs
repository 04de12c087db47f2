//! Which parts of a range hold data, gathered from several sources; later ones win.

use std::collections::BTreeMap;

/// A range cut into runs that do or do not hold data.
#[derive(Debug)]
pub(crate) struct ExtentMap {
    start: u64,
    end: u64,
    /// Where each run begins, and what it is; the first begins at `start`.
    runs: BTreeMap<u64, bool>,
}

impl ExtentMap {
    /// A range that holds no data.
    pub fn new(start: u64, end: u64) -> Self {
        Self { start, end, runs: BTreeMap::from([(start, false)]) }
    }

    fn at(&self, offset: u64) -> bool {
        self.runs.range(..=offset).next_back().is_some_and(|(_, data)| *data)
    }

    /// From now on `from..to` holds data or not.
    pub fn set(&mut self, from: u64, to: u64, data: bool) {
        let (from, to) = (from.max(self.start), to.min(self.end));
        if from >= to {
            return;
        }
        let behind = self.at(to);
        let inside: Vec<u64> = self.runs.range(from..to).map(|(at, _)| *at).collect();
        for at in inside {
            self.runs.remove(&at);
        }
        self.runs.insert(from, data);
        if to < self.end {
            self.runs.insert(to, behind);
        }
    }

    /// The runs in order: (length, whether it holds data); neighbours are merged.
    pub fn runs(&self) -> Vec<(u64, bool)> {
        let mut merged: Vec<(u64, bool)> = Vec::new();
        let ends = self.runs.keys().skip(1).copied().chain([self.end]);
        for ((start, data), end) in self.runs.iter().zip(ends) {
            match merged.last_mut() {
                Some(last) if last.1 == *data => last.0 += end - start,
                _ => merged.push((end - start, *data)),
            }
        }
        merged.retain(|(length, _)| *length > 0);
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::ExtentMap;

    #[test]
    fn later_sources_win_and_neighbours_merge() {
        let mut map = ExtentMap::new(100, 200);
        map.set(0, 120, true);
        map.set(150, 160, true);
        map.set(155, 300, false);
        assert_eq!(map.runs(), [(20, true), (30, false), (5, true), (45, false)]);
        map.set(100, 200, true);
        assert_eq!(map.runs(), [(100, true)]);
    }
}
