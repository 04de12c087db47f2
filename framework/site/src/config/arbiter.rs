//! `[arbiter]`, as far as it says who keeps the charter; its times are among the other times.

use super::read::{Report, Section, Spot};
use super::site_config::{ArbiterEntry, GroupEntry};
use super::words::{self, is_loopback};
use crate::registry::{ArbiterOptions, Registry};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use trefoil_core::model::{Fence, GroupName, SiteName};

/// The word for two of three sites, which need no arbiter.
const MANUAL: &str = "manual";

/// What the file says.
#[derive(Debug)]
pub(super) struct ArbiterTable {
    kind: Option<Spot<String>>,
    insecure: Option<Spot<bool>>,
    settings: BTreeMap<String, Spot<Vec<String>>>,
}

/// Reads the keys of the arbiter that is named.
pub(super) fn read(
    section: &mut Section,
    registry: &Registry,
    report: &mut Report,
) -> ArbiterTable {
    let kind = section.text("kind", report);
    let factory = kind.as_ref().and_then(|kind| registry.arbiter_factory(&kind.value).ok());
    let Some(factory) = factory else {
        return ArbiterTable { kind, insecure: None, settings: BTreeMap::new() };
    };
    let insecure = section.parsed("insecure", report, words::yes_or_no);
    let set = |key: &&'static str| Some(((*key).to_owned(), section.texts(key, report)?));
    let settings = factory.keys().iter().filter_map(set).collect();
    ArbiterTable { kind, insecure, settings }
}

/// Checks them; `None` where the sites decide, or where a problem was reported.
pub(super) fn resolve(
    table: ArbiterTable,
    site: Option<&SiteName>,
    groups: &BTreeMap<GroupName, GroupEntry>,
    registry: &Registry,
    report: &mut Report,
) -> Option<ArbiterEntry> {
    let ArbiterTable { kind, insecure, settings } = table;
    let Spot { value: word, path } = kind.filter(|kind| kind.value != MANUAL)?;
    let Ok(factory) = registry.arbiter_factory(&word) else {
        unknown(&word, &path, registry, report);
        return None;
    };
    let paths: BTreeMap<_, _> = settings.iter().map(|(key, s)| (key, s.path.clone())).collect();
    let first = paths.values().next().cloned().unwrap_or_else(|| path.clone());
    let settings: BTreeMap<String, Vec<String>> =
        settings.iter().map(|(key, spot)| (key.clone(), spot.value.clone())).collect();
    let entry = ArbiterEntry { word, settings };
    for (name, group) in groups.iter().filter(|_| site.is_some()) {
        // Of the site that reads the file, or of one that has the group: it is the same for all.
        let site = site.filter(|site| group.sites().contains(site)).unwrap_or(&group.primary);
        let options = entry.options(site, name, group, (PathBuf::new(), Duration::default()));
        if let Err(error) = factory.check(&options) {
            let help = match factory.keys() {
                [] => "say kind = \"manual\" in [arbiter]: sites promise, and decide".to_owned(),
                keys => format!("keys of this arbiter: {}", keys.join(", ")),
            };
            report.value("bad_arbiter", &first, error.to_string(), Some(help));
            return None;
        }
    }
    let allowed = insecure.is_some_and(|insecure| insecure.value);
    let plain = factory.plain_addresses(&entry.settings);
    if let Some(out) = plain.iter().find(|address| !is_loopback(address)).filter(|_| !allowed) {
        let what = format!(
            "charters would go to {out} in plain text: whoever is on the way can read them, and \
             decide who leads"
        );
        let help = "go over loopback, by a tunnel; or say insecure = true in [arbiter]";
        report.value("plain_arbiter", &first, what, Some(help.to_owned()));
    }
    Some(entry)
}

/// With an arbiter, what happens when the sync leg is lost is what it records.
pub(super) fn check_fences(
    arbiter: Option<&ArbiterEntry>,
    groups: &BTreeMap<GroupName, GroupEntry>,
    report: &mut Report,
) {
    let Some(ArbiterEntry { word, .. }) = arbiter else { return };
    for (name, _) in groups.iter().filter(|(_, group)| group.fence != Fence::Status) {
        let what = format!("with arbiter `{word}` this fence level is not in this release");
        let help = "use `status`, or the arbiter `manual`".to_owned();
        report.value("not_yet", &format!("group.{name}.fence"), what, Some(help));
    }
}

fn unknown(word: &str, path: &str, registry: &Registry, report: &mut Report) {
    let mut known = vec![MANUAL];
    known.extend(registry.arbiter_words());
    let help =
        format!("use `{MANUAL}`: two of the three sites decide; known: {}", known.join(", "));
    report.value("unknown_arbiter", path, format!("no arbiter named `{word}`"), Some(help));
}

impl ArbiterEntry {
    /// What a factory is told. `kept`: where the arbiter may keep a file, and how long leases are.
    pub(super) fn options(
        &self,
        site: &SiteName,
        name: &GroupName,
        group: &GroupEntry,
        (dir, lease): (PathBuf, Duration),
    ) -> ArbiterOptions {
        let mut sites: Vec<SiteName> = group.sites().into_iter().cloned().collect();
        sites.sort();
        let (site, group, settings) = (site.clone(), name.clone(), self.settings.clone());
        ArbiterOptions { site, group, sites, dir, lease, settings }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Sources;
    use crate::registry::{ArbiterFactory, ArbiterOptions};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use trefoil_core::conformance::arbiter::MemoryArbiter;
    use trefoil_core::port::Arbiter;
    use trefoil_core::{Error, Result};

    struct Court;

    impl ArbiterFactory for Court {
        fn open(&self, options: &ArbiterOptions) -> Result<Arc<dyn Arbiter>> {
            match options.settings.get("seats") {
                Some(_) => Ok(Arc::new(MemoryArbiter::new(Arc::new(Default::default)))),
                None => Err(Error::invalid("it has no seats")),
            }
        }

        fn keys(&self) -> &[&'static str] {
            &["seats"]
        }

        fn plain_addresses(&self, settings: &BTreeMap<String, Vec<String>>) -> Vec<String> {
            settings.get("seats").cloned().unwrap_or_default()
        }
    }

    fn problems(arbiter: &str) -> String {
        let text = format!("{}\n[arbiter]\n{arbiter}\n", super::super::tests::SMALL);
        let registry = super::super::tests::registry().arbiter("court", Court);
        match super::super::load(&Sources::text("site.toml", &text), &registry) {
            Ok(config) => format!("{:?}", config.arbiter.map(|arbiter| arbiter.settings)),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn an_arbiter_is_told_its_own_keys_and_nothing_else() {
        let seats = "kind = \"court\"\nseats = [\"127.0.0.1:1\", \"localhost:2\"]";
        let read = problems(seats);
        assert!(read.contains("\"seats\": [\"127.0.0.1:1\", \"localhost:2\"]"), "{read}");
        let unknown = problems("kind = \"court\"\nsaets = [\"127.0.0.1:1\"]");
        assert!(unknown.contains("`seats`?"), "{unknown}");
        let stray = problems("seats = [\"127.0.0.1:1\"]");
        assert!(stray.contains("unknown key"), "the sites decide, and have no seats: {stray}");
        let none = problems("kind = \"court\"");
        assert!(none.contains("it has no seats") && none.contains("seats"), "{none}");
        let other = problems("kind = \"oracle\"");
        assert!(other.contains("known: manual, court"), "{other}");
    }

    #[test]
    fn a_plain_way_out_of_the_host_is_said_to_be_one() {
        let refused = problems("kind = \"court\"\nseats = [\"127.0.0.1:1\", \"10.0.0.9:2379\"]");
        assert!(refused.contains("10.0.0.9:2379 in plain text"), "{refused}");
        let said = problems("kind = \"court\"\nseats = [\"10.0.0.9:2379\"]\ninsecure = true");
        assert!(said.contains("10.0.0.9"), "{said}");
        assert!(!said.contains("plain text"), "{said}");
    }
}
