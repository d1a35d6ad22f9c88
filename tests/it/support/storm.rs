//! Bad weather between the agent and the API server, drawn from a seed: answers that are late, wrong, cut off, dripped or
//! never come, also after a write was done; watches that break or fall silent; connections that half close or go dead.
//!
//! [`Storm`] is asked by the proxy what becomes of each request; [`Front`] stands before the proxy and does the same to
//! the bytes of whole connections. When the storm ends, everything that still hangs is let go. Order and timing of the
//! requests are not drawn, so that a seed brings the same kinds of weather, not the same second.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use fastrand::Rng;
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::control_plane::{harness, on_harness};
use super::proxy::{Answer, Proxy, Seen};

/// Pieces of an answer that is dripped.
const DRIPS: usize = 10;
/// What a server says in a watch whose start it has forgotten.
const GONE: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}}"#;

/// The weather of one proxy. Fair until it begins.
pub(crate) struct Storm {
    rng: Mutex<Option<Rng>>,
    raging: watch::Sender<bool>,
    /// What was met so far, by name.
    met: Mutex<BTreeMap<&'static str, usize>>,
}

impl Default for Storm {
    fn default() -> Self {
        Self { rng: Mutex::default(), raging: watch::Sender::new(false), met: Mutex::default() }
    }
}

/// What becomes of a request.
enum Weather {
    Fair,
    Late(Duration),
    Instead(Answer),
    /// Never gets there.
    Cut,
    /// Done, and the connection ends.
    Lost,
    /// Nothing is answered for so long, and then the connection ends; done before, or never.
    Silent(Duration, bool),
    /// Done, and half of the answer comes.
    Half,
    /// Done, and the answer comes in pieces, so long after each other.
    Drip(Duration),
    /// A watch that goes well for a while.
    Watch(Duration, Break),
}

/// How a watch goes bad.
#[derive(Clone, Copy)]
enum Break {
    Cut,
    End,
    HalfAnEvent,
    Gone,
    /// Nothing is told any more, and the connection stays for so long.
    Silent(Duration),
}

/// How a connection goes bad.
#[derive(Clone, Copy)]
enum Fate {
    Reset,
    /// The server says that it will send no more, and still reads.
    HalfCloseToAgent,
    /// The server is told that no more comes, and its answers still pass.
    HalfCloseToServer,
    /// Nothing passes for so long, and nobody says so.
    Dead(Duration),
}

impl Storm {
    /// From now on.
    pub(crate) fn begin(&self, seed: u64) {
        *self.rng.lock().expect("not poisoned") = Some(Rng::with_seed(seed));
        self.raging.send_replace(true);
    }

    /// Fair weather again; what hangs is let go.
    pub(crate) fn end(&self) {
        *self.rng.lock().expect("not poisoned") = None;
        self.raging.send_replace(false);
    }

    /// What was met so far, by name.
    pub(crate) fn met(&self) -> BTreeMap<&'static str, usize> {
        self.met.lock().expect("not poisoned").clone()
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> (&'static str, T)) -> Option<T> {
        let (name, drawn) = draw(self.rng.lock().expect("not poisoned").as_mut()?);
        *self.met.lock().expect("not poisoned").entry(name).or_default() += 1;
        Some(drawn)
    }

    async fn over(&self) {
        _ = self.raging.subscribe().wait_for(|raging| !raging).await;
    }

    /// Answers a request; `forward` asks the API server once it is polled.
    pub(super) async fn meet(self: Arc<Self>, seen: &Seen, forward: impl Future<Output = Response>) -> Response {
        let draw = if seen.is_watch() { of_watch } else { of_request };
        match self.draw(draw).unwrap_or(Weather::Fair) {
            Weather::Fair => forward.await,
            Weather::Late(by) => {
                tokio::select! { () = tokio::time::sleep(by) => {}, () = self.over() => {} }
                forward.await
            }
            Weather::Instead(Answer::Http(status, headers, text)) => {
                let status = axum::http::StatusCode::from_u16(status).expect("a status code");
                let mut response = (status, text).into_response();
                for (name, value) in headers {
                    response.headers_mut().insert(name, value.parse().expect("a header"));
                }
                response
            }
            Weather::Instead(_) | Weather::Cut => broken(Bytes::new(), 10),
            Weather::Lost => {
                _ = forward.await;
                broken(Bytes::new(), 10)
            }
            Weather::Silent(lasts, done) => {
                if done {
                    _ = forward.await;
                }
                tokio::select! { () = tokio::time::sleep(lasts) => {}, () = self.over() => {} }
                broken(Bytes::new(), 10)
            }
            Weather::Half => {
                let (parts, body) = forward.await.into_parts();
                let body = to_bytes(body, 64 << 20).await.unwrap_or_default();
                let mut response = broken(body.slice(..body.len() / 2), body.len().max(1));
                *response.status_mut() = parts.status;
                if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
                    response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
                }
                response
            }
            Weather::Drip(pause) => {
                let (parts, body) = forward.await.into_parts();
                let body = to_bytes(body, 64 << 20).await.unwrap_or_default();
                let pieces: Vec<Bytes> =
                    body.chunks(body.len().div_ceil(DRIPS).max(1)).map(Bytes::copy_from_slice).collect();
                let dripped = futures::stream::iter(pieces).then(move |piece| {
                    let storm = Arc::clone(&self);
                    async move {
                        tokio::select! { () = tokio::time::sleep(pause) => {}, () = storm.over() => {} }
                        Ok::<_, io::Error>(piece)
                    }
                });
                Response::from_parts(parts, Body::from_stream(dripped))
            }
            Weather::Watch(after, end) => {
                let (parts, body) = forward.await.into_parts();
                let (give, take) = mpsc::channel(1);
                tokio::spawn(self.spoil(body, after, end, give));
                let events = futures::stream::unfold(take, |mut take| async { take.recv().await.map(|it| (it, take)) });
                Response::from_parts(parts, Body::from_stream(events))
            }
        }
    }

    /// Passes the events of a watch on until its time has come.
    async fn spoil(self: Arc<Self>, body: Body, after: Duration, end: Break, give: mpsc::Sender<io::Result<Bytes>>) {
        let mut events = body.into_data_stream();
        let mut time = std::pin::pin!(tokio::time::sleep(after));
        loop {
            tokio::select! {
                () = &mut time => break,
                () = give.closed() => return,
                event = events.next() => {
                    let Some(Ok(event)) = event else { return };
                    if give.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
            }
        }
        match end {
            Break::End => return,
            Break::Cut => {}
            Break::Gone => {
                _ = give.send(Ok(Bytes::from(format!("{GONE}\n")))).await;
                return;
            }
            Break::HalfAnEvent => tokio::select! {
                () = give.closed() => return,
                () = self.over() => {}
                event = events.next() => {
                    let Some(Ok(event)) = event else { return };
                    _ = give.send(Ok(event.slice(..event.len() / 2))).await;
                }
            },
            Break::Silent(lasts) => tokio::select! {
                () = give.closed() => return,
                () = tokio::time::sleep(lasts) => {}
                () = self.over() => {}
            },
        }
        _ = give.send(Err(io::Error::other("cut"))).await;
    }
}

/// An answer that promises `length` bytes, brings these, and breaks.
fn broken(bytes: Bytes, length: usize) -> Response {
    let parts = [Ok(bytes), Err(io::Error::other("connection lost"))];
    let parts = futures::stream::iter(parts.into_iter().filter(|part| !matches!(part, Ok(bytes) if bytes.is_empty())));
    let mut response = Response::new(Body::from_stream(parts));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn millis(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.u64(0..most))
}

/// Mostly shorter than the agent has patience, now and then longer.
fn silence(rng: &mut Rng) -> Duration {
    if rng.u8(0..4) == 0 { Duration::from_secs(60) } else { millis(rng, 8000) }
}

fn internal_error() -> Answer {
    let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"etcdserver: request timed out"}"#;
    Answer::Http(500, vec![("content-type", "application/json".into())], status.into())
}

fn of_request(rng: &mut Rng) -> (&'static str, Weather) {
    match rng.u8(0..100) {
        0..55 => ("fair", Weather::Fair),
        55..65 => ("late", Weather::Late(millis(rng, 1500))),
        65..70 => ("429", Weather::Instead(Answer::too_many_requests(1))),
        70..75 => ("500", Weather::Instead(internal_error())),
        75..80 => ("503", Weather::Instead(Answer::unavailable())),
        80..85 => ("cut", Weather::Cut),
        85..91 => ("lost after it was done", Weather::Lost),
        91..94 => ("half an answer", Weather::Half),
        94..97 => ("dripped", Weather::Drip(Duration::from_millis(100))),
        97 => ("dripped too slowly", Weather::Drip(Duration::from_secs(5))),
        98 => ("silent after it was done", Weather::Silent(silence(rng), true)),
        _ => ("silent", Weather::Silent(silence(rng), false)),
    }
}

fn of_watch(rng: &mut Rng) -> (&'static str, Weather) {
    let after = millis(rng, 3000);
    match rng.u8(0..100) {
        0..45 => ("watch: fair", Weather::Fair),
        45..50 => ("watch: 429", Weather::Instead(Answer::too_many_requests(1))),
        50..55 => ("watch: 500", Weather::Instead(internal_error())),
        55..70 => ("watch: cut", Weather::Watch(after, Break::Cut)),
        70..80 => ("watch: ended", Weather::Watch(after, Break::End)),
        80..88 => ("watch: half an event", Weather::Watch(after, Break::HalfAnEvent)),
        88..94 => ("watch: 410", Weather::Watch(after, Break::Gone)),
        _ => ("watch: silent", Weather::Watch(after, Break::Silent(silence(rng)))),
    }
}

fn of_connection(rng: &mut Rng) -> (&'static str, Option<(Duration, Fate)>) {
    let after = millis(rng, 4000);
    match rng.u8(0..100) {
        0..80 => ("connection: fair", None),
        80..86 => ("connection: reset", Some((after, Fate::Reset))),
        86..91 => ("connection: half closed to the agent", Some((after, Fate::HalfCloseToAgent))),
        91..96 => ("connection: half closed to the server", Some((after, Fate::HalfCloseToServer))),
        _ => ("connection: dead", Some((after, Fate::Dead(silence(rng))))),
    }
}

/// Carries connections to a proxy, byte by byte, in its weather.
pub(crate) struct Front {
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Front {
    /// Starts one before a proxy.
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let (storm, to) = (Arc::clone(proxy.storm()), proxy.address());
        let (address, server) = on_harness(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let server = harness().spawn(async move {
                while let Ok((agent, _)) = listener.accept().await {
                    tokio::spawn(carry(Arc::clone(&storm), agent, to));
                }
            });
            (address, server)
        });
        Self { address, server }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn carry(storm: Arc<Storm>, mut agent: TcpStream, to: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    _ = (agent.set_nodelay(true), server.set_nodelay(true));
    let Some((after, fate)) = storm.draw(of_connection).flatten() else {
        _ = tokio::io::copy_bidirectional(&mut agent, &mut server).await;
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut agent, &mut server) => return,
        () = tokio::time::sleep(after) => {}
        () = storm.over() => {}
    }
    let rest = async {
        match fate {
            Fate::Reset => {}
            Fate::HalfCloseToAgent => {
                _ = agent.shutdown().await;
                _ = tokio::io::copy(&mut agent, &mut server).await;
            }
            Fate::HalfCloseToServer => {
                _ = server.shutdown().await;
                _ = tokio::io::copy(&mut server, &mut agent).await;
            }
            Fate::Dead(lasts) => tokio::time::sleep(lasts).await,
        }
    };
    tokio::select! { () = rest => {}, () = storm.over() => {} }
}
