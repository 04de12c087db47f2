//! The etcd arbiter against a real etcd: the public suite, an etcd that is restarted, and one that
//! is not there. Without an etcd the tests say what is missing and look at nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/server.rs"]
mod server;

use async_trait::async_trait;
use server::{Loss, Proxy, Server, binary};
use std::sync::Arc;
use std::time::Duration;
use trefoil_arbiters::Etcd;
use trefoil_core::conformance::arbiter::{ArbiterBench, CLAIMS, prove_all};
use trefoil_core::model::{Charter, Fence, Generation, GroupName, SiteName};
use trefoil_core::port::{Arbiter, ChangeOutcome, LeaseRequest};
use trefoil_core::{ErrorKind, Result};

fn is_missing() -> bool {
    binary().inspect_err(|what| eprintln!("not looked at: {what}")).is_err()
}

fn arbiter(port: u16, group: &str) -> Etcd {
    let endpoints = [format!("http://127.0.0.1:{port}")];
    Etcd::new(&endpoints, "trefoil-test", &GroupName::new(group).unwrap()).unwrap()
}

struct Bench {
    server: Server,
    proxy: Proxy,
    groups: u32,
}

impl Bench {
    fn newest(&self) -> Arc<dyn Arbiter> {
        Arc::new(arbiter(self.proxy.port, &format!("g{}", self.groups)))
    }
}

#[async_trait]
impl ArbiterBench for Bench {
    async fn fresh(&mut self) -> Result<Arc<dyn Arbiter>> {
        self.groups += 1;
        Ok(self.newest())
    }

    async fn restart(&mut self) -> Result<Option<Arc<dyn Arbiter>>> {
        self.server.stop();
        self.server.start_again();
        Ok(Some(self.newest()))
    }

    fn lose_answer(&mut self, made: bool) -> bool {
        self.proxy.lose_next(if made { Loss::Answer } else { Loss::Question });
        true
    }

    async fn pass(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_etcd_keeps_every_claim() {
    if is_missing() {
        return;
    }
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let mut bench = Bench { server, proxy, groups: 0 };
    if let Err(violation) = prove_all(&mut bench).await {
        panic!("{violation}");
    }
    assert!(bench.groups as usize >= CLAIMS.len(), "every claim had an arbiter of its own");
}

fn charter(count: u64, primary: &str) -> Charter {
    let generation = Generation { count, id: count };
    Charter {
        generation,
        version: 1,
        primary: SiteName::new(primary).unwrap(),
        active: true,
        settled: generation,
        in_sync: Vec::new(),
        fence: Fence::Status,
        voters: Vec::new(),
        voters_before: Vec::new(),
        untold: None,
        consented: Generation::NONE,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_unreachable_etcd_did_is_unknown_and_read_when_it_is_back() {
    if is_missing() {
        return;
    }
    let mut server = Server::start();
    let arbiter = arbiter(server.port(), "orders");
    let first = arbiter.compare_and_set(0, charter(1, "a")).await.unwrap();
    assert_eq!(first, ChangeOutcome::Won(1));
    server.stop();
    let unknown = |kind| matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
    let lease = LeaseRequest {
        holder: SiteName::new("a").unwrap(),
        generation: Generation { count: 1, id: 1 },
        duration: Duration::from_secs(1),
    };
    assert!(unknown(arbiter.read().await.unwrap_err().kind()));
    assert!(unknown(arbiter.compare_and_set(1, charter(2, "b")).await.unwrap_err().kind()));
    assert!(unknown(arbiter.renew(lease.clone()).await.unwrap_err().kind()));
    assert!(unknown(arbiter.takeover_wait().await.unwrap_err().kind()));
    server.start_again();
    let found = arbiter.read().await.unwrap().unwrap();
    assert_eq!((found.version, found.charter), (1, charter(1, "a")));
    assert_eq!(arbiter.renew(lease).await.unwrap(), Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_endpoints_the_first_that_is_there_is_asked() {
    if is_missing() {
        return;
    }
    let server = Server::start();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoints = [format!("http://{nobody}"), format!("http://127.0.0.1:{}/", server.port())];
    let group = GroupName::new("orders").unwrap();
    let arbiter = Etcd::new(&endpoints, "trefoil-test/", &group).unwrap();
    assert_eq!(arbiter.read().await.unwrap(), None);
    let told = format!("etcd http://{nobody}, http://127.0.0.1:{}", server.port());
    assert_eq!(arbiter.describe(), told);
}
