//! Accepts connections, within bounds: how many, how long a request may take to arrive, how long an end may take.
//!
//! Knows nothing of what is served. Called by `dashboard::serve`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once, open streams included.
const CONNECTIONS: usize = 256;
/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open connections may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(listener: TcpListener, router: Router, cancel: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let builder = Arc::new(builder);
    let open = GracefulShutdown::new();
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = seat_and_accept(&seats, &listener) => accepted,
        };
        let (stream, seat) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                // A client that is gone already, or no file handle left: neither is a reason to stop serving.
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let builder = Arc::clone(&builder);
        let service = TowerToHyperService::new(router.clone());
        let watcher = open.watcher();
        tokio::spawn(async move {
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // An error here is a client that went away or spoke something else than HTTP.
            _ = watcher.watch(connection).await;
            drop(seat);
        });
    }
    drop(listener);
    _ = tokio::time::timeout(END_TIMEOUT, open.shutdown()).await;
}

async fn seat_and_accept(
    seats: &Arc<Semaphore>,
    listener: &TcpListener,
) -> std::io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, seat))
}
