//! The fixed newstyle handshake: option haggling until an export is chosen.

use super::counters::NbdCounters;
use super::export::{Export, Exports};
use super::guard::Stage;
use super::limits::NbdLimits;
use super::options::{Asked, clip, push_reply};
use super::proto::{
    ALLOCATION, ALLOCATION_ID, BLOCK_BYTES_PREFERRED, NAME_BYTES_MAX, export_flag, greeting, info,
    magic, opt, rep,
};
use bytes::{Buf, BufMut};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use trefoil_core::{Error, ErrorKind, Result};

/// What was agreed.
pub(super) struct Session {
    pub(super) export: Arc<dyn Export>,
    pub(super) name: String,
    /// Structured replies were negotiated.
    pub(super) structured: bool,
    /// `base:allocation` was selected for this export.
    pub(super) allocation: bool,
}

/// What follows an option.
enum Next {
    Haggle,
    End(Outcome),
}

/// How the haggling ended.
pub(super) enum Outcome {
    /// The client left in good order.
    Leave,
    /// An export is chosen.
    Serve(Session),
    /// The client was told to begin TLS: its handshake is next on the socket.
    BeginTls,
}

/// What a client is told about, and held to.
pub(super) struct Terms<'a> {
    pub(super) exports: &'a dyn Exports,
    pub(super) limits: &'a NbdLimits,
    pub(super) counters: &'a NbdCounters,
    pub(super) stage: Stage,
}

struct Haggling<'a, S> {
    stream: &'a mut S,
    exports: &'a dyn Exports,
    limits: &'a NbdLimits,
    counters: &'a NbdCounters,
    stage: Stage,
    no_zeroes: bool,
    structured: bool,
    /// The export for which `base:allocation` was selected last.
    allocation_of: Option<String>,
}

/// Greets the client: whether it wants no padding after EXPORT_NAME.
///
/// # Errors
/// `Unavailable` and the like when the socket fails, `Invalid` for flags that are not known.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<bool> {
    let mut hello = [0; 18];
    let mut rest = &mut hello[..];
    rest.put_u64(magic::INIT);
    rest.put_u64(magic::OPTION);
    rest.put_u16(greeting::FIXED_NEWSTYLE | greeting::NO_ZEROES);
    stream.write_all(&hello).await.map_err(|e| Error::io("send the NBD greeting", e))?;
    let flags = stream.read_u32().await.map_err(|e| Error::io("read NBD client flags", e))?;
    if flags & !u32::from(greeting::FIXED_NEWSTYLE | greeting::NO_ZEROES) != 0 {
        return Err(Error::invalid(format!("read NBD client flags: {flags:#x} is unknown")));
    }
    Ok(flags & u32::from(greeting::NO_ZEROES) != 0)
}

/// Answers the options of a client that was greeted. Begins anew after TLS: nothing that was
/// agreed before counts.
///
/// # Errors
/// `Unavailable` and the like when the socket fails, `Invalid` when the client breaks the
/// protocol or chooses, by EXPORT_NAME, what it cannot have, `Refused` when it has to begin TLS.
pub(super) async fn haggle<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    no_zeroes: bool,
    terms: Terms<'_>,
) -> Result<Outcome> {
    let Terms { exports, limits, counters, stage } = terms;
    let mut haggling = Haggling {
        stream,
        exports,
        limits,
        counters,
        stage,
        no_zeroes,
        structured: false,
        allocation_of: None,
    };
    loop {
        if let Next::End(outcome) = haggling.option().await? {
            return Ok(outcome);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Haggling<'_, S> {
    /// Reads one option and answers it.
    async fn option(&mut self) -> Result<Next> {
        let broken = |e| Error::io("read an NBD option", e);
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).await.map_err(broken)?;
        let mut head = &head[..];
        if head.get_u64() != magic::OPTION {
            return Err(Error::invalid("read an NBD option: the magic number is wrong"));
        }
        let (code, length) = (head.get_u32(), head.get_u32());
        if length > self.limits.option_bytes_max {
            // Not skipped: nothing legitimate is that long.
            self.refuse(code, rep::ERR_TOO_BIG, "the option is too long").await?;
            let doing = format!("read NBD option {code}: {length} bytes are too long");
            return Err(Error::invalid(doing));
        }
        let mut data = vec![0; length as usize];
        self.stream.read_exact(&mut data).await.map_err(broken)?;
        if self.stage == Stage::TlsFirst && !matches!(code, opt::STARTTLS | opt::ABORT) {
            return self.demand_tls(code).await;
        }
        match Asked::parse(code, &data) {
            Ok(asked) => self.answer(code, asked).await,
            Err(what) if code == opt::EXPORT_NAME => {
                Err(Error::invalid(format!("choose an NBD export: {what}")))
            }
            Err(what) => self.refuse(code, rep::ERR_INVALID, what).await,
        }
    }

    async fn answer(&mut self, code: u32, asked: Asked) -> Result<Next> {
        match asked {
            Asked::ExportName(name) => self.export_name(name).await,
            Asked::Abort => {
                // The client may be gone already: its leaving is no error.
                let _ = self.acknowledge(code, Vec::new()).await;
                Ok(Next::End(Outcome::Leave))
            }
            Asked::List => self.list(code).await,
            Asked::StartTls => self.start_tls(code).await,
            Asked::StructuredReply => {
                self.structured = true;
                self.acknowledge(code, Vec::new()).await
            }
            Asked::Info { go, name, kinds } => self.info(code, go, name, &kinds).await,
            Asked::Meta { set, name, queries } => self.meta(code, set, name, &queries).await,
            Asked::Unknown => self.refuse(code, rep::ERR_UNSUP, "unknown option").await,
        }
    }

    async fn start_tls(&mut self, code: u32) -> Result<Next> {
        match &self.stage {
            Stage::Plain { tls: true } | Stage::TlsFirst => {
                self.acknowledge(code, Vec::new()).await?;
                Ok(Next::End(Outcome::BeginTls))
            }
            Stage::Plain { tls: false } => {
                let text = "this server has no certificates: use a tunnel";
                self.refuse(code, rep::ERR_POLICY, text).await
            }
            Stage::Host(_) => self.refuse(code, rep::ERR_INVALID, "TLS is there already").await,
        }
    }

    /// Nothing is told before TLS. EXPORT_NAME has no answer but the end of the connection.
    async fn demand_tls(&mut self, code: u32) -> Result<Next> {
        NbdCounters::add(&self.counters.tls_required, 1);
        let text = "begin TLS first, with the certificate of a host";
        if code == opt::EXPORT_NAME {
            return Err(Error::refused(format!("choose an NBD export: {text}")));
        }
        self.refuse(code, rep::ERR_TLS_REQD, text).await
    }

    fn find(&self, name: &str) -> Result<Arc<dyn Export>> {
        self.exports.find(self.stage.host(), name)
    }

    /// The old way to choose: no error can be told, only the connection closed.
    async fn export_name(&mut self, name: String) -> Result<Next> {
        let export = self.find(&name)?;
        let mut out = Vec::with_capacity(134);
        out.put_u64(export.size());
        out.put_u16(flags_of(&*export, self.structured));
        if !self.no_zeroes {
            out.put_bytes(0, 124);
        }
        self.send(&out).await?;
        Ok(self.session(name, export))
    }

    async fn list(&mut self, code: u32) -> Result<Next> {
        let mut out = Vec::new();
        for name in self.exports.list(self.stage.host()) {
            if name.len() > NAME_BYTES_MAX {
                continue;
            }
            let mut data = Vec::with_capacity(4 + name.len());
            data.put_u32(u32::try_from(name.len()).unwrap_or(u32::MAX));
            data.extend_from_slice(name.as_bytes());
            push_reply(&mut out, code, rep::SERVER, &data);
        }
        self.acknowledge(code, out).await
    }

    async fn info(&mut self, code: u32, go: bool, name: String, kinds: &[u16]) -> Result<Next> {
        let export = match self.find(&name) {
            Ok(export) => export,
            Err(error) => return self.refuse_export(code, &error).await,
        };
        let mut out = Vec::new();
        let mut data = Vec::with_capacity(12);
        data.put_u16(info::EXPORT);
        data.put_u64(export.size());
        data.put_u16(flags_of(&*export, self.structured));
        push_reply(&mut out, code, rep::INFO, &data);
        if kinds.contains(&info::NAME) {
            let mut data = Vec::new();
            data.put_u16(info::NAME);
            data.extend_from_slice(self.own_name(&name).as_bytes());
            push_reply(&mut out, code, rep::INFO, &data);
        }
        if kinds.contains(&info::BLOCK_SIZE) {
            let mut data = Vec::with_capacity(14);
            data.put_u16(info::BLOCK_SIZE);
            data.put_u32(1);
            data.put_u32(BLOCK_BYTES_PREFERRED);
            data.put_u32(self.limits.request_bytes_max);
            push_reply(&mut out, code, rep::INFO, &data);
        }
        self.acknowledge(code, out).await?;
        Ok(if go { self.session(name, export) } else { Next::Haggle })
    }

    async fn meta(
        &mut self,
        code: u32,
        set: bool,
        name: String,
        queries: &[String],
    ) -> Result<Next> {
        if set {
            // Whatever comes of it, the earlier choice is replaced.
            self.allocation_of = None;
        }
        if !self.structured {
            let what = "metadata needs structured replies: negotiate them first";
            return self.refuse(code, rep::ERR_INVALID, what).await;
        }
        if let Err(error) = self.find(&name) {
            return self.refuse_export(code, &error).await;
        }
        // Listing takes the bare namespace, and no query at all, for "everything".
        let everything = !set && (queries.is_empty() || queries.iter().any(|q| q == "base:"));
        let mut out = Vec::new();
        if everything || queries.iter().any(|query| query == ALLOCATION) {
            let mut data = Vec::new();
            data.put_u32(if set { ALLOCATION_ID } else { 0 });
            data.extend_from_slice(ALLOCATION.as_bytes());
            push_reply(&mut out, code, rep::META_CONTEXT, &data);
            if set {
                self.allocation_of = Some(name);
            }
        }
        self.acknowledge(code, out).await
    }

    /// The name to show for the export asked for: the empty one stands for the only one.
    fn own_name(&self, asked: &str) -> String {
        match self.exports.list(self.stage.host()).as_slice() {
            [only] if asked.is_empty() => clip(only, NAME_BYTES_MAX).to_owned(),
            _ => asked.to_owned(),
        }
    }

    fn session(&mut self, name: String, export: Arc<dyn Export>) -> Next {
        let allocation = self.allocation_of.as_deref() == Some(name.as_str());
        let session = Session { export, name, structured: self.structured, allocation };
        Next::End(Outcome::Serve(session))
    }

    async fn refuse_export(&mut self, code: u32, error: &Error) -> Result<Next> {
        let kind = match error.kind() {
            ErrorKind::Closed => rep::ERR_SHUTDOWN,
            ErrorKind::Fenced | ErrorKind::Refused => rep::ERR_POLICY,
            _ => rep::ERR_UNKNOWN,
        };
        self.refuse(code, kind, &error.to_string()).await
    }

    async fn refuse(&mut self, code: u32, kind: u32, text: &str) -> Result<Next> {
        let mut out = Vec::new();
        push_reply(&mut out, code, kind, clip(text, NAME_BYTES_MAX).as_bytes());
        self.send(&out).await?;
        Ok(Next::Haggle)
    }

    /// Sends the replies in `out`, and the ACK that ends them.
    async fn acknowledge(&mut self, code: u32, mut out: Vec<u8>) -> Result<Next> {
        push_reply(&mut out, code, rep::ACK, &[]);
        self.send(&out).await?;
        Ok(Next::Haggle)
    }

    async fn send(&mut self, out: &[u8]) -> Result<()> {
        let broken = |e| Error::io("answer an NBD option", e);
        self.stream.write_all(out).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }
}

/// What an export can do, as its transmission flags.
fn flags_of(export: &dyn Export, structured: bool) -> u16 {
    use export_flag as flag;
    let mut flags = flag::HAS_FLAGS
        | flag::SEND_FLUSH
        | flag::SEND_FUA
        | flag::SEND_TRIM
        | flag::SEND_WRITE_ZEROES
        | flag::CAN_MULTI_CONN
        // A zero is one update without data, whatever its length: never slower than the write.
        | flag::SEND_FAST_ZERO;
    if export.read_only() {
        flags |= flag::READ_ONLY;
    }
    if structured {
        flags |= flag::SEND_DF;
    }
    flags
}
