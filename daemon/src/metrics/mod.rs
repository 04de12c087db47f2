//! What the daemon measures, and how it is scraped.
//!
//! `table` lists every metric; `sample` takes the values from a group's status, whenever somebody
//! scrapes and every half second besides; `host` measures host requests as they pass; `server`
//! answers `/metrics`.

mod host;
mod sample;
mod server;
pub mod table;

pub use host::{HostMeter, Op};
pub use sample::Sampler;
pub use server::{MetricsServer, router};

use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::sync::Arc;
use table::{Kind, METRICS};
use trefoil_core::{Error, ErrorKind, Result};

/// The limits of latency buckets, in seconds: 25 µs to 10 s in steps of 1, 2.5, 5.
const SECONDS: [f64; 18] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The recorder of one daemon. Nothing is global, so that one process can hold several daemons.
#[derive(Clone)]
pub struct Telemetry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Telemetry {
    /// A recorder that knows the table's descriptions, and holds nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the buckets are refused.
    pub fn new() -> Result<Self> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .map_err(|source| {
                Error::with_source(ErrorKind::Invalid, "set histogram buckets", source)
            })?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let telemetry = Self { recorder: Arc::new(recorder), handle };
        telemetry.describe();
        Ok(telemetry)
    }

    /// Runs `work` with this recorder as the one that the `metrics` macros use.
    pub fn record<T>(&self, work: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, work)
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds observations together. Needed every few seconds: without it histograms grow for as
    /// long as nobody scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    fn describe(&self) {
        self.record(|| {
            for metric in METRICS.iter().filter(|metric| metric.exported) {
                let (name, help) = (metric.name, metric.help);
                match metric.kind {
                    Kind::Gauge | Kind::StateSet => metrics::describe_gauge!(name, help),
                    Kind::Counter => metrics::describe_counter!(name, help),
                    Kind::Histogram => metrics::describe_histogram!(name, help),
                }
            }
        });
    }
}

#[cfg(test)]
pub(crate) mod tests;
