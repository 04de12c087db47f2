//! The script `flood`: the host writes on while C is away; memory stays bounded, nobody waits.

use super::contents::{images, read_image};
use super::options::{Args, Backend};
use super::report::Report;
use super::resident::resident_bytes;
use super::stage::{PATIENCE, Stage, leg, per_second, third, until};
use super::story::{Progress, Story, count, milliseconds, size};
use super::world::volume_of;
use super::writer::{Load, Seen};
use serde::Serialize;
use std::cell::Cell;
use std::time::{Duration, Instant};
use trefoil_core::engine::judge::PlanKind;
use trefoil_core::model::LegState;
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_site::{GroupStatus, Limits, Point};

/// Capacity of each journal, in bytes.
const JOURNAL_BYTES: u64 = 1 << 30;
/// The part of a journal that the flood may take: the host is free while there is room.
const JOURNAL_PART: f64 = 0.6;
/// Bytes of a write in a journal, about.
const RECORD_BYTES: f64 = 4096.0 + 96.0;
/// What the process may take beyond the limits of its sites: stacks, code, the allocator's slack.
const SLACK_BYTES: u64 = 96 << 20;
/// The host writes so long before the pause, for comparison.
const BEFORE: Duration = Duration::from_secs(2);
/// Between two looks at the sites.
const SAMPLE: Duration = Duration::from_millis(200);
/// The longest time without any answer that is still no standstill, on a busy machine.
const GAP_MAX: Duration = Duration::from_secs(5);

/// Small, so that a flood is much larger.
const LIMITS: Limits = Limits {
    window_bytes: 4 << 20,
    overlay_bytes: 16 << 20,
    tail_bytes: 8 << 20,
    credit_bytes: 4 << 20,
};

/// The figures of the script.
#[derive(Clone, Debug, Default, Serialize)]
struct Figures {
    pause_seconds: f64,
    answered_updates: u64,
    lost_updates: u64,
    /// Host bytes answered while C was away.
    flood_bytes: u64,
    writes_per_second_before: f64,
    writes_per_second_during: f64,
    longest_gap_ms: f64,
    /// What C lacked when it came back, and what it fetched.
    missing_updates: u64,
    delta_updates: u64,
    copied_bytes: u64,
    catch_up_seconds: f64,
    resident_before_bytes: u64,
    resident_peak_bytes: u64,
    resident_after_bytes: u64,
    /// What the sites' limits allow beyond what there was before.
    budget_bytes: u64,
    overlay_peak_bytes: u64,
    overlay_max_bytes: u64,
    journal_peak_bytes: u64,
    journal_capacity_bytes: u64,
    a_hash: String,
    c_hash: String,
}

/// Runs the script; the story remembers what was false.
///
/// # Errors
/// When the report cannot be written.
pub(super) async fn run(args: &Args, backend: Backend) -> Result<Story> {
    let began = Instant::now();
    let (mut story, mut figures) = (Story::new(), Figures::default());
    if let Err(error) = tell(&mut story, args, backend, &mut figures).await {
        story.say(false, "The story came to its end.", error);
    }
    let seconds = began.elapsed().as_secs_f64();
    if let Some(path) = &args.report {
        let words = ["flood".to_owned(), args.transport.to_string(), backend.to_string()];
        Report::new(words, seconds, (story.told(), story.lies()), figures).write(path)?;
    }
    Ok(story)
}

async fn tell(
    story: &mut Story,
    args: &Args,
    backend: Backend,
    figures: &mut Figures,
) -> Result<()> {
    let rate = rate(args.script_rate(), args.pause);
    let (stage, load) = Stage::set(story, args, backend, rate, (JOURNAL_BYTES, LIMITS)).await?;
    figures.pause_seconds = args.pause.as_secs_f64();
    let mut tale = Flood { stage, backend, figures };
    let before = tale.before(&load).await?;
    let during = tale.c_is_away(&load, args.pause).await?;
    tale.host_was_free(&before, &during);
    tale.memory_was_bounded(&during);
    tale.c_returns(load).await?;
    tale.a_and_c_are_equal().await?;
    tale.end()
}

/// The most writes a second for which the journal has room over the pause.
fn rate(wanted: u64, pause: Duration) -> u64 {
    let room = JOURNAL_BYTES as f64 * JOURNAL_PART / RECORD_BYTES;
    let most = (room / pause.as_secs_f64().max(1.0)) as u64;
    if wanted == 0 { most } else { wanted.min(most) }
}

/// The story from where all three sites are paired.
struct Flood<'s, 'f> {
    stage: Stage<'s>,
    backend: Backend,
    figures: &'f mut Figures,
}

/// What was seen over a time.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    seen: Seen,
    lasted: Duration,
    overlay_peak: u64,
    journal_peak: u64,
    resident_first: u64,
    resident_peak: u64,
    /// Growth of the journals, all sites together.
    journals_grown: u64,
}

impl Sight {
    fn rate(&self) -> f64 {
        per_second(self.seen.answered, self.lasted)
    }
}

impl Flood<'_, '_> {
    async fn before(&mut self, load: &Load) -> Result<Sight> {
        self.stage.story.chapter("The host writes");
        let sight = self.watch(load, BEFORE, "the host writes").await?;
        self.figures.writes_per_second_before = sight.rate();
        self.stage.story.say(
            sight.seen.answered > 0,
            format_args!(
                "With all three sites there, {} writes of 4 KiB a second are answered, after {} on \
                 average.",
                count(sight.rate() as u64),
                milliseconds(sight.seen.mean())
            ),
            "no write was answered",
        );
        Ok(sight)
    }

    async fn c_is_away(&mut self, load: &Load, pause: Duration) -> Result<Sight> {
        self.stage.story.chapter(&format!("C is away for {} s", pause.as_secs_f64()));
        for other in ["a", "b"] {
            self.stage.world.link(other, "c")?.set_cut(true);
        }
        let sight = self.watch(load, pause, "C is away").await?;
        Ok(sight)
    }

    /// Looks at the sites while time passes.
    async fn watch(&self, load: &Load, time: Duration, what: &str) -> Result<Sight> {
        let (bar, began) = (Progress::time(what, time), Instant::now());
        load.forget_gap();
        let before = load.seen();
        let journals = || self.statuses().map(|status| status.journal_used_bytes).sum::<u64>();
        let journals_first = journals();
        let first = resident_bytes()?;
        let mut sight = Sight { resident_first: first, resident_peak: first, ..Sight::default() };
        while began.elapsed() < time {
            tokio::time::sleep(SAMPLE.min(time.saturating_sub(began.elapsed()))).await;
            sight.resident_peak = sight.resident_peak.max(resident_bytes()?);
            for status in self.statuses() {
                sight.overlay_peak = sight.overlay_peak.max(status.overlay_bytes);
                sight.journal_peak = sight.journal_peak.max(status.journal_used_bytes);
            }
            bar.set(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
        sight.lasted = began.elapsed();
        sight.seen = load.seen().since(&before);
        sight.journals_grown = journals().saturating_sub(journals_first);
        Ok(sight)
    }

    fn statuses(&self) -> impl Iterator<Item = std::sync::Arc<GroupStatus>> {
        [&self.stage.a, &self.stage.b, &self.stage.c].into_iter().map(|group| group.status())
    }

    fn host_was_free(&mut self, before: &Sight, during: &Sight) {
        let status = self.stage.a.status();
        let flood = during.seen.answered * super::blocks::BLOCK_BYTES as u64;
        self.figures.flood_bytes = flood;
        self.figures.writes_per_second_during = during.rate();
        self.figures.longest_gap_ms = during.seen.longest_gap.as_secs_f64() * 1000.0;
        self.stage.story.say(
            during.rate() >= before.rate() / 2.0 && during.seen.longest_gap < GAP_MAX,
            format_args!(
                "The host was not held back: {} writes a second, {} in all, answered after {} on \
                 average; at no time longer than {} without an answer.",
                count(during.rate() as u64),
                size(flood),
                milliseconds(during.seen.mean()),
                milliseconds(during.seen.longest_gap)
            ),
            format_args!("before {before:?}, during {during:?}"),
        );
        let lacks = leg(&status, "c").map_or(0, |c| status.commit.since(c.marks.received));
        let possible = leg(&status, "c").is_some_and(|c| c.delta_possible && !c.link_up);
        self.figures.missing_updates = lacks;
        self.figures.journal_peak_bytes = during.journal_peak;
        self.figures.journal_capacity_bytes = status.journal_capacity_bytes;
        self.stage.story.say(
            lacks > 0 && possible && during.journal_peak <= status.journal_capacity_bytes,
            format_args!(
                "C lacks {} updates. They are all in A's journal, which holds {} of {}: a delta \
                 resync is possible.",
                count(lacks),
                size(status.journal_used_bytes),
                size(status.journal_capacity_bytes)
            ),
            format_args!("{:?}", leg(&status, "c")),
        );
    }

    fn memory_was_bounded(&mut self, during: &Sight) {
        let max = LIMITS.overlay_bytes;
        self.figures.overlay_peak_bytes = during.overlay_peak;
        self.figures.overlay_max_bytes = max;
        // One batch may be under way beyond the limit.
        let allowed = max + LIMITS.window_bytes;
        self.stage.story.say(
            during.overlay_peak <= allowed,
            format_args!(
                "What is not in a volume yet took at most {} of memory at any site; the limit is \
                 {}.",
                size(during.overlay_peak),
                size(max)
            ),
            format_args!("{} bytes", during.overlay_peak),
        );
        let budget = self.budget(during);
        let grown = during.resident_peak.saturating_sub(during.resident_first);
        self.figures.budget_bytes = budget;
        self.figures.resident_before_bytes = during.resident_first;
        self.figures.resident_peak_bytes = during.resident_peak;
        self.stage.story.say(
            grown <= budget,
            format_args!(
                "The process had {} in memory before, and {} at most while C was away: {} more, \
                 where the limits of three sites allow {}.",
                size(during.resident_first),
                size(during.resident_peak),
                size(grown),
                size(budget)
            ),
            format_args!("{grown} bytes more"),
        );
    }

    /// What three sites may take beyond what they have.
    fn budget(&self, during: &Sight) -> u64 {
        let Limits { window_bytes, overlay_bytes, tail_bytes, credit_bytes } = LIMITS;
        let limits = 3 * (window_bytes + overlay_bytes + tail_bytes + credit_bytes);
        let kept = match self.backend {
            // There the journals and the volumes are memory themselves, or mapped into it.
            Backend::Memory | Backend::Mmap => during.journals_grown + 3 * self.stage.volume_bytes,
            Backend::File => 0,
        };
        limits + kept + SLACK_BYTES
    }

    async fn c_returns(&mut self, load: Load) -> Result<()> {
        let stage = &mut self.stage;
        stage.story.chapter("C returns");
        let began = Instant::now();
        for other in ["a", "b"] {
            stage.world.link(other, "c")?.set_cut(false);
        }
        let bar = Progress::updates("C catches up", self.figures.missing_updates);
        let away = stage.c.status().marks.received;
        let peak = Cell::new(resident_bytes()?);
        let status = until(&stage.c, "C has caught up", |status| {
            bar.set(status.marks.received.since(away));
            peak.set(peak.get().max(resident_bytes().unwrap_or_default()));
            let follows = status.follows.as_ref();
            follows.is_some_and(|f| f.state == LegState::Paired && f.plan.is_some())
        })
        .await?;
        drop(bar);
        let took = began.elapsed();
        let ended = load.stop().await;
        let follows = status.follows.clone();
        let follows = follows.ok_or_else(|| Error::unavailable("judge C: it follows nobody"))?;
        let fetched = follows.fetched;
        let delta = follows.plan.as_ref().is_some_and(|plan| plan.kind == PlanKind::Delta);
        self.figures.delta_updates = fetched.delta_updates;
        self.figures.copied_bytes = fetched.copied_bytes;
        self.figures.catch_up_seconds = took.as_secs_f64();
        self.figures.resident_peak_bytes = self.figures.resident_peak_bytes.max(peak.get());
        stage.story.say(
            delta
                && fetched.copied_bytes == 0
                && fetched.delta_updates >= self.figures.missing_updates
                && ended.cut_off.is_empty(),
            format_args!(
                "C caught up by delta in {:.1} s while the host went on: {} updates ({}), no block \
                 was copied.",
                took.as_secs_f64(),
                count(fetched.delta_updates),
                size(fetched.delta_bytes)
            ),
            format_args!("{follows:?}; writers that ended: {:?}", ended.cut_off),
        );
        Ok(())
    }

    async fn a_and_c_are_equal(&mut self) -> Result<()> {
        let stage = &mut self.stage;
        stage.story.chapter("The end");
        let last = volume_of(&stage.a)?.flush().await?;
        let restored = async {
            stage.a.wait_for(last, &third()?, Point::Restored).await?;
            stage.a.wait_for(last, stage.a.site(), Point::Restored).await
        };
        let late = |_| Error::new(ErrorKind::Timeout, "wait until A and C have restored all");
        tokio::time::timeout(PATIENCE, restored).await.map_err(late)??;
        let (number, a, c) = images(&stage.a, &stage.c).await?;
        let at_a = read_image(&a, stage.volume_bytes, &stage.ledger).await?;
        let at_c = read_image(&c, stage.volume_bytes, &stage.ledger).await?;
        let resident = resident_bytes()?;
        let totals = stage.ledger.totals();
        self.figures.resident_after_bytes = resident;
        self.figures.answered_updates = totals.writes;
        self.figures.lost_updates = at_a.wrong + at_c.wrong;
        self.figures.a_hash.clone_from(&at_a.hash);
        self.figures.c_hash.clone_from(&at_c.hash);
        stage.story.say(
            at_a.hash == at_c.hash && at_a.wrong + at_c.wrong == 0,
            format_args!(
                "At update {} the volumes of A and C are equal and hold all that was answered: \
                 blake3 {}.",
                count(number.value()),
                at_a.hash
            ),
            format_args!("C has {}; at A {}; at C {}", at_c.hash, at_a.faults(), at_c.faults()),
        );
        let (before, budget) = (self.figures.resident_before_bytes, self.figures.budget_bytes);
        let peak = self.figures.resident_peak_bytes;
        stage.story.say(
            resident.max(peak) <= before + budget,
            format_args!(
                "The process had at most {} in memory in all this time, and has {} now.",
                size(peak),
                size(resident)
            ),
            format_args!(
                "before the pause it had {}, {} more is the limit",
                size(before),
                size(budget)
            ),
        );
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        self.stage.end("A, B and C");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_only_as_fast_as_the_journal_has_room_for_its_pause() {
        let pause = Duration::from_secs(60);
        let bytes = rate(0, pause) as f64 * pause.as_secs_f64() * RECORD_BYTES;
        assert!(bytes <= JOURNAL_BYTES as f64 * JOURNAL_PART);
        assert!(bytes > 4.0 * (LIMITS.overlay_bytes * 3) as f64, "it is a flood");
        assert_eq!(rate(100, pause), 100);
        assert_eq!(rate(5000, Duration::from_secs(2)), 5000);
    }
}
