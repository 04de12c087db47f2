//! `trefoil site replace`: a site whose machine is gone for good makes room for a new one.

use super::action::OnGroup;
use super::{Common, Exit, Failure};
use crate::control::api::{ReplaceDocument, ReplaceRequest};
use trefoil_core::model::SiteName;

/// Options of `trefoil site`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A site whose machine is gone never comes back; a new one of its name is filled. At the site
    /// that leads
    Replace(Replace),
}

/// A site that is replaced for good.
#[derive(Debug, clap::Args)]
pub(super) struct Replace {
    /// The site
    name: String,
    /// Also where it may have updates that no other site has, or the only other whole copy
    #[arg(long)]
    accept_loss: bool,
    #[command(flatten)]
    pub(super) on: OnGroup,
}

impl Replace {
    /// What is asked of the site that leads.
    pub(super) fn request(&self) -> Result<ReplaceRequest, Failure> {
        let site = SiteName::new(&self.name);
        let site = site.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        Ok(ReplaceRequest { site, accept_loss: self.accept_loss })
    }
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let What::Replace(replace) = &args.what;
    replace.on.act(common, "replace", &replace.request()?, tell)
}

fn tell(document: &ReplaceDocument) -> String {
    let ReplaceDocument { schema: _, group, site, replaced, born, last, lacked } = document;
    format!(
        "group {group}: site {replaced}, born as {born}, is replaced for good: last heard at \
         {}.{}, {lacked} updates behind {site}; every site refuses it from now on, and nothing is \
         kept for it\nstart the new site {replaced} with an empty journal: it is filled by itself",
        last.generation, last.number
    )
}
