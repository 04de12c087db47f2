//! The JSON forms of etcd's gateway: keys and values in base64, 64-bit numbers as strings, what is
//! zero or empty left out of answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use trefoil_core::{Error, ErrorKind, Result};

fn number(text: &str, what: &str) -> Result<u64> {
    text.parse().map_err(|_| {
        Error::new(ErrorKind::Corrupt, format!("read {what} from etcd: `{text}` is no number"))
    })
}

/// Reads one key, or all below one.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Range {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_end: Option<String>,
}

impl Range {
    pub(super) fn of(key: &str) -> Self {
        Self { key: STANDARD.encode(key), range_end: None }
    }

    /// All keys that begin with `prefix`, which ends with a `/`.
    pub(super) fn below(prefix: &str) -> Self {
        // The byte after `/` is `0`.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        Self { key: STANDARD.encode(prefix), range_end: Some(STANDARD.encode(end)) }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RangeAnswer {
    #[serde(default)]
    pub(super) kvs: Vec<Entry>,
}

/// A key with its value.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    key: String,
    #[serde(default)]
    value: String,
    version: String,
    pub(super) mod_revision: String,
    #[serde(default)]
    lease: String,
}

impl Entry {
    pub(super) fn is(&self, key: &str) -> bool {
        self.key == STANDARD.encode(key)
    }

    pub(super) fn value(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.value).map_err(|source| {
            Error::with_source(ErrorKind::Corrupt, "read value from etcd: not base64", source)
        })
    }

    pub(super) fn version(&self) -> Result<u64> {
        number(&self.version, "version")
    }

    /// The value, which is a number of seconds.
    pub(super) fn seconds(&self) -> Result<u64> {
        number(&String::from_utf8_lossy(&self.value()?), "length of lease")
    }
}

/// Grants an etcd lease.
#[derive(Debug, Serialize)]
pub(super) struct Grant {
    #[serde(rename = "TTL")]
    seconds: String,
}

impl Grant {
    pub(super) fn of(seconds: u64) -> Self {
        Self { seconds: seconds.to_string() }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Granted {
    #[serde(rename = "ID")]
    pub(super) id: String,
}

/// Asks how long an etcd lease lasts.
#[derive(Debug, Serialize)]
pub(super) struct Ask {
    #[serde(rename = "ID")]
    id: String,
}

impl Ask {
    pub(super) fn about(entry: &Entry) -> Self {
        Self { id: entry.lease.clone() }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Remaining {
    #[serde(rename = "TTL", default)]
    seconds: Option<String>,
}

impl Remaining {
    /// Whole seconds left, rounded down; `None` if it is over.
    pub(super) fn seconds(&self) -> Result<Option<u64>> {
        match self.seconds.as_deref() {
            Some("-1") => Ok(None),
            // Zero is left out of the answer.
            None => Ok(Some(0)),
            Some(seconds) => number(seconds, "rest of lease").map(Some),
        }
    }
}

/// Does something if a key is as it was.
#[derive(Debug, Serialize)]
pub(super) struct Transaction {
    compare: [Compare; 1],
    success: Vec<Step>,
    failure: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Compare {
    key: String,
    target: &'static str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mod_revision: Option<String>,
}

#[derive(Debug, Serialize)]
enum Step {
    #[serde(rename = "requestPut")]
    Put {
        key: String,
        value: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        lease: Option<String>,
    },
    #[serde(rename = "requestRange")]
    Read(Range),
}

impl Transaction {
    /// If `key` was changed `version` times.
    pub(super) fn if_version(key: &str, version: u64) -> Self {
        Self::when(key, "VERSION", Some(version.to_string()), None)
    }

    /// If `key` was not changed since that revision.
    pub(super) fn if_unchanged(key: &str, revision: &str) -> Self {
        Self::when(key, "MOD", None, Some(revision.to_owned()))
    }

    fn when(
        key: &str,
        target: &'static str,
        version: Option<String>,
        mod_revision: Option<String>,
    ) -> Self {
        let (key, result) = (STANDARD.encode(key), "EQUAL");
        let compare = [Compare { key, target, result, version, mod_revision }];
        Self { compare, success: Vec::new(), failure: Vec::new() }
    }

    /// Then writes `key`, tied to an etcd lease or for good.
    pub(super) fn put(mut self, key: &str, value: &[u8], lease: Option<&str>) -> Self {
        let (key, value) = (STANDARD.encode(key), STANDARD.encode(value));
        self.success.push(Step::Put { key, value, lease: lease.map(str::to_owned) });
        self
    }

    /// Else reads `key`.
    pub(super) fn or_read(mut self, key: &str) -> Self {
        self.failure.push(Step::Read(Range::of(key)));
        self
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct TransactionAnswer {
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    responses: Vec<StepAnswer>,
}

#[derive(Debug, Deserialize)]
struct StepAnswer {
    #[serde(default)]
    response_range: RangeAnswer,
}

impl TransactionAnswer {
    /// What the step that reads has read.
    pub(super) fn read(&self) -> Option<&Entry> {
        self.responses.first()?.response_range.kvs.first()
    }
}
