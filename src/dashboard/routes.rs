//! The paths and what answers them.
//!
//! Called by `dashboard::serve`.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::assets;
use super::events::Streams;
use super::guard::{self, Hosts};
use super::pages;
use crate::report::view::to_json;
use crate::telemetry;

pub(super) fn router(state: super::State, hosts: Hosts, cancel: CancellationToken) -> Router {
    let streams = Streams::new(state.view.clone(), cancel);
    Router::new()
        .route("/", get(overview))
        .route("/syncs/{namespace}/{name}", get(sync))
        .route("/assets/{name}", get(assets::serve))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/syncs", get(syncs_json))
        .fallback(missing)
        .with_state(state)
        .route("/events", get(move || async move { streams.open() }))
        .layer(middleware::from_fn_with_state(hosts, guard::check))
}

async fn readyz(State(state): State<super::State>) -> Response {
    if *state.ready.borrow() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the first pass has not ended yet\n").into_response()
    }
}

async fn metrics(State(state): State<super::State>) -> Response {
    let view = state.view.borrow().clone();
    match state.metrics.render(&view, (state.clock)()) {
        Ok(page) => ([(header::CONTENT_TYPE, telemetry::METRICS_CONTENT_TYPE)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn syncs_json(State(state): State<super::State>) -> Response {
    let view = state.view.borrow().clone();
    ([(header::CONTENT_TYPE, "application/json")], to_json(&view)).into_response()
}

async fn overview(State(state): State<super::State>) -> Response {
    let view = state.view.borrow().clone();
    html(StatusCode::OK, pages::overview(&view, (state.clock)()))
}

async fn sync(
    State(state): State<super::State>,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<pages::Query>,
) -> Response {
    let view = state.view.borrow().clone();
    let now = (state.clock)();
    match pages::sync(&view, &namespace, &name, query, now) {
        Some(page) => html(StatusCode::OK, page),
        None => html(StatusCode::NOT_FOUND, pages::missing(&view, now)),
    }
}

async fn missing(State(state): State<super::State>) -> Response {
    let view = state.view.borrow().clone();
    html(StatusCode::NOT_FOUND, pages::missing(&view, (state.clock)()))
}

fn html(status: StatusCode, page: askama::Result<String>) -> Response {
    match page {
        Ok(page) => (status, Html(page)).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot render a page");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be made; the log says why.\n").into_response()
        }
    }
}
