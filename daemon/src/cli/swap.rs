//! `trefoil swap` and `trefoil failback`: roles are exchanged as planned, and nothing is lost.

use super::action::OnGroup;
use super::output::age;
use super::{Common, Exit, Failure, group_of};
use crate::control::api::{ExportUri, SwapDocument};
use std::fmt::Write;
use trefoil_core::model::SiteName;
use trefoil_site::config::SiteConfig;

/// Options of `trefoil swap` and `trefoil failback`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    on: OnGroup,
}

/// The site that the verb is about leads next.
pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    args.on.act(common, "swap", &(), tell)
}

/// The group's home site leads next.
pub(super) fn failback(common: &Common, args: &Args) -> Result<(), Failure> {
    let config = common.load()?;
    let home = home_of(&config, &args.on)?;
    args.on.act_at(&config, &home, "swap", &(), tell)
}

/// The site that leads the group in the layout of the configuration.
pub(super) fn home_of(config: &SiteConfig, on: &OnGroup) -> Result<SiteName, Failure> {
    let group = group_of(config, on.group.as_deref())?;
    let entry = config.groups.iter().find(|(name, _)| name.as_str() == group);
    let home = entry.map(|(_, entry)| entry.primary.clone());
    home.ok_or_else(|| Failure::new(Exit::Usage, "the group has no home site"))
}

fn tell(document: &SwapDocument) -> String {
    let SwapDocument { schema: _, group, site, certificate, exports } = document;
    let mut text = match certificate {
        None => format!("group {group}: site {site} leads already\n"),
        Some(certificate) => {
            let (generation, verdict) = (certificate.generation, &certificate.verdict);
            format!("group {group}: site {site} leads, generation {generation}\n{verdict}\n")
        }
    };
    // Writing to a String cannot fail.
    if let Some(waited) = certificate.as_ref().and_then(|done| done.hosts_waited_us) {
        let _ = writeln!(text, "host writes waited {}", age(waited));
    }
    text + &where_to_go(exports)
}

/// Where the host finds the volumes now.
pub(super) fn where_to_go(exports: &[ExportUri]) -> String {
    if exports.is_empty() {
        return "this site has no `nbd` address: no host can connect to it".to_owned();
    }
    let mut text = "the host should now use:".to_owned();
    for export in exports {
        let _ = write!(text, "\n  {}", export.uri);
    }
    text
}
