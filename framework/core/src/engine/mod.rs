//! The decisions, in the order a write travels: a volume numbers it, the journal holds it, the
//! shipper sends it, the follower takes it, the restorer applies it. The reign says who leads.

pub mod volume;

pub mod commit;
pub mod overlay;
mod pieces;
mod pins;

pub mod journal;
pub mod retention;
pub mod tail;

pub mod judge;
pub mod pace;
pub mod payoff;
pub mod shipper;

pub mod copy;
pub mod follower;

mod batch;
pub mod restorer;

pub mod headroom;
pub mod lease;
pub mod readiness;
pub mod reign;
pub mod replace;
pub mod takeover;
