//! `/events`: tells an open page that something changed, so that it fetches itself again.
//!
//! Server-sent events. Carries the verdict, never a document. Used by `routes`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::report::verdict;
use crate::report::view::View;

/// Open streams at once.
const CLIENTS: usize = 64;
/// A page that hears nothing for three of these knows that the stream is lost.
const BEAT: Duration = Duration::from_secs(5);
/// The least time between two events: a burst of changes is one event.
const SPACING: Duration = Duration::from_millis(100);

/// Hands out streams, up to a bound.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    view: watch::Receiver<Arc<View>>,
    seats: Arc<Semaphore>,
    cancel: CancellationToken,
}

impl Streams {
    pub(super) fn new(view: watch::Receiver<Arc<View>>, cancel: CancellationToken) -> Self {
        Self { view, seats: Arc::new(Semaphore::new(CLIENTS)), cancel }
    }

    /// A stream for one page. Its first event comes at once: what changed since the page was made is not missed.
    pub(super) fn open(&self) -> Response {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            let retry = [(header::RETRY_AFTER, "30")];
            return (StatusCode::SERVICE_UNAVAILABLE, retry, "Too many open pages; close one.\n").into_response();
        };
        let mut view = self.view.clone();
        view.mark_changed();
        let cancel = self.cancel.clone();
        let events = futures::stream::unfold((view, seat, true), |(mut view, seat, first)| async move {
            if !first {
                tokio::time::sleep(SPACING).await;
            }
            let event = match tokio::time::timeout(BEAT, view.changed()).await {
                Ok(Ok(())) => Event::default().event("view").data(message(&view.borrow_and_update())),
                // The agent is gone; the end of the stream tells the page.
                Ok(Err(_)) => return None,
                Err(_) => Event::default().event("beat").data("{}"),
            };
            Some((Ok::<_, Infallible>(event), (view, seat, false)))
        });
        Sse::new(events.take_until(async move { cancel.cancelled().await })).into_response()
    }
}

fn message(view: &View) -> String {
    let needs = view.syncs.iter().filter(|sync| verdict::standing(sync) == verdict::Standing::NeedsYou).count();
    serde_json::json!({ "verdict": verdict::verdict(view), "needYou": needs }).to_string()
}
