//! The state of one link in memory: four bounded queues between two sides, and what ends them.
//!
//! Everything that a half can see is decided here under one lock; the halves only wait. A queue
//! holds each frame with the moment from which it may be received, so delay, stall and death of
//! a side are all facts about this state, and no task runs in the background.

use super::rule::{Path, Rules};
use crate::seed::Seed;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use trefoil_core::port::Frame;
use trefoil_core::{Error, ErrorKind, Result};

/// The side that connected.
pub(crate) const DIALER: usize = 0;
/// The side that accepted.
pub(crate) const ACCEPTOR: usize = 1;
/// The control lane.
pub(crate) const CONTROL: usize = 0;
/// The data lane.
pub(crate) const DATA: usize = 1;

/// What an attempt came to: a result, or what to wait for.
pub(crate) enum Attempt<T> {
    /// It is done.
    Done(T),
    /// Wait for a wake-up, at the latest until the moment given.
    Wait(Option<Instant>),
}

enum Item {
    /// A frame, and its length in bytes.
    Frame(Frame, usize),
    /// The sender closed the lane in good order.
    Close,
    /// The other side went away.
    Reset,
}

struct Pipe {
    queue: VecDeque<(Instant, Item)>,
    bytes: usize,
    due_last: Instant,
    closed: bool,
    seed: Seed,
}

struct Ended {
    kind: ErrorKind,
    why: String,
    /// The other side ended it: what it had sent before is still received.
    by_peer: bool,
}

struct State {
    /// By lane, then by the side that sends.
    pipes: [[Pipe; 2]; 2],
    ended: [Option<Ended>; 2],
    /// From when each side knows that the other one went away.
    reset_due: [Option<Instant>; 2],
    /// By the side that sends.
    paths: [Path; 2],
    frozen: [bool; 2],
    seed: Seed,
}

/// One link; both sides' halves share it.
pub(crate) struct LinkCore {
    /// The sites of the two sides.
    pub(crate) sites: [String; 2],
    rules: Rules,
    state: Mutex<State>,
    /// By lane, side, and direction (0 sends, 1 receives).
    wakes: [[[Notify; 2]; 2]; 2],
}

impl LinkCore {
    pub(crate) fn new(sites: [String; 2], rules: Rules, paths: [Path; 2], seed: Seed) -> Self {
        let now = Instant::now();
        let pipe = |part| Pipe {
            queue: VecDeque::new(),
            bytes: 0,
            due_last: now,
            closed: false,
            seed: seed.part(part),
        };
        let state = State {
            pipes: [[pipe(1), pipe(2)], [pipe(3), pipe(4)]],
            ended: [None, None],
            reset_due: [None, None],
            paths,
            frozen: [false, false],
            seed: seed.part(5),
        };
        Self { sites, rules, state: Mutex::new(state), wakes: Default::default() }
    }

    /// Puts as many frames as there is room for into the lane.
    pub(crate) fn push(
        &self,
        lane: usize,
        side: usize,
        frames: &mut VecDeque<Frame>,
    ) -> Result<Attempt<()>> {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        if let Some(wait) = self.hold_sender(state, side, now)? {
            return Ok(wait);
        }
        let pipe = &mut state.pipes[lane][side];
        if pipe.closed {
            return Err(Error::closed("send frames: this side has closed the lane"));
        }
        let mut pushed = false;
        while let Some(frame) = frames.front() {
            let room = self.rules.lane_bytes_max.saturating_sub(pipe.bytes);
            let length = frame.length();
            // A frame longer than the whole lane passes alone, else it would wait for ever.
            if length > room && pipe.bytes > 0 {
                break;
            }
            if let Some(frame) = frames.pop_front() {
                pipe.bytes += length;
                pipe.put(Item::Frame(frame, length), &state.paths[side], now);
                pushed = true;
            }
        }
        if pushed {
            self.wakes[lane][1 - side][1].notify_one();
        }
        if frames.is_empty() {
            return Ok(Attempt::Done(()));
        }
        Ok(Attempt::Wait(state.next_change(side, self.rules.link_timeout)))
    }

    /// Ends the lane in good order, behind what was sent.
    pub(crate) fn close(&self, lane: usize, side: usize) -> Result<()> {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        // A frozen side is stopped as a whole; what it had begun to do counts as done before.
        self.hold_sender(state, side, now)?;
        let pipe = &mut state.pipes[lane][side];
        if !pipe.closed {
            pipe.closed = true;
            pipe.put(Item::Close, &state.paths[side], now);
            self.wakes[lane][1 - side][1].notify_one();
        }
        Ok(())
    }

    /// Takes everything that has arrived in the lane; `None` when the other side closed it.
    pub(crate) fn pull(&self, lane: usize, side: usize) -> Result<Attempt<Option<Vec<Frame>>>> {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        self.settle(state, now);
        if let Some(ended) = state.ended[side].as_ref().filter(|ended| !ended.by_peer) {
            return Err(ended.error("receive frames"));
        }
        // News of the other side's end is not waited for here: it stands in the queue, too.
        let change = state.stall_deadline(self.rules.link_timeout);
        if state.frozen[side] || state.paths[1 - side].is_cut() {
            return Ok(Attempt::Wait(change));
        }
        let pipe = &mut state.pipes[lane][1 - side];
        let frames = pipe.take_due(now);
        if !frames.is_empty() {
            self.wakes[lane][1 - side][0].notify_one();
            return Ok(Attempt::Done(Some(frames)));
        }
        match pipe.queue.front() {
            Some((due, Item::Close)) if *due <= now => Ok(Attempt::Done(None)),
            Some((due, Item::Reset)) if *due <= now => {
                let ended = Ended::by_peer();
                let error = ended.error("receive frames");
                state.ended[side].get_or_insert(ended);
                self.wake_all();
                Err(error)
            }
            Some((due, _)) => Ok(Attempt::Wait(Some(earliest(change, *due)))),
            None => match &state.ended[side] {
                Some(ended) => Err(ended.error("receive frames")),
                None => Ok(Attempt::Wait(change)),
            },
        }
    }

    /// Waits until something may have changed for this half.
    pub(crate) async fn wait(
        &self,
        lane: usize,
        side: usize,
        direction: usize,
        until: Option<Instant>,
    ) {
        let woken = self.wakes[lane][side][direction].notified();
        match until {
            None => woken.await,
            Some(until) => {
                tokio::select! {
                    biased;
                    () = woken => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            }
        }
    }

    /// This side gave the link up: it ends here now, and over there when the news arrives.
    pub(crate) fn leave(&self, side: usize, why: &str) {
        let state = &mut *self.state.lock();
        state.leave(side, ErrorKind::Closed, why);
        self.wake_all();
    }

    /// This side's process died: of what it had under way in each lane only a beginning, drawn
    /// from the seed, arrives.
    pub(crate) fn die(&self, side: usize) {
        let state = &mut *self.state.lock();
        for lane in [CONTROL, DATA] {
            let State { pipes, seed, .. } = state;
            pipes[lane][side].lose_tail(seed);
        }
        state.leave(side, ErrorKind::Closed, "this site was killed");
        self.wake_all();
    }

    /// The connection breaks: it ends for both sides now, with all that was under way.
    pub(crate) fn break_off(&self, kind: ErrorKind, why: &str) {
        let state = &mut *self.state.lock();
        state.break_off(kind, why);
        self.wake_all();
    }

    /// Changes the path from `side` to the other one.
    pub(crate) fn set_path(&self, side: usize, path: Path) {
        let state = &mut *self.state.lock();
        // A link that had been stalled for too long is gone, although nobody was looking.
        self.settle(state, Instant::now());
        state.paths[side] = path;
        self.wake_all();
    }

    /// Stops or continues a side as a whole.
    pub(crate) fn set_frozen(&self, side: usize, frozen: bool) {
        self.state.lock().frozen[side] = frozen;
        self.wake_all();
    }

    /// The error that the side's sender has to report, or why it has to wait.
    fn hold_sender(
        &self,
        state: &mut State,
        side: usize,
        now: Instant,
    ) -> Result<Option<Attempt<()>>> {
        self.settle(state, now);
        let heard = state.reset_due[side].is_some_and(|due| due <= now);
        if heard && !state.paths[1 - side].is_cut() {
            state.ended[side].get_or_insert_with(Ended::by_peer);
        }
        if let Some(ended) = &state.ended[side] {
            return Err(ended.error("send frames"));
        }
        let wait = || Attempt::Wait(state.next_change(side, self.rules.link_timeout));
        Ok(state.frozen[side].then(wait))
    }

    /// Ends a link that has been stalled for longer than it may.
    fn settle(&self, state: &mut State, now: Instant) {
        let deadline = state.stall_deadline(self.rules.link_timeout);
        if deadline.is_some_and(|deadline| deadline <= now) {
            state.break_off(ErrorKind::Timeout, "nothing was heard for too long");
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        self.wakes.iter().flatten().flatten().for_each(Notify::notify_one);
    }
}

impl Pipe {
    fn put(&mut self, item: Item, path: &Path, now: Instant) {
        let due = now + self.seed.between(path.delay_min, path.delay_max);
        // What was sent later never arrives earlier.
        self.due_last = self.due_last.max(due);
        self.queue.push_back((self.due_last, item));
    }

    fn take_due(&mut self, now: Instant) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some((due, item)) = self.queue.pop_front() {
            match item {
                Item::Frame(frame, length) if due <= now => {
                    self.bytes -= length;
                    frames.push(frame);
                }
                item => {
                    self.queue.push_front((due, item));
                    break;
                }
            }
        }
        frames
    }

    fn lose_tail(&mut self, seed: &mut Seed) {
        let queued = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
        let kept = usize::try_from(seed.up_to(queued)).unwrap_or(usize::MAX);
        self.queue.truncate(kept);
        self.bytes = self.queue.iter().map(|(_, item)| item.length()).sum();
    }
}

impl Item {
    fn length(&self) -> usize {
        match self {
            Self::Frame(_, length) => *length,
            Self::Close | Self::Reset => 0,
        }
    }
}

impl State {
    fn leave(&mut self, side: usize, kind: ErrorKind, why: &str) {
        if self.ended[side].is_some() {
            return;
        }
        self.ended[side] = Some(Ended { kind, why: why.to_owned(), by_peer: false });
        let now = Instant::now();
        let path = &self.paths[side];
        for lane in &mut self.pipes {
            lane[side].put(Item::Reset, path, now);
            lane[1 - side].queue.clear();
            lane[1 - side].bytes = 0;
        }
        let delay = self.seed.between(path.delay_min, path.delay_max);
        self.reset_due[1 - side] = Some(now + delay);
    }

    fn break_off(&mut self, kind: ErrorKind, why: &str) {
        for ended in &mut self.ended {
            ended.get_or_insert_with(|| Ended { kind, why: why.to_owned(), by_peer: false });
        }
        for pipe in self.pipes.iter_mut().flatten() {
            pipe.queue.clear();
            pipe.bytes = 0;
        }
    }

    /// When the link ends for being stalled: either direction is enough, because what is not
    /// acknowledged counts as not heard.
    fn stall_deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        let since = self.paths.iter().filter_map(|path| path.cut_since).min()?;
        Some(since + timeout?)
    }

    /// The next moment at which something changes for a side's sender without a wake-up.
    fn next_change(&self, side: usize, timeout: Option<Duration>) -> Option<Instant> {
        let stall = self.stall_deadline(timeout);
        match self.reset_due[side].filter(|_| self.can_hear(side)) {
            Some(due) => Some(earliest(stall, due)),
            None => stall,
        }
    }

    fn can_hear(&self, side: usize) -> bool {
        !self.paths[1 - side].is_cut() && !self.frozen[side] && self.ended[side].is_none()
    }
}

impl Ended {
    fn by_peer() -> Self {
        let why = "the other side went away".to_owned();
        Self { kind: ErrorKind::Unavailable, why, by_peer: true }
    }

    fn error(&self, doing: &str) -> Error {
        Error::new(self.kind, format!("{doing}: {}", self.why))
    }
}

fn earliest(one: Option<Instant>, other: Instant) -> Instant {
    one.map_or(other, |one| one.min(other))
}
