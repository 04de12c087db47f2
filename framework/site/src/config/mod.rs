//! The configuration of sites: one file for all of them, overridden by environment and command
//! line.
//!
//! Rules: named tables, never arrays, and lower-case names, so that a variable
//! `TREFOIL__SECTION__KEY` reaches every value; unknown keys are errors; all problems are reported
//! at once, each with its place, what was expected and a remedy.
//!
//! A value travels: `source` merges (file < environment < command line) → `read` takes it out of
//! the tree and remembers where it stood → `file` gives it a type → `resolve`, `machines`,
//! `links`, `arbiter` and `security` check it against the rest → [`SiteConfig`].

mod arbiter;
mod assemble;
mod conflicts;
mod directory;
mod file;
mod layout;
mod links;
mod machines;
mod problem;
mod read;
mod reload;
mod resolve;
mod security;
mod site_config;
mod source;
mod words;

pub use problem::{Place, Problem, Problems};
pub use reload::Changes;
pub use site_config::{
    ArbiterEntry, BackendEntry, GroupEntry, HostAccess, HostsEntry, LimitsEntry, LinkEntry,
    MachineEntry, NbdSecurity, SiteConfig, SiteEntry, TimingEntry,
};
pub use source::{FILE_BYTES_MAX, Sources};
pub use words::NbdAddress;

use crate::registry::Registry;

/// Reads and checks a configuration; words for transports, backends and layouts are those of
/// `registry`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(sources: &Sources, registry: &Registry) -> Result<SiteConfig, Problems> {
    let (tree, origins) = sources.merge()?;
    let mut report = read::Report::new(origins);
    let root = read::Section::root(tree);
    let file = file::read(root, registry, &|path| sources.resolve(path), &mut report);
    match resolve::resolve(file, registry, &mut report) {
        Some(config) => Ok(config),
        None => Err(report.finish()),
    }
}

#[cfg(test)]
mod machines_tests;
#[cfg(test)]
mod tests;
