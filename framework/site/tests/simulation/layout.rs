//! The layouts that seeds draw: how many sites there are, and who follows whom.

use crate::dice::Dice;
use crate::oracle::SITES;
use crate::world::name;
use std::ops::Range;
use std::sync::Arc;
use trefoil_core::model::LegMode;
use trefoil_core::topology::{Cascade, ThreeSite, Topology, TwoSite};

/// A layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A serves, B mirrors it, C follows it.
    ThreeSite,
    /// The same in a line: C follows B.
    Cascade,
    /// There is no C; B mirrors A.
    TwoSync,
    /// There is no C; B follows A.
    TwoAsync,
}

impl Layout {
    /// Mostly the layout that all the rules are about.
    pub fn draw(dice: &mut Dice) -> Self {
        match dice.below(20) {
            0..14 => Self::ThreeSite,
            14..17 => Self::Cascade,
            17..19 => Self::TwoSync,
            _ => Self::TwoAsync,
        }
    }

    /// The layout of that name, as `TREFOIL_LAYOUT` and `regressions.txt` have it.
    pub fn named(text: &str) -> Option<Self> {
        let all = [Self::ThreeSite, Self::Cascade, Self::TwoSync, Self::TwoAsync];
        all.into_iter().find(|layout| format!("{layout:?}").eq_ignore_ascii_case(text))
    }

    /// The sites that there are, by index.
    pub fn sites(self) -> Range<usize> {
        match self {
            Self::ThreeSite | Self::Cascade => 0..3,
            Self::TwoSync | Self::TwoAsync => 0..2,
        }
    }

    /// A site and another one, in the place of two that were drawn of three.
    pub fn two_of(self, site: usize, other: usize) -> (usize, usize) {
        match self.sites().end {
            2 => (site % 2, 1 - site % 2),
            _ => (site, other),
        }
    }

    /// Whether the charter may name one of the two while the other one leads.
    pub fn mirrors(self, site: usize, leader: usize) -> bool {
        self != Self::TwoAsync && site != 2 && leader != 2
    }

    /// What the group is configured with.
    pub fn topology(self) -> Arc<dyn Topology> {
        let [a, b, c] = SITES.map(name);
        match self {
            Self::ThreeSite => Arc::new(ThreeSite::new(a, b, c).unwrap()),
            Self::Cascade => Arc::new(Cascade::new(a, b, c).unwrap()),
            Self::TwoSync => Arc::new(TwoSite::new(a, b, LegMode::Sync).unwrap()),
            Self::TwoAsync => Arc::new(TwoSite::new(a, b, LegMode::Async).unwrap()),
        }
    }
}
