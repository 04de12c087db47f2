//! How much more may be written before a journal no longer reaches back to what a site holds.

use super::retention::OnFull;
use crate::model::{SiteName, UpdateNumber};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Over how long the rate at which a journal fills is averaged, in microseconds.
const AVERAGED_US: u64 = 10_000_000;

/// How fast a journal fills, averaged over some ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FillRate {
    seen: Option<(u64, u64)>,
    bytes_per_second: u64,
}

impl FillRate {
    /// `total` bytes were appended up to `now_us`, since a start that does not matter. Looks are
    /// at least 200 ms apart; what comes earlier is left for the next.
    pub fn look(&mut self, now_us: u64, total: u64) {
        let Some((at_us, before)) = self.seen else {
            self.seen = Some((now_us, total));
            return;
        };
        let passed = now_us.saturating_sub(at_us);
        if passed < 200_000 {
            return;
        }
        self.seen = Some((now_us, total));
        let appended = u128::from(total.saturating_sub(before));
        let now = appended * 1_000_000 / u128::from(passed);
        let weight = u128::from(passed.min(AVERAGED_US));
        let whole = u128::from(AVERAGED_US);
        let mean = (u128::from(self.bytes_per_second) * (whole - weight) + now * weight) / whole;
        self.bytes_per_second = u64::try_from(mean).unwrap_or(u64::MAX);
    }

    /// Bytes a second.
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }
}

/// The state of a journal, as far as its room goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalFill {
    /// Bytes in use.
    pub used: u64,
    /// How many bytes it holds.
    pub capacity: u64,
    /// The fill, in percent, from which on sites that lag are passed or waited for.
    pub high_percent: u8,
    /// The number before the oldest record.
    pub base: UpdateNumber,
    /// The newest number.
    pub newest: UpdateNumber,
    /// What happens when it is full.
    pub on_full: OnFull,
    /// How fast it fills.
    pub bytes_per_second: u64,
}

/// How much more may be written before a site cannot be brought its updates any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headroom {
    /// Bytes of records.
    pub bytes: u64,
    /// Updates, at the mean size of those in the journal.
    pub updates: u64,
    /// Microseconds at the present rate; `None` while next to nothing is written.
    pub us: Option<u64>,
}

/// When a journal is full, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullForecast {
    /// The site whose updates are kept.
    pub held_for: SiteName,
    /// Microseconds until then, at the present rate.
    pub in_us: u64,
    /// What happens then.
    pub then: OnFull,
}

impl JournalFill {
    /// The mean bytes of a record in the journal; 0 when it is empty.
    pub fn mean(&self) -> u64 {
        self.used.checked_div(self.newest.since(self.base)).unwrap_or(0)
    }

    /// About how many bytes of records come after `floor`, where nothing better is known.
    pub fn bytes_after(&self, floor: UpdateNumber) -> u64 {
        self.mean().saturating_mul(self.newest.since(floor.max(self.base))).min(self.used)
    }

    /// The headroom of a site that holds everything up to `floor` and stands still, while `kept`
    /// bytes of records come after that. Zero where the journal does not reach back already.
    pub fn headroom(&self, floor: UpdateNumber, kept: u64) -> Headroom {
        if floor < self.base {
            return Headroom { bytes: 0, updates: 0, us: Some(0) };
        }
        let high = u128::from(self.capacity) * u128::from(self.high_percent) / 100;
        let high = u64::try_from(high).unwrap_or(u64::MAX);
        let bytes = high.saturating_sub(kept);
        let updates = bytes.checked_div(self.mean()).unwrap_or(0);
        Headroom { bytes, updates, us: self.lasts(bytes) }
    }

    fn lasts(&self, bytes: u64) -> Option<u64> {
        let us = u128::from(bytes) * 1_000_000;
        let us = us.checked_div(u128::from(self.bytes_per_second))?;
        Some(u64::try_from(us).unwrap_or(u64::MAX))
    }

    /// When the journal is full, if every site stood still that lags now: the site with the least
    /// headroom, unless it keeps up. `lagging` are those that lack something.
    pub fn full(
        &self,
        headrooms: &BTreeMap<SiteName, Headroom>,
        lagging: &BTreeSet<SiteName>,
    ) -> Option<FullForecast> {
        let soonest = headrooms.iter().filter(|(site, _)| lagging.contains(*site));
        let soonest = soonest.filter_map(|(site, headroom)| Some((headroom.us?, site)));
        let (in_us, held_for) = soonest.min()?;
        Some(FullForecast { held_for: held_for.clone(), in_us, then: self.on_full })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(used: u64, bytes_per_second: u64) -> JournalFill {
        JournalFill {
            used,
            capacity: 1000,
            high_percent: 85,
            base: UpdateNumber::new(10),
            newest: UpdateNumber::new(30),
            on_full: OnFull::Map,
            bytes_per_second,
        }
    }

    #[test]
    fn what_is_kept_for_a_site_comes_off_its_headroom() {
        let journal = fill(200, 50);
        let room =
            journal.headroom(UpdateNumber::new(20), journal.bytes_after(UpdateNumber::new(20)));
        assert_eq!(room, Headroom { bytes: 750, updates: 75, us: Some(15_000_000) });
        let none = journal.headroom(UpdateNumber::new(9), 0);
        assert_eq!((none.bytes, none.us), (0, Some(0)), "the journal does not reach back");
    }

    #[test]
    fn a_journal_that_nothing_is_written_to_is_never_full() {
        let journal = fill(200, 0);
        assert_eq!(journal.headroom(UpdateNumber::new(20), 100).us, None);
        let c = SiteName::new("c").unwrap();
        let rooms = BTreeMap::from([(c.clone(), journal.headroom(UpdateNumber::new(20), 100))]);
        assert_eq!(journal.full(&rooms, &BTreeSet::from([c])), None);
    }

    #[test]
    fn the_forecast_names_the_lagging_site_with_the_least_room() {
        let journal = fill(400, 10);
        let site = |name: &str| SiteName::new(name).unwrap();
        let room = |floor: u64| {
            let floor = UpdateNumber::new(floor);
            journal.headroom(floor, journal.bytes_after(floor))
        };
        let rooms = BTreeMap::from([(site("b"), room(30)), (site("c"), room(12))]);
        let full = journal.full(&rooms, &BTreeSet::from([site("c")])).unwrap();
        assert_eq!(full.held_for, site("c"));
        assert_eq!(full.in_us, (850 - 360) * 100_000);
        assert_eq!(journal.full(&rooms, &BTreeSet::new()), None, "everybody keeps up");
    }

    #[test]
    fn the_rate_follows_what_is_written_and_forgets_it_again() {
        let mut rate = FillRate::default();
        for second in 0..60 {
            rate.look(second * 1_000_000, second * 5000);
        }
        assert!((4900..=5000).contains(&rate.bytes_per_second()), "{rate:?}");
        for second in 60..160 {
            rate.look(second * 1_000_000, 59 * 5000);
        }
        assert!(rate.bytes_per_second() < 10, "{rate:?}");
    }

    proptest! {
        /// What is written within the headroom never fills the journal beyond its high mark.
        #[test]
        fn writing_the_headroom_just_fills_the_journal(
            used in 0_u64..=850, floor in 10_u64..=30, rate in 0_u64..10_000
        ) {
            let journal = fill(used, rate);
            let floor = UpdateNumber::new(floor);
            let kept = journal.bytes_after(floor);
            let room = journal.headroom(floor, kept);
            prop_assert!(kept + room.bytes == 850);
            prop_assert!(room.us.is_none() == (rate == 0));
        }
    }
}
