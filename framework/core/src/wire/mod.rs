//! Messages between sites, and how they become frames.
//!
//! | version | what changed |
//! |---|---|
//! | 1 | the first |
//! | 2 | every frame of a data lane says in front how it is packed, and how long it is unpacked |
//! | 3 | a greeting names its link, and the link that it replaces, so that a way can be changed |
//! | 4 | a charter says which loss was not told yet, and which reign was begun by consent;
//! |   | a site may ask the leading one to hand the group over; a follower says what its own maps
//! |   | cover, and whether its tail may be dropped |
//! | 5 | heartbeats carry the reigns and what maps name; a site may be asked what it would decide;
//! |   | a charter names the sites without which nothing changes |
//! | 6 | a plan says which volumes the group has at its base; a greeting says whether
//! |   | an arbiter outside of the sites is asked |
//! | 7 | a follower says whether its volumes hold data; its source tells hashes of ranges, and is
//! |   | told which of them differ |
//! | 8 | a site says whether its word counts, and how far it has come by its own word, so that one
//! |   | that was set back is told; a site that leads vouches for those that begin with nothing |
//! | 9 | what the parts of an arbiter say that lives in the sites; a greeting says which kind of
//! |   | arbiter is asked |
//! | 10 | a site says what it was born as, and which others were replaced for good |
//! | 11 | heartbeats say up to where hosts were answered |

mod codec;
mod compare;
mod message;
mod packing;
mod reader;

pub use codec::{
    RECORD_BATCH_BYTES_MAX, RECORD_BATCH_COUNT_MAX, decode_control, decode_data, encode_control,
    encode_data,
};
pub use compare::CompareBlock;
pub use message::{
    Answer, CharterReply, ControlMessage, CopyBlock, DataMessage, Evidence, Follow, Greeting,
    HandoverReply, Heartbeat, MapView, Progress, PromiseReply, Question, SiteView, StreamEnd,
};

pub use packing::{MESSAGE_BYTES_MAX, PACKING_BYTES, Packed, Packing};

/// The protocol version that this program speaks.
pub const PROTOCOL_VERSION: u16 = 12;
