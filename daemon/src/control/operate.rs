//! Answers what operators want done to a group, and lets it come to its end.

use super::api::{
    PAIR_SCHEMA, PairDocument, PairRequest, REJOIN_SCHEMA, REPLACE_SCHEMA, RejoinDocument,
    ReplaceDocument, ReplaceRequest, SWAP_SCHEMA, SwapDocument, VOLUMES_SCHEMA, VolumesDocument,
};
use super::server::{Answer, Served, bad_body, refused};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use trefoil_core::engine::replace::Predecessor;
use trefoil_core::model::VolumeChange;
use trefoil_core::{Error, ErrorKind, Result};

/// After this long the answer is that it still goes on.
const DEADLINE: Duration = Duration::from_secs(120);

/// Does it in a task of its own: a client that hangs up must not stop it half way.
pub(super) async fn to_its_end<T: Send + 'static>(
    doing: String,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> std::result::Result<T, Response> {
    match timeout(DEADLINE, tokio::spawn(work)).await {
        Ok(Ok(outcome)) => outcome.map_err(refused),
        Ok(Err(join)) => {
            let doing = format!("{doing}: the daemon gave up");
            Err(refused(Error::with_source(ErrorKind::Io, doing, join)))
        }
        Err(_) => {
            let seconds = DEADLINE.as_secs();
            Err(refused(Error::new(
                ErrorKind::Timeout,
                format!(
                    "{doing}: not done after {seconds} s, it still goes on; see `trefoil status`"
                ),
            )))
        }
    }
}

/// Exchanges roles: this site leads next.
pub(super) async fn swap(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
) -> Answer<SwapDocument> {
    let group = served.group(&group).map_err(refused)?.clone();
    let (name, site) = (group.name().clone(), group.site().clone());
    tracing::warn!(group = %name, "exchange of roles asked for");
    let running = async move { group.swap().await };
    let certificate = to_its_end(format!("exchange roles in group {name}"), running).await?;
    let exports = served.exports(Some(&name));
    let schema = SWAP_SCHEMA.to_owned();
    Ok(Json(SwapDocument { schema, group: name, site, certificate, exports }))
}

/// Lets a site with updates of its own follow: the operator chose that they may be dropped.
pub(super) async fn rejoin(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
) -> Answer<RejoinDocument> {
    let group = served.group(&group).map_err(refused)?.clone();
    let (name, site) = (group.name().clone(), group.site().clone());
    tracing::warn!(group = %name, "rejoin asked for");
    let running = async move { group.rejoin().await };
    let follows = to_its_end(format!("rejoin group {name}"), running).await?;
    Ok(Json(RejoinDocument { schema: REJOIN_SCHEMA.to_owned(), group: name, site, follows }))
}

/// Replaces a site for good.
pub(super) async fn replace(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    body: std::result::Result<Json<ReplaceRequest>, JsonRejection>,
) -> Answer<ReplaceDocument> {
    let Json(ReplaceRequest { site: replaced, accept_loss }) = body.map_err(bad_body)?;
    let group = served.group(&group).map_err(refused)?.clone();
    let (group_name, site) = (group.name().clone(), group.site().clone());
    tracing::warn!(group = %group_name, %replaced, accept_loss, "replacement of a site asked for");
    let (doing, other) = (format!("replace site {replaced}"), replaced.clone());
    let running = async move { group.replace_site(&other, accept_loss).await };
    let Predecessor { born, last, lacked } = to_its_end(doing, running).await?;
    let (schema, group) = (REPLACE_SCHEMA.to_owned(), group_name);
    Ok(Json(ReplaceDocument { schema, group, site, replaced, born, last, lacked }))
}

/// Changes the volumes of a group that this site leads.
pub(super) async fn change_volumes(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    body: std::result::Result<Json<VolumeChange>, JsonRejection>,
) -> Answer<VolumesDocument> {
    let Json(change) = body.map_err(bad_body)?;
    let group = served.group(&group).map_err(refused)?.clone();
    let (name, site) = (group.name().clone(), group.site().clone());
    tracing::warn!(group = %name, %change, "change of volumes asked for");
    let (doing, handle) = (format!("{change} in group {name}"), group.clone());
    let running = async move { handle.change_volumes(change).await };
    let update = to_its_end(doing, running).await?;
    let volumes = group.status().volumes.iter().filter(|v| !v.is_removed()).cloned().collect();
    let exports = served.exports(Some(&name));
    let schema = VOLUMES_SCHEMA.to_owned();
    Ok(Json(VolumesDocument { schema, group: name, site, update, volumes, exports }))
}

type PairBody = std::result::Result<Json<PairRequest>, JsonRejection>;

/// Suspends a leg of this site.
pub(super) async fn suspend(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    body: PairBody,
) -> Answer<PairDocument> {
    set_suspended(&served, &group, body, true).await
}

/// Lets a leg of this site go on.
pub(super) async fn resume(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    body: PairBody,
) -> Answer<PairDocument> {
    set_suspended(&served, &group, body, false).await
}

async fn set_suspended(
    served: &Served,
    group: &str,
    body: PairBody,
    suspended: bool,
) -> Answer<PairDocument> {
    let Json(PairRequest { to }) = body.map_err(bad_body)?;
    let group = served.group(group).map_err(refused)?.clone();
    let (name, site) = (group.name().clone(), group.site().clone());
    tracing::warn!(group = %name, %to, suspended, "suspension of a leg set");
    let doing = format!("suspend the leg to {to} in group {name}");
    let other = to.clone();
    let running = async move {
        if suspended { group.suspend(&other).await } else { group.resume(&other).await }
    };
    to_its_end(doing, running).await?;
    Ok(Json(PairDocument { schema: PAIR_SCHEMA.to_owned(), group: name, site, to, suspended }))
}
