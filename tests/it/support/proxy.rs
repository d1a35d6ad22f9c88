//! A proxy in front of the API server that sees every request: it counts them, answers some itself, and can kill a
//! process exactly before or after its k-th write. It serves plain HTTP; the agent's kubeconfig names it as the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kube::Client;
use tokio::sync::watch;

use super::control_plane::{ControlPlane, harness, on_harness};
use super::process::signal_pid;
use super::storm::Storm;

/// One request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Method.
    pub(crate) method: Method,
    /// Path without query.
    pub(crate) path: String,
    /// Query without `?`; empty if none.
    pub(crate) query: String,
}

impl Seen {
    /// Whether it is about a Lease.
    pub(crate) fn is_lease(&self) -> bool {
        self.path.starts_with("/apis/coordination.k8s.io/")
    }

    /// Whether it may change the world. Reviews of rights and tokens are questions, though POSTed, and a Lease only says
    /// who is at work.
    pub(crate) fn is_write(&self) -> bool {
        let review = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
            && !review.iter().any(|name| self.path.ends_with(name))
            && !self.query.contains("dryRun=All")
            && !self.is_lease()
    }

    /// Whether it is a watch.
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=1")
    }
}

/// What is answered instead of the API server's answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A status code with these headers and this body.
    Http(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Hang,
    /// The request is forwarded, the connection then ends without an answer.
    Lost,
}

impl Answer {
    /// 429 with `Retry-After` in seconds.
    pub(crate) fn too_many_requests(after: u32) -> Self {
        Self::Http(429, vec![("retry-after", after.to_string())], "slow down".into())
    }

    /// 503 without a body that Kubernetes would write.
    pub(crate) fn unavailable() -> Self {
        Self::Http(503, Vec::new(), "no healthy upstream".into())
    }

    /// 200 with the page of a captive portal.
    pub(crate) fn html() -> Self {
        let page = "<!doctype html><html><body>Please sign in</body></html>";
        Self::Http(200, vec![("content-type", "text/html".into())], page.into())
    }
}

/// Whether the k-th write reaches the API server before the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The write is lost.
    BeforeWrite,
    /// The write is done, its answer lost.
    AfterWrite,
}

type Matches = Arc<dyn Fn(&Seen) -> bool + Send + Sync>;

#[derive(Default)]
struct Rules {
    seen: Vec<Seen>,
    /// Answers still to be given: what they are given to, and how often.
    faults: Vec<(Matches, usize, Answer)>,
    /// Kill at this write (counted from 1).
    kill: Option<(usize, When)>,
    writes: usize,
    /// The process was killed: nothing gets through any more.
    dead: bool,
}

struct Shared {
    upstream: Client,
    rules: Mutex<Rules>,
    /// Writes go one at a time while a kill is armed, so that exactly k have reached the server.
    order: tokio::sync::Mutex<()>,
    victim: watch::Sender<Option<u32>>,
    flow: watch::Sender<Flow>,
    storm: Arc<Storm>,
    /// Watches that are open, in the order of their opening.
    open: Mutex<Vec<(u64, Seen)>>,
}

/// What becomes of the events of watches.
#[derive(Clone, Copy, Default)]
struct Flow {
    /// Watches opened under a smaller number are cut.
    cut: u64,
    /// Nothing gets through, and no connection ends.
    stalled: bool,
}

/// A running proxy.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Proxy {
    /// Starts one in front of a control plane. Whoever calls through it brings a token of his own.
    pub(crate) fn start(plane: &ControlPlane) -> Self {
        let mut config = plane.config(&plane.kubeconfig());
        config.auth_info = kube::config::AuthInfo::default();
        config.default_retry = false;
        let (shared, address, server) = on_harness(async move {
            let shared = Arc::new(Shared {
                upstream: Client::try_from(config).expect("a client"),
                rules: Mutex::default(),
                order: tokio::sync::Mutex::default(),
                victim: watch::Sender::new(None),
                flow: watch::Sender::default(),
                storm: Arc::default(),
                open: Mutex::default(),
            });
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let app = axum::Router::new().fallback(pass).with_state(Arc::clone(&shared));
            let server = harness().spawn(async move { _ = axum::serve(listener, app).await });
            (shared, address, server)
        });
        Self { shared, address, server }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its weather.
    pub(crate) fn storm(&self) -> &Arc<Storm> {
        &self.shared.storm
    }

    /// A kubeconfig that leads the administrator through it.
    pub(crate) fn kubeconfig(&self, plane: &ControlPlane) -> PathBuf {
        let name = format!("proxy-{}", self.address.port());
        plane.write_kubeconfig(&name, &self.url(), plane.admin_token(), "default")
    }

    fn rules<T>(&self, act: impl FnOnce(&mut Rules) -> T) -> T {
        act(&mut self.shared.rules.lock().expect("not poisoned"))
    }

    /// All requests since the last [`Self::forget`].
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.rules(|rules| rules.seen.clone())
    }

    /// The writes among them.
    pub(crate) fn writes(&self) -> Vec<Seen> {
        self.requests().into_iter().filter(Seen::is_write).collect()
    }

    /// The watches that are open now.
    pub(crate) fn watches(&self) -> Vec<Seen> {
        self.shared.open.lock().expect("not poisoned").iter().map(|(_, seen)| seen.clone()).collect()
    }

    /// Breaks the connections of all watches that are open.
    pub(crate) fn cut_watches(&self) {
        self.shared.flow.send_modify(|flow| flow.cut += 1);
    }

    /// Holds back the events of all watches, or lets them go: a connection whose other end is gone and does not say so.
    pub(crate) fn stall_watches(&self, stalled: bool) {
        self.shared.flow.send_modify(|flow| flow.stalled = stalled);
    }

    /// Forgets requests, faults and kills, and lets requests through again.
    pub(crate) fn forget(&self) {
        self.rules(|rules| *rules = Rules::default());
        self.shared.victim.send_replace(None);
    }

    /// Gives `answer` to the next `times` requests that match.
    pub(crate) fn answer(&self, matches: impl Fn(&Seen) -> bool + Send + Sync + 'static, times: usize, answer: Answer) {
        self.rules(|rules| rules.faults.push((Arc::new(matches), times, answer)));
    }

    /// Kills the victim (see [`Self::victim`]) with signal 9 at the k-th write from now on, and lets nothing through
    /// after that.
    pub(crate) fn kill_at_write(&self, k: usize, when: When) {
        self.rules(|rules| {
            rules.kill = Some((k, when));
            rules.writes = 0;
        });
    }

    /// Names the process to be killed. If the k-th write comes first, it waits for this.
    pub(crate) fn victim(&self, pid: u32) {
        self.shared.victim.send_replace(Some(pid));
    }

    /// Whether the k-th write has come.
    pub(crate) fn killed(&self) -> bool {
        self.rules(|rules| rules.dead)
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let seen = Seen {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
    };
    let write = seen.is_write();
    let (dead, fault, armed) = {
        let mut rules = shared.rules.lock().expect("not poisoned");
        if rules.dead {
            (true, None, false)
        } else {
            rules.seen.push(seen.clone());
            let fault = rules.faults.iter_mut().find(|(matches, left, _)| *left > 0 && matches(&seen)).map(|fault| {
                fault.1 -= 1;
                fault.2.clone()
            });
            (false, fault, rules.kill.is_some() && write)
        }
    };
    if dead {
        return std::future::pending().await;
    }
    match fault {
        Some(Answer::Http(status, headers, text)) => {
            let mut response = (StatusCode::from_u16(status).expect("a status code"), text).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().expect("a header"));
            }
            return response;
        }
        Some(Answer::Hang) => return std::future::pending().await,
        Some(Answer::Lost) => {
            _ = forward(&shared, request).await;
            // A body that ends in an error closes the connection.
            return lost();
        }
        None => {}
    }
    if !armed {
        return Arc::clone(&shared.storm).meet(&seen, forward(&shared, request)).await;
    }
    let turn = shared.order.lock().await;
    let (dead, strike) = {
        let mut rules = shared.rules.lock().expect("not poisoned");
        rules.writes += 1;
        let strike = rules.kill.filter(|(k, _)| rules.writes == *k).map(|(_, when)| when);
        let dead = rules.dead;
        rules.dead |= strike.is_some();
        (dead, strike)
    };
    if dead {
        return std::future::pending().await;
    }
    let Some(when) = strike else {
        return forward(&shared, request).await;
    };
    if when == When::AfterWrite {
        _ = forward(&shared, request).await;
    }
    let mut victim = shared.victim.subscribe();
    if let Ok(Ok(pid)) = tokio::time::timeout(Duration::from_secs(30), victim.wait_for(Option::is_some)).await
        && let Some(pid) = *pid
    {
        signal_pid(pid, "KILL");
    }
    drop(turn);
    std::future::pending().await
}

fn lost() -> Response {
    let broken = futures::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("connection lost")) });
    let mut response = Response::new(Body::from_stream(broken));
    response.headers_mut().insert(header::CONTENT_LENGTH, "10".parse().expect("a header"));
    response
}

/// Forwards as it is; the answer's body streams, so that watches work.
async fn forward(shared: &Arc<Shared>, request: Request) -> Response {
    let seen = Seen {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
    };
    let (mut parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 64 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    parts.headers.remove(header::HOST);
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    parts.uri = path.parse().expect("a path");
    match shared.upstream.send(axum::http::Request::from_parts(parts, body.into())).await {
        Ok(answer) => {
            let (mut parts, body) = answer.into_parts();
            parts.headers.remove(header::TRANSFER_ENCODING);
            parts.headers.remove(header::CONNECTION);
            parts.version = axum::http::Version::HTTP_11;
            let body = Body::new(body);
            let body = if seen.is_watch() && parts.status.is_success() { tapped(shared, seen, body) } else { body };
            Response::from_parts(parts, body)
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("the proxy of the test bench: {error}")).into_response(),
    }
}

/// An open watch, as long as somebody reads it.
struct Open {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.lock().expect("not poisoned").retain(|(number, _)| *number != self.number);
    }
}

/// The events of a watch, as the flow lets them through.
fn tapped(shared: &Arc<Shared>, seen: Seen, body: Body) -> Body {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    shared.open.lock().expect("not poisoned").push((number, seen));
    let open = Open { shared: Arc::clone(shared), number };
    let flow = shared.flow.subscribe();
    let cut = flow.borrow().cut;
    let events = futures::stream::unfold(Some((body.into_data_stream(), flow, open)), move |state| async move {
        use futures::StreamExt as _;
        let (mut events, mut flow, open) = state?;
        loop {
            let now = *flow.borrow_and_update();
            if now.cut > cut {
                return Some((Err(axum::Error::new(std::io::Error::other("cut"))), None));
            }
            tokio::select! {
                event = events.next(), if !now.stalled => return event.map(|event| (event, Some((events, flow, open)))),
                Ok(()) = flow.changed() => {}
                else => return None,
            }
        }
    });
    Body::from_stream(events)
}
