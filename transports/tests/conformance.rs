//! Every transport of this crate keeps the promises of the port.

use std::time::Duration;
use trefoil_core::conformance::transport::{BoxSleep, Subject, prove_all};
use trefoil_core::port::Transport;
use trefoil_transports::shaped::Way;
use trefoil_transports::{
    Faulty, FaultyOptions, MemoryNetwork, Shaped, SimulatedNetwork, SimulatedOptions, TcpTransport,
};

/// tokio's clock, paused or not.
fn sleep(time: Duration) -> BoxSleep {
    Box::pin(tokio::time::sleep(time))
}

/// Proves every claim between two transports.
async fn conforms(dialer: &dyn Transport, acceptor: &dyn Transport, address: &str) {
    let subject = Subject::new(dialer, acceptor, address, &sleep);
    if let Err(violation) = prove_all(&subject).await {
        panic!("{}: {violation}", dialer.describe());
    }
}

#[tokio::test(start_paused = true)]
async fn memory_conforms() {
    let transport = MemoryNetwork::new().transport();
    conforms(&transport, &transport, "somewhere").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms_on_several_threads() {
    let transport = MemoryNetwork::new().transport();
    conforms(&transport, &transport, "somewhere").await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_network_conforms_for_any_seed() {
    for seed in 0..4 {
        let network = SimulatedNetwork::new(seed, SimulatedOptions::default());
        conforms(&network.transport_for("a"), &network.transport_for("b"), "b").await;
    }
}

#[tokio::test]
async fn tcp_conforms() {
    let transport = TcpTransport::default();
    conforms(&transport, &transport, "127.0.0.1:0").await;
}

#[tokio::test(start_paused = true)]
async fn shaped_memory_conforms() {
    let near = MemoryNetwork::new().transport();
    let time = Duration::from_millis;
    let way =
        Way { delay: time(20), jitter: time(5), bytes_per_second: Some(1 << 30), ..Way::default() };
    let far = Shaped::new(near, way);
    conforms(&far, &far, "somewhere").await;
}

#[tokio::test(start_paused = true)]
async fn faulty_memory_conforms_while_nothing_is_cut() {
    let good = MemoryNetwork::new().transport();
    let (faulty, control) = Faulty::new(good, FaultyOptions::default());
    control.set_delay(Duration::from_millis(10));
    conforms(&faulty, &faulty, "somewhere").await;
}
