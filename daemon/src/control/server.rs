//! Answers the control API from the handles of a running site.

use super::api::{
    EXPORT_SCHEMA, ExportDocument, ExportRequest, ExportUri, GroupDocument, ProblemDocument,
    RELOAD_SCHEMA, ReloadDocument, STATUS_SCHEMA, StatusDocument, TAKEOVER_SCHEMA,
    TakeoverDocument, TakeoverRequest, WAIT_SCHEMA, WaitDocument, WaitQuery,
};
use super::operate::{change_volumes, rejoin, replace, resume, suspend, swap, to_its_end};
use super::warnings::warnings;
use super::who;
use crate::credentials::CredentialStore;
use crate::export::export_name;
use crate::images;
use crate::reload::{LastReload, Reloads};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use trefoil_core::model::{GroupName, UpdateNumber};
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_site::config::{Changes, NbdSecurity, SiteConfig};
use trefoil_site::{Group, Point, TakeoverOptions};

/// The longest `wait`.
const WAIT_MS_MAX: u64 = 24 * 3_600_000;

/// What the daemon serves: the handles of its site, and its configuration.
pub struct Served {
    config: SiteConfig,
    groups: BTreeMap<GroupName, Group>,
    credentials: CredentialStore,
    /// One export at a time: each holds a restorer.
    exporting: Semaphore,
    reloads: Option<Reloads>,
}

impl Served {
    /// Serves these groups under this configuration.
    pub fn new(config: SiteConfig, groups: Vec<Group>) -> Self {
        let groups = groups.into_iter().map(|group| (group.name().clone(), group)).collect();
        let credentials = CredentialStore::default();
        Self { config, groups, credentials, exporting: Semaphore::new(1), reloads: None }
    }

    /// The same, with the certificates that are in use.
    #[must_use]
    pub fn with(self, credentials: CredentialStore) -> Self {
        Self { credentials, ..self }
    }

    /// The certificates that are in use.
    pub fn credentials(&self) -> &CredentialStore {
        &self.credentials
    }

    /// Whom reloads are asked of.
    #[must_use]
    pub fn reloaded_by(self, reloads: Reloads) -> Self {
        Self { reloads: Some(reloads), ..self }
    }

    /// What came of the newest reload; `None` where nobody reloads.
    pub fn last_reload(&self) -> Option<LastReload> {
        self.reloads.as_ref().map(Reloads::last)
    }

    /// The configuration.
    pub fn config(&self) -> &SiteConfig {
        &self.config
    }

    /// The groups, by name.
    pub fn groups(&self) -> &BTreeMap<GroupName, Group> {
        &self.groups
    }

    pub(super) fn group(&self, name: &str) -> Result<&Group> {
        let found = GroupName::new(name).ok().and_then(|name| self.groups.get(&name));
        found.ok_or_else(|| {
            let elsewhere = GroupName::new(name).ok();
            let elsewhere =
                elsewhere.and_then(|name| self.config.machine_of(&self.config.site, &name).ok());
            if let Some(machine) = elsewhere {
                let machine = machine.shown(&self.config.site);
                return Error::invalid(format!("find group: `{name}` is on machine {machine}"));
            }
            let known: Vec<_> = self.groups.keys().map(GroupName::as_str).collect();
            let (site, known) = (&self.config.site, known.join(", "));
            Error::invalid(format!("find group: site {site} has no `{name}`; it has: {known}"))
        })
    }

    /// Where the volumes are served over NBD; of one group, or of all.
    pub(super) fn exports(&self, of: Option<&GroupName>) -> Vec<ExportUri> {
        let Ok(Some(nbd)) = self.config.own().map(|own| own.nbd.as_ref()) else {
            return Vec::new();
        };
        let groups = self.config.own_groups();
        let groups = groups.filter(|(name, _)| of.is_none_or(|of| of == *name));
        let here = |name| self.groups.get(name).map(Group::volumes).unwrap_or_default();
        let uri = |group: &GroupName, volume: &trefoil_core::model::VolumeName| {
            let export = export_name(group, volume);
            let uri = match self.config.nbd_security() {
                Some(NbdSecurity::Tls) => nbd.uri(&export).replacen("nbd://", "nbds://", 1),
                _ => nbd.uri(&export),
            };
            ExportUri { group: group.clone(), volume: volume.clone(), export, uri }
        };
        groups
            .flat_map(|(name, _)| here(name).into_iter().map(move |volume| (name, volume)))
            .map(|(group, volume)| uri(group, &volume))
            .collect()
    }
}

/// The routes of the control API.
pub fn router(served: Arc<Served>) -> Router {
    Router::new()
        .route("/v1/status", get(get_status))
        .route("/v1/groups/{group}/actions/takeover", post(takeover))
        .route("/v1/groups/{group}/actions/swap", post(swap))
        .route("/v1/groups/{group}/actions/rejoin", post(rejoin))
        .route("/v1/groups/{group}/actions/replace", post(replace))
        .route("/v1/groups/{group}/actions/suspend", post(suspend))
        .route("/v1/groups/{group}/actions/resume", post(resume))
        .route("/v1/groups/{group}/actions/volume", post(change_volumes))
        .route("/v1/actions/reload", post(reload))
        .route("/v1/groups/{group}/wait", get(wait))
        .merge(super::look::routes())
        .route("/v1/groups/{group}/actions/export", post(export))
        .fallback(|| async {
            let detail = "no such path in this version of the control API".to_owned();
            problem(ProblemDocument { status: 404, code: "not_found".to_owned(), detail })
        })
        .layer(axum::middleware::from_fn(who::log))
        .with_state(served)
}

/// Everything that the site knows now.
pub fn status(served: &Served) -> StatusDocument {
    let now_us = since_1970_us();
    let document = |group: &Group| {
        let status = group.status();
        let age_us = now_us.saturating_sub(status.recovery_point_us);
        let entry = served.config.groups.get(&status.group);
        GroupDocument {
            recovery_point_objective_seconds: entry
                .and_then(|entry| entry.recovery_point_objective)
                .map(|objective| objective.as_secs_f64()),
            recovery_point_age_seconds: (status.recovery_point_us > 0)
                .then(|| Duration::from_micros(age_us).as_secs_f64()),
            status: (*status).clone(),
        }
    };
    StatusDocument {
        schema: STATUS_SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        site: served.config.site.clone(),
        machine: served.config.machine.clone(),
        pid: std::process::id(),
        as_of: jiff::Timestamp::now().to_string(),
        exports: served.exports(None),
        warnings: warnings(&served.config, &served.credentials),
        groups: served.groups.values().map(document).collect(),
    }
}

fn since_1970_us() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

pub(super) type Answer<T> = std::result::Result<Json<T>, Response>;

async fn get_status(State(served): State<Arc<Served>>) -> Json<StatusDocument> {
    Json(status(&served))
}

async fn takeover(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    request: std::result::Result<Json<TakeoverRequest>, JsonRejection>,
) -> Answer<TakeoverDocument> {
    let Json(TakeoverRequest { accept_loss, primary_is_fenced }) = request.map_err(bad_body)?;
    let group = served.group(&group).map_err(refused)?.clone();
    let name = group.name().clone();
    tracing::warn!(group = %name, accept_loss, primary_is_fenced, "takeover asked for");
    let options = TakeoverOptions { accept_loss, primary_is_fenced };
    let running = async move { group.takeover(options).await };
    let certificate = to_its_end(format!("take over group {name}"), running).await?;
    let exports = served.exports(Some(&name));
    let schema = TAKEOVER_SCHEMA.to_owned();
    Ok(Json(TakeoverDocument { schema, group: name, certificate, exports }))
}

async fn reload(State(served): State<Arc<Served>>) -> Answer<ReloadDocument> {
    let Some(reloads) = &served.reloads else {
        return Err(refused(Error::refused("reload configuration: this site has none to reload")));
    };
    let Changes { live, restart } = reloads.ask().await.map_err(refused)?;
    let (schema, site) = (RELOAD_SCHEMA.to_owned(), served.config.site.clone());
    Ok(Json(ReloadDocument { schema, site, live, restart }))
}

async fn wait(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    query: std::result::Result<Query<WaitQuery>, QueryRejection>,
) -> Answer<WaitDocument> {
    let Query(query) = query.map_err(|rejection| invalid(&rejection.body_text()))?;
    let WaitQuery { at, update, point, timeout_ms } = query;
    let group = served.group(&group).map_err(refused)?;
    served.config.entry(&at).map_err(refused)?;
    let which = match point.as_str() {
        "durable" => Point::Durable,
        "restored" => Point::Restored,
        other => return Err(invalid(&format!("point is `{other}`, expected durable or restored"))),
    };
    let number = match update.as_str() {
        "latest" => None,
        number => Some(UpdateNumber::new(number.parse().map_err(|_| {
            invalid(&format!("update is `{number}`, expected a number or `latest`"))
        })?)),
    };
    let waiting = async {
        let number = match number {
            Some(number) => number,
            None => group.newest().await?.number,
        };
        group.wait_for(number, &at, which).await.map(|()| number)
    };
    let limit = Duration::from_millis(timeout_ms.min(WAIT_MS_MAX));
    let update = match timeout(limit, waiting).await {
        Ok(done) => done.map_err(refused)?,
        Err(_) => {
            let status = group.status();
            let here = status.marks;
            return Err(refused(Error::new(
                ErrorKind::Timeout,
                format!(
                    "wait for update {update} at {at}: not {point} within {} s; site {} has \
                     {} durable and {} restored",
                    limit.as_secs_f64(),
                    status.site,
                    here.durable,
                    here.restored
                ),
            )));
        }
    };
    let schema = WAIT_SCHEMA.to_owned();
    Ok(Json(WaitDocument { schema, group: group.name().clone(), at, update, point }))
}

async fn export(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    request: std::result::Result<Json<ExportRequest>, JsonRejection>,
) -> Answer<ExportDocument> {
    let Json(ExportRequest { dir, update }) = request.map_err(bad_body)?;
    let group = served.group(&group).map_err(refused)?;
    let Ok(_one) = served.exporting.try_acquire() else {
        return Err(refused(Error::new(
            ErrorKind::Full,
            "export group: another export runs at this site; wait until it is done",
        )));
    };
    let (position, images) = images::export(group, &dir, update).await.map_err(refused)?;
    let site = served.config.site.clone();
    let schema = EXPORT_SCHEMA.to_owned();
    Ok(Json(ExportDocument { schema, group: group.name().clone(), site, position, images }))
}

pub(super) fn bad_body(rejection: JsonRejection) -> Response {
    invalid(&rejection.body_text())
}

pub(super) fn invalid(what: &str) -> Response {
    refused(Error::invalid(format!("read request: {what}")))
}

#[expect(clippy::needless_pass_by_value, reason = "used as the argument of map_err")]
pub(super) fn refused(error: Error) -> Response {
    tracing::info!(%error, "control request answered with an error");
    problem(ProblemDocument::from(&error))
}

fn problem(problem: ProblemDocument) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    let body = serde_json::to_string(&problem).unwrap_or_default();
    (status, kind, body).into_response()
}
