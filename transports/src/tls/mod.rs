//! Who is at the other end: certificates of a private authority, and what is made of them.
//!
//! A site proves its name by a certificate with the URI `trefoil:site:<name>` among its
//! alternative names, signed by the deployment's own authority; an NBD host by
//! `trefoil:host:<name>`. No other authority is trusted, and nothing is resumed: every connection
//! proves itself anew, by TLS 1.3, with the one provider (ring).
//!
//! | file | what it is for |
//! |---|---|
//! | `files` | what is read from disk, and how a key must lie there |
//! | `identity` | what a certificate says of its owner |
//! | `peers` | who may be at the other end |
//! | `refusal` | why a certificate is refused, in words and in counts |
//! | `verifier` | the judge of a certificate, for both directions |
//! | `credentials` | what a site shows, and by what it judges; replaced while links are up |
//! | `authority` | the private authority: makes, renews and withdraws certificates |

pub mod authority;

mod credentials;
mod files;
mod identity;
mod peers;
mod refusal;
mod verifier;

pub use authority::Authority;
pub use credentials::Credentials;
pub use files::TlsFiles;
pub use identity::{Identity, Kind};
pub use peers::Peers;
pub(crate) use refusal::explain_alert;
pub use refusal::{Refusal, TlsCounts, explain};
pub(crate) use verifier::Verdict;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// What is spoken inside, over TCP and QUIC alike: a connection for something else ends in its
/// handshake.
pub(crate) const PROTOCOL: &[u8] = b"trefoil-site/1";

/// What a host name is put in place of: sites are not found by the names of hosts.
pub(crate) const NO_HOST: &str = "trefoil.invalid";

/// The one provider of cryptography. It is named with every builder: a default of the process
/// could be another.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
