//! `/metrics` for Prometheus, and `/healthz`, `/readyz` for whoever supervises the process.

use super::{Sampler, Telemetry};
use crate::control::{Served, status};
use crate::http::stopped;
use crate::nbd::NbdCounters;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Between two looks when nobody scrapes: state changes are seen this late at most.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// Between two foldings of histograms.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What is scraped.
pub struct MetricsServer {
    telemetry: Telemetry,
    sampler: Sampler,
    served: Arc<Served>,
    nbd: Option<Arc<NbdCounters>>,
}

impl MetricsServer {
    /// Measures what is served; `nbd` are the counters of the front end, if there is one.
    pub fn new(telemetry: &Telemetry, served: Arc<Served>, nbd: Option<Arc<NbdCounters>>) -> Self {
        let sampler = Sampler::new(telemetry, served.config());
        Self { telemetry: telemetry.clone(), sampler, served, nbd }
    }

    fn sample(&self) {
        if let Some(last) = self.served.last_reload() {
            self.sampler.reloaded(last);
        }
        for group in self.served.groups().values() {
            self.sampler.sample(&group.status());
        }
        if let Some(nbd) = &self.nbd {
            self.sampler.nbd(nbd);
        }
        for credentials in self.served.credentials().all() {
            self.sampler.credentials(&credentials.counts(), credentials.expires());
        }
    }

    /// What would be lost between two scrapes.
    fn watch(&self) {
        for group in self.served.groups().values() {
            self.sampler.watch(&group.status());
        }
    }

    /// Everything, as of now.
    pub fn scrape(&self) -> String {
        self.sample();
        self.telemetry.render()
    }

    /// Watches and folds until `stop` turns true.
    pub async fn keep(&self, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(WATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut folded = Instant::now();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => self.watch(),
            }
            if folded.elapsed() >= UPKEEP_EVERY {
                self.telemetry.upkeep();
                folded = Instant::now();
            }
        }
    }
}

/// The routes of the metrics port: all of them only read.
pub fn router(server: Arc<MetricsServer>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/v1/status", get(document))
        .with_state(server)
}

async fn scrape(State(server): State<Arc<MetricsServer>>) -> Response {
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (format, server.scrape()).into_response()
}

async fn document(State(server): State<Arc<MetricsServer>>) -> Response {
    Json(status(&server.served)).into_response()
}

/// Ready: every group here has a role that it carries out, without trouble.
async fn ready(State(server): State<Arc<MetricsServer>>) -> Response {
    let groups = server.served.groups().values().map(trefoil_site::Group::status);
    let unready: Vec<String> = groups
        .filter(|status| status.trouble.is_some() || status.generation.is_none())
        .map(|status| {
            let trouble = status.trouble.as_deref();
            let why = trouble.unwrap_or("no generation has begun yet");
            format!("group {}: {why}\n", status.group)
        })
        .collect();
    match unready.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()).into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, unready.concat()).into_response(),
    }
}
