//! A command meets its export, and becomes a reply.

use super::export::Export;
use super::proto::errno;
use super::reply::Reply;
use super::request::{Command, Refusal, Request};
use bytes::Bytes;
use std::sync::Arc;
use trefoil_core::Result;

/// Of one block status: how far it looks (the client asks again for the rest).
const STATUS_BYTES_MAX: u64 = 256 << 20;
/// And how many runs it tells, 32 KiB of reply.
const STATUS_RUNS_MAX: usize = 4096;

/// Runs an admitted command to its end. Nothing of the connection is borrowed: it finishes
/// whether or not anybody still waits for the reply.
pub(super) async fn execute(
    export: Arc<dyn Export>,
    structured: bool,
    request: Request,
    command: Command,
    data: Bytes,
) -> Reply {
    let cookie = request.cookie;
    let outcome = match command {
        Command::Read { offset, length } => read(&*export, offset, length)
            .await
            .map(|data| Reply::data(structured, cookie, offset, data)),
        Command::Write { offset, fua } => {
            told(export.write(offset, data, fua).await, &*export, command)
                .map(|()| Reply::done(cookie))
        }
        Command::Zero { offset, length, fua, punch } => {
            let outcome = export.zero(offset, u64::from(length), fua, punch).await;
            told(outcome, &*export, command).map(|()| Reply::done(cookie))
        }
        Command::Flush => {
            told(export.flush().await, &*export, command).map(|()| Reply::done(cookie))
        }
        Command::Status { offset, length, one } => {
            status(&*export, offset, length, one).await.map(|runs| Reply::status(cookie, &runs))
        }
        // An empty read has a data reply, if an empty one.
        Command::Nothing | Command::Disconnect if request.payload_bytes() == 0 => {
            Ok(Reply::data(structured, cookie, request.offset, Bytes::new()))
        }
        Command::Nothing | Command::Disconnect => Ok(Reply::done(cookie)),
    };
    outcome.unwrap_or_else(|refusal| Reply::error(structured, cookie, refusal))
}

/// The outcome in the protocol's terms.
fn told<T>(outcome: Result<T>, export: &dyn Export, command: Command) -> Result<T, Refusal> {
    outcome.map_err(|error| Refusal::from_error(&error, command.changes() && export.read_only()))
}

async fn read(export: &dyn Export, offset: u64, length: u32) -> Result<Bytes, Refusal> {
    let data = export
        .read(offset, u64::from(length))
        .await
        .map_err(|error| Refusal::from_error(&error, false))?;
    // A reply of another length would leave the client out of step for good.
    if data.len() as u64 != u64::from(length) {
        let text = format!("read {length} bytes at {offset}: the export gave {}", data.len());
        return Err(Refusal::new(errno::EIO, text));
    }
    Ok(data)
}

/// The runs of a range: neighbours merged, within the range and the reply's bounds.
async fn status(
    export: &dyn Export,
    offset: u64,
    length: u32,
    one: bool,
) -> Result<Vec<(u32, bool)>, Refusal> {
    let asked = u64::from(length).min(STATUS_BYTES_MAX);
    let found = export
        .allocated(offset, asked)
        .await
        .map_err(|error| Refusal::from_error(&error, false))?;
    let runs_max = if one { 1 } else { STATUS_RUNS_MAX };
    let mut runs: Vec<(u32, bool)> = Vec::with_capacity(found.len().min(runs_max));
    let mut left = asked;
    for (run, allocated) in found {
        let run = run.min(left);
        left -= run;
        // Fits: at most STATUS_BYTES_MAX.
        let run = u32::try_from(run).unwrap_or(u32::MAX);
        let full = runs.len() == runs_max;
        match runs.last_mut() {
            _ if run == 0 => {}
            Some((before, same)) if *same == allocated => *before += run,
            _ if full => break,
            _ => runs.push((run, allocated)),
        }
    }
    if runs.is_empty() {
        // The reply must hold one; "allocated" is always a safe answer.
        runs.push((u32::try_from(asked).unwrap_or(u32::MAX), true));
    }
    Ok(runs)
}
