//! What a verb has done to a group: the daemon is asked, and its answer is shown.

use super::output::{Format, say, say_json};
use super::{Client, Common, Failure, block_on, group_of};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use trefoil_core::model::SiteName;
use trefoil_site::config::SiteConfig;

/// A little longer than the daemon's own limit, so that its words arrive.
const LIMIT: Duration = Duration::from_secs(130);

/// The group that is acted on, and how the answer is shown.
#[derive(Debug, clap::Args)]
pub(super) struct OnGroup {
    /// The group; the only one, if there is one only
    #[arg(long, value_name = "NAME")]
    pub(super) group: Option<String>,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

impl OnGroup {
    /// Lets the site that the verb is about do `action`, and shows what it answers.
    pub(super) fn act<T: DeserializeOwned + Serialize>(
        &self,
        common: &Common,
        action: &str,
        request: &impl Serialize,
        tell: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        let config = common.load()?;
        let site = common.about(&config)?;
        self.act_at(&config, &site, action, request, tell)
    }

    /// Asks the daemon of `site` for `path` of the group, and changes nothing.
    pub(super) fn look<T: DeserializeOwned>(
        &self,
        config: &SiteConfig,
        site: &SiteName,
        path: &str,
    ) -> Result<T, Failure> {
        let group = group_of(config, self.group.as_deref())?;
        let client = Client::of(config, site, &group)?;
        block_on(client.get(&format!("/v1/groups/{group}/{path}"), LIMIT))
    }

    /// Shows what was found.
    pub(super) fn show<T: Serialize>(
        &self,
        found: &T,
        tell: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        match self.output {
            Format::Json => say_json(found),
            Format::Table => say(&tell(found)),
        }
    }

    /// The same at a site that the verb chose.
    pub(super) fn act_at<T: DeserializeOwned + Serialize>(
        &self,
        config: &SiteConfig,
        site: &SiteName,
        action: &str,
        request: &impl Serialize,
        tell: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        let group = group_of(config, self.group.as_deref())?;
        let client = Client::of(config, site, &group)?;
        let path = format!("/v1/groups/{group}/actions/{action}");
        let answer: T = block_on(client.post(&path, request, LIMIT))?;
        self.show(&answer, tell)
    }
}
