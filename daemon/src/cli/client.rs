//! Talks to a daemon over its control socket.

use super::{Exit, Failure, exit_of};
use crate::control::api::ProblemDocument;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;
use trefoil_core::Error;
use trefoil_core::model::{GroupName, MachineName, SiteName};
use trefoil_site::config::{MachineEntry, SiteConfig};

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// For connecting, and for a daemon to begin to listen to us.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A client of one daemon's control socket.
#[derive(Clone, Debug)]
pub struct Client {
    site: SiteName,
    machine: Option<MachineName>,
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon that runs `group` at `site`.
    ///
    /// # Errors
    /// When the configuration has no such site, or the site has no role in the group.
    pub fn of(config: &SiteConfig, site: &SiteName, group: &str) -> Result<Self, Failure> {
        let group = GroupName::new(group)?;
        Ok(Self::to(site, config.machine_of(site, &group)?))
    }

    /// Clients of every daemon of `site`; of the own machine's only, where it was said which one
    /// that is.
    ///
    /// # Errors
    /// When the configuration has no such site.
    pub fn all(config: &SiteConfig, site: &SiteName) -> Result<Vec<Self>, Failure> {
        if *site == config.site && config.machine.is_some() {
            return Ok(vec![Self::to(site, config.own()?)]);
        }
        let machines = &config.entry(site)?.machines;
        Ok(machines.iter().map(|machine| Self::to(site, machine)).collect())
    }

    fn to(site: &SiteName, machine: &MachineEntry) -> Self {
        let MachineEntry { name, control, .. } = machine;
        Self { site: site.clone(), machine: name.clone(), socket: control.clone() }
    }

    /// The machine of its site; `None` where it has one only.
    pub fn machine(&self) -> Option<&MachineName> {
        self.machine.as_ref()
    }

    /// What it is called in messages.
    fn name(&self) -> String {
        let Self { site, machine, socket: _ } = self;
        machine.as_ref().map_or_else(|| site.to_string(), |machine| format!("{site}/{machine}"))
    }

    /// `GET path`, answered within `limit`.
    ///
    /// # Errors
    /// What the daemon says, or that it cannot be reached.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: Duration,
    ) -> Result<T, Failure> {
        self.call(Method::GET, path, Bytes::new(), limit).await
    }

    /// `POST path` with a JSON body, answered within `limit`.
    ///
    /// # Errors
    /// What the daemon says, or that it cannot be reached.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::new(Exit::Failed, format!("write request: {error}")))?;
        self.call(Method::POST, path, body.into(), limit).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<T, Failure> {
        let connected = timeout(CONNECT_DEADLINE, UnixStream::connect(&self.socket)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.unreachable(&error)),
            Err(_) => return Err(self.unreachable(&"it does not accept connections")),
        };
        match timeout(limit, self.exchange(stream, method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::new(
                Exit::Timeout,
                format!("site {} did not answer within {} s", self.name(), limit.as_secs_f64()),
            )),
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        stream: UnixStream,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let lost = |error: hyper::Error| self.unreachable(&error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // Its errors come out of the request, too.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "trefoil")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::new(Exit::Failed, format!("write request: {error}")))?;
        let answer = sender.send_request(request).await.map_err(lost)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.unreachable(&error))?.to_bytes();
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| self.other_version(&error));
        }
        match serde_json::from_slice::<ProblemDocument>(&body) {
            Ok(problem) => {
                let error = Error::from(problem);
                Err(Failure::new(exit_of(error.kind()), format!("site {}: {error}", self.name())))
            }
            Err(error) => Err(self.other_version(&error)),
        }
    }

    fn unreachable(&self, why: &dyn std::fmt::Display) -> Failure {
        let (site, name, socket) = (&self.site, self.name(), self.socket.display());
        let machine = self.machine.as_ref();
        let option = machine.map_or_else(String::new, |name| format!(" --machine {name}"));
        Failure::new(
            Exit::Unreachable,
            format!(
                "the daemon of site {name} cannot be reached at {socket}: {why}\n  = help: is \
                 `trefoil run --site {site}{option}` running on this host, and may \
                 this user open the socket?"
            ),
        )
    }

    fn other_version(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::new(
            Exit::Failed,
            format!(
                "the daemon of site {} answers in words that this `trefoil` does not know \
                 ({error}); is it of another version?",
                self.name()
            ),
        )
    }
}
