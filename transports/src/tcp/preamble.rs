//! What is said first on each connection: which link and which lane it belongs to.
//!
//! Preamble, 32 bytes little-endian: magic `TREFOIL\n` (8), version (2), lane (1), zero (1),
//! link token (16), CRC-32C of the first 28 (4). Answer, 8 bytes: `TFOK` or `TFNO`, then the
//! listener's version (4). The token is random and ties the two connections of a link together;
//! it is not a secret.

use super::socket::Connection;
use crate::stream::{LaneKind, crc_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trefoil_core::{Error, Result};

const MAGIC: [u8; 8] = *b"TREFOIL\n";
/// Version 1: the format above, frames as in `crate::stream`.
const VERSION: u16 = 1;
const PREAMBLE_BYTES: usize = 32;
const YES: [u8; 4] = *b"TFOK";
const NO: [u8; 4] = *b"TFNO";

/// What the dialer says on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) token: u128,
    pub(crate) lane: LaneKind,
}

impl Preamble {
    fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = match self.lane {
            LaneKind::Control => 1,
            LaneKind::Data => 2,
        };
        bytes[12..28].copy_from_slice(&self.token.to_le_bytes());
        let crc = crc_of(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; PREAMBLE_BYTES]) -> Result<Self> {
        let wrong = |what: &str| Error::invalid(format!("read preamble: {what}"));
        if bytes[28..] != crc_of(&bytes[..28]).to_le_bytes() {
            return Err(wrong("it is damaged"));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(wrong(&format!("version {version}, this side speaks {VERSION}")));
        }
        let lane = match bytes[10] {
            1 => LaneKind::Control,
            2 => LaneKind::Data,
            other => return Err(wrong(&format!("there is no lane {other}"))),
        };
        let mut token = [0; 16];
        token.copy_from_slice(&bytes[12..28]);
        Ok(Self { token: u128::from_le_bytes(token), lane })
    }

    /// Reads it from a new connection. Something else is refused at its first wrong byte, not
    /// when 32 bytes have come.
    pub(crate) async fn read(stream: &mut Connection) -> Result<Self> {
        let mut bytes = [0; PREAMBLE_BYTES];
        let mut filled = 0;
        while filled < PREAMBLE_BYTES {
            let read = stream.read(&mut bytes[filled..]).await;
            match read.map_err(|error| Error::io("read preamble", error))? {
                0 => return Err(Error::unavailable("read preamble: the connection was closed")),
                count => filled += count,
            }
            let seen = filled.min(MAGIC.len());
            if bytes[..seen] != MAGIC[..seen] {
                return Err(Error::invalid("read preamble: this is not trefoil"));
            }
        }
        Self::decode(&bytes)
    }

    /// Says it and waits for the answer.
    pub(crate) async fn exchange(self, stream: &mut Connection) -> Result<()> {
        let io = |error| Error::io("exchange preambles", error);
        stream.write_all(&self.encode()).await.map_err(io)?;
        stream.flush().await.map_err(io)?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await.map_err(io)?;
        let [y0, y1, y2, y3, version @ ..] = answer;
        let version = u32::from_le_bytes(version);
        match [y0, y1, y2, y3] {
            YES if version == u32::from(VERSION) => Ok(()),
            YES | NO => Err(Error::invalid(format!(
                "exchange preambles: the other side speaks version {version}, this one {VERSION}; \
                 run the same release at both"
            ))),
            _ => Err(Error::invalid(
                "exchange preambles: the other side is not trefoil; correct the address",
            )),
        }
    }
}

/// The listener's answer on one connection.
pub(crate) async fn answer(stream: &mut Connection, accepted: bool) -> Result<()> {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(if accepted { &YES } else { &NO });
    bytes[4..].copy_from_slice(&u32::from(VERSION).to_le_bytes());
    let io = |error| Error::io("answer preamble", error);
    stream.write_all(&bytes).await.map_err(io)?;
    stream.flush().await.map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preamble_is_read_as_it_was_written_and_damage_is_found() {
        let preamble = Preamble { token: 0x0102_0304 << 90, lane: LaneKind::Data };
        let bytes = preamble.encode();
        assert_eq!(Preamble::decode(&bytes).unwrap(), preamble);
        for bit in 0..PREAMBLE_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Preamble::decode(&damaged).is_err(), "bit {bit}");
        }
    }
}
