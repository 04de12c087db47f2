//! What is certified of a takeover, with the writes that may or may not have been answered.

use super::ReignActor;
use crate::crew::CrewRef;
use crate::status::{Certificate, DOUBT_RANGES_MAX, DoubtRange, InDoubt};
use trefoil_core::Result;
use trefoil_core::engine::reign::{Cause, Completed};
use trefoil_core::model::{ExtentSet, RANGES_MAX, UpdateNumber, Verdict};
use trefoil_core::record::Record;

/// Records are read in pieces of so many bytes.
const READ_BYTES: usize = 4 << 20;

impl ReignActor {
    /// This site leads: says so at once, and to whoever asked for it once the writes in doubt are
    /// counted. No host waits for that.
    pub(super) fn took_over(&mut self, completed: Completed) {
        if completed.cause == Cause::Named {
            return self.leads_again(&completed);
        }
        let crew = self.crew.clone();
        let now = crew.shared.clock.now_us();
        let totals = &crew.shared.totals;
        let automatic = completed.cause == Cause::Automatic;
        let counter = if automatic { &totals.automatic_takeovers } else { &totals.takeovers };
        crate::shared::add(counter, 1);
        // Before the first write of the new reign.
        let after = crew.marks.answered.get();
        let mut certificate = Certificate {
            generation: completed.generation,
            primary: crew.site().clone(),
            newest: completed.newest,
            verdict: completed.verdict,
            evidence: completed.evidence,
            took_us: now.saturating_sub(completed.begun_at.max(completed.clear_at)),
            total_us: now.saturating_sub(completed.begun_at),
            hosts_waited_us: completed.hosts_wait_since.map(|since| now.saturating_sub(since)),
            in_doubt: None,
        };
        tracing::info!(
            site = %certificate.primary, generation = %certificate.generation,
            newest = %certificate.newest, verdict = %certificate.verdict, automatic, "took over"
        );
        let known = after > UpdateNumber::ZERO && completed.hosts_wait_since.is_none();
        let reply = self.waiting.take();
        actix::spawn(async move {
            if known {
                let found = in_doubt(&crew, after, certificate.newest.number).await;
                let site = crew.site();
                certificate.in_doubt = found
                    .inspect_err(|error| tracing::warn!(%site, %error, "list writes in doubt"))
                    .ok();
            }
            if let Some(InDoubt { writes, bytes, .. }) = &certificate.in_doubt {
                let (site, generation) = (&certificate.primary, &certificate.generation);
                tracing::info!(%site, %generation, writes, bytes, "writes in doubt are counted");
            }
            if let Some(reply) = reply {
                let _ = reply.send(Ok(certificate));
            }
        });
    }

    /// This site leads because the charter names it, after a restart mostly: nobody waits for a
    /// certificate, and what a loss of power took is told all the same.
    fn leads_again(&self, completed: &Completed) {
        let Completed { generation, newest, verdict, .. } = completed;
        let site = self.crew.site();
        if *verdict == Verdict::Zero {
            tracing::info!(%site, %generation, %newest, %verdict, "leads");
        } else {
            tracing::warn!(%site, %generation, %newest, %verdict, "leads");
        }
    }
}

/// The host writes after `after`, up to `up_to`.
async fn in_doubt(crew: &CrewRef, after: UpdateNumber, up_to: UpdateNumber) -> Result<InDoubt> {
    let (mut writes, mut changed) = (0, ExtentSet::new());
    // What is no longer in the journal was trimmed, and that only what others had durably.
    let mut next = after.max(crew.marks.base.get().number).next();
    while next <= up_to {
        let records = crew.io()?.read(next, READ_BYTES).await?;
        let Some(last) = records.last().map(Record::number) else { break };
        let old = records.iter().filter(|record| record.number() <= up_to);
        for extent in old.filter_map(Record::extent) {
            writes += 1;
            changed.insert(extent);
        }
        changed.bridge(RANGES_MAX);
        next = last.next();
    }
    let volumes = crew.shared.volumes();
    let named = changed.iter().filter_map(|extent| {
        let volume = volumes.specs.get(extent.volume.0 as usize)?.name.clone();
        Some(DoubtRange { volume, offset: extent.offset, length: extent.length })
    });
    let ranges: Vec<DoubtRange> = named.take(DOUBT_RANGES_MAX).collect();
    let more_ranges = changed.len().saturating_sub(ranges.len()) as u64;
    Ok(InDoubt { after, up_to, writes, bytes: changed.bytes(), ranges, more_ranges })
}
