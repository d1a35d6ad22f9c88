//! Ctrl-C and SIGTERM: the first ends the work between two steps, the second at once.

use std::io::Write as _;

use tokio_util::sync::CancellationToken;

/// A token that the first signal cancels. Has to be called within a tokio runtime.
pub(super) fn stop() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        signal().await;
        token.cancel();
        // A closed terminal is no reason to stay.
        _ = writeln!(anstream::stderr(), "stopping between two steps; once more to stop at once");
        signal().await;
        exit_now();
    });
    stop
}

#[expect(clippy::disallowed_methods, reason = "a person asked twice; nothing may be in the way")]
fn exit_now() {
    std::process::exit(130);
}

async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Without signals the program runs until it is killed.
        std::future::pending::<()>().await;
    }
}
