//! The script `failover`: A is lost under load, B takes over, C follows by delta, nothing is lost.

use super::blocks::BLOCK_BYTES;
use super::census::{Census, Count};
use super::contents::{Contents, images, read_image, read_volume};
use super::options::{Args, Backend};
use super::report::Report;
use super::stage::{PATIENCE, Stage, leg, pass, per_second, third, until};
use super::story::{Story, count, milliseconds, size};
use super::world::volume_of;
use super::writer::{Load, WRITERS, write_block};
use serde::Serialize;
use std::time::{Duration, Instant};
use trefoil_core::engine::judge::PlanKind;
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::UpdateNumber;
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_site::status::FollowStatus;
use trefoil_site::{Certificate, GroupStatus, Limits, Point, TakeoverOptions, Volume};

/// Capacity of each journal, in bytes.
const JOURNAL_BYTES: u64 = 256 << 20;
/// How much later C receives, to make it lag.
const DELAY: Duration = Duration::from_millis(200);
/// A third site that keeps up holds what was answered within this time, on a busy machine too.
const CAUGHT_MAX: Duration = Duration::from_secs(5);

/// The figures of the script.
#[derive(Clone, Debug, Default, Serialize)]
struct Figures {
    /// Host writes that were answered.
    answered_updates: u64,
    /// Host writes that were begun when A was killed, and never answered.
    in_doubt_updates: u64,
    /// Answered writes that are missing at B or C.
    lost_updates: u64,
    /// What C lacked at the fence: records in (C's newest, B's newest], counted in B's journal.
    missing_updates: u64,
    missing_bytes: u64,
    /// What C fetched from B of updates that B inherited from A.
    delta_updates: u64,
    delta_bytes: u64,
    /// Bytes of blocks that were copied to C after the takeover.
    copied_bytes: u64,
    /// Bytes of blocks that were copied to C when it joined.
    initial_copied_bytes: u64,
    verdict: String,
    /// From the verb until B could answer the host.
    takeover_ms: f64,
    /// From the verb until B had answered a write.
    first_write_ms: f64,
    /// Host writes a second, before the loss and after the takeover.
    writes_per_second_at_a: f64,
    writes_per_second_at_b: f64,
    /// The update number at which B and C were compared.
    compared_at: u64,
    b_hash: String,
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
        let words = ["failover".to_owned(), args.transport.to_string(), backend.to_string()];
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
    let limits = Limits::default();
    let (stage, load) =
        Stage::set(story, args, backend, args.script_rate(), (JOURNAL_BYTES, limits)).await?;
    figures.initial_copied_bytes = stage.copied_bytes;
    let half = Duration::from_millis(args.seconds * 500);
    let mut tale = Failover { stage, args, figures, half };
    tale.three_sites_keep_up(&load).await?;
    tale.c_falls_behind(&load).await?;
    let (census, floor) = tale.a_is_killed(load).await?;
    let (certificate, missing) = tale.b_takes_over(census, floor).await?;
    let volume = volume_of(&tale.stage.b)?;
    tale.nothing_is_lost_at_b(&volume).await?;
    tale.c_follows(&volume, &certificate, missing).await?;
    tale.b_and_c_are_equal(&volume).await?;
    drop(volume);
    tale.end()
}

/// The story from where all three sites are paired.
struct Failover<'s, 'f> {
    stage: Stage<'s>,
    args: &'f Args,
    figures: &'f mut Figures,
    /// How long the host writes before the loss, and after it.
    half: Duration,
}

impl Failover<'_, '_> {
    async fn three_sites_keep_up(&mut self, load: &Load) -> Result<()> {
        self.stage.story.chapter("The host writes");
        let (before, began) = (load.seen(), Instant::now());
        pass("the host writes", self.half).await;
        let seen = load.seen().since(&before);
        let rate = per_second(seen.answered, began.elapsed());
        self.figures.writes_per_second_at_a = rate;
        let highest = self.stage.ledger.totals().highest;
        let asked = Instant::now();
        let holds = |status: &GroupStatus| status.marks.received >= highest;
        until(&self.stage.b, "B holds what was answered", holds).await?;
        until(&self.stage.c, "C holds what was answered", holds).await?;
        let after = asked.elapsed();
        self.stage.story.say(
            seen.answered > 0 && after < CAUGHT_MAX,
            format_args!(
                "{} writes of 4 KiB a second, answered after {} on average. The newest answered \
                 update is {}: B holds it, and so does C, at most {} later.",
                count(rate as u64),
                milliseconds(seen.mean()),
                count(highest.value()),
                milliseconds(after)
            ),
            format_args!("{} answered; B and C held them after {after:?}", seen.answered),
        );
        Ok(())
    }

    /// C is made to lag by a longer way to A.
    async fn c_falls_behind(&mut self, load: &Load) -> Result<()> {
        self.stage.world.link("a", "c")?.set_delay(DELAY);
        let before = load.seen();
        tokio::time::sleep(3 * DELAY).await;
        let behind = until(&self.stage.a, "C lags", |status| {
            leg(status, "c").is_some_and(|c| status.newest.number.since(c.marks.received) > 0)
        });
        let status = behind.await?;
        let received = leg(&status, "c").map(|leg| leg.marks.received).unwrap_or_default();
        let lag = status.newest.number.since(received);
        let mean = load.seen().since(&before).mean();
        self.stage.story.say(
            lag > 0 && mean < DELAY,
            format_args!(
                "The way from A to C is made {} ms longer. C lags by {} updates; the host does \
                 not wait for it: its writes are answered after {} on average.",
                DELAY.as_millis(),
                count(lag),
                milliseconds(mean)
            ),
            format_args!("C is {lag} behind, answers take {mean:?}"),
        );
        Ok(())
    }

    /// A dies in the middle of the load.
    async fn a_is_killed(&mut self, load: Load) -> Result<(Census, UpdateNumber)> {
        let stage = &mut self.stage;
        stage.story.chapter("A is killed");
        stage.world.kill("a");
        let silent = volume_of(&stage.a)?.read_at(0, BLOCK_BYTES).await.is_err();
        let ended = tokio::time::timeout(PATIENCE, load.ended()).await;
        let ended = ended.map_err(|_| {
            Error::new(ErrorKind::Timeout, "wait for the writers: A is dead, they still wait")
        })?;
        let totals = stage.ledger.totals();
        self.figures.answered_updates = totals.writes;
        self.figures.in_doubt_updates = totals.unanswered;
        stage.story.say(
            ended.cut_off.len() as u64 == WRITERS && silent,
            format_args!(
                "A is gone in the middle of the load: {} writes were answered, the newest is \
                 update {}. {} more were under way; each may have happened or not.",
                count(totals.writes),
                count(totals.highest.value()),
                totals.unanswered
            ),
            format_args!("A is silent: {silent}; writers that ended: {:?}", ended.cut_off),
        );
        self.b_covers_c(totals.highest).await
    }

    /// What B's journal holds beyond C is counted before anything else happens.
    async fn b_covers_c(&mut self, highest: UpdateNumber) -> Result<(Census, UpdateNumber)> {
        let stage = &mut self.stage;
        for group in [&stage.b, &stage.c] {
            until(group, "the loss of A is seen", |status| {
                leg(status, "a").is_some_and(|leg| !leg.link_up)
            })
            .await?;
        }
        let status = until(&stage.b, "B hears from C", |status| {
            leg(status, "c")
                .is_some_and(|leg| leg.link_up && leg.marks.received > UpdateNumber::ZERO)
        })
        .await?;
        let floor = leg(&status, "c").map(|leg| leg.marks.received).unwrap_or_default();
        let mut census = Census::default();
        census.read(&stage.b, floor, status.newest.number).await?;
        let newest = status.newest.number;
        let covered = census.count(floor, newest);
        let possible = leg(&status, "c").is_some_and(|leg| leg.delta_possible);
        stage.story.say(
            newest >= highest && covered.whole && possible,
            format_args!(
                "B holds {}, and last heard that C holds {}. B's journal has everything from {} \
                 on, so a delta resync is possible.",
                count(newest.value()),
                count(floor.value()),
                count(floor.next().value())
            ),
            format_args!("answered {highest}, journal {covered:?}, delta {possible}"),
        );
        Ok((census, floor))
    }

    /// B takes over; what C lacked at the fence is known from then on.
    async fn b_takes_over(
        &mut self,
        mut census: Census,
        floor: UpdateNumber,
    ) -> Result<(Certificate, Count)> {
        let stage = &mut self.stage;
        stage.story.chapter("B takes over");
        // A is known to be dead, so its lease need not be waited for.
        let options = TakeoverOptions { primary_is_fenced: true, ..TakeoverOptions::default() };
        let began = Instant::now();
        let certificate = stage.b.takeover(options).await?;
        let volume = volume_of(&stage.b)?;
        write_block(&volume, &stage.ledger, stage.ledger.count() - 1).await?;
        let first_write = began.elapsed();
        let (answered, newest) = (stage.ledger.totals().highest, certificate.newest.number);
        let took = Duration::from_micros(certificate.took_us);
        self.figures.takeover_ms = certificate.took_us as f64 / 1000.0;
        self.figures.first_write_ms = first_write.as_micros() as f64 / 1000.0;
        self.figures.verdict = certificate.verdict.to_string();
        stage.story.say(
            certificate.verdict == Verdict::Zero
                && certificate.primary.as_str() == "b"
                && answered > newest
                && stage.b.status().serving,
            format_args!(
                "B leads generation {} after {}, and answered a write {} after it was told to. \
                 Verdict: {}.",
                certificate.generation,
                milliseconds(took),
                milliseconds(first_write),
                certificate.verdict
            ),
            format_args!("{certificate:?}; the write has number {answered}"),
        );
        census.read(&stage.b, floor, newest).await?;
        let at_c = certificate.evidence.get(&third()?).map(|position| position.number);
        let at_c = at_c.ok_or_else(|| Error::unavailable("judge C: it gave no evidence"))?;
        let missing = census.count(at_c, newest);
        self.figures.missing_updates = missing.updates;
        self.figures.missing_bytes = missing.bytes;
        stage.story.say(
            missing.whole && missing.updates > 0,
            format_args!(
                "At the fence B held {} and C held {}: C lacks {} updates, {} of records in B's \
                 journal.",
                count(newest.value()),
                count(at_c.value()),
                count(missing.updates),
                size(missing.bytes)
            ),
            format_args!("{missing:?}"),
        );
        Ok((certificate, missing))
    }

    /// The host reads everything that it was ever answered.
    async fn nothing_is_lost_at_b(&mut self, volume: &Volume) -> Result<()> {
        let contents = read_volume(volume, &self.stage.ledger).await?;
        self.figures.lost_updates = contents.wrong;
        let written = self.stage.ledger.written();
        let input = match self.stage.ledger.input() {
            Some(_) => " The rest is the input, byte for byte.",
            None => "",
        };
        self.stage.story.say(
            contents.wrong == 0 && contents.answered + contents.doubtful >= written,
            format_args!(
                "The host reads the whole volume at B: all {} blocks that were written hold what \
                 was answered, or one of the writes in doubt ({}).{input}",
                count(written),
                contents.doubtful
            ),
            contents.faults(),
        );
        Ok(())
    }

    /// The host goes on at B, while C is brought to B's history.
    async fn c_follows(
        &mut self,
        volume: &Volume,
        certificate: &Certificate,
        missing: Count,
    ) -> Result<()> {
        let stage = &mut self.stage;
        stage.story.chapter("The host goes on at B, C follows");
        let load = Load::start(volume, &stage.ledger, self.args.script_rate(), stage.seed ^ 1);
        let first = certificate.newest.number.next();
        let wanted = |status: &GroupStatus| {
            let source = status.follows.as_ref().map(|follows| follows.source.as_str());
            source == Some("b") && status.marks.durable >= first
        };
        let status = until(&stage.c, "C holds what B inherited", wanted).await?;
        pass("the host writes", self.half).await;
        let ended = load.stop().await;
        let rate = per_second(ended.seen.answered, ended.lasted);
        self.figures.writes_per_second_at_b = rate;
        stage.story.say(
            ended.seen.answered > 0 && ended.cut_off.is_empty(),
            format_args!(
                "{} writes were answered at B, {} a second.",
                count(ended.seen.answered),
                count(rate as u64)
            ),
            format_args!("{:?}", ended.cut_off),
        );
        let follows = status.follows.clone();
        let follows = follows.ok_or_else(|| Error::unavailable("judge C: it follows nobody"))?;
        self.only_what_was_missing(&follows, missing);
        Ok(())
    }

    fn only_what_was_missing(&mut self, follows: &FollowStatus, missing: Count) {
        let fetched = follows.fetched;
        let copied = fetched.copied_bytes + self.stage.b.status().totals.copied_bytes;
        self.figures.delta_updates = fetched.inherited_updates;
        self.figures.delta_bytes = fetched.inherited_bytes;
        self.figures.copied_bytes = copied;
        let delta = follows.plan.as_ref().is_some_and(|plan| plan.kind == PlanKind::Delta);
        self.stage.story.say(
            delta
                && fetched.inherited_updates == missing.updates
                && fetched.inherited_bytes == missing.bytes
                && copied == 0,
            format_args!(
                "C followed B by delta: it fetched exactly the {} updates ({}) that it lacked, and \
                 no block was copied (the volume has {}).",
                count(fetched.inherited_updates),
                size(fetched.inherited_bytes),
                size(self.stage.volume_bytes)
            ),
            format_args!("{follows:?}; missing {missing:?}, copied {copied}"),
        );
    }

    /// Both volumes, whole, at one update number.
    async fn b_and_c_are_equal(&mut self, volume: &Volume) -> Result<()> {
        let stage = &mut self.stage;
        stage.story.chapter("The end");
        let last = volume.flush().await?;
        let restored = async {
            stage.b.wait_for(last, &third()?, Point::Restored).await?;
            stage.b.wait_for(last, stage.b.site(), Point::Restored).await
        };
        let late = |_| Error::new(ErrorKind::Timeout, "wait until B and C have restored all");
        tokio::time::timeout(PATIENCE, restored).await.map_err(late)??;
        let (number, b, c) = images(&stage.b, &stage.c).await?;
        let at_b = read_image(&b, stage.volume_bytes, &stage.ledger).await?;
        let at_c = read_image(&c, stage.volume_bytes, &stage.ledger).await?;
        self.figures.compared_at = number.value();
        self.figures.answered_updates = stage.ledger.totals().writes;
        self.figures.lost_updates += at_b.wrong + at_c.wrong;
        self.figures.b_hash.clone_from(&at_b.hash);
        self.figures.c_hash.clone_from(&at_c.hash);
        stage.story.say(
            at_b.hash == at_c.hash,
            format_args!(
                "At update {} the volumes of B and C are equal: blake3 {}.",
                count(number.value()),
                at_b.hash
            ),
            format_args!("C has {}", at_c.hash),
        );
        self.all_is_there(&at_b, &at_c);
        Ok(())
    }

    fn all_is_there(&mut self, at_b: &Contents, at_c: &Contents) {
        let written = self.stage.ledger.written();
        let input = self.stage.ledger.input().map(|input| input.length);
        let input = input.map_or_else(String::new, |length| {
            format!(" So is the input of {}, wherever it was not overwritten.", size(length))
        });
        let whole =
            |found: &Contents| found.wrong == 0 && found.answered + found.doubtful >= written;
        self.stage.story.say(
            whole(at_b) && whole(at_c),
            format_args!(
                "Of {} answered writes none is lost: the newest of each of {} blocks is at B and \
                 at C.{input}",
                count(self.figures.answered_updates),
                count(written)
            ),
            format_args!("at B {}; at C {}", at_b.faults(), at_c.faults()),
        );
    }

    fn end(mut self) -> Result<()> {
        self.stage.end("B and C");
        Ok(())
    }
}
