//! `trefoil wait`: until an update is at a site.

use super::output::{Format, say, say_json};
use super::{Client, Common, Exit, Failure, block_on, group_of};
use crate::control::api::WaitDocument;
use std::time::Duration;

/// What the answer may take beyond the waiting itself.
const MARGIN: Duration = Duration::from_secs(5);

/// Options of `trefoil wait`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group; the only one, if there is one only
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The update: its number, or `latest` for the primary's newest when asked
    #[arg(long, value_name = "N|latest", value_parser = update)]
    update: String,
    /// Until it is durable in the site's journal
    #[arg(long, conflicts_with = "restored")]
    durable: bool,
    /// Until it is in the site's volumes (the default)
    #[arg(long)]
    restored: bool,
    /// The longest time to wait; past it the exit code is 4
    #[arg(long, value_name = "TIME", default_value = "30s")]
    #[arg(value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

fn update(text: &str) -> Result<String, String> {
    match text == "latest" || text.parse::<u64>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("expected a number or `latest`".to_owned()),
    }
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let Args { group, update, durable, restored: _, timeout, output } = args;
    let config = common.load()?;
    let at = common.about(&config)?;
    let group = group_of(&config, group.as_deref())?;
    let point = if *durable { "durable" } else { "restored" };
    let path = format!(
        "/v1/groups/{group}/wait?at={at}&update={update}&point={point}&timeout_ms={}",
        timeout.as_millis()
    );
    let limit = *timeout + MARGIN;
    // The site itself knows first. Where its socket is on another host, the own one is asked.
    let document: WaitDocument = block_on(async {
        let first = Client::of(&config, &at, &group)?.get(&path, limit).await;
        match first {
            Err(Failure { exit: Exit::Unreachable, text }) if at != config.site => {
                let second = Client::of(&config, &config.site, &group)?.get(&path, limit).await;
                second.map_err(|failure| match failure.exit {
                    Exit::Unreachable => Failure::new(Exit::Unreachable, text),
                    _ => failure,
                })
            }
            answer => answer,
        }
    })?;
    match output {
        Format::Json => say_json(&document),
        Format::Table => {
            let WaitDocument { schema: _, group, at, update, point } = &document;
            say(&format!("group {group}: update {update} is {point} at {at}"))
        }
    }
}
