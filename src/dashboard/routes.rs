//! The paths and what answers them.
//!
//! Called by `dashboard::serve`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::events::Streams;
use super::guard::{self, Hosts};
use crate::report::view::to_json;
use crate::telemetry;

pub(super) fn router(state: super::State, hosts: Hosts, cancel: CancellationToken) -> Router {
    let streams = Streams::new(state.view.clone(), cancel);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/syncs", get(syncs_json))
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
