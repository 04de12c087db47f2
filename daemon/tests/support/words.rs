//! Three sites in one process from one configuration, whose transport and backend are words.

use std::net::TcpListener;
use std::path::Path;
use tempfile::TempDir;
use trefoil_core::model::SiteName;
use trefoil_daemon::builtin;
use trefoil_site::Site;
use trefoil_site::config::{Sources, load};
use trefoil_site::registry::Registry;
use trefoil_transports::tls::authority::{Authority, MachineNames, VALIDITY};

const SITES: [&str; 3] = ["a", "b", "c"];

/// What is chosen by word.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// `tcp+tls` is tcp with a `[tls]` table.
    pub transport: &'static str,
    pub backend: &'static str,
}

/// A configuration in a directory of its own, and the registry that all three sites share.
pub struct Words {
    dir: TempDir,
    text: String,
    registry: Registry,
}

impl Words {
    pub fn new(choice: Choice, volume_bytes: u64) -> Self {
        let dir = TempDir::new().unwrap();
        let word = choice.transport.trim_end_matches("+tls");
        let mut text = format!(
            "site = \"a\"\n\
             [group.orders]\ntopology = \"three_site\"\nprimary = \"a\"\nsync = \"b\"\n\
             async = \"c\"\n\
             [group.orders.volume.db0]\nsize = \"{volume_bytes}B\"\n\
             [journal]\ncapacity = \"128MiB\"\n\
             [arbiter]\nlease = \"1s\"\n"
        );
        for site in SITES {
            let (port, path) = (free_port(), dir.path().join(site));
            text.push_str(&format!(
                "[sites.{site}]\naddress = \"127.0.0.1:{port}\"\ndir = \"{}\"\n\
                 control = \"{}.sock\"\nbackend = \"{}\"\n",
                path.display(),
                path.display(),
                choice.backend,
            ));
        }
        for link in ["ab", "ac", "bc"] {
            text.push_str(&format!("[link.{link}]\ntransport = \"{word}\"\n"));
        }
        if word == "quic" || word != choice.transport {
            let tls = dir.path().join("tls");
            make_certificates(&tls);
            text.push_str(&format!("[tls]\ndir = \"{}\"\n", tls.display()));
        }
        Self { dir, text, registry: builtin::registry() }
    }

    /// Starts a site.
    pub fn start(&self, name: &str) -> Site {
        let file = self.dir.path().join("trefoil.toml");
        let sources = Sources::text(&file.display().to_string(), &self.text);
        let sources = sources.option("--site", "site", Some(name));
        let config = load(&sources, &self.registry).map_err(|problems| problems.to_string());
        tokio::task::block_in_place(|| Site::from_config(&config.unwrap(), &self.registry)).unwrap()
    }
}

/// A private authority, and a certificate for each site.
fn make_certificates(dir: &Path) {
    let authority = Authority::init(dir, VALIDITY).unwrap();
    for site in SITES {
        let site = SiteName::new(site).unwrap();
        authority.issue_site(&site, &MachineNames::default(), VALIDITY).unwrap();
    }
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
