//! `trefoil reload`: the daemon reads its configuration again, and says what it made of it.

use super::output::Format;
use super::{Client, Common, Exit, Failure, block_on, group_of, spread};
use crate::control::api::ReloadDocument;
use std::fmt::Write;
use std::time::Duration;

/// A listener is opened within this, or not at all.
const LIMIT: Duration = Duration::from_secs(30);

/// Options of `trefoil reload`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only the machine that has this group; every machine of the site, if it is not said
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let Args { group, output } = args;
    let config = common.load()?;
    let site = common.about(&config)?;
    let clients = match group {
        Some(group) => vec![Client::of(&config, &site, &group_of(&config, Some(group))?)?],
        None => Client::all(&config, &site)?,
    };
    let answers = block_on(async { Ok(spread::ask(clients, reload).await) })?;
    spread::show(&site, answers, *output, tell)
}

async fn reload(client: &Client) -> Result<ReloadDocument, Failure> {
    let answer = client.post("/v1/actions/reload", &(), LIMIT).await;
    answer.map_err(|failure: Failure| match failure.text.contains("error[") {
        // The daemon found what this verb did not: it has another environment.
        true => Failure { exit: Exit::Config, ..failure },
        false => failure,
    })
}

fn tell(document: &ReloadDocument) -> String {
    let ReloadDocument { schema: _, site, live, restart } = document;
    let mut text = match (live.is_empty(), restart.is_empty()) {
        (true, true) => format!("site {site}: nothing changed"),
        _ => format!("site {site}:"),
    };
    for change in live {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  changed       {change}");
    }
    for change in restart {
        let _ = write!(text, "\n  needs restart {change}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::RELOAD_SCHEMA;
    use trefoil_core::model::SiteName;

    #[test]
    fn what_changed_and_what_needs_a_restart_stand_apart() {
        let document = ReloadDocument {
            schema: RELOAD_SCHEMA.to_owned(),
            site: SiteName::new("a").unwrap(),
            live: vec!["link a-c: transport tcp -> quic".to_owned()],
            restart: vec!["sites.a.nbd".to_owned()],
        };
        let expected = "site a:\n  changed       link a-c: transport tcp -> quic\n  \
                        needs restart sites.a.nbd";
        assert_eq!(tell(&document), expected);
        let nothing = ReloadDocument { live: Vec::new(), restart: Vec::new(), ..document };
        assert_eq!(tell(&nothing), "site a: nothing changed");
    }
}
