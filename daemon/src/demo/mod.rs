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
use trefoil_core::{Error, ErrorKind, Result};

/// Threads of the host.
const THREADS: usize = 2;

/// Runs the demo; whether every sentence was true.
///
/// # Errors
/// When it cannot be begun or its report cannot be written, or when it is interrupted.
pub fn run(args: &Args) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("trefoil-demo")
        .enable_all()
        .build()
        .map_err(|source| Error::io("start runtime", source))?;
    runtime.block_on(async {
        let interrupted = async {
            let _ = tokio::signal::ctrl_c().await;
            Err(Error::new(ErrorKind::Closed, "run demo: it was interrupted"))
        };
        tokio::select! {
            done = act(args) => done,
            error = interrupted => error,
        }
    })
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
