//! The trefoil daemon and its command line.
//!
//! | module | what it is for |
//! |---|---|
//! | [`cli`] | the verbs: what a person or a script types |
//! | [`run`] | the daemon: starts a site and everything around it, stops them in order |
//! | [`reload`] | the configuration read again while it runs |
//! | [`builtin`] | the transports and backends that come with trefoil, by their words |
//! | [`distant`] | a long way to another site, for trying it out |
//! | [`demo`] | three sites in one process, and a loss |
//! | [`nbd`] | serves exports to hosts over the Network Block Device protocol |
//! | [`credentials`] | the certificates in use, each read once, and again |
//! | [`export`] | the volumes of a site as such exports |
//! | [`control`] | the API over the Unix socket, which the verbs use |
//! | [`images`] | consistent raw images of a group |
//! | [`metrics`] | the table of metrics, and `/metrics` |
//! | [`http`] | the bounded HTTP server below both |

pub mod builtin;
pub mod cli;
pub mod control;
pub mod credentials;
pub mod demo;
pub mod distant;
pub mod export;
pub mod http;
pub mod images;
pub mod metrics;
pub mod nbd;
pub mod reload;
pub mod run;

mod pid_file;
