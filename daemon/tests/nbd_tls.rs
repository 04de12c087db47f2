//! NBD over TLS: nothing before it where it is required, nothing carried over into it, and real
//! clients with certificates.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/nbd_client.rs"]
#[expect(dead_code, reason = "shared: each suite uses a part")]
mod nbd_client;
#[path = "support/nbd_memory.rs"]
#[expect(dead_code, reason = "shared: each suite uses a part")]
mod nbd_memory;

use nbd_client::{Io, RawNbd, counted};
use nbd_memory::{Catalog, MemoryExport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use trefoil_core::model::SiteName;
use trefoil_daemon::credentials::Hosts;
use trefoil_daemon::nbd::{NbdCounters, NbdGuard, NbdLimits, NbdServer};
use trefoil_transports::tls::authority::{Authority, MachineNames, VALIDITY};
use trefoil_transports::tls::{Credentials, TlsFiles};

const TLS_REQUIRED: u32 = (1 << 31) + 5;
const INVALID: u32 = (1 << 31) + 3;
const ACK: u32 = 1;
const STARTTLS: u32 = 5;

/// A server of site `a` whose authority has issued certificates to hosts `db1` and `db2`.
struct Served {
    dir: TempDir,
    authority: Authority,
    credentials: Arc<Credentials>,
    export: Arc<MemoryExport>,
    address: String,
    counters: Arc<NbdCounters>,
}

impl Served {
    async fn start(guard: impl FnOnce(Arc<Hosts>) -> NbdGuard) -> Self {
        let dir = TempDir::new().unwrap();
        let authority = Authority::init(dir.path(), VALIDITY).unwrap();
        let site = SiteName::new("a").unwrap();
        let machine =
            MachineNames { dns: vec!["localhost".to_owned()], ip: vec![[127, 0, 0, 1].into()] };
        authority.issue_site(&site, &machine, VALIDITY).unwrap();
        for host in ["db1", "db2"] {
            authority.issue_host(host, VALIDITY).unwrap();
        }
        let path = |file: &str| dir.path().join(file);
        let files = TlsFiles {
            ca: path("ca.pem"),
            cert: path("a.pem"),
            key: path("a.key"),
            accepted: Some(path("accepted")),
        };
        let credentials = Credentials::load(&site, files).unwrap();
        let export = MemoryExport::new(1 << 20);
        let catalog = Catalog::one("vol", &export);
        let server = NbdServer::bind("127.0.0.1:0", catalog, NbdLimits::default()).await.unwrap();
        let server = server.guarded(guard(Arc::new(Hosts(Arc::clone(&credentials)))));
        let (address, counters) = (server.address().to_string(), server.counters());
        tokio::spawn(server.serve(std::future::pending()));
        Self { dir, authority, credentials, export, address, counters }
    }

    async fn required() -> Self {
        Self::start(|hosts| NbdGuard::required(hosts)).await
    }

    async fn client(&self) -> RawNbd {
        let mut client = RawNbd::connect(&self.address).await.unwrap();
        client.greet(3).await.unwrap();
        client
    }

    /// What a host of this name is configured with; `None` shows no certificate.
    fn config(&self, host: Option<&str>) -> Arc<ClientConfig> {
        let path = |file: String| self.dir.path().join(file);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("ca.pem".into())).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match host {
            None => builder.with_no_client_auth(),
            Some(host) => {
                let own = CertificateDer::from_pem_file(path(format!("{host}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(path(format!("{host}.key"))).unwrap();
                builder.with_client_auth_cert(vec![own], key).unwrap()
            }
        })
    }

    /// STARTTLS and the handshake: the same client inside TLS.
    async fn secured(&self, host: Option<&str>) -> std::io::Result<RawNbd> {
        let mut client = self.client().await;
        assert_eq!(client.option(STARTTLS, &[]).await.unwrap(), [(ACK, Vec::new())]);
        self.shake(client, host).await
    }

    async fn shake(&self, client: RawNbd, host: Option<&str>) -> std::io::Result<RawNbd> {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(self.config(host));
        let stream = connector.connect(name, client.stream).await?;
        Ok(RawNbd { stream: Box::new(stream) as Box<dyn Io> })
    }

    fn refused(&self, reason: &str) -> u64 {
        self.credentials.counts().0[reason]
    }
}

/// Whether a client that shook hands is served: with TLS 1.3 it learns only then.
async fn is_served(client: std::io::Result<RawNbd>) -> bool {
    match client {
        Ok(mut client) => client.go("vol").await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn where_tls_is_required_nothing_is_told_before_it() {
    let served = Served::required().await;
    let mut client = served.client().await;
    let mut go = counted("vol");
    go.extend_from_slice(&[0, 0]);
    for (code, data) in
        [(3, &[][..]), (6, &go), (7, &go), (8, &[]), (10, &[]), (9, &[1]), (99, &[])]
    {
        let replies = client.option(code, data).await.unwrap();
        assert_eq!(replies.len(), 1, "option {code}");
        assert_eq!(replies[0].0, TLS_REQUIRED, "option {code}");
    }
    client.send_option(1, b"vol").await.unwrap();
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "EXPORT_NAME is answered by the end of the connection");
    assert_eq!(served.counters.tls_required.load(SeqCst), 8);
    let mut leaving = served.client().await;
    assert_eq!(leaving.option(2, &[]).await.unwrap()[0].0, ACK, "it may leave");
}

#[tokio::test]
async fn a_host_with_a_certificate_is_served_and_tls_begins_once() {
    let served = Served::required().await;
    let mut client = served.secured(Some("db1")).await.unwrap();
    assert_eq!(client.option(STARTTLS, &[]).await.unwrap()[0].0, INVALID);
    assert_eq!(client.option(3, &[]).await.unwrap().len(), 2, "one export and the ACK");
    assert_eq!(client.go("vol").await.unwrap().0, 1 << 20);
    let data = vec![7; 64 << 10];
    client.request((0, 1), 42, (4096, 64 << 10), &data).await.unwrap();
    assert_eq!(client.simple_reply().await.unwrap(), (0, 42));
    client.request((0, 0), 43, (4096, 64 << 10), &[]).await.unwrap();
    assert_eq!(client.simple_reply().await.unwrap(), (0, 43));
    let mut back = vec![0; 64 << 10];
    client.stream.read_exact(&mut back).await.unwrap();
    assert!(back == data && served.export.bytes.lock()[4096..][..data.len()] == data[..]);
    assert_eq!(served.counters.tls_hosts.load(SeqCst), 1);
}

#[tokio::test]
async fn what_was_sent_in_plain_text_does_not_count_inside_tls() {
    let served = Served::start(|hosts| NbdGuard::offered(hosts)).await;
    // Somebody on the way slips an option behind STARTTLS: it is taken for TLS, and is none.
    let mut client = served.client().await;
    let mut both = Vec::new();
    for code in [STARTTLS, 3] {
        both.extend_from_slice(b"IHAVEOPT");
        both.extend_from_slice(&code.to_be_bytes());
        both.extend_from_slice(&[0; 4]);
    }
    client.stream.write_all(&both).await.unwrap();
    let mut ack = [0; 20];
    client.stream.read_exact(&mut ack).await.unwrap();
    assert!(served.shake(client, Some("db1")).await.is_err());
    assert_eq!(served.refused("protocol"), 1);
    // And what was agreed before is forgotten: metadata needs structured replies.
    let mut client = served.client().await;
    assert_eq!(client.option(8, &[]).await.unwrap()[0].0, ACK);
    assert_eq!(client.option(STARTTLS, &[]).await.unwrap()[0].0, ACK);
    let mut client = served.shake(client, Some("db1")).await.unwrap();
    let mut meta = counted("vol");
    meta.extend_from_slice(&1_u32.to_be_bytes());
    meta.extend_from_slice(&counted("base:allocation"));
    assert_eq!(client.option(10, &meta).await.unwrap()[0].0, INVALID);
    assert_eq!(client.option(8, &[]).await.unwrap()[0].0, ACK);
    assert_eq!(client.option(10, &meta).await.unwrap().len(), 2);
    // Where TLS is only offered, a plain client of this host is served as before.
    assert!(served.client().await.go("vol").await.is_ok());
}

#[tokio::test]
async fn strangers_are_refused_each_for_its_own_reason() {
    let served = Served::required().await;
    assert!(!is_served(served.secured(None).await).await);
    assert_eq!(served.refused("missing"), 1);
    assert!(!is_served(served.secured(Some("a")).await).await, "a site is no host");
    assert_eq!(served.refused("wrong_kind"), 1);
    let other = Served::required().await;
    let mut client = served.client().await;
    client.option(STARTTLS, &[]).await.unwrap();
    // The right authority for the server, a certificate of another one.
    std::fs::copy(other.dir.path().join("db2.pem"), served.dir.path().join("db9.pem")).unwrap();
    std::fs::copy(other.dir.path().join("db2.key"), served.dir.path().join("db9.key")).unwrap();
    assert!(!is_served(served.shake(client, Some("db9")).await).await);
    assert_eq!(served.refused("wrong_authority"), 1);

    let mut up = served.secured(Some("db2")).await.unwrap();
    assert!(up.go("vol").await.is_ok());
    served.authority.withdraw("db2").unwrap();
    served.credentials.reload().unwrap();
    assert!(!is_served(served.secured(Some("db2")).await).await);
    assert_eq!(served.refused("removed"), 1);
    assert!(is_served(served.secured(Some("db1")).await).await, "others go on");
    up.request((0, 3), 1, (0, 0), &[]).await.unwrap();
    assert_eq!(up.simple_reply().await.unwrap(), (0, 1), "who is connected stays");
    assert_eq!(served.counters.tls_failures.load(SeqCst), 4);
}

/// The host's files under the names that qemu and libnbd look for.
fn lay_out(served: &Served, host: &str) -> String {
    let from = served.dir.path();
    let to = from.join(format!("client-{host}"));
    std::fs::create_dir(&to).unwrap();
    std::fs::copy(from.join("ca.pem"), to.join("ca-cert.pem")).unwrap();
    std::fs::copy(from.join(format!("{host}.pem")), to.join("client-cert.pem")).unwrap();
    std::fs::copy(from.join(format!("{host}.key")), to.join("client-key.pem")).unwrap();
    to.to_str().unwrap().to_owned()
}

/// Runs a tool to its end, within a minute: whether it did well, and all that it said. `None`:
/// it is not installed, which is said.
async fn run(tool: &str, arguments: &[&str]) -> Option<(bool, String)> {
    if !Path::new("/usr/bin").join(tool).exists() {
        println!("skipped: {tool} is not installed");
        return None;
    }
    let command = Command::new(Path::new("/usr/bin").join(tool))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), command).await;
    let output = output.unwrap_or_else(|_| panic!("{tool} hangs")).unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_copies_an_image_over_tls_and_is_refused_without() {
    let served = Served::required().await;
    let creds = format!("tls-creds-x509,id=t,dir={},endpoint=client", lay_out(&served, "db1"));
    let port = served.address.rsplit(':').next().unwrap();
    let target = format!(
        "driver=nbd,server.type=inet,server.host=localhost,server.port={port},export=vol,\
         tls-creds=t"
    );
    let image = served.dir.path().join("image.raw");
    let bytes: Vec<u8> = (0..1_usize << 20).map(|n| (n * 31 + n / 4096) as u8 | 1).collect();
    std::fs::write(&image, &bytes).unwrap();
    let image = image.to_str().unwrap();
    let words = ["convert", "-n", "--object", &creds, "-f", "raw", "--target-image-opts", image];
    let Some((well, said)) = run("qemu-img", &[&words[..], &[&target]].concat()).await else {
        return;
    };
    assert!(well, "{said}");
    assert!(*served.export.bytes.lock() == bytes);
    let words = ["compare", "--object", &creds, "--image-opts"];
    let source = format!("driver=raw,file.filename={image}");
    let (well, said) = run("qemu-img", &[&words[..], &[&source, &target]].concat()).await.unwrap();
    assert!(well, "{said}");
    let plain = format!("nbd://{}/vol", served.address);
    let (well, said) = run("qemu-img", &["info", &plain]).await.unwrap();
    assert!(!well && said.contains("TLS"), "{said}");
    assert!(!said.contains("virtual size"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libnbd_reads_and_writes_over_tls() {
    let served = Served::required().await;
    let dir = lay_out(&served, "db1");
    let port = served.address.rsplit(':').next().unwrap();
    let uri = format!("nbds://localhost:{port}/vol?tls-certificates={dir}");
    let (found, _) = run("python3", &["-c", "import nbd"]).await.unwrap_or_default();
    if !found {
        println!("skipped: libnbd for python3 is not installed");
        return;
    }
    let script = "import nbd, sys\n\
                  h = nbd.NBD()\n\
                  h.set_uri_allow_local_file(True)\n\
                  h.connect_uri(sys.argv[1])\n\
                  assert h.get_tls_negotiated()\n\
                  h.pwrite(b'x' * 4096, 8192, nbd.CMD_FLAG_FUA)\n\
                  assert h.pread(4096, 8192) == b'x' * 4096\n\
                  print(h.get_size())\n";
    let (well, said) = run("python3", &["-c", script, &uri]).await.unwrap();
    assert!(well, "{said}");
    assert_eq!(said.trim(), "1048576");
    assert!(served.export.bytes.lock()[8192..][..4096] == [b'x'; 4096]);
}
