//! The words of the system as types: what is counted, who is meant, and how much is held.

mod chain;
mod charter;
mod debt;
mod extent;
mod generation;
mod handover;
mod leg;
mod lineage;
mod marks;
mod missed;
mod name;
mod number;
mod plan;
mod position;
mod saved;
mod state;
mod verdict;
mod volumes;

pub use chain::Chain;
pub use charter::{Charter, Fence, Member};
pub use debt::Debt;
pub use extent::{Extent, ExtentSet};
pub use generation::Generation;
pub use handover::Handover;
pub use leg::{LegMode, LegState, Role};
pub use lineage::{Lineage, Reign};
pub use marks::Marks;
pub use missed::{Changed, MissedMap, RANGES_MAX};
pub(crate) use name::listed;
pub use name::{GroupName, Incarnation, MachineName, SessionId, SiteName, VolumeId, VolumeName};
pub use number::UpdateNumber;
pub use plan::{Plan, PlanDebt, PlanKind};
pub use position::Position;
pub use state::{Durability, Intent, SiteState, VolumeSpec};
pub use verdict::Verdict;
pub use volumes::{VOLUMES_MAX, VolumeChange, VolumeSets, changed_volumes, find_volume};
