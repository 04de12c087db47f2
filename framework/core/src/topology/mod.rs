//! Who follows whom, and how.
