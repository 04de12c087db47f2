//! The control API of a running daemon: JSON over HTTP on a Unix socket. Whoever may open the
//! socket may do everything; its file's permissions are the authority.
//!
//! | method and path | what |
//! |---|---|
//! | `GET /v1/status` | everything that the site knows |
//! | `POST /v1/groups/{group}/actions/takeover` | lead the group from here |
//! | `POST /v1/groups/{group}/actions/swap` | the same, by an exchange of roles |
//! | `POST /v1/groups/{group}/actions/rejoin` | drop updates that only this site has, and follow |
//! | `POST /v1/groups/{group}/actions/suspend`, `…/resume` | a leg of this site stands still |
//! | `POST /v1/actions/reload` | read the configuration again |
//! | `GET /v1/groups/{group}/wait?at=&update=&point=&timeout_ms=` | until an update is at a site |
//! | `POST /v1/groups/{group}/actions/export` | consistent images of all volumes |
//!
//! Errors are `application/problem+json` with a `code` and a `detail`. Who asked for what is no
//! `GET` is logged before it is done, and after: user and process as the kernel knows them.

pub mod api;
mod look;
mod operate;
mod server;
mod socket;
mod warnings;
mod who;

pub use server::{Served, router, status};
pub use socket::ControlSocket;
pub use warnings::warnings;
pub use who::asked_by;
