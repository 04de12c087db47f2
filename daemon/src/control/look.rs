//! Answers what operators want to know before they do something: plans, losses, the journal.

use super::api::{
    JOURNAL_SCHEMA, JournalDocument, JournalQuery, LOSS_SCHEMA, LossDocument, LossQuery,
    PLAN_SCHEMA, PlanDocument, RecordDocument, ReplaceRequest, TakeoverRequest,
};
use super::server::{Answer, Served, invalid, refused};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trefoil_core::model::{SiteName, UpdateNumber};
use trefoil_site::{Group, TakeoverOptions, Verb, VerbPlan};

/// How many records are listed at once at most.
const RECORDS_MAX: u64 = 10_000;
/// About how many bytes of records are read at once.
const READ_BYTES: usize = 4 << 20;

/// The paths of this file.
pub(super) fn routes() -> Router<Arc<Served>> {
    Router::new()
        .route("/v1/groups/{group}/plans/takeover", get(takeover))
        .route("/v1/groups/{group}/plans/swap", get(swap))
        .route("/v1/groups/{group}/plans/failback", get(failback))
        .route("/v1/groups/{group}/plans/rejoin", get(rejoin))
        .route("/v1/groups/{group}/plans/replace", get(replace))
        .route("/v1/groups/{group}/plans/loss", get(loss))
        .route("/v1/groups/{group}/journal", get(journal))
}

type Asked<T> = std::result::Result<Query<T>, QueryRejection>;

fn planned(plan: VerbPlan) -> Json<PlanDocument> {
    Json(PlanDocument { schema: PLAN_SCHEMA.to_owned(), plan })
}

async fn takeover(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    query: Asked<TakeoverRequest>,
) -> Answer<PlanDocument> {
    let Query(query) = query.map_err(|rejection| invalid(&rejection.body_text()))?;
    let TakeoverRequest { accept_loss, primary_is_fenced } = query;
    let group = served.group(&group).map_err(refused)?;
    let options = TakeoverOptions { accept_loss, primary_is_fenced };
    group.plan_takeover(options).await.map(planned).map_err(refused)
}

async fn swap(state: State<Arc<Served>>, group: Path<String>) -> Answer<PlanDocument> {
    exchange(state, group, Verb::Swap).await
}

async fn failback(state: State<Arc<Served>>, group: Path<String>) -> Answer<PlanDocument> {
    exchange(state, group, Verb::Failback).await
}

async fn exchange(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    verb: Verb,
) -> Answer<PlanDocument> {
    let group = served.group(&group).map_err(refused)?;
    group.plan_swap(verb).await.map(planned).map_err(refused)
}

async fn rejoin(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
) -> Answer<PlanDocument> {
    let group = served.group(&group).map_err(refused)?;
    group.plan_rejoin().await.map(planned).map_err(refused)
}

async fn replace(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    query: Asked<ReplaceRequest>,
) -> Answer<PlanDocument> {
    let Query(query) = query.map_err(|rejection| invalid(&rejection.body_text()))?;
    let ReplaceRequest { site, accept_loss } = query;
    let group = served.group(&group).map_err(refused)?;
    group.plan_replace(&site, accept_loss).await.map(planned).map_err(refused)
}

async fn loss(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    query: Asked<LossQuery>,
) -> Answer<LossDocument> {
    let Query(LossQuery { of }) = query.map_err(|rejection| invalid(&rejection.body_text()))?;
    let group = served.group(&group).map_err(refused)?;
    let lost = of.map(|names| {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(SiteName::new).collect::<trefoil_core::Result<BTreeSet<SiteName>>>()
    });
    let lost = lost.transpose().map_err(refused)?;
    let forecasts = group.plan_loss(lost).await.map_err(refused)?;
    let (schema, site) = (LOSS_SCHEMA.to_owned(), group.site().clone());
    Ok(Json(LossDocument { schema, group: group.name().clone(), site, forecasts }))
}

async fn journal(
    State(served): State<Arc<Served>>,
    Path(group): Path<String>,
    query: Asked<JournalQuery>,
) -> Answer<JournalDocument> {
    let Query(query) = query.map_err(|rejection| invalid(&rejection.body_text()))?;
    let JournalQuery { from, limit } = query;
    let group = served.group(&group).map_err(refused)?;
    let journal = group.journal().await.map_err(refused)?;
    let limit = limit.min(RECORDS_MAX);
    let first = match from {
        Some(from) => UpdateNumber::new(from).max(journal.base.number.next()),
        None => {
            let newest = journal.newest.number.value();
            let first = newest.saturating_sub(limit.saturating_sub(1));
            UpdateNumber::new(first).max(journal.base.number.next())
        }
    };
    let records = records(group, first, limit).await.map_err(refused)?;
    let status = group.status();
    let headroom: BTreeMap<SiteName, _> =
        status.legs.iter().map(|(site, leg)| (site.clone(), leg.headroom)).collect();
    Ok(Json(JournalDocument {
        schema: JOURNAL_SCHEMA.to_owned(),
        group: group.name().clone(),
        site: group.site().clone(),
        journal,
        on_full: status.on_full,
        bytes_per_second: status.journal_bytes_per_second,
        full: status.journal_full.clone(),
        headroom,
        records,
    }))
}

/// At most `limit` records from `first` on.
async fn records(
    group: &Group,
    first: UpdateNumber,
    limit: u64,
) -> trefoil_core::Result<Vec<RecordDocument>> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    let last = UpdateNumber::new(first.value().saturating_add(limit - 1));
    let mut next = first;
    while next <= last {
        let some = group.records(next, last, READ_BYTES).await?;
        let Some(newest) = some.last().map(|record| record.number()) else { break };
        found.extend(some.iter().map(RecordDocument::from));
        next = newest.next();
    }
    Ok(found)
}
