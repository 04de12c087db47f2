//! A trefoil site: actors that carry the decisions of [`trefoil_core`], and the embedding API.
//!
//! A [`Site`] is one running storage system. It holds [`Group`]s (consistency groups: volumes with
//! one order of updates), each with a journal, block stores and links to its other sites. Handles
//! work from any thread, any async runtime, and sync code.
//!
//! | layer | file | responsibility |
//! |---|---|---|
//! | handles | `handle`, `snapshot`, `status` | what people hold |
//! | verbs | `operate`, `plan`, `rejoin`, `replace` | what operators do |
//! | site | `site`, `builder`, `door`, `config`, `registry` | threads, listeners, configuration |
//! | group | `group`, `crew`, `shared`, `view`, `readiness` | wiring, sharing |
//! | recovery | `open`, `salvage`, `memory` | what is found at the start |
//! | actors | `actor/*` | one file per engine, same names |
//! | long ways | `wan/*` | packing, pacing and cutting of what goes over a link |

mod actor;
mod builder;
mod busy_poll;
mod clock;
pub mod config;
mod courier;
mod crew;
mod door;
mod extent_map;
mod greeting;
mod group;
mod guest;
mod handle;
mod history;
mod journal_io;
mod layouts;
mod memory;
mod open;
mod operate;
mod parts;
pub mod plan;
mod readiness;
pub mod registry;
mod rejoin;
mod replace;
mod salvage;
mod shared;
mod site;
mod snapshot;
pub mod status;
mod view;
mod volumes;
mod wan;

pub use builder::SiteBuilder;
pub use clock::{Clock, SystemClock, boot_id};
pub use guest::Guest;
pub use handle::{Group, Point, StatusWatch, Volume};
pub use parts::{GroupConfig, GroupParts, Limits, PeerLink, Timing};
pub use plan::{PlanOutcome, Verb, VerbPlan};
pub use registry::Registry;
pub use site::{LocalSite, Site};
pub use snapshot::Snapshot;
pub use status::{Certificate, GroupStatus};
pub use trefoil_core::engine::reign::TakeoverOptions;
pub use volumes::VolumeOpener;
pub use wan::{BATCH_BYTES_MAX, BATCH_BYTES_MIN, Compression, LinkRates, Traffic};
