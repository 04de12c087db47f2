//! What a client asks for in the handshake, taken apart; and the encoding of the answers.

use super::proto::{NAME_BYTES_MAX, magic, opt};
use bytes::{Buf, BufMut};

/// One option, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    ExportName(String),
    Abort,
    List,
    StartTls,
    /// INFO, or GO when `go`: about which export, which kinds of information.
    Info {
        go: bool,
        name: String,
        kinds: Vec<u16>,
    },
    StructuredReply,
    /// LIST_META_CONTEXT, or SET_META_CONTEXT when `set`.
    Meta {
        set: bool,
        name: String,
        queries: Vec<String>,
    },
    /// An option this server does not know.
    Unknown,
}

/// Why the data of an option makes no sense: a text for the client.
pub(super) type Malformed = &'static str;

impl Asked {
    /// Decodes the data of option `code`.
    pub(super) fn parse(code: u32, mut data: &[u8]) -> Result<Self, Malformed> {
        let asked = match code {
            opt::EXPORT_NAME => {
                let length = data.len();
                Self::ExportName(string(&mut data, length)?)
            }
            // Some clients send data with ABORT; they leave in any case.
            opt::ABORT => return Ok(Self::Abort),
            opt::LIST => Self::List,
            opt::STARTTLS => Self::StartTls,
            opt::STRUCTURED_REPLY => Self::StructuredReply,
            opt::INFO | opt::GO => {
                let name = counted_string(&mut data)?;
                let count = data.try_get_u16().map_err(|_| "the option ends early")?;
                let kinds = (0..count).map(|_| data.try_get_u16());
                let kinds = kinds.collect::<Result<_, _>>().map_err(|_| "the option ends early")?;
                Self::Info { go: code == opt::GO, name, kinds }
            }
            opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT => {
                let name = counted_string(&mut data)?;
                let count = data.try_get_u32().map_err(|_| "the option ends early")?;
                // Each query takes at least its length field, so the data bounds the count.
                let queries = (0..count).map(|_| counted_string(&mut data));
                let queries = queries.collect::<Result<_, _>>()?;
                Self::Meta { set: code == opt::SET_META_CONTEXT, name, queries }
            }
            _ => return Ok(Self::Unknown),
        };
        if data.is_empty() { Ok(asked) } else { Err("the option has data behind its end") }
    }
}

/// A string behind its 32-bit length.
fn counted_string(data: &mut &[u8]) -> Result<String, Malformed> {
    let length = data.try_get_u32().map_err(|_| "the option ends early")?;
    string(data, usize::try_from(length).map_err(|_| "the string is too long")?)
}

/// A string of `length` bytes, within the protocol's bounds.
fn string(data: &mut &[u8], length: usize) -> Result<String, Malformed> {
    if length > NAME_BYTES_MAX {
        return Err("the string is longer than 4096 bytes");
    }
    let Some((text, rest)) = data.split_at_checked(length) else {
        return Err("the string ends early");
    };
    *data = rest;
    let text = std::str::from_utf8(text).map_err(|_| "the string is not UTF-8")?;
    if text.contains('\0') {
        return Err("the string has a NUL");
    }
    Ok(text.to_owned())
}

/// Appends one reply to option `code`.
pub(super) fn push_reply(out: &mut Vec<u8>, code: u32, kind: u32, data: &[u8]) {
    out.put_u64(magic::OPTION_REPLY);
    out.put_u32(code);
    out.put_u32(kind);
    // The data is built here, from names of at most 4 KiB: it fits.
    out.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(data);
}

/// At most `bytes_max` bytes of `text`, cut between characters.
pub(super) fn clip(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<u8> {
        let mut data = Vec::new();
        data.put_u32(u32::try_from(name.len()).unwrap());
        data.extend_from_slice(name.as_bytes());
        data
    }

    #[test]
    fn go_carries_its_name_and_kinds() {
        let mut data = named("vol");
        data.extend_from_slice(&[0, 2, 0, 3, 0, 1]);
        let asked = Asked::parse(opt::GO, &data).unwrap();
        assert_eq!(asked, Asked::Info { go: true, name: "vol".into(), kinds: vec![3, 1] });
    }

    #[test]
    fn a_length_that_lies_is_malformed_whatever_the_option() {
        for code in [opt::INFO, opt::GO, opt::LIST_META_CONTEXT, opt::SET_META_CONTEXT] {
            let mut whole = named("vol");
            whole.extend_from_slice(&[0; 4]);
            for cut in 0..whole.len() - 2 {
                assert!(Asked::parse(code, &whole[..cut]).is_err(), "option {code} cut at {cut}");
            }
            assert!(Asked::parse(code, &[0xff; 64]).is_err());
        }
        assert!(Asked::parse(opt::LIST, &[1]).is_err());
        assert!(Asked::parse(opt::EXPORT_NAME, &[b'x'; 4097]).is_err());
        assert!(Asked::parse(opt::EXPORT_NAME, &[0xff, 0xfe]).is_err());
    }

    #[test]
    fn a_huge_query_count_ends_with_the_data_and_not_with_the_count() {
        let mut data = named("vol");
        data.put_u32(u32::MAX);
        assert!(Asked::parse(opt::SET_META_CONTEXT, &data).is_err());
    }

    #[test]
    fn a_clipped_text_stays_text() {
        assert_eq!(clip("aé", 2), "a");
        assert_eq!(clip("abc", 9), "abc");
    }
}
