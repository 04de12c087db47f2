//! Which two sites a link is between, and by what they are connected.

use super::file::{LinkTable, missing};
use super::read::{Report, Spot, meant};
use super::site_config::{GroupEntry, LinkEntry, pair};
use crate::Traffic;
use crate::registry::{Registry, Shape};
use std::collections::BTreeMap;
use std::time::Duration;
use trefoil_core::model::{GroupName, SiteName};

const TRANSPORT: &str = "tcp";
const TIMEOUT: Duration = Duration::from_secs(5);

type Pair = (SiteName, SiteName);

/// The links, and where the tables of those that have one stand.
pub(super) struct Links {
    pub(super) entries: BTreeMap<Pair, LinkEntry>,
    pub(super) paths: BTreeMap<Pair, String>,
}

/// The link between each two sites that share a group. A pair without a table has the defaults.
pub(super) fn resolve(
    tables: BTreeMap<String, LinkTable>,
    sites: &[SiteName],
    groups: &BTreeMap<GroupName, GroupEntry>,
    registry: &Registry,
    report: &mut Report,
) -> Links {
    let mut links: BTreeMap<Pair, LinkEntry> = BTreeMap::new();
    let mut paths: BTreeMap<Pair, String> = BTreeMap::new();
    for (name, table) in tables {
        let LinkTable {
            path,
            between,
            transport,
            timeout,
            delay,
            jitter,
            rate,
            cut_every,
            traffic,
            insecure,
            settings,
        } = table;
        let ends = match between {
            Some(between) => named_ends(between, sites, report),
            None => ends_by_name(&name, &path, sites, report),
        };
        let shape = Shape {
            delay: delay.unwrap_or_default(),
            jitter: jitter.unwrap_or_default(),
            rate,
            cut_every,
        };
        let transport = known_transport(transport, &path, registry, report);
        let (Some(ends), Some(transport)) = (ends, transport) else { continue };
        if registry.shape_refused(&shape) {
            let what =
                "`delay`, `jitter`, `rate` and `cut_every` need a shaper; none is registered";
            let help = "leave them out, or register one: Registry::shaper";
            report.key("no_shaper", &path, what.to_owned(), Some(help.to_owned()));
        }
        let timeout = timeout.unwrap_or(TIMEOUT);
        let (one, other) = ends.clone();
        let insecure = insecure.is_some_and(|insecure| insecure.value);
        let entry = LinkEntry { transport, timeout, shape, traffic, insecure, settings };
        paths.insert(ends.clone(), path.clone());
        if links.insert(ends, entry).is_some() {
            let what = format!("a second link between `{one}` and `{other}`");
            let help = "keep one of the two tables".to_owned();
            report.key("two_links", &path, what, Some(help));
        }
    }
    let defaults = needed(groups).into_iter().filter(|ends| !links.contains_key(ends));
    let defaults: Vec<_> = defaults.collect();
    for ends in defaults {
        let at = format!("link.{}_{}", ends.0, ends.1);
        let word = Some(Spot { value: TRANSPORT.to_owned(), path: at.clone() });
        if let Some(transport) = known_transport(word, &at, registry, report) {
            let (shape, settings) = (Shape::default(), BTreeMap::new());
            let (timeout, traffic, insecure) = (TIMEOUT, Traffic::default(), false);
            let entry = LinkEntry { transport, timeout, shape, traffic, insecure, settings };
            links.insert(ends, entry);
        }
    }
    Links { entries: links, paths }
}

fn needed(groups: &BTreeMap<GroupName, GroupEntry>) -> Vec<Pair> {
    let pairs = |group: &GroupEntry| {
        let sites = group.sites();
        let rest = sites
            .iter()
            .enumerate()
            .flat_map(|(at, one)| sites[at + 1..].iter().map(move |other| pair(one, other)));
        rest.collect::<Vec<_>>()
    };
    groups.values().flat_map(pairs).collect()
}

fn named_ends(between: Spot<Vec<String>>, sites: &[SiteName], report: &mut Report) -> Option<Pair> {
    let Spot { value, path } = between;
    let known: Vec<_> = sites.iter().map(SiteName::as_str).collect();
    let [one, other] = value.as_slice() else {
        let what = format!("expected the names of two sites, found {}", value.len());
        report.value("bad_value", &path, what, Some("between = [\"a\", \"b\"]".to_owned()));
        return None;
    };
    let mut find = |text: &String| {
        let found = sites.iter().find(|site| site.as_str() == text);
        if found.is_none() {
            let what = format!("no site named `{text}`");
            report.value("unknown_site", &path, what, meant(text, &known));
        }
        found
    };
    let (one, other) = (find(one), find(other));
    let (one, other) = (one?, other?);
    if one == other {
        let what = format!("`{one}` is named twice; expected two different sites");
        report.value("bad_value", &path, what, None);
        return None;
    }
    Some(pair(one, other))
}

/// `ab`, `ba`, `a_b` or `b_a`: the two names, one after the other.
fn ends_by_name(name: &str, path: &str, sites: &[SiteName], report: &mut Report) -> Option<Pair> {
    let mut found: Vec<Pair> = Vec::new();
    for one in sites {
        for other in sites.iter().filter(|other| *other != one) {
            let ends = pair(one, other);
            let written = [format!("{one}{other}"), format!("{one}_{other}")];
            if written.iter().any(|written| written == name) && !found.contains(&ends) {
                found.push(ends);
            }
        }
    }
    if found.len() == 1 {
        return found.pop();
    }
    let what = match found.len() {
        0 => "the name is not made of the names of two sites".to_owned(),
        count => format!("the name fits {count} pairs of sites"),
    };
    let help = "name it after its two ends ([link.a_b]), or say between = [\"a\", \"b\"]";
    report.key("link_ends", path, what, Some(help.to_owned()));
    None
}

fn known_transport(
    transport: Option<Spot<String>>,
    path: &str,
    registry: &Registry,
    report: &mut Report,
) -> Option<String> {
    let words = registry.transport_words();
    let Some(Spot { value, path: at }) = transport else {
        let at = format!("{path}.transport");
        if report.is_clean(&at) {
            let help = format!("say how the sites are connected: one of {}", words.join(", "));
            missing(report, &at, &help);
        }
        return None;
    };
    match registry.transport_factory(&value) {
        Ok(_) => Some(value),
        Err(error) => {
            let help = meant(&value, &words);
            report.value("unknown_transport", &at, error.to_string(), help);
            None
        }
    }
}
