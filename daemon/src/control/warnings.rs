//! What weakens a site's protection, in plain words: for status, `check` and the log.

use crate::credentials::CredentialStore;
use std::time::{Duration, SystemTime};
use trefoil_site::config::{NbdSecurity, SiteConfig};

/// From when on the end of a certificate is told.
const SOON: Duration = Duration::from_secs(30 * 86_400);
const DAY_SECONDS: u64 = 86_400;

/// Everything that weakens the protection of the own site.
pub fn warnings(config: &SiteConfig, credentials: &CredentialStore) -> Vec<String> {
    let mut found = Vec::new();
    for ((one, other), link) in &config.links {
        let own = *one == config.site || *other == config.site;
        if own && link.insecure {
            found.push(format!(
                "the link between {one} and {other} is plain (insecure = true): whoever is on the \
                 way can read updates and pose as a site"
            ));
        }
    }
    if config.nbd_security() == Some(NbdSecurity::Insecure) {
        found.push(
            "hosts are served in plain text (nbd_insecure = true): whoever reaches the port can \
             read and write the volumes"
                .to_owned(),
        );
    }
    for credentials in credentials.all() {
        found.extend(ends_soon(&credentials.files().cert.display(), credentials.expires()));
    }
    found
}

fn ends_soon(certificate: &dyn std::fmt::Display, ends: SystemTime) -> Option<String> {
    let site = "renew it with `trefoil certs renew`, and let the daemon read it again";
    match ends.duration_since(SystemTime::now()) {
        Ok(left) if left > SOON => None,
        Ok(left) => {
            let days = left.as_secs() / DAY_SECONDS;
            Some(format!("certificate {certificate} ends in {days} days; {site}"))
        }
        Err(_) => Some(format!("certificate {certificate} has expired; {site}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_of_in_its_last_month_and_after() {
        let now = SystemTime::now();
        let day = Duration::from_secs(DAY_SECONDS);
        assert_eq!(ends_soon(&"x", now + 40 * day), None);
        let soon = ends_soon(&"x", now + 10 * day + day / 2).unwrap();
        assert!(soon.starts_with("certificate x ends in 10 days"), "{soon}");
        assert!(ends_soon(&"x", now - day).unwrap().contains("has expired"));
    }
}
