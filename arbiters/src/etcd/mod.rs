//! The charter of a group in an etcd, by the JSON gateway of its version 3 API.
//!
//! | key | what it holds |
//! |---|---|
//! | `PREFIX/GROUP/charter` | the charter as JSON; its `version` in etcd is the recorded one |
//! | `PREFIX/GROUP/lease/COUNT.ID/SITE` | the seconds granted; it is tied to an etcd lease |
//!
//! Changes are transactions that compare the version of the charter's key. A lease is granted in a
//! transaction that compares it too, so that nobody is granted one who was deposed meanwhile. No
//! clock of a site is compared with another: how long a lease lasts is measured by etcd alone,
//! which extends all leases when it was restarted or changed its leader.

mod gateway;
mod words;

use async_trait::async_trait;
use gateway::Gateway;
use std::time::Duration;
use trefoil_core::model::{Charter, GroupName};
use trefoil_core::port::{Arbiter, ChangeOutcome, LeaseRequest, Recorded};
use trefoil_core::{Error, ErrorKind, Result};
use words::{Entry, Granted, Range, Remaining, Transaction, TransactionAnswer};

/// How often a renewal looks again when the charter changed under it.
const LOOKS_MAX: u32 = 3;
/// By how much an etcd lease is longer than what is granted: the holder's clock may be this much
/// slower, one part in so many. Then it is rounded up to whole seconds.
const DRIFT_PARTS: u32 = 20;
/// The remaining time of a lease is told in whole seconds, rounded down.
const ROUNDING: Duration = Duration::from_secs(1);

/// Keeps the charter of one group in an etcd.
#[derive(Debug)]
pub struct Etcd {
    gateway: Gateway,
    charter: String,
    leases: String,
}

/// What is recorded, and where etcd counts its change.
struct Found {
    recorded: Recorded,
    revision: String,
}

impl Etcd {
    /// An arbiter for `group` that asks the first of `endpoints` (`http://host:port`) that is
    /// there, and keeps its keys below `prefix`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] without an endpoint, or with one of another form: `https` is not
    /// spoken, so the way to the etcd must be one that nobody else can use.
    pub fn new(endpoints: &[String], prefix: &str, group: &GroupName) -> Result<Self> {
        let root = format!("{}/{group}", prefix.trim_end_matches('/'));
        Ok(Self {
            gateway: Gateway::new(endpoints)?,
            charter: format!("{root}/charter"),
            leases: format!("{root}/lease/"),
        })
    }

    fn lease_key(&self, request: &LeaseRequest) -> String {
        let LeaseRequest { holder, generation, duration: _ } = request;
        format!("{}{}.{}/{holder}", self.leases, generation.count, generation.id)
    }

    fn found(entry: Option<&Entry>) -> Result<Option<Found>> {
        let Some(entry) = entry else { return Ok(None) };
        let charter: Charter = serde_json::from_slice(&entry.value()?).map_err(|source| {
            Error::with_source(ErrorKind::Corrupt, "read charter from etcd: not a charter", source)
        })?;
        let recorded = Recorded { version: entry.version()?, charter };
        Ok(Some(Found { recorded, revision: entry.mod_revision.clone() }))
    }

    async fn look(&self) -> Result<Option<Found>> {
        let answer: words::RangeAnswer =
            self.gateway.call("/v3/kv/range", &Range::of(&self.charter)).await?;
        Self::found(answer.kvs.first())
    }

    /// Ties the lease's key to a new etcd lease, if the charter is still the one of `revision`.
    async fn tie(&self, request: &LeaseRequest, revision: &str) -> Result<bool> {
        let key = self.lease_key(request);
        let held: words::RangeAnswer = self.gateway.call("/v3/kv/range", &Range::of(&key)).await?;
        // A grant that was longer must not be cut short by this one.
        let before = held.kvs.first().map(Entry::seconds).transpose()?.unwrap_or(0);
        let seconds = whole_seconds(request.duration).max(before);
        let granted: Granted =
            self.gateway.call("/v3/lease/grant", &words::Grant::of(seconds)).await?;
        let transaction = Transaction::if_unchanged(&self.charter, revision).put(
            &key,
            seconds.to_string().as_bytes(),
            Some(&granted.id),
        );
        let answer: TransactionAnswer = self.gateway.call("/v3/kv/txn", &transaction).await?;
        Ok(answer.succeeded)
    }
}

/// As long as an etcd lease must be to cover a grant, in seconds.
fn whole_seconds(duration: Duration) -> u64 {
    let covered = duration.saturating_add(duration / DRIFT_PARTS);
    covered.as_secs() + u64::from(covered.subsec_nanos() > 0)
}

#[async_trait]
impl Arbiter for Etcd {
    async fn read(&self) -> Result<Option<Recorded>> {
        Ok(self.look().await?.map(|found| found.recorded))
    }

    async fn compare_and_set(&self, expected: u64, charter: Charter) -> Result<ChangeOutcome> {
        let found = self.look().await?.map(|found| found.recorded);
        if found.as_ref().map_or(0, |recorded| recorded.version) != expected {
            return Ok(ChangeOutcome::Lost(found));
        }
        // A version names one charter for ever: what is compared now holds in the transaction.
        if let Some(held) = found.filter(|held| charter.rank() <= held.charter.rank()) {
            return Err(Error::refused(format!(
                "record charter {:?} in etcd: {:?} is recorded; read it and go on from there",
                charter.rank(),
                held.charter.rank()
            )));
        }
        let text = serde_json::to_vec(&charter).map_err(|source| {
            Error::with_source(ErrorKind::Invalid, "write charter as JSON", source)
        })?;
        let transaction = Transaction::if_version(&self.charter, expected)
            .put(&self.charter, &text, None)
            .or_read(&self.charter);
        let answer: TransactionAnswer = self.gateway.call("/v3/kv/txn", &transaction).await?;
        if answer.succeeded {
            return Ok(ChangeOutcome::Won(expected + 1));
        }
        let found = Self::found(answer.read())?;
        Ok(ChangeOutcome::Lost(found.map(|found| found.recorded)))
    }

    async fn renew(&self, lease: LeaseRequest) -> Result<Duration> {
        for _ in 0..LOOKS_MAX {
            let found = self.look().await?.filter(|found| {
                let charter = &found.recorded.charter;
                charter.primary == lease.holder && charter.generation == lease.generation
            });
            let Some(found) = found else {
                return Err(Error::fenced(format!(
                    "renew lease: {} does not lead generation {} by the charter in etcd; read it",
                    lease.holder, lease.generation
                )));
            };
            if self.tie(&lease, &found.revision).await? {
                return Ok(lease.duration);
            }
        }
        Err(Error::unavailable("renew lease: the charter in etcd changes all the time; try again"))
    }

    async fn takeover_wait(&self) -> Result<Duration> {
        // The charter first: whoever is granted a lease after this leads by a newer one.
        let own = self.look().await?.map(|found| {
            let Charter { generation, primary, .. } = found.recorded.charter;
            self.lease_key(&LeaseRequest { holder: primary, generation, duration: Duration::ZERO })
        });
        let answer: words::RangeAnswer =
            self.gateway.call("/v3/kv/range", &Range::below(&self.leases)).await?;
        let mut longest = Duration::ZERO;
        for entry in &answer.kvs {
            if own.as_ref().is_some_and(|own| entry.is(own)) {
                continue;
            }
            let remaining: Remaining =
                self.gateway.call("/v3/lease/timetolive", &words::Ask::about(entry)).await?;
            if let Some(seconds) = remaining.seconds()? {
                longest = longest.max(Duration::from_secs(seconds) + ROUNDING);
            }
        }
        Ok(longest)
    }

    fn describe(&self) -> String {
        format!("etcd {}", self.gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etcd_lease_covers_the_grant_and_a_slow_clock() {
        assert_eq!(whole_seconds(Duration::from_secs(2)), 3);
        assert_eq!(whole_seconds(Duration::from_millis(900)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(60)), 63);
    }

    #[test]
    fn an_endpoint_that_is_not_plain_http_is_refused_by_name() {
        let group = GroupName::new("orders");
        for endpoint in ["https://127.0.0.1:2379", "127.0.0.1:2379", "http://nowhere", ""] {
            let error = group.as_ref().map(|group| Etcd::new(&[endpoint.into()], "t", group));
            let error = error.map(|made| made.err().map(|error| error.to_string()));
            assert!(matches!(&error, Ok(Some(text)) if text.contains("http://")), "{error:?}");
        }
    }
}
