//! The command line: one verb a file.
//!
//! What a verb found goes to standard output, as a table or as JSON; logs and failures go to
//! standard error. Exit codes: 0 ok · 1 failed · 2 usage · 3 refused by a safety rule · 4 timeout ·
//! 5 not reachable · 78 configuration.

mod action;
mod certs;
mod check;
mod client;
mod exit;
mod export;
mod journal;
mod output;
mod pair;
mod plan;
mod rejoin;
mod reload;
mod run;
mod site;
mod spread;
mod status;
mod swap;
mod tail;
mod takeover;
mod volume;
mod wait;

pub use client::Client;
pub use exit::{Exit, Failure, exit_of};
pub use output::Format;

use crate::{builtin, demo};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use trefoil_core::model::SiteName;
use trefoil_site::config::{self, Problems, SiteConfig, Sources};

/// Remote copy of block volumes over three sites.
#[derive(Debug, Parser)]
#[command(name = "trefoil", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a safety rule, \
    4 timeout, 5 not reachable, 78 configuration.")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The configuration file, the same for all sites
    #[arg(
        long,
        short,
        global = true,
        env = "TREFOIL_CONFIG",
        value_name = "FILE",
        default_value = "/etc/trefoil/trefoil.toml"
    )]
    config: PathBuf,
    /// Which site of the file this is; overrides `site` in it
    #[arg(long, global = true, value_name = "NAME")]
    site: Option<String>,
    /// Which machine of the site this is, where its groups are spread over several; overrides
    /// `machine` in the file
    #[arg(long, global = true, value_name = "NAME")]
    machine: Option<String>,
    /// The site that the verb is about; by default the same
    #[arg(long, global = true, value_name = "NAME")]
    at: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon of a site
    Run(run::Args),
    /// Show what a site knows of its groups
    Status(status::Args),
    /// Let a site lead a group
    Takeover(takeover::Args),
    /// Let a site lead a group by an exchange of roles, while the leading site is well
    Swap(swap::Args),
    /// Let the home site of a group lead it again, by an exchange of roles
    Failback(swap::Args),
    /// Bring a site with updates of its own back under the site that leads: they are set aside
    Rejoin(rejoin::Args),
    /// Say what a verb would do, or what a loss would mean, and change nothing
    Plan(plan::Args),
    /// Show what a site's journal holds, and for whom
    Journal(journal::Args),
    /// List what a site set aside because the history went on without it
    Tail(tail::Args),
    /// Suspend a leg of the leading site, or let it go on
    Pair(pair::Args),
    /// Replace a site whose machine is gone for good by a new one, at the site that leads
    Site(site::Args),
    /// Add, remove or grow a volume of the group while it lives, at the site that leads
    Volume(volume::Args),
    /// Let the daemon of a site read its configuration again
    Reload(reload::Args),
    /// Wait until an update is at a site
    Wait(wait::Args),
    /// Write consistent images of all volumes of a group
    Export(export::Args),
    /// Check the configuration, and say what would run
    Check(check::Args),
    /// Make, renew, list and withdraw certificates
    Certs(certs::Args),
    /// Three sites in one process: one is lost under load, and nothing is lost
    Demo(demo::Args),
}

/// Reads the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let Cli { common, verb } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" that go to standard output and end well.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            if error.print().is_err() {
                return Exit::Failed.into();
            }
            return exit.into();
        }
    };
    let done = match verb {
        Verb::Run(args) => run::run(&common, args),
        Verb::Status(args) => status::run(&common, &args),
        Verb::Takeover(args) => takeover::run(&common, &args),
        Verb::Swap(args) => swap::run(&common, &args),
        Verb::Failback(args) => swap::failback(&common, &args),
        Verb::Rejoin(args) => rejoin::run(&common, &args),
        Verb::Plan(args) => plan::run(&common, &args),
        Verb::Journal(args) => journal::run(&common, &args),
        Verb::Tail(args) => tail::run(&common, &args),
        Verb::Pair(args) => pair::run(&common, &args),
        Verb::Site(args) => site::run(&common, &args),
        Verb::Volume(args) => volume::run(&common, &args),
        Verb::Reload(args) => reload::run(&common, &args),
        Verb::Wait(args) => wait::run(&common, &args),
        Verb::Export(args) => export::run(&common, &args),
        Verb::Check(args) => check::run(&common, &args),
        Verb::Certs(args) => certs::run(args),
        Verb::Demo(args) => show(&args),
    };
    match done {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}

impl Common {
    /// The checked configuration: file < environment < options.
    fn load(&self) -> Result<SiteConfig, Failure> {
        Ok(self.read()?)
    }

    fn read(&self) -> Result<SiteConfig, Problems> {
        let sources = Sources::file(&self.config)?
            .environment(std::env::vars_os().filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }))
            .option("--site", "site", self.site.as_deref())
            .option("--machine", "machine", self.machine.as_deref());
        config::load(&sources, &builtin::registry())
    }

    /// The site that the verb is about.
    fn about(&self, config: &SiteConfig) -> Result<SiteName, Failure> {
        let Some(at) = &self.at else { return Ok(config.site.clone()) };
        let name = SiteName::new(at);
        let name = name.map_err(|error| Failure::new(Exit::Usage, format!("--at: {error}")))?;
        config.entry(&name).map_err(|error| Failure::new(Exit::Usage, format!("--at: {error}")))?;
        Ok(name)
    }
}

/// Runs the demo. A false sentence is a failure: it was told already.
fn show(args: &demo::Args) -> Result<(), Failure> {
    match demo::run(args)? {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, "the demo told something that is not true")),
    }
}

/// Runs what a verb does over the control socket.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::Failed, format!("start runtime: {error}")))?;
    runtime.block_on(work)
}

/// The group that a verb is about: the one named, or the only one, here or at all.
fn group_of(config: &SiteConfig, asked: Option<&str>) -> Result<String, Failure> {
    let known: Vec<&str> = config.groups.keys().map(|name| name.as_str()).collect();
    let here: Vec<&str> = config.own_groups().map(|(name, _)| name.as_str()).collect();
    match (asked, known.as_slice()) {
        (Some(asked), known) if known.contains(&asked) => Ok(asked.to_owned()),
        (Some(asked), known) => Err(Failure::new(
            Exit::Usage,
            format!("--group: no group named `{asked}`; configured: {}", known.join(", ")),
        )),
        (None, [only]) => Ok((*only).to_owned()),
        (None, known) => match here.as_slice() {
            [only] if config.machine.is_some() => Ok((*only).to_owned()),
            _ => Err(Failure::new(
                Exit::Usage,
                format!("say which group with --group: {}", known.join(", ")),
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_takes_config_site_and_at() {
        for verb in ["run", "status", "takeover", "swap", "failback", "rejoin", "check", "reload"] {
            let words = ["trefoil", verb, "--config", "f", "--site", "a", "--at", "b"];
            let cli = Cli::try_parse_from(words).unwrap();
            assert_eq!(cli.common.at.as_deref(), Some("b"), "{verb}");
        }
    }
}
