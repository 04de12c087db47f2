//! Strangers at either end, over everything that proves sites.

use super::stranger::{PROTOCOL, Shown, TLS};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(5);

/// What a stranger comes by.
#[derive(Clone, Copy, Debug)]
pub enum Carrier {
    Tcp,
    Quic,
}

impl Carrier {
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Quic];

    /// Connects, and is not let in: the connection is ended by the other side.
    pub async fn knock(self, config: ClientConfig, address: &str, what: &str) {
        let ended = async {
            match self {
                Self::Tcp => knock_tcp(config, address).await,
                Self::Quic => knock_quic(config, address).await,
            }
        };
        let ended = tokio::time::timeout(SOON, ended).await;
        assert!(ended.is_ok(), "{what}: let in");
    }

    /// Listens, and shakes hands with everybody.
    pub async fn serve(self, config: ServerConfig) -> (String, JoinHandle<()>) {
        match self {
            Self::Tcp => serve_tcp(config).await,
            Self::Quic => serve_quic(config),
        }
    }
}

async fn knock_tcp(config: ClientConfig, address: &str) {
    let stream = TcpStream::connect(address).await.unwrap();
    let host = ServerName::try_from("trefoil.invalid").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    if let Ok(mut stream) = connector.connect(host, stream).await {
        assert!(stream.read_u8().await.is_err());
    }
}

async fn knock_quic(config: ClientConfig, address: &str) {
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let to = address.parse().unwrap();
    let connecting = endpoint.connect_with(config, to, "trefoil.invalid").unwrap();
    if let Ok(connection) = connecting.await {
        let ended = connection.closed().await;
        assert!(matches!(ended, quinn::ConnectionError::ConnectionClosed(_)), "{ended}");
    }
}

async fn serve_tcp(config: ServerConfig) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let serving = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.extend(acceptor.accept(stream).await);
        }
    });
    (address, serving)
}

fn serve_quic(config: ServerConfig) -> (String, JoinHandle<()>) {
    let config = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(incoming) = endpoint.accept().await {
            kept.extend(incoming.await);
        }
    });
    (address, serving)
}

/// A server that asks for no certificate.
pub fn careless(Shown(chain, key): Shown) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(TLS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config
}
