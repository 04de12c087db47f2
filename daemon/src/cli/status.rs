//! `trefoil status`: what a site knows of its groups.

use super::output::{Format, age, alarm, bytes, table};
use super::{Client, Common, Failure, block_on, group_of, spread};
use crate::control::api::{GroupDocument, StatusDocument};
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trefoil_core::engine::headroom::FullForecast;
use trefoil_core::engine::judge::PlanKind;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{LegMode, LegState, Role, SiteName};
use trefoil_site::GroupStatus;
use trefoil_site::status::{ArbiterStatus, FollowStatus, LegStatus, LinkSecurity};

const LIMIT: Duration = Duration::from_secs(10);
/// A journal that is full within this is told of in red, in microseconds.
const ALARM_US: u64 = 600_000_000;

/// Options of `trefoil status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let config = common.load()?;
    let site = common.about(&config)?;
    let clients = match &args.group {
        Some(group) => vec![Client::of(&config, &site, &group_of(&config, Some(group))?)?],
        None => Client::all(&config, &site)?,
    };
    let ask = async |client: &Client| -> Result<StatusDocument, Failure> {
        let mut document: StatusDocument = client.get("/v1/status", LIMIT).await?;
        if let Some(group) = &args.group {
            document.groups.retain(|known| known.status.group.as_str() == group);
        }
        Ok(document)
    };
    let answers = block_on(async { Ok(spread::ask(clients, ask).await) })?;
    spread::show(&site, answers, args.output, |document| tell(document, now_us()))
}

fn now_us() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// The whole document, for people.
fn tell(document: &StatusDocument, now_us: u64) -> String {
    let groups: Vec<String> =
        document.groups.iter().map(|group| tell_group(group, now_us)).collect();
    let mut text = match groups.is_empty() {
        true => format!("site {} is in no group", document.site),
        false => groups.join("\n\n"),
    };
    for warning in &document.warnings {
        let _ = write!(text, "\n{}", alarm(&format!("warning: {warning}")));
    }
    text
}

fn tell_group(document: &GroupDocument, now_us: u64) -> String {
    let status = &document.status;
    let mut text = headline(document);
    let mut rows = vec![own_row(status, now_us)];
    rows.extend(status.legs.iter().map(|(site, leg)| leg_row(status, site, leg, now_us)));
    rows.sort();
    let header = [
        "SITE", "ROLE", "STATE", "RECEIVED", "DURABLE", "RESTORED", "LAG", "JOURNAL", "LINK",
        "AS OF",
    ];
    // Writing to a String cannot fail.
    let _ = write!(text, "\n{}", table(&header, rows));
    if let Some(follows) = &status.follows {
        let _ = write!(text, "\n{}", following(status, follows));
    }
    let links = status.legs.iter().filter(|(_, leg)| leg.link_up);
    let links: Vec<_> =
        links.map(|(site, leg)| format!("{site} {}", trust(leg.security))).collect();
    if !links.is_empty() {
        let _ = write!(text, "\nlinks: {}", links.join("; "));
    }
    let _ = write!(text, "\n{}", readiness(status));
    for forecast in status.forecasts.iter() {
        let lost: Vec<String> = forecast.lost.iter().map(ToString::to_string).collect();
        let _ = write!(text, "\nif {} is lost now: {}", lost.join(" and "), forecast.why);
    }
    if let Some(full) = &status.journal_full {
        let _ = write!(text, "\n{}", journal_full(full));
    }
    let _ = write!(text, "\nautomatic takeover: {}", status.automatic_takeover);
    if let Some(arbiter) = &status.arbiter {
        let _ = write!(text, "\n{}", arbiter_line(arbiter, now_us));
    }
    if let Some(trouble) = &status.trouble {
        let _ = write!(text, "\n{}", alarm(&format!("trouble: {trouble}")));
    }
    text
}

fn arbiter_line(arbiter: &ArbiterStatus, now_us: u64) -> String {
    let ArbiterStatus { arbiter: what, reachable, last_answer_us, away, version } = arbiter;
    let ago = || now_us.saturating_sub(*last_answer_us) / 1_000_000;
    match away {
        _ if *reachable => format!("arbiter: {what}, answers, change {version}"),
        None => format!("arbiter: {what}, not heard yet"),
        Some(why) if *last_answer_us == 0 => alarm(&format!("arbiter: never heard: {why}")),
        Some(why) => alarm(&format!(
            "arbiter: heard {} s ago, no charter is changed until it answers: {why}",
            ago()
        )),
    }
}

fn headline(document: &GroupDocument) -> String {
    let status = &document.status;
    let primary = match &status.charter {
        Some(charter) if charter.generation < status.generation => {
            format!("none yet ({} led generation {})", charter.primary, charter.generation)
        }
        Some(charter) if charter.active => charter.primary.to_string(),
        Some(charter) => format!("{} (not active yet)", charter.primary),
        None => "none yet".to_owned(),
    };
    let mut text =
        format!("group {}   generation {}   primary {primary}", status.group, status.generation);
    if status.role == Role::Primary && !status.serving {
        text.push_str("   not answering hosts");
    }
    if let Some(seconds) = document.recovery_point_age_seconds {
        let objective = document.recovery_point_objective_seconds;
        let objective = objective.map_or_else(String::new, |o| format!(" (objective {o} s)"));
        let _ = write!(text, "   recovery point here {seconds:.1} s old{objective}");
    }
    text
}

fn own_row(status: &GroupStatus, now_us: u64) -> Vec<String> {
    let marks = status.marks;
    let state = match (&status.follows, status.role) {
        _ if status.trouble.is_some() => "trouble".to_owned(),
        (_, Role::Primary) if status.serving => "serving".to_owned(),
        (_, Role::Primary) => "waiting for its lease".to_owned(),
        (_, Role::Candidate) => "taking over".to_owned(),
        (Some(follows), Role::Secondary) => leg_state(&follows.state),
        (None, Role::Secondary) => "looking for a primary".to_owned(),
    };
    vec![
        status.site.to_string(),
        status.role.to_string(),
        state,
        marks.received.to_string(),
        marks.durable.to_string(),
        marks.restored.to_string(),
        "-".to_owned(),
        journal(status),
        "-".to_owned(),
        as_of(now_us.saturating_sub(status.as_of_us), None),
    ]
}

fn leg_row(status: &GroupStatus, site: &SiteName, leg: &LegStatus, now_us: u64) -> Vec<String> {
    let leads = status.charter.as_ref().is_some_and(|charter| charter.primary == *site);
    let (role, lag) = match (leads, status.role) {
        (true, _) => ("primary".to_owned(), "-".to_owned()),
        (false, Role::Primary) => (leg.mode.to_string(), lag(leg)),
        // Lags are measured by the site that leads.
        (false, _) => ("secondary".to_owned(), "-".to_owned()),
    };
    let state = match (status.role, leg.link_up) {
        (Role::Primary, true) => leg_state(&leg.state),
        (_, true) => "connected".to_owned(),
        (_, false) => "not connected".to_owned(),
    };
    let link = match leg.link_up {
        true if leg.rtt_us > 0 => format!("{} {}", leg.transport, round_trip(leg.rtt_us)),
        true => leg.transport.clone(),
        false => format!("{} down", leg.transport),
    };
    let link = match (&leg.way_wanted, &leg.way_refused) {
        (None, _) => link,
        (Some(wanted), None) => format!("{link}, wanted: {wanted}"),
        (Some(wanted), Some(why)) => format!("{link}, wanted: {wanted}, but {why}"),
    };
    let heard = match leg.last_heard_us {
        0 => "never heard".to_owned(),
        heard => as_of(now_us.saturating_sub(heard), Some(&status.site)),
    };
    vec![
        site.to_string(),
        role,
        state,
        leg.marks.received.to_string(),
        leg.marks.durable.to_string(),
        leg.marks.restored.to_string(),
        lag,
        "-".to_owned(),
        link,
        heard,
    ]
}

/// How far a link can be trusted.
fn trust(security: LinkSecurity) -> &'static str {
    match security {
        LinkSecurity::None => "not connected",
        LinkSecurity::Inside => "inside this process",
        LinkSecurity::Plain => "plain: neither encrypted nor authenticated",
        LinkSecurity::Proven => "tls 1.3: encrypted, and proven to be that site",
    }
}

fn leg_state(state: &LegState) -> String {
    match state {
        // The reason is told below the table.
        LegState::Suspended(_) => "suspended".to_owned(),
        state => state.to_string(),
    }
}

fn lag(leg: &LegStatus) -> String {
    match leg.lag_updates {
        0 => "0".to_owned(),
        updates => format!("{updates}  {}  {}", bytes(leg.lag_bytes), age(leg.lag_us)),
    }
}

fn journal(status: &GroupStatus) -> String {
    let (used, capacity) = (status.journal_used_bytes, status.journal_capacity_bytes);
    let percent = used.saturating_mul(100).checked_div(capacity).unwrap_or(0);
    format!("{percent} % of {}", bytes(capacity))
}

fn round_trip(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us / 100 % 10)
}

fn as_of(us: u64, seen_by: Option<&SiteName>) -> String {
    match (us / 1_000_000, seen_by) {
        (0, None) => "now".to_owned(),
        (_, None) => format!("{} ago", age(us)),
        (_, Some(site)) => format!("{} ago (seen by {site})", age(us)),
    }
}

/// How the own site is brought to its source.
fn following(status: &GroupStatus, follows: &FollowStatus) -> String {
    let mut text = format!("{} follows {}", status.site, follows.source);
    if let Some(plan) = &follows.plan {
        let fetched = follows.fetched;
        let _ = write!(text, ", plan {}: {}", plan.kind, plan.why);
        let _ = write!(
            text,
            "\n  fetched {} updates ({}), {} of them older than this reign; copied {}{}; target {}",
            fetched.delta_updates,
            bytes(fetched.delta_bytes),
            fetched.inherited_updates,
            bytes(fetched.copied_bytes),
            compared(fetched.compared_bytes),
            plan.target
        );
        if let PlanKind::Refuse { choices } = &plan.kind {
            for choice in choices {
                let _ = write!(text, "\n  you can: {choice}");
            }
        }
    }
    if let LegState::Suspended(why) = &follows.state {
        let _ = write!(text, "\n  {}", alarm(&format!("suspended: {why}")));
    }
    if status.debt_bytes > 0 {
        let _ = write!(text, "\n  {}", alarm(&owed(status)));
    }
    text
}

/// What is still to be copied, and what the volumes are until then.
fn owed(status: &GroupStatus) -> String {
    let left = bytes(status.debt_bytes);
    match (status.image, status.inconsistent_until) {
        (Some(image), _) => format!(
            "{left} still to be copied: staged, the volumes are those of update {image} until then"
        ),
        (None, Some(until)) => {
            format!("{left} still to be copied: in place, inconsistent until {until}")
        }
        (None, None) => format!("{left} still to be copied: not consistent"),
    }
}

fn compared(count: u64) -> String {
    if count == 0 { String::new() } else { format!(" of {} compared", bytes(count)) }
}

/// When the journal is full, and what happens then.
fn journal_full(full: &FullForecast) -> String {
    let then = match full.then {
        OnFull::Map => "then what changed for it is kept in a map, and copied later",
        OnFull::Pace => "then host writes wait for it",
    };
    let text =
        format!("journal full in {} if {} stands still: {then}", age(full.in_us), full.held_for);
    match full.in_us < ALARM_US {
        true => alarm(&text),
        false => text,
    }
}

/// What each other site holds, as far as this site can tell.
fn readiness(status: &GroupStatus) -> String {
    let mut parts = Vec::new();
    for (site, leg) in &status.legs {
        if status.role == Role::Primary {
            let lost = status.commit.since(leg.marks.received);
            parts.push(match (leg.debt_bytes, leg.mode) {
                (0, LegMode::Sync) if leg.acking => format!("{site} holds all that was answered"),
                (0, _) => format!("{site} lacks {lost} updates"),
                (debt, _) => format!("{site} cannot serve ({} to be copied)", bytes(debt)),
            });
        }
        let delta = if leg.delta_possible { "possible" } else { "not possible" };
        let room = match (leg.delta_possible, leg.headroom.us) {
            (true, Some(us)) => format!(", {} of headroom", age(us)),
            (true, None) => format!(", {} of headroom", bytes(leg.headroom.bytes)),
            (false, _) => String::new(),
        };
        parts.push(format!("delta resync {}->{site} {delta}{room}", status.site));
    }
    parts.join("; ")
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
