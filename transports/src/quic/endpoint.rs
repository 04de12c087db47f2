//! Sockets for QUIC, and what its connections are configured with.

use super::{QuicOptions, Shared};
use crate::tls::{PROTOCOL, Verdict};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::SocketAddr;
use std::sync::Arc;
use trefoil_core::{Error, ErrorKind, Result};

/// The buffers of a socket in bytes, as far as the system allows: bursts of a window do not fit
/// into the usual ones, and what does not fit is lost.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Two lanes.
const STREAMS_MAX: u32 = 2;
/// The longest batch of packets that one system call takes, in bytes.
const OFFLOAD_BYTES_MAX: usize = 65_535;
/// The most packets in such a batch.
const OFFLOAD_PACKETS_MAX: usize = 10;
/// What may wait of one connection that is not accepted yet, and of all of them, in bytes.
const INCOMING_BYTES_MAX: u64 = 16 << 10;

/// An endpoint that dials one link.
pub(super) fn dialling(options: &QuicOptions, to: SocketAddr) -> Result<Endpoint> {
    let own: SocketAddr =
        if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    open(options, None, own).map_err(|error| Error::io("open socket", error))
}

/// An endpoint that listens.
pub(super) fn listening(shared: &Shared, at: SocketAddr) -> Result<std::io::Result<Endpoint>> {
    let server = server_config(shared)?;
    Ok(open(&shared.options, Some(server), at))
}

fn open(
    options: &QuicOptions,
    server: Option<ServerConfig>,
    at: SocketAddr,
) -> std::io::Result<Endpoint> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    // The system may give less: then more is sent again.
    for set in [Socket::set_recv_buffer_size, Socket::set_send_buffer_size] {
        if let Err(error) = set(&socket, SOCKET_BUFFER_BYTES) {
            tracing::debug!(%error, "a socket keeps its usual buffers");
        }
    }
    socket.bind(&at.into())?;
    let mut config = EndpointConfig::default();
    if let Some(mtu) = options.mtu {
        config.max_udp_payload_size(mtu).map_err(std::io::Error::other)?;
    }
    Endpoint::new(config, server, socket.into(), Arc::new(quinn::TokioRuntime))
}

/// What dialled connections are configured with, as of now.
pub(super) fn client_config(shared: &Shared) -> Result<(ClientConfig, Verdict)> {
    let (tls, verdict) = shared.credentials.client_config(&shared.peers, PROTOCOL)?;
    let tls = QuicClientConfig::try_from(tls).map_err(unusable)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(&shared.options)?));
    Ok((config, verdict))
}

/// What accepted connections are configured with, as of now.
pub(super) fn server_config(shared: &Shared) -> Result<ServerConfig> {
    let tls = shared.credentials.server_config(&shared.peers, PROTOCOL)?;
    let tls = QuicServerConfig::try_from(tls).map_err(unusable)?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport(&shared.options)?));
    let handshakes = shared.options.handshakes_max.max(2);
    config.max_incoming(handshakes);
    config.incoming_buffer_size(INCOMING_BYTES_MAX);
    config.incoming_buffer_size_total(INCOMING_BYTES_MAX * handshakes as u64);
    // A site whose address changes keeps its link.
    config.migration(true);
    Ok(config)
}

fn unusable<E: std::error::Error + Send + Sync + 'static>(source: E) -> Error {
    Error::with_source(ErrorKind::Invalid, "use TLS inside QUIC", source)
}

fn transport(options: &QuicOptions) -> Result<TransportConfig> {
    let window = options.window_bytes();
    let bytes = |bytes: u64| VarInt::from_u64(bytes).map_err(unusable);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(bytes(window)?)
        .receive_window(bytes(window + window / 8)?)
        .send_window(window)
        .keep_alive_interval(Some(options.keep_alive))
        .max_idle_timeout(Some(IdleTimeout::try_from(options.idle_timeout).map_err(unusable)?))
        .datagram_receive_buffer_size(None);
    if let Some(mtu) = options.mtu {
        config.initial_mtu(mtu).mtu_discovery_config(None::<MtuDiscoveryConfig>);
        // A batch that is longer than the system takes is dropped without a word.
        let fits = usize::from(mtu) * OFFLOAD_PACKETS_MAX <= OFFLOAD_BYTES_MAX;
        config.enable_segmentation_offload(fits);
    }
    Ok(config)
}
