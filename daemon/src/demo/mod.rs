//! `trefoil demo`: three sites in one process, a host that checks its own data, and a loss.
//!
//! | file | what it is for |
//! |---|---|
//! | `options` | what can be asked for |
//! | `failover`, `flood` | the scripts: stories whose every sentence is checked |
//! | `stage` | what the scripts share: three sites, filled and paired |
//! | `world`, `named` | the sites, and links that can be slowed and cut |
//! | `writer`, `blocks`, `ledger` | the host: what it wrote, and what it was told |
//! | `census`, `contents`, `resident` | what a journal, a volume and the process hold |
//! | `interactive`, `keys`, `screen`, `doors` | the demo that a person plays with |
//! | `story`, `report` | how it is told, to people and to programs |

mod blocks;
mod census;
mod contents;
mod doors;
mod failover;
mod flood;
mod interactive;
mod keys;
mod ledger;
mod named;
mod options;
mod report;
mod resident;
mod screen;
mod stage;
mod story;
mod world;
mod writer;

pub use options::{Args, Backend, Carrier, Script};

use story::Story;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use trefoil_core::{Error, ErrorKind, Result};

/// Threads of the host.
const THREADS: usize = 2;

/// Runs the demo; whether every sentence was true.
///
/// # Errors
/// When it cannot be begun or its report cannot be written, or when it is interrupted.
pub fn run(args: &Args) -> Result<bool> {
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("trefoil-demo")
        .enable_all()
        .build()
        .map_err(|source| Error::io("start runtime", source))?;
    runtime.block_on(async {
        let mut ending = Ending::listen()?;
        tokio::select! {
            done = act(args) => done,
            name = ending.signal() => {
                Err(Error::new(ErrorKind::Closed, format!("run demo: it was ended by {name}")))
            }
        }
    })
}

/// The sites' logs go to standard error, but only where `TREFOIL_LOG` asks for some.
fn log() {
    let Ok(filter) = EnvFilter::try_from_env("TREFOIL_LOG") else { return };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .finish();
    // Fails only if there is one already, in a test: then that one is used.
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// The signals that end the demo early: what it made is removed all the same.
struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|e| Error::io("listen for signals", e));
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate())? })
    }

    async fn signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

async fn act(args: &Args) -> Result<bool> {
    let story = match args.script {
        Some(Script::Failover) => {
            failover::run(args, args.backend.unwrap_or(Backend::Memory)).await?
        }
        Some(Script::Flood) => flood::run(args, args.backend.unwrap_or(Backend::File)).await?,
        None => return interactive::run(args).await.map(|()| true),
    };
    Ok(summary(story))
}

/// The last line, and whether every sentence was true.
fn summary(mut story: Story) -> bool {
    let (told, lies) = (story.told(), story.lies().len());
    story.line("");
    if lies == 0 {
        story.line(&format!("All {told} sentences are true."));
    } else {
        story.line(&format!("{lies} of {told} sentences are FALSE."));
    }
    lies == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_false_sentence_makes_the_demo_fail() {
        let mut story = Story::new();
        story.say(true, "A true sentence.", "");
        story.say(1 + 1 == 3, "A false sentence, told on purpose.", "2");
        assert!(!summary(story));
        let mut story = Story::new();
        story.say(true, "A true sentence.", "");
        assert!(summary(story));
    }
}
