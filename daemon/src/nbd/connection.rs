//! One client in the transmission phase: a single task owns all of it.
//!
//! Each turn cuts what has been received into requests, polls what is running, sends what is
//! answered and receives again, until nothing moves. So a batch of requests that arrives in one
//! read reaches the export as a batch, its replies leave in one write, and no lock, channel or
//! wake-up of another core lies between. The window (requests and bytes) is two plain numbers;
//! a request takes its place before its data is read and leaves it when its reply is sent.
//!
//! A client that hangs up ends the receiving and the sending, never what was admitted.

use super::counters::NbdCounters;
use super::execute::execute;
use super::export::Export;
use super::handshake::Session;
use super::intake::{Incoming, Intake, Verdict};
use super::limits::NbdLimits;
use super::outbox::Outbox;
use super::proto::{cmd, errno};
use super::reply::Reply;
use super::request::{Command, Refusal, Request, Rules};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// Requests between admission and sent reply.
struct Window {
    requests: usize,
    bytes: u64,
    requests_max: usize,
    bytes_max: u64,
}

impl Window {
    fn has_slot(&self) -> bool {
        self.requests < self.requests_max
    }

    /// Takes a slot and the bytes, or nothing.
    fn admit(&mut self, bytes: u64) -> bool {
        let fits = self.has_slot() && self.bytes + bytes <= self.bytes_max;
        if fits {
            self.requests += 1;
            self.bytes += bytes;
        }
        fits
    }

    fn release(&mut self, reply: &Reply) {
        self.requests -= 1;
        self.bytes -= reply.charge;
    }
}

/// A connection whose export is chosen.
pub(super) struct Connection<S> {
    /// `None` once the client is given up.
    stream: Option<S>,
    export: Arc<dyn Export>,
    rules: Rules,
    counters: Arc<NbdCounters>,
    intake: Intake,
    /// More may come from the client.
    receiving: bool,
    window: Window,
    running: FuturesUnordered<BoxFuture<'static, Reply>>,
    outbox: Outbox,
    /// Requests that failed with EIO.
    failures: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(
        stream: S,
        session: Session,
        limits: &NbdLimits,
        counters: Arc<NbdCounters>,
    ) -> Self {
        Self {
            stream: Some(stream),
            export: session.export,
            rules: Rules {
                structured: session.structured,
                allocation: session.allocation,
                stopping: false,
                request_bytes_max: limits.request_bytes_max,
            },
            counters,
            intake: Intake::new(),
            receiving: true,
            window: Window {
                requests: 0,
                bytes: 0,
                requests_max: limits.inflight_requests_max,
                bytes_max: limits.inflight_bytes_max,
            },
            running: FuturesUnordered::new(),
            outbox: Outbox::default(),
            failures: 0,
        }
    }

    /// Serves until the client has left (or is given up) and nothing is running any more. May
    /// be dropped between polls only if what runs may be cancelled; call it again otherwise.
    pub(super) async fn serve(&mut self) {
        poll_fn(|cx| self.poll_turns(cx)).await;
        if let Some(mut stream) = self.stream.take() {
            // The client may be gone: there is nobody left to tell.
            let _ = stream.shutdown().await;
        }
    }

    /// From now on new requests are refused as ESHUTDOWN, and the connection ends with the last
    /// reply.
    pub(super) fn stop(&mut self) {
        self.rules.stopping = true;
    }

    /// Closes the socket. What is running goes on, its replies go nowhere.
    pub(super) fn hang_up(&mut self) {
        self.stream = None;
        self.receiving = false;
        self.intake.clear();
        for reply in self.outbox.take_all() {
            self.window.release(&reply);
        }
    }

    /// Requests that are running.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut moved = self.admit();
            moved |= self.poll_running(cx);
            moved |= self.poll_send(cx);
            moved |= self.poll_receive(cx);
            if !moved {
                let at_rest = self.running.is_empty() && self.outbox.is_empty();
                let ending = !self.receiving || self.rules.stopping;
                return if at_rest && ending { Poll::Ready(()) } else { Poll::Pending };
            }
        }
    }

    /// Starts what has been received, as far as the window allows.
    fn admit(&mut self) -> bool {
        let mut moved = false;
        loop {
            let Self { intake, window, rules, export, .. } = self;
            let incoming = match intake.next(|request| judge(request, window, rules, &**export)) {
                Ok(Some(incoming)) => incoming,
                Ok(None) => return moved,
                Err(_) => {
                    tracing::warn!("NBD client sends what is no request: closing");
                    NbdCounters::add(&self.counters.errors, 1);
                    self.receiving = false;
                    self.intake.clear();
                    return true;
                }
            };
            moved = true;
            self.start(incoming);
        }
    }

    fn start(&mut self, incoming: Incoming) {
        let structured = self.rules.structured;
        match incoming {
            Incoming::Run(_, Command::Disconnect, _) => {
                self.receiving = false;
                self.intake.clear();
                // Its slot: DISC has no reply that would give it back.
                self.window.requests -= 1;
            }
            Incoming::Run(request, command, data) => {
                NbdCounters::add(&self.counters.requests, 1);
                NbdCounters::add(&self.counters.bytes_written, data.len() as u64);
                let charge = weight(&request);
                let export = Arc::clone(&self.export);
                let work = execute(export, structured, request, command, data);
                // One broken request must not take the other admitted ones with it.
                let work = AssertUnwindSafe(work).catch_unwind();
                self.running.push(Box::pin(async move {
                    let mut reply = work.await.unwrap_or_else(|_| {
                        let text = "the server failed within; its log says where";
                        Reply::error(structured, request.cookie, Refusal::new(errno::EIO, text))
                    });
                    reply.charge = charge;
                    reply
                }));
            }
            Incoming::Refuse(request, refusal) => {
                NbdCounters::add(&self.counters.requests, 1);
                self.reply(Reply::error(structured, request.cookie, refusal));
            }
        }
    }

    fn poll_running(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some(reply)) = self.running.poll_next_unpin(cx) {
            self.reply(reply);
            moved = true;
        }
        moved
    }

    fn reply(&mut self, reply: Reply) {
        if let Some(refusal) = &reply.refusal {
            NbdCounters::add(&self.counters.errors, 1);
            self.tell(refusal);
        } else if reply.charge > 0 {
            // A write's reply has no body, so this counts reads.
            NbdCounters::add(&self.counters.bytes_read, reply.body.len() as u64);
        }
        if self.stream.is_some() {
            self.outbox.push(reply);
        } else {
            self.window.release(&reply);
        }
    }

    /// Logs an error: a failing device makes one line for the 1st, 2nd, 4th, 8th... of them.
    fn tell(&mut self, refusal: &Refusal) {
        let Refusal { errno, text } = refusal;
        if *errno != errno::EIO {
            return tracing::debug!(errno, text, "NBD request refused");
        }
        self.failures += 1;
        if self.failures.is_power_of_two() {
            tracing::warn!(failures = self.failures, text, "NBD request failed");
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.outbox.is_empty() {
            let Some(stream) = &mut self.stream else { return moved };
            let window = &mut self.window;
            match self.outbox.poll_send(stream, cx, |reply| window.release(&reply)) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(error)) => {
                    let running = self.running.len();
                    tracing::debug!(%error, running, "NBD client gone: reply not sent");
                    self.hang_up();
                    return true;
                }
                Poll::Pending => return moved,
            }
        }
        moved
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> bool {
        // With the window full, what the client sends waits in the socket, and so in the client;
        // but the data of an admitted write is always received.
        if !self.receiving || self.intake.is_waiting() {
            return false;
        }
        let Some(stream) = &mut self.stream else { return false };
        match self.intake.poll_fill(stream, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(n)) if n > 0 => true,
            Poll::Ready(end) => {
                let (mid_request, running) = (self.intake.is_mid_request(), self.running.len());
                let error = end.err().map(|error| error.to_string());
                tracing::debug!(mid_request, running, error, "NBD client hung up");
                self.receiving = false;
                true
            }
        }
    }
}

/// Bytes of data that a request moves one way or the other.
fn weight(request: &Request) -> u64 {
    match request.kind {
        cmd::READ | cmd::WRITE => u64::from(request.length),
        _ => 0,
    }
}

fn judge(request: &Request, window: &mut Window, rules: &Rules, export: &dyn Export) -> Verdict {
    if !window.has_slot() {
        return Verdict::Wait;
    }
    match rules.check(request, export) {
        Err(refusal) => {
            window.admit(0);
            Verdict::Refuse(refusal)
        }
        Ok(command) if window.admit(weight(request)) => Verdict::Take(command),
        Ok(_) => Verdict::Wait,
    }
}
