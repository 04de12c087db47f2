//! Frames and messages between sites.
