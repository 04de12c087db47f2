//! `trefoil run`: the daemon of a site.

use super::{Common, Failure};
use crate::reload::Loader;
use crate::{builtin, run};
use std::io::IsTerminal;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Options of `trefoil run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write the process id to this file while it runs
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

pub(super) fn run(common: &Common, args: Args) -> Result<(), Failure> {
    let Args { pid_file } = args;
    let config = common.load()?;
    run::check(&config)?;
    log();
    let again = common.clone();
    let load = Loader::new(move || again.read());
    Ok(run::run(run::Options { config, pid_file, load }, &builtin::Builtin::new())?)
}

/// What is logged if `TREFOIL_LOG` does not say: Raft's own account of every site that is away is
/// for whoever looks into Raft; what matters of it, the arbiter says itself.
const LOG: &str = "info,openraft=off";

/// Logs go to standard error; `TREFOIL_LOG` chooses how much.
fn log() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .parse_lossy(std::env::var("TREFOIL_LOG").as_deref().unwrap_or(LOG));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .finish();
    // Fails only if there is one already, in a test: then that one is used.
    drop(tracing::subscriber::set_global_default(subscriber));
}
