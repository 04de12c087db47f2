//! The hash that ties every update to all that came before it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use xxhash_rust::xxh3::Xxh3;

/// The chain hash after an update: XXH3-128 over the chain before it, its header (without chain
/// and CRC) and, by the header's field, the CRC of its payload.
///
/// Equal chains at equal numbers are taken as equal histories. The hash is against accidents, not
/// against a site that lies.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Chain(u128);

impl Chain {
    /// The chain before the first update.
    pub const START: Self = Self(0);

    /// The chain with this value, as stored.
    pub const fn from_value(value: u128) -> Self {
        Self(value)
    }

    /// The value to store.
    pub const fn value(self) -> u128 {
        self.0
    }

    /// The chain after an update whose header, with chain and CRC zeroed, is `header`.
    #[must_use]
    pub fn after(self, header: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&self.0.to_le_bytes());
        hash.update(header);
        Self(hash.digest128())
    }
}

/// 32 hexadecimal digits in JSON, where a number of 128 bits gets lost; the number elsewhere.
impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(&format_args!("{:032x}", self.0));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let digits = String::deserialize(deserializer)?;
            return u128::from_str_radix(&digits, 16).map(Self).map_err(de::Error::custom);
        }
        u128::deserialize(deserializer).map(Self)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}
