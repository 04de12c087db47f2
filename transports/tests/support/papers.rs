//! An authority and its certificates, for tests.

use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use trefoil_core::Result;
use trefoil_core::model::SiteName;
use trefoil_transports::tls::authority::{Authority, MachineNames, VALIDITY};
use trefoil_transports::tls::{Credentials, TlsFiles};

pub fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

/// An authority that has issued certificates to sites a, b and c, and to host `db1`.
pub struct Papers {
    dir: TempDir,
}

impl Papers {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let authority = Authority::init(dir.path(), VALIDITY).unwrap();
        for name in ["a", "b", "c"] {
            authority.issue_site(&site(name), &MachineNames::default(), VALIDITY).unwrap();
        }
        authority.issue_host("db1", VALIDITY).unwrap();
        Self { dir }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// The files of a site.
    pub fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            ca: self.path("ca.pem"),
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            accepted: Some(self.path("accepted")),
        }
    }

    pub fn load(&self, name: &str) -> Result<Arc<Credentials>> {
        Credentials::load(&site(name), self.files(name))
    }

    pub fn credentials(&self, name: &str) -> Arc<Credentials> {
        self.load(name).unwrap()
    }
}
