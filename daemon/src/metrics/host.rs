//! Measures host requests where they enter: at the NBD front end's exports.

use super::Telemetry;
use super::table::OPS;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::time::Instant;
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_core::{ErrorKind, Result};

/// What a host asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Op {
    /// Read bytes.
    Read = 0,
    /// Write bytes.
    Write = 1,
    /// Make durable what was answered.
    Flush = 2,
    /// Make a range read as zeroes; a trim is one.
    WriteZeroes = 3,
}

/// The reasons in `trefoil_volume_io_errors_total`: a closed set, so that its series are bounded.
const REASONS: [(ErrorKind, &str); 9] = [
    (ErrorKind::Invalid, "invalid"),
    (ErrorKind::Refused, "refused"),
    (ErrorKind::Fenced, "fenced"),
    (ErrorKind::Unavailable, "unavailable"),
    (ErrorKind::Full, "full"),
    (ErrorKind::Timeout, "timeout"),
    (ErrorKind::Corrupt, "corrupt"),
    (ErrorKind::Io, "io"),
    (ErrorKind::Closed, "closed"),
];

/// Measures the requests to one volume. The handles are made once: a request costs a few atomic
/// operations.
pub struct HostMeter {
    telemetry: Telemetry,
    labels: [String; 3],
    ops: [OpMeter; OPS.len()],
    inflight: Gauge,
}

struct OpMeter {
    done: Counter,
    bytes: Counter,
    duration: Histogram,
}

impl HostMeter {
    /// A meter for the requests to one volume at one site.
    pub fn new(
        telemetry: &Telemetry,
        site: &SiteName,
        group: &GroupName,
        volume: &VolumeName,
    ) -> Self {
        let labels = [site.to_string(), group.to_string(), volume.to_string()];
        let [site, group, volume] = labels.clone();
        let (ops, inflight) = telemetry.record(|| {
            let inflight = gauge!(
                "trefoil_volume_io_inflight",
                "site" => site.clone(), "group" => group.clone(), "volume" => volume.clone()
            );
            (OPS.map(|op| OpMeter::new([&site, &group, &volume], op)), inflight)
        });
        Self { telemetry: telemetry.clone(), labels, ops, inflight }
    }

    /// Runs one request of `bytes` bytes and counts it.
    pub async fn measure<T>(
        &self,
        op: Op,
        bytes: u64,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let meter = &self.ops[op as usize];
        let begun = Instant::now();
        let _inflight = Inflight::enter(&self.inflight);
        let outcome = request.await;
        match &outcome {
            Ok(_) => {
                meter.done.increment(1);
                meter.bytes.increment(bytes);
                meter.duration.record(begun.elapsed());
            }
            Err(error) => self.failed(op, error.kind()),
        }
        outcome
    }

    fn failed(&self, op: Op, kind: ErrorKind) {
        let reason = REASONS.iter().find(|(known, _)| *known == kind);
        let reason = reason.map_or("other", |(_, reason)| reason);
        let [site, group, volume] = self.labels.clone();
        self.telemetry.record(|| {
            counter!(
                "trefoil_volume_io_errors_total",
                "site" => site, "group" => group, "volume" => volume,
                "op" => OPS[op as usize], "reason" => reason
            )
            .increment(1);
        });
    }
}

impl OpMeter {
    fn new([site, group, volume]: [&String; 3], op: &'static str) -> Self {
        let labels = [
            ("site", site.clone()),
            ("group", group.clone()),
            ("volume", volume.clone()),
            ("op", op.to_owned()),
        ];
        Self {
            done: counter!("trefoil_volume_io_total", &labels),
            bytes: counter!("trefoil_volume_io_bytes_total", &labels),
            duration: histogram!(
                "trefoil_volume_io_duration_seconds",
                "site" => site.clone(), "group" => group.clone(), "op" => op
            ),
        }
    }
}

/// Counted down also when a request's future is dropped.
struct Inflight<'a>(&'a Gauge);

impl<'a> Inflight<'a> {
    fn enter(gauge: &'a Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Inflight<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
