//! The demo that a person plays with: a table that moves, and keys that make things happen.

use super::contents::{images, read_image};
use super::doors::Doors;
use super::keys::Keys;
use super::options::{Args, Backend};
use super::screen::{Picture, Row, Screen};
use super::stage::{PATIENCE, Stage, leg, per_second};
use super::story::{Story, count, milliseconds, size};
use super::world::{site_name, volume_of};
use super::writer::{Load, Seen};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use trefoil_core::model::UpdateNumber;
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_site::{Certificate, Group, Limits, Point, TakeoverOptions};

/// Capacity of each journal, in bytes.
const JOURNAL_BYTES: u64 = 256 << 20;
/// The most writes a second: the journal has room for a minute's absence of C.
const RATE: u64 = 1000;
/// Between two drawings.
const REDRAW: Duration = Duration::from_millis(500);
/// How much longer the way from A to C is made.
const DELAY: Duration = Duration::from_millis(200);
/// The newest lines that are kept on the screen.
const LOG_MAX: usize = 10;

/// Brings three sites up and lets a person play with them.
///
/// # Errors
/// Without a terminal, and where the sites cannot be brought up.
pub(super) async fn run(args: &Args) -> Result<()> {
    // First of all: without a terminal nothing is begun.
    let mut keys = Keys::open()?;
    let mut story = Story::new();
    let backend = args.backend.unwrap_or(Backend::Memory);
    let (limits, rate) = (Limits::default(), args.rate.unwrap_or(RATE));
    let (stage, load) =
        Stage::set(&mut story, args, backend, rate, (JOURNAL_BYTES, limits)).await?;
    let doors = Some(Doors::open(&stage.a).await?);
    let title = format!(
        "trefoil {} demo: transport {}, backend {backend}, volume of {}",
        env!("CARGO_PKG_VERSION"),
        args.transport,
        size(stage.volume_bytes)
    );
    let mut play = Play {
        stage,
        rate,
        title,
        doors,
        load: Some(load),
        a_lives: true,
        b_leads: false,
        drawn: (Instant::now(), Seen::default()),
        log: VecDeque::new(),
        certificate: None,
    };
    let screen = Screen::open();
    let done = play.go(&mut keys, &screen).await;
    drop((screen, keys));
    play.end().await?;
    done
}

struct Play<'s> {
    stage: Stage<'s>,
    rate: u64,
    title: String,
    doors: Option<Doors>,
    load: Option<Load>,
    a_lives: bool,
    b_leads: bool,
    /// When it was drawn last, and what the host had seen then.
    drawn: (Instant, Seen),
    log: VecDeque<String>,
    /// Of a takeover after which C does not hold everything yet.
    certificate: Option<Certificate>,
}

impl Play<'_> {
    async fn go(&mut self, keys: &mut Keys, screen: &Screen) -> Result<()> {
        let mut ticks = tokio::time::interval(REDRAW);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                key = keys.next() => {
                    let Some(key) = key.filter(|key| *key != b'q') else { return Ok(()) };
                    if let Err(error) = self.press(key).await {
                        self.tell(error.to_string());
                    }
                }
            }
            self.c_came_along();
            self.draw(screen);
        }
    }

    async fn press(&mut self, key: u8) -> Result<()> {
        match key {
            b'w' => self.switch_load().await,
            b'd' => self.switch_delay(),
            b'p' => self.switch_cut(),
            b'k' => self.kill().await,
            b't' => self.take_over().await,
            b'v' => self.verify().await,
            b'r' | b'f' => {
                self.tell(
                    "A site that returns with a tail, and failback, come in a later release.",
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn tell(&mut self, text: impl Into<String>) {
        self.log.push_back(text.into());
        while self.log.len() > LOG_MAX {
            self.log.pop_front();
        }
    }

    /// The site that leads, if one does.
    fn leader(&self) -> Option<&Group> {
        match (self.b_leads, self.a_lives) {
            (true, _) => Some(&self.stage.b),
            (false, true) => Some(&self.stage.a),
            (false, false) => None,
        }
    }

    async fn switch_load(&mut self) -> Result<()> {
        if let Some(load) = self.load.take() {
            let ended = tokio::time::timeout(PATIENCE, load.stop()).await;
            ended.map_err(|_| Error::new(ErrorKind::Timeout, "stop load: writers still wait"))?;
            return Ok(());
        }
        let leader = self
            .leader()
            .ok_or_else(|| Error::unavailable("write: no site leads; take over at B first (t)"))?;
        let seed = rand::random();
        self.load = Some(Load::start(&volume_of(leader)?, &self.stage.ledger, self.rate, seed));
        self.drawn = (Instant::now(), Seen::default());
        Ok(())
    }

    fn switch_delay(&mut self) -> Result<()> {
        let link = self.stage.world.link("a", "c")?;
        let delay = if link.delay().is_zero() { DELAY } else { Duration::ZERO };
        link.set_delay(delay);
        Ok(())
    }

    fn switch_cut(&mut self) -> Result<()> {
        if !self.a_lives {
            return Err(Error::refused("heal link A-C: A is dead"));
        }
        let link = self.stage.world.link("a", "c")?;
        link.set_cut(!link.is_cut());
        Ok(())
    }

    async fn kill(&mut self) -> Result<()> {
        if !self.a_lives {
            return Err(Error::refused("kill A: it is dead already"));
        }
        self.stage.world.kill("a");
        self.a_lives = false;
        if let Some(doors) = self.doors.take() {
            doors.close().await;
        }
        if let Some(load) = self.load.take() {
            let ended = tokio::time::timeout(PATIENCE, load.ended()).await;
            ended.map_err(|_| Error::new(ErrorKind::Timeout, "end load: writers still wait"))?;
        }
        // B hears from C every quarter of a second.
        tokio::time::sleep(REDRAW).await;
        let (totals, status) = (self.stage.ledger.totals(), self.stage.b.status());
        let c = leg(&status, "c");
        let held = c.map(|leg| leg.marks.received).unwrap_or_default();
        let outlook = match c.map_or((false, 0), |leg| (leg.delta_possible, leg.debt_bytes)) {
            (true, _) => "B's journal has them: a delta resync is possible.".to_owned(),
            (false, 0) => "B's journal no longer has them: C will be copied.".to_owned(),
            (false, debt) => format!("{} of an unfinished copy are missing there.", size(debt)),
        };
        let lacks = status.newest.number.since(held);
        self.tell(format!(
            "A was killed; the newest update that it answered is {}. B holds {}, C holds {}:",
            count(totals.highest.value()),
            count(status.newest.number.value()),
            count(held.value())
        ));
        self.tell(format!("  C lacks {} updates. {outlook}", count(lacks)));
        Ok(())
    }

    async fn take_over(&mut self) -> Result<()> {
        // Without the word that A is dead, its lease is waited for: that is only said when true.
        let fenced = !self.a_lives;
        let options = TakeoverOptions { primary_is_fenced: fenced, ..TakeoverOptions::default() };
        let taking = tokio::time::timeout(PATIENCE, self.stage.b.takeover(options));
        let late = |_| Err(Error::new(ErrorKind::Timeout, "take over: it takes too long"));
        let certificate = taking.await.unwrap_or_else(late)?;
        self.b_leads = true;
        let b = self.stage.b.clone();
        self.doors = Some(Doors::open(&b).await?);
        self.tell(format!(
            "B leads generation {} after {}. {}.",
            certificate.generation,
            milliseconds(Duration::from_micros(certificate.took_us)),
            certificate.verdict
        ));
        self.certificate = Some(certificate);
        if self.load.is_none() {
            self.switch_load().await?;
        }
        Ok(())
    }

    /// Tells what C fetched, once it holds everything that B began with.
    fn c_came_along(&mut self) {
        let Some(certificate) = &self.certificate else { return };
        let status = self.stage.c.status();
        let first = certificate.newest.number.next();
        let Some(follows) = status.follows.as_ref().filter(|f| f.source.as_str() == "b") else {
            return;
        };
        if status.marks.durable < first {
            return;
        }
        let fetched = follows.fetched;
        let text = format!(
            "C follows B: it fetched {} updates ({}) made by A, and copied {} rather than {}.",
            count(fetched.inherited_updates),
            size(fetched.inherited_bytes),
            size(fetched.copied_bytes),
            size(self.stage.volume_bytes)
        );
        self.certificate = None;
        self.tell(text);
    }

    /// Stops the load, and compares the site that leads with C.
    async fn verify(&mut self) -> Result<()> {
        if self.load.is_some() {
            self.switch_load().await?;
        }
        let leader = self.leader().cloned();
        let leader = leader.ok_or_else(|| Error::unavailable("verify: no site leads"))?;
        let last = volume_of(&leader)?.flush().await?;
        let third = site_name("c")?;
        let restored = leader.wait_for(last, &third, Point::Restored);
        let late =
            |_| Error::new(ErrorKind::Timeout, "verify: C does not come along; is it cut off?");
        tokio::time::timeout(Duration::from_secs(10), restored).await.map_err(late)??;
        let (number, ours, theirs) = images(&leader, &self.stage.c).await?;
        let bytes = self.stage.volume_bytes;
        let ours = read_image(&ours, bytes, &self.stage.ledger).await?;
        let theirs = read_image(&theirs, bytes, &self.stage.ledger).await?;
        let name = leader.site().to_string().to_uppercase();
        let equal = if ours.hash == theirs.hash { "equal" } else { "DIFFERENT" };
        self.tell(format!(
            "At update {} the volumes of {name} and C are {equal}: blake3 {}...",
            count(number.value()),
            ours.hash.get(..16).unwrap_or_default()
        ));
        self.tell(match ours.wrong {
            0 => "  Every write that the demo's host was answered is there.".to_owned(),
            wrong => format!(
                "  {wrong} blocks hold something else than the demo's host was answered (your own \
                 writes over NBD count as such)."
            ),
        });
        Ok(())
    }

    fn draw(&mut self, screen: &Screen) {
        let (a, b, c) = (self.stage.a.status(), self.stage.b.status(), self.stage.c.status());
        let leading = match (self.b_leads, self.a_lives) {
            (true, _) => Some(&b),
            (false, true) => Some(&a),
            (false, false) => None,
        };
        let seen_leg = |name: &str| leading.and_then(|status| leg(status, name));
        let living = self.a_lives.then_some(&*a);
        let rows = vec![
            Row { name: "a", status: living, leg: None },
            Row { name: "b", status: Some(&b), leg: seen_leg("b") },
            Row { name: "c", status: Some(&c), leg: seen_leg("c") },
        ];
        let host = self.host();
        let link = self.link();
        let doors = self.doors.as_ref().map(|doors| (doors.nbd.as_str(), doors.metrics.as_str()));
        let log: &[String] = self.log.make_contiguous();
        screen.draw(&Picture { title: &self.title, rows, host: &host, link: &link, doors, log });
    }

    /// What the host does, since it was drawn last.
    fn host(&mut self) -> String {
        let Some(load) = &self.load else { return "does not write (w)".to_owned() };
        let (at, before) = self.drawn;
        let seen = load.seen();
        let since = seen.since(&before);
        let rate = per_second(since.answered, at.elapsed());
        self.drawn = (Instant::now(), seen);
        format!(
            "writes to {}: {} a second, answered after {} on average; {} answered so far",
            if self.b_leads { "B" } else { "A" },
            count(rate as u64),
            milliseconds(since.mean()),
            count(self.stage.ledger.totals().writes)
        )
    }

    fn link(&self) -> String {
        let Ok(link) = self.stage.world.link("a", "c") else { return String::new() };
        match (link.is_cut(), link.delay()) {
            (true, _) => "cut".to_owned(),
            (false, Duration::ZERO) => "open".to_owned(),
            (false, delay) => format!("open, {} ms late", delay.as_millis()),
        }
    }

    async fn end(mut self) -> Result<()> {
        if let Some(load) = self.load.take() {
            let _ = tokio::time::timeout(PATIENCE, load.stop()).await;
        }
        if let Some(doors) = self.doors.take() {
            doors.close().await;
        }
        let totals = self.stage.ledger.totals();
        self.stage.story.line("");
        for entry in &self.log {
            self.stage.story.line(entry);
        }
        if totals.highest > UpdateNumber::ZERO {
            self.stage.story.line(&format!("{} writes were answered.", count(totals.writes)));
        }
        self.stage.world.stop()
    }
}
