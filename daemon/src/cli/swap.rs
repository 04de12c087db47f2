//! `trefoil swap` and `trefoil failback`: roles are exchanged as planned, and nothing is lost.

use super::output::{Format, age, say, say_json};
use super::{Client, Common, Exit, Failure, block_on, group_of};
use crate::control::api::{ExportUri, SwapDocument};
use std::fmt::Write;
use std::time::Duration;
use trefoil_core::model::SiteName;
use trefoil_site::config::SiteConfig;

/// A little longer than the daemon's own limit, so that its words arrive.
const LIMIT: Duration = Duration::from_secs(130);

/// Options of `trefoil swap` and `trefoil failback`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group; the only one, if there is one only
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

/// The site that the verb is about leads next.
pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let config = common.load()?;
    let site = common.about(&config)?;
    exchange(&config, &site, args)
}

/// The group's home site leads next.
pub(super) fn failback(common: &Common, args: &Args) -> Result<(), Failure> {
    let config = common.load()?;
    let group = group_of(&config, args.group.as_deref())?;
    let entry = config.groups.iter().find(|(name, _)| name.as_str() == group);
    let home = entry.map(|(_, entry)| entry.primary.clone());
    let home = home.ok_or_else(|| Failure::new(Exit::Usage, "the group has no home site"))?;
    exchange(&config, &home, args)
}

fn exchange(config: &SiteConfig, site: &SiteName, args: &Args) -> Result<(), Failure> {
    let group = group_of(config, args.group.as_deref())?;
    let client = Client::of(config, site, &group)?;
    let path = format!("/v1/groups/{group}/actions/swap");
    let document: SwapDocument = block_on(client.post(&path, &serde_json::json!({}), LIMIT))?;
    match args.output {
        Format::Json => say_json(&document),
        Format::Table => say(&tell(&document)),
    }
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
