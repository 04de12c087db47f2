//! A site that is spread over machines: what is read, who has which group, and every mistake.

use super::tests::{read, registry, report, site, with_variable};
use super::*;
use std::path::Path;
use trefoil_core::model::{GroupName, SiteName};

/// Two groups; site a on two machines, b and c on one each.
const SPREAD: &str = r#"site = "a"
[group.orders]
primary = "a"
sync = "b"
async = "c"
[group.orders.volume.db0]
size = "1MiB"
[group.mail]
primary = "b"
sync = "a"
async = "c"
[group.mail.volume.box0]
size = "1MiB"
[sites.a]
dir = "/data"
journal_capacity = "32MiB"
[sites.a.machines.a1]
address = "127.0.0.1:1"
groups = ["orders"]
[sites.a.machines.a2]
address = "127.0.0.1:2"
groups = ["mail"]
journal_capacity = "64MiB"
[sites.b]
address = "127.0.0.1:3"
[sites.c]
address = "127.0.0.1:4"
"#;

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

/// The spread file, as machine `name` of site a reads it.
fn at(name: &str) -> SiteConfig {
    let sources = Sources::text("site.toml", SPREAD).option("--machine", "machine", Some(name));
    load(&sources, &registry()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn own_groups(config: &SiteConfig) -> Vec<&str> {
    config.own_groups().map(|(name, _)| name.as_str()).collect()
}

/// The report about [`SPREAD`] after a change.
fn changed(from: &str, to: &str) -> String {
    assert!(SPREAD.contains(from), "no {from}");
    report(&SPREAD.replacen(from, to, 1))
}

#[test]
fn a_machine_runs_its_own_groups_and_finds_those_of_others_by_the_directory() {
    let config = at("a1");
    assert_eq!(own_groups(&config), ["orders"]);
    assert_eq!(own_groups(&at("a2")), ["mail"]);
    let own = config.own().unwrap();
    assert_eq!((own.address.as_str(), own.shown(&config.site).as_str()), ("127.0.0.1:1", "a/a1"));
    assert_eq!(config.machine_of(&site("a"), &group("mail")).unwrap().address, "127.0.0.1:2");
    assert_eq!(config.machine_of(&site("b"), &group("mail")).unwrap().name, None);
    let b = with_variable(SPREAD, "TREFOIL__SITE", "b").unwrap();
    assert_eq!(own_groups(&b), ["mail", "orders"]);
    assert_eq!(b.machine_of(&site("a"), &group("orders")).unwrap().address, "127.0.0.1:1");
}

#[test]
fn what_machines_have_in_common_is_said_once_and_each_has_a_directory_of_its_own() {
    let (one, two) = (at("a1"), at("a2"));
    let (one, two) = (one.own().unwrap(), two.own().unwrap());
    assert_eq!(one.journal_capacity, 32 << 20);
    assert_eq!(two.journal_capacity, 64 << 20);
    assert_eq!(one.journal_dir, Path::new("/data/a1/journal"));
    assert_eq!(two.volumes_dir, Path::new("/data/a2/volumes"));
    assert_eq!(one.control, Path::new("/run/trefoil/a/a1.sock"));
    let without = SPREAD.replace("dir = \"/data\"\n", "");
    let config = with_variable(&without, "TREFOIL__MACHINE", "a2").unwrap();
    assert_eq!(config.own().unwrap().volumes_dir, Path::new("/var/lib/trefoil/a/a2/volumes"));
}

#[test]
fn a_spread_site_reads_without_a_word_on_which_machine_this_is_but_has_no_own_one() {
    let config = read(SPREAD).unwrap();
    let error = config.own().unwrap_err().to_string();
    assert!(error.contains("site `a` is spread over a1, a2; say which one this is"), "{error}");
    assert!(config.builder(&registry()).is_err());
}

#[test]
fn variables_reach_the_directory() {
    let variables = [("A1", "mail"), ("A2", "orders")].map(|(machine, groups)| {
        (format!("TREFOIL__SITES__A__MACHINES__{machine}__GROUPS"), groups.to_owned())
    });
    let sources = Sources::text("site.toml", SPREAD).environment(variables);
    let swapped = load(&sources, &registry()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(swapped.machine_of(&site("a"), &group("mail")).unwrap().address, "127.0.0.1:1");
    let both = with_variable(SPREAD, "TREFOIL__SITES__A__MACHINES__A2__GROUPS", "orders,mail");
    let problems = both.unwrap_err().to_string();
    assert!(problems.contains("TREFOIL__SITES__A__MACHINES__A2__GROUPS"), "{problems}");
}

#[test]
fn every_mistake_in_the_directory_is_named_with_its_place() {
    let orders = "groups = [\"orders\"]";
    for (from, to, words) in [
        (
            "groups = [\"mail\"]",
            "groups = [\"mail\", \"orders\"]",
            "error[config::two_machines]: sites.a.machines.a2.groups: group `orders` is on machine \
             `a1` too",
        ),
        (
            orders,
            "groups = [\"orders\", \"orders\"]",
            "error[config::two_machines]: sites.a.machines.a1.groups: group `orders` is named \
             twice",
        ),
        (
            orders,
            "groups = [\"order\"]",
            "error[config::unknown_group]: sites.a.machines.a1.groups: no group named `order`",
        ),
        (orders, "groups = [\"order\"]", "did you mean `orders`?"),
        (
            orders,
            "groups = [\"order\"]",
            "error[config::no_machine]: sites.a.machines: group `orders` is on no machine of site \
             `a`",
        ),
        (orders, "groups = []", "an empty list: the machine would run nothing"),
        (orders, "", "error[config::missing]: sites.a.machines.a1.groups: missing"),
        (
            "address = \"127.0.0.1:1\"\n",
            "",
            "error[config::missing]: sites.a.machines.a1.address: missing",
        ),
        (
            "dir = \"/data\"",
            "address = \"127.0.0.1:9\"",
            "error[config::of_a_machine]: sites.a.address: the site is spread over machines",
        ),
        ("site = \"a\"", "site = \"a\"\nmachine = \"a3\"", "site `a` has no machine `a3`"),
        (
            "site = \"a\"",
            "site = \"b\"\nmachine = \"a1\"",
            "error[config::unknown_machine]: machine: site `b` is on one machine",
        ),
        (
            "[sites.b]\n",
            "[sites.b]\ngroups = [\"mail\"]\n",
            "error[config::unknown_key]: sites.b.groups",
        ),
        (
            "address = \"127.0.0.1:2\"",
            "address = \"127.0.0.1:1\"",
            "machine `a1` of site `a` on the same host has 127.0.0.1:1 too",
        ),
        (
            "[sites.a.machines.a2]\n",
            "[sites.a.machines.a2]\ndir = \"/data/a1\"\n",
            "error[config::conflict]: sites.a.machines.a2.journal_dir",
        ),
        (
            "address = \"127.0.0.1:2\"",
            "address = \"10.0.0.2:2\"",
            "updates between `a` and `b` would go to 10.0.0.2:2 in plain text",
        ),
    ] {
        let report = changed(from, to);
        assert!(report.contains(words), "{to:?}: no {words:?} in\n{report}");
    }
}

#[test]
fn a_machine_cannot_have_a_group_in_which_its_site_has_no_role() {
    let fourth = "[sites.d.machines.d1]\naddress = \"127.0.0.1:7\"\ngroups = [\"mail\"]\n";
    let report = report(&format!("{SPREAD}{fourth}"));
    assert!(report.contains("no_role]: sites.d.machines.d1.groups"), "{report}");
    assert!(report.contains("site `d` has no role in group `mail`"), "{report}");
}

#[test]
fn the_peers_of_a_machine_are_those_of_its_groups() {
    let more = "[sites.d]\naddress = \"127.0.0.1:7\"\n";
    let text = format!("{SPREAD}{more}").replacen("async = \"c\"", "async = \"d\"", 1);
    let config = with_variable(&text, "TREFOIL__MACHINE", "a1").unwrap();
    assert_eq!(config.peers(), [site("b"), site("d")].map(|name: SiteName| name));
    let config = with_variable(&text, "TREFOIL__MACHINE", "a2").unwrap();
    assert_eq!(config.peers(), [site("b"), site("c")]);
}
