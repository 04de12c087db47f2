//! What is read from a good configuration, and the exact words about a bad one.

#[path = "bad_values.rs"]
mod bad_values;

use super::*;
use crate::registry::{
    BackendFactory, Inside, JournalOptions, Reach, TransportFactory, TransportOptions,
    VolumeOptions,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::model::{Durability, SiteName};
use trefoil_core::port::{BlockStore, JournalStore, Transport};
use trefoil_core::{Error, Result};

const EXAMPLE: &str = include_str!("../../../../examples/config/three-site.toml");

pub(super) const SMALL: &str = r#"site = "a"
[group.g]
primary = "a"
sync = "b"
async = "c"
[group.g.volume.v]
size = "1MiB"
[sites.a]
address = "127.0.0.1:1"
[sites.b]
address = "127.0.0.1:2"
[sites.c]
address = "127.0.0.1:3"
"#;

struct Nothing;

impl BackendFactory for Nothing {
    fn block_store(&self, _: &VolumeOptions) -> Result<Arc<dyn BlockStore>> {
        Err(Error::closed("open volume: a test has none"))
    }

    fn journal_store(&self, _: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        Err(Error::closed("open journal: a test has none"))
    }

    fn keys(&self) -> &[&'static str] {
        &["direct"]
    }
}

fn no_transport(_: &TransportOptions) -> Result<Arc<dyn Transport>> {
    Err(Error::closed("open transport: a test has none"))
}

/// A transport that goes nowhere without certificates.
struct Sealed;

impl TransportFactory for Sealed {
    fn open(&self, options: &TransportOptions) -> Result<Arc<dyn Transport>> {
        no_transport(options)
    }

    fn reach(&self) -> Reach {
        Reach::Secured
    }
}

pub(super) fn registry() -> Registry {
    Registry::new()
        .transport("memory", Inside(no_transport))
        .transport("tcp", no_transport)
        .transport("sealed", Sealed)
        .backend("memory", Nothing)
        .backend("file", Nothing)
        .shaper(|transport, _| transport)
}

pub(super) fn read(text: &str) -> Result<SiteConfig, Problems> {
    load(&Sources::text("site.toml", text), &registry())
}

pub(super) fn with_variable(text: &str, name: &str, value: &str) -> Result<SiteConfig, Problems> {
    let variables = [(name.to_owned(), value.to_owned())];
    load(&Sources::text("site.toml", text).environment(variables), &registry())
}

pub(super) fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

/// The whole report about `text`.
pub(super) fn report(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

/// The report about [`SMALL`] with `more` put behind it.
fn report_with(more: &str) -> String {
    report(&format!("{SMALL}{more}"))
}

#[test]
fn the_example_reads_as_it_says() {
    let config = read(EXAMPLE).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.site, site("a"));
    let own = config.own().unwrap();
    assert_eq!(own.nbd, Some(NbdAddress::Tcp("127.0.0.1:10809".to_owned())));
    assert_eq!(own.volumes_dir, Path::new("trefoil-data/a/volumes"));
    assert_eq!(own.journal_capacity, 512 << 20);
    let (_, group) = config.groups.first_key_value().unwrap();
    assert_eq!(group.volumes.iter().map(|v| v.size >> 20).collect::<Vec<_>>(), [256, 64]);
    assert_eq!(group.home_role(&site("b")), Some("sync"));
    assert_eq!(group.recovery_point_objective, Some(Duration::from_secs(5)));
    assert_eq!(config.links.len(), 3);
    assert_eq!(config.timing.lease, Some(Duration::from_secs(2)));
    assert_eq!(config.limits.window, Some(16 << 20));
}

#[test]
fn what_is_left_out_has_a_default() {
    let config = read(SMALL).unwrap();
    let own = config.own().unwrap();
    assert_eq!(own.volumes_dir, Path::new("/var/lib/trefoil/a/volumes"));
    assert_eq!(own.control, Path::new("/run/trefoil/a.sock"));
    assert_eq!(own.backend.word, "file");
    assert_eq!(own.listen, own.address);
    assert_eq!((own.nbd.as_ref(), own.metrics.as_ref()), (None, None));
    assert_eq!(config.link(&site("c"), &site("b")).unwrap().transport, "tcp");
}

#[test]
fn a_variable_overrides_the_file_and_an_option_overrides_both() {
    let config = with_variable(EXAMPLE, "TREFOIL__SITE", "b").unwrap();
    assert_eq!(config.site, site("b"));
    let config = with_variable(EXAMPLE, "TREFOIL__GROUP__ORDERS__DURABILITY", "write").unwrap();
    assert_eq!(config.groups.values().next().unwrap().durability, Durability::Write);
    let config = with_variable(EXAMPLE, "TREFOIL__SITES__A__NBD", "unix:/tmp/a.nbd").unwrap();
    assert_eq!(config.own().unwrap().nbd, Some(NbdAddress::Unix("/tmp/a.nbd".into())));
    let sources = Sources::text("site.toml", EXAMPLE)
        .environment([("TREFOIL__SITE".to_owned(), "b".to_owned())])
        .option("--site", "site", Some("c"));
    assert_eq!(load(&sources, &registry()).unwrap().site, site("c"));
}

#[test]
fn variables_of_others_are_left_alone() {
    assert!(with_variable(SMALL, "TREFOIL_CONFIG", "x").is_ok());
    assert!(with_variable(SMALL, "PATH", "x").is_ok());
}

#[test]
fn a_problem_from_a_variable_names_the_variable_and_no_line() {
    let problems = with_variable(SMALL, "TREFOIL__SITE", "bb").unwrap_err();
    assert_eq!(
        problems.to_string(),
        "error[config::unknown_site]: site: no site named `bb` (from environment variable \
         TREFOIL__SITE)\n  = help: did you mean `b`?"
    );
    let problems = with_variable(SMALL, "TREFOIL__JOURNAL__CAPACTY", "1GiB").unwrap_err();
    assert_eq!(
        problems.to_string(),
        "error[config::unknown_key]: journal.capacty: unknown key (from environment variable \
         TREFOIL__JOURNAL__CAPACTY)\n  = help: did you mean `capacity`?"
    );
}

#[test]
fn several_problems_are_reported_at_once_with_place_and_remedy() {
    let text = SMALL.replace("sync = \"b\"", "sync = \"a\"");
    let text = format!("{text}[link.ab]\ntransprot = \"tcp\"\ntransport = \"udp\"\n");
    assert_eq!(
        report(&text),
        r#"error[config::two_roles]: group.g.sync: site `a` is already primary of group `g`
 --> site.toml:4:8
  |
4 | sync = "a"
  |        ^^^
  = help: each role of a group is another site's
error[config::unknown_key]: link.ab.transprot: unknown key
  --> site.toml:15:1
   |
15 | transprot = "tcp"
   | ^^^^^^^^^
   = help: did you mean `transport`?
error[config::unknown_transport]: link.ab.transport: no transport named `udp`; @
  --> site.toml:16:13
   |
16 | transport = "udp"
   |             ^^^^^
   = help: known: memory, sealed, tcp"#
            .replace("   = help", "  = help")
            .replace('@', "registered: memory, sealed, tcp")
    );
}

#[test]
fn every_bad_value_is_answered_with_what_was_expected() {
    for (more, code, words, place, help) in bad_values::BAD_VALUES {
        let problems = read(&format!("{SMALL}{more}")).expect_err(more);
        let first = &problems.0[0];
        let text = first.to_string();
        assert_eq!(problems.0.len(), 1, "{more}: {problems}");
        assert_eq!(first.code, format!("config::{code}"), "{text}");
        assert!(text.contains(words), "{text}");
        assert!(text.contains(&format!("--> site.toml:{place}\n")), "{text}");
        assert!(first.help.clone().unwrap_or_default().contains(help), "{text}");
    }
}

/// (what is replaced in [`SMALL`], by what, the words of the report)
#[test]
fn every_bad_group_is_answered_with_the_rule() {
    let table = [
        ("site = \"a\"\n", "", "site: missing\n  = help: say which site this is"),
        ("async = \"c\"", "async = \"z\"", "group.g.async: no site named `z`"),
        ("async = \"c\"\n", "", "group.g.async: missing"),
        (
            "[group.g]",
            "[group.g]\nfence = \"x\"",
            "found `x`, expected `data`, `status` or `never`",
        ),
        ("[group.g]", "[group.g]\ntopology = \"two_site\"", "names its primary, and either `sync`"),
        ("[group.g]", "[group.g]\ntopology = \"ring\"", "no topology named `ring`"),
        ("[group.g]", "[group.g]\ndurability = \"no\"", "found `no`, expected `flush` or `write`"),
        ("size = \"1MiB\"", "size = \"0\"", "positive multiple of 512"),
        ("site = \"a\"", "site = \"a", "config::syntax]: not valid TOML"),
        ("site = \"a\"", "site = \"a\"\nsite = \"b\"", "config::syntax]: not valid TOML"),
    ];
    for (from, to, words) in table {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL);
        let report = report(&text);
        assert!(report.contains(words), "{to}: {report}");
        assert_eq!(report.matches("error[").count(), 1, "{report}");
    }
}

#[test]
fn an_empty_file_says_what_is_needed() {
    let report = report("");
    for words in ["[sites.a]", "[group.orders]", "TREFOIL__SITE=a"] {
        assert!(report.contains(words), "{report}");
    }
}

#[test]
fn two_sites_on_one_host_cannot_share_anything() {
    let text = SMALL.replace("address = \"127.0.0.1:2\"", "address = \"127.0.0.1:2\"\ndir = \"x\"");
    let text = text.replace(
        "address = \"127.0.0.1:3\"",
        "address = \"127.0.0.1:3\"\ndir = \"x\"\ncontrol = \"/run/trefoil/a.sock\"",
    );
    let report = report(&text);
    for key in ["sites.c.control", "sites.c.volumes_dir", "sites.c.journal_dir"] {
        assert!(report.contains(key), "{report}");
    }
    let apart = text.replace("127.0.0.1:3", "127.0.0.3:3");
    assert!(read(&apart).is_ok(), "on hosts of their own they may");
}

#[test]
fn a_link_is_found_by_its_name_or_by_its_ends() {
    let links = "[link.a_b]\ntransport = \"memory\"\n\
                 [link.wan]\nbetween = [\"c\", \"a\"]\ntransport = \"memory\"\ndelay = \"40ms\"\n";
    let config = read(&format!("{SMALL}{links}")).unwrap();
    assert_eq!(config.link(&site("b"), &site("a")).unwrap().transport, "memory");
    let wan = config.link(&site("a"), &site("c")).unwrap();
    assert_eq!(wan.shape.delay, Duration::from_millis(40));
}

#[test]
fn a_link_says_how_its_data_is_sent() {
    let keys = "compression = \"zstd\"\ncompression_level = 3\nmax_rate = \"10MiB/s\"\n\
                max_copy_rate = \"2MiB/s\"\nbatch_bytes = \"256KiB\"\nbatch_delay = \"20ms\"\n";
    let config = read(&format!("{SMALL}[link.ac]\ntransport = \"tcp\"\n{keys}")).unwrap();
    let traffic = config.link(&site("a"), &site("c")).unwrap().traffic;
    assert_eq!(traffic.compression, crate::Compression::Zstd(3));
    assert_eq!((traffic.rate, traffic.copy_rate), (Some(10 << 20), Some(2 << 20)));
    assert_eq!(traffic.batch_bytes, 256 << 10);
    assert_eq!(traffic.batch_delay, Duration::from_millis(20));
    let plain = config.link(&site("a"), &site("b")).unwrap().traffic;
    assert_eq!(plain, crate::Traffic::default());
}

#[test]
fn a_backend_table_gives_its_own_keys_to_the_factory() {
    let more = "backend = \"fast\"\n[backend.fast]\nkind = \"file\"\ndirect = true\n";
    let config = read(&format!("{SMALL}{more}")).unwrap();
    let backend = &config.entry(&site("c")).unwrap().machines[0].backend;
    assert_eq!(backend.word, "file");
    assert_eq!(backend.settings["direct"], "true");
}

#[test]
fn a_shape_without_a_shaper_is_refused() {
    let text = format!("{SMALL}[link.ac]\ntransport = \"tcp\"\ndelay = \"1ms\"\n");
    let bare = Registry::new().transport("tcp", no_transport).backend("file", Nothing);
    let problems = load(&Sources::text("site.toml", &text), &bare).unwrap_err();
    assert!(problems.to_string().contains("need a shaper"), "{problems}");
    assert!(report_with("oops = 1\n").contains("oops"), "the helper must be able to fail");
}

/// [`SMALL`] with site c on another host.
fn far(more: &str) -> String {
    format!("{}{more}", SMALL.replace("127.0.0.1:3", "10.0.0.3:3"))
}

#[test]
fn what_leaves_the_host_is_secured_or_said_to_be_insecure() {
    let report = report(&far("[link.ac]\ntransport = \"tcp\"\n"));
    let words = "error[config::plain_link]: link.ac: updates between `a` and `c` would go to \
                 10.0.0.3:3 in plain text";
    assert!(report.contains(words), "{report}");
    assert!(report.contains("--> site.toml:14:7"), "{report}");
    assert!(report.contains("trefoil certs init") && report.contains("insecure = true"));
    assert!(report.contains("link.b_c: updates between `b` and `c`"), "{report}");
    assert!(!report.contains("`a` and `b`"), "{report}");

    let said = "[link.ac]\ntransport = \"tcp\"\ninsecure = true\n\
                [link.bc]\ntransport = \"tcp\"\ninsecure = true\n";
    let config = read(&far(said)).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.link(&site("a"), &site("c")).unwrap().insecure);
    assert!(!config.link(&site("a"), &site("b")).unwrap().insecure);
    let inside = said.replace("tcp", "memory").replace("insecure = true\n", "");
    assert!(read(&far(&inside)).is_ok(), "nothing leaves the process");
    let listen = SMALL.replace("address = \"127.0.0.1:3\"", "address = \"127.0.0.1:3\"\n@");
    let listen = listen.replace('@', "listen = \"0.0.0.0:3\"");
    assert!(read(&listen).unwrap_err().to_string().contains("to 0.0.0.0:3 in plain text"));
}

#[test]
fn with_tls_the_files_are_those_of_the_own_site_and_nothing_is_said_to_be_insecure() {
    let config = read(&far("[tls]\ndir = \"/t\"\n")).unwrap();
    let tls = config.tls.unwrap();
    assert_eq!(tls.ca, Path::new("/t/ca.pem"));
    assert_eq!((tls.cert, tls.key), ("/t/a.pem".into(), "/t/a.key".into()));
    assert_eq!(tls.accepted, Some("/t/accepted".into()));

    let named = "[tls]\nca = \"/c\"\ncert = \"/d\"\nkey = \"/e\"\n";
    let tls = read(&far(named)).unwrap().tls.unwrap();
    assert_eq!((tls.ca, tls.cert), ("/c".into(), "/d".into()));
    assert_eq!(tls.accepted, None);
    let missing = read(&far("[tls]\nca = \"/c\"\n")).unwrap_err().to_string();
    assert!(missing.contains("tls.cert: missing") && missing.contains("tls.key: missing"));
    let both = "[link.ab]\ntransport = \"tcp\"\ninsecure = true\n[tls]\ndir = \"t\"\n";
    let both = report_with(both);
    assert!(both.contains("error[config::mixed]: link.ab.insecure"), "{both}");
    assert!(both.contains("site.toml:16:12"), "{both}");
}

#[test]
fn a_transport_that_needs_certificates_says_so_on_loopback_too() {
    let link = "[link.ab]\ntransport = \"sealed\"\n";
    let report = report_with(link);
    assert!(report.contains("error[config::needs_tls]: link.ab.transport"), "{report}");
    assert!(read(&format!("{SMALL}{link}[tls]\ndir = \"tls\"\n")).is_ok());
}

#[test]
fn hosts_elsewhere_need_certificates_or_a_word() {
    let nbd = |address: &str, more: &str| {
        let site = format!("address = \"127.0.0.1:2\"\nnbd = \"{address}\"\n{more}");
        read(&SMALL.replace("address = \"127.0.0.1:2\"", &site))
    };
    for near in ["127.0.0.1:10809", "[::1]:1", "localhost:1", "unix:/run/nbd.sock"] {
        assert!(nbd(near, "").is_ok(), "{near}");
    }
    let problems = nbd("0.0.0.0:10809", "").unwrap_err().to_string();
    assert!(problems.contains("error[config::plain_nbd]: sites.b.nbd"), "{problems}");
    assert!(problems.contains("nbd_insecure = true"), "{problems}");
    let config = nbd("0.0.0.0:10809", "nbd_insecure = true").unwrap();
    assert!(config.entry(&site("b")).unwrap().machines[0].nbd_insecure);
    assert!(read(&format!("{SMALL}nbd = \"10.0.0.1:1\"\n[tls]\ndir = \"t\"\n")).is_ok());
}

#[test]
fn lists_of_hosts_are_kept_by_group_and_need_certificates() {
    let lists = "hosts = [\"db1\", \"db2\"]\nread_only_hosts = [\"backup\"]\n";
    let group = |lists: &str, more: &str| {
        read(
            &SMALL
                .replace("[group.g]\n", &format!("[group.g]\n{lists}"))
                .replace("[sites.a]", &format!("{more}[sites.a]")),
        )
    };
    let problems = group(lists, "").unwrap_err().to_string();
    assert!(problems.contains("needs_tls]: group.g.hosts"), "{problems}");
    let tls = "[tls]\ndir = \"t\"\n";
    let config = group(lists, tls).unwrap_or_else(|problems| panic!("{problems}"));
    let hosts = &config.groups.values().next().unwrap().hosts;
    assert_eq!(hosts.access("db2"), HostAccess::Write);
    assert_eq!(hosts.access("backup"), HostAccess::Read);
    assert_eq!(hosts.access("db3"), HostAccess::Nothing);
    assert_eq!(HostsEntry::default().access("db3"), HostAccess::Write);
    let twice = lists.replace("backup", "db1");
    assert!(group(&twice, tls).unwrap_err().to_string().contains("keep it in one"));
    assert!(group("hosts = []\n", tls).unwrap_err().to_string().contains("an empty list"));
    assert!(group("hosts = [\"DB\"]\n", tls).unwrap_err().to_string().contains("lower-case"));
}

#[test]
fn a_file_that_is_not_there_is_named_with_a_remedy() {
    let problems = Sources::file(Path::new("/nonexistent/trefoil.toml")).unwrap_err();
    let text = problems.to_string();
    assert!(text.contains("/nonexistent/trefoil.toml"), "{text}");
    assert!(text.contains("--config FILE"), "{text}");
}
