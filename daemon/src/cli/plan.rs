//! `trefoil plan`: what a verb would do, or a loss would mean. Nothing is changed.

use super::action::OnGroup;
use super::output::{age, bytes};
use super::swap::home_of;
use super::{Common, Exit, Failure};
use crate::control::api::{LossDocument, PlanDocument, ReplaceRequest};
use std::fmt::Write;
use trefoil_core::engine::readiness::{Forecast, Resync};
use trefoil_site::{PlanOutcome, VerbPlan};

/// Options of `trefoil plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// What `takeover` would do
    Takeover {
        #[command(flatten)]
        on: OnGroup,
        /// As with `takeover --accept-loss`
        #[arg(long)]
        accept_loss: bool,
        /// As with `takeover --primary-is-fenced`
        #[arg(long)]
        primary_is_fenced: bool,
    },
    /// What `swap` would do
    Swap(On),
    /// What `failback` would do
    Failback(On),
    /// What `rejoin` would do
    Rejoin(On),
    /// What `site replace` would do
    SiteReplace {
        #[command(flatten)]
        replace: super::site::Replace,
    },
    /// What the loss of sites would mean: of every one and every two, unless said
    Loss {
        #[command(flatten)]
        on: OnGroup,
        /// The sites that would be lost, with commas between
        #[arg(long, value_name = "A[,B]")]
        of: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct On {
    #[command(flatten)]
    on: OnGroup,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let config = common.load()?;
    let about = common.about(&config)?;
    let plan = |on: &OnGroup, site, path: &str| {
        let document: PlanDocument = on.look(&config, site, path)?;
        on.show(&document, |document| tell(&document.plan))?;
        ended(&document.plan)
    };
    match &args.what {
        What::Takeover { on, accept_loss, primary_is_fenced } => {
            let options =
                format!("accept_loss={accept_loss}&primary_is_fenced={primary_is_fenced}");
            plan(on, &about, &format!("plans/takeover?{options}"))
        }
        What::Swap(On { on }) => plan(on, &about, "plans/swap"),
        What::Failback(On { on }) => plan(on, &home_of(&config, on)?, "plans/failback"),
        What::Rejoin(On { on }) => plan(on, &about, "plans/rejoin"),
        What::SiteReplace { replace } => {
            let ReplaceRequest { site, accept_loss } = replace.request()?;
            let path = format!("plans/replace?site={site}&accept_loss={accept_loss}");
            plan(&replace.on, &about, &path)
        }
        What::Loss { on, of } => {
            let of = of.as_ref().map_or_else(String::new, |of| format!("?of={of}"));
            let document: LossDocument = on.look(&config, &about, &format!("plans/loss{of}"))?;
            on.show(&document, tell_losses)
        }
    }
}

/// The exit code is the one that the verb would end with.
fn ended(plan: &VerbPlan) -> Result<(), Failure> {
    let exit = match plan.outcome {
        PlanOutcome::Ready | PlanOutcome::NothingToDo => return Ok(()),
        PlanOutcome::Refused => Exit::Refused,
        PlanOutcome::Unreachable => Exit::Unreachable,
    };
    Err(Failure::new(exit, format!("`trefoil {}` would be refused: {}", plan.verb, plan.why)))
}

/// A plan, for people.
fn tell(plan: &VerbPlan) -> String {
    let head = match plan.outcome {
        PlanOutcome::Ready => "would be done",
        PlanOutcome::NothingToDo => "has nothing to do",
        PlanOutcome::Refused => "would be refused",
        PlanOutcome::Unreachable => "cannot be done: a site is not reached",
    };
    let mut text = format!(
        "group {}: `{}` at {} {head}; nothing was changed\n{}",
        plan.group, plan.verb, plan.site, plan.why
    );
    // Writing to a String cannot fail.
    if let Some(verdict) = &plan.verdict {
        let _ = write!(text, "\nverdict: {verdict}");
        let _ = write!(text, "\nhistory would go on after {}", plan.newest);
    }
    let stake = plan.stake;
    if stake.updates > 0 {
        let (lost, old) = (bytes(stake.bytes), age(stake.us));
        let _ = write!(text, "\nat stake: {} updates, {lost}, at most {old} old", stake.updates);
    }
    for from in &plan.reads {
        let _ = write!(text, "\nfirst, what {from} holds more is read from there");
    }
    if plan.set_aside > 0 {
        let _ = write!(text, "\n{} updates would be set aside in a file", plan.set_aside);
    }
    if plan.waits_us > 0 {
        let _ = write!(text, "\nhosts would wait about {} at most", age(plan.waits_us));
    }
    plan.resyncs.iter().for_each(|resync| tell_resync(&mut text, resync));
    tell_next(&mut text, &plan.next);
    text
}

fn tell_resync(text: &mut String, resync: &Resync) {
    let Resync { follower, source, kind, updates, bytes: count, takes_us, why } = resync;
    let _ = write!(
        text,
        "\n{follower} would follow {source} by {kind}: {updates} updates, {}, about {}\n  {why}",
        bytes(*count),
        age(*takes_us)
    );
}

fn tell_next(text: &mut String, next: &[String]) {
    for command in next {
        let _ = write!(text, "\nnext: {command}");
    }
}

fn tell_losses(document: &LossDocument) -> String {
    let each: Vec<String> = document.forecasts.iter().map(tell_loss).collect();
    let (group, site) = (&document.group, &document.site);
    format!("group {group}, by what {site} knows now\n\n{}", each.join("\n\n"))
}

fn tell_loss(forecast: &Forecast) -> String {
    let names = |sites: &[trefoil_core::model::SiteName]| {
        sites.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    };
    let mut text = format!("if {} were lost now", names(&forecast.lost));
    if !forecast.silent.is_empty() {
        let _ = write!(text, " ({} not heard already)", names(&forecast.silent));
    }
    let _ = write!(text, ": {}", forecast.why);
    if let Some(verdict) = &forecast.verdict {
        let _ = write!(text, "\n  verdict: {verdict}");
    }
    for other in forecast.candidates.iter().filter(|c| Some(&c.site) != forecast.serves.as_ref()) {
        let how = match (&other.verdict, &other.refused) {
            (Some(verdict), _) => format!("could lead instead, {verdict}"),
            (None, Some(why)) => format!("could not lead: {why}"),
            (None, None) => "could not lead".to_owned(),
        };
        let _ = write!(text, "\n  {} {how}", other.site);
    }
    tell_next(&mut text, &forecast.next);
    text
}
