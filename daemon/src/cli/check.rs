//! `trefoil check`: reads the configuration as `run` would, and says what would run.

use super::output::{Format, alarm, bytes, say, say_json, table};
use super::{Common, Exit, Failure};
use crate::control::warnings;
use crate::credentials::CredentialStore;
use crate::run;
use serde::Serialize;
use std::fmt::Write;
use trefoil_site::config::SiteConfig;

/// Options of `trefoil check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

/// What `check -o json` answers.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    ok: bool,
    site: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    groups: Vec<String>,
    warnings: Vec<String>,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let config = common.load()?;
    run::check(&config)?;
    let warnings = certificates(&config)?;
    match args.output {
        Format::Table => {
            say(&tell(common, &config))?;
            warnings.iter().try_for_each(|warning| say(&alarm(&format!("warning: {warning}"))))
        }
        Format::Json => say_json(&Document {
            schema: "trefoil.check/1",
            ok: true,
            site: config.site.to_string(),
            machine: config.machine.as_ref().map(ToString::to_string),
            warnings,
            groups: config.own_groups().map(|(name, _)| name.to_string()).collect(),
        }),
    }
}

/// Reads the certificates as `run` would: what is wrong with them is an error, what will be is a
/// warning.
fn certificates(config: &SiteConfig) -> Result<Vec<String>, Failure> {
    let credentials = CredentialStore::default();
    if let Some(paths) = &config.tls {
        let read = credentials.of(&config.site, paths);
        read.map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    }
    Ok(warnings(config, &credentials))
}

fn tell(common: &Common, config: &SiteConfig) -> String {
    let mut text = format!("{}: ok\n", common.config.display());
    // Writing to a String cannot fail.
    let here = config.own().map_or_else(|_| config.site.to_string(), |own| own.shown(&config.site));
    let _ = writeln!(text, "\n`trefoil run` here would run site {here}");
    let machines = config.sites.iter().flat_map(|(name, site)| {
        site.machines.iter().map(move |machine| (machine.shown(name), machine))
    });
    let rows = machines.map(|(name, site)| {
        vec![
            name,
            site.address.clone(),
            site.nbd.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            site.metrics.clone().unwrap_or_else(|| "-".to_owned()),
            site.backend.word.clone(),
            bytes(site.journal_capacity),
            site.volumes_dir.display().to_string(),
            site.control.display().to_string(),
        ]
    });
    let header = ["SITE", "ADDRESS", "NBD", "METRICS", "BACKEND", "JOURNAL", "VOLUMES", "CONTROL"];
    let _ = writeln!(text, "\n{}", table(&header, rows.collect()));
    let rows = config.groups.iter().flat_map(|(name, group)| {
        let shown = |site| {
            let machine = config.machine_of(site, name);
            machine.map_or_else(|_| site.to_string(), |machine| machine.shown(site))
        };
        let mut roles = shown(&group.primary);
        for (arrow, site) in [(" => ", &group.sync), (" -> ", &group.r#async)] {
            if let Some(site) = site {
                roles = roles + arrow + &shown(site);
            }
        }
        if group.topology != "three_site" {
            roles = format!("{roles} ({})", group.topology);
        }
        group.volumes.iter().map(move |volume| {
            vec![name.to_string(), volume.name.to_string(), bytes(volume.size), roles.clone()]
        })
    });
    let header = ["GROUP", "VOLUME", "SIZE", "PRIMARY => SYNC -> ASYNC"];
    let _ = writeln!(text, "\n{}", table(&header, rows.collect()));
    let rows = config.links.iter().map(|((one, other), link)| {
        let shape = link.shape;
        let delay = match shape.is_plain() {
            true => "-".to_owned(),
            false => format!(
                "{} +- {}, {}",
                humantime::format_duration(shape.delay),
                humantime::format_duration(shape.jitter),
                shape.rate.map_or_else(|| "any rate".to_owned(), |rate| bytes(rate) + "/s"),
            ),
        };
        vec![format!("{one} - {other}"), link.transport.clone(), delay]
    });
    text.push('\n');
    text.push_str(&table(&["LINK", "TRANSPORT", "MADE SLOW"], rows.collect()));
    text
}
