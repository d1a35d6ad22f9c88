//! The dashboard: its answers over HTTP, and its pages in a real browser.

mod browser;
mod made_up;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use windlass::dashboard::{self, State};
use windlass::report::view::{View, to_json};
use windlass::telemetry::{Metrics, Outcome};

use browser::Browser;

/// A dashboard on a free port; ends with the value.
struct Server {
    url: String,
    view: watch::Sender<Arc<View>>,
    ready: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(view: View) -> Self {
        // The client in these tests asks for a TLS provider even where it speaks plain HTTP.
        _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (view, seen) = watch::channel(Arc::new(view));
        let (ready, is_ready) = watch::channel(false);
        let cancel = CancellationToken::new();
        let metrics = Arc::new(Metrics::new());
        let state = State { view: seen, ready: is_ready, metrics: Arc::clone(&metrics), clock: made_up::now };
        let task = tokio::spawn(dashboard::serve(listener, state, cancel.clone()));
        Self { url, view, ready, metrics, cancel, task }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = client().get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_said_at_once_and_readiness_after_the_first_pass() {
    let server = Server::start(View::default()).await;
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await.0, 503);
    server.ready.send(true).unwrap();
    assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_says_exactly_what_status_prints() {
    let view = made_up::failing();
    let server = Server::start(view.clone()).await;
    let (status, body) = server.get("/api/v1/syncs").await;
    assert_eq!((status, body.as_str()), (200, to_json(&view).as_str()));
    assert!(body.contains("\"waitsFor\"") && !body.contains("fetchedAt"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reading_is_taken() {
    let server = Server::start(made_up::healthy()).await;
    for path in ["/", "/api/v1/syncs", "/events", "/nowhere", "/healthz"] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let answer = client().request(method.clone(), format!("{}{path}", server.url)).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 405, "{method} {path}");
            assert_eq!(answer.headers()["allow"], "GET, HEAD");
        }
    }
    assert_eq!(client().head(&server.url).send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_forbids_frames_foreign_scripts_and_guessing_of_types() {
    let server = Server::start(made_up::healthy()).await;
    for path in ["/", "/syncs/windlass-system/platform", "/assets/app.js", "/api/v1/syncs", "/metrics", "/nowhere"] {
        let answer = client().get(format!("{}{path}", server.url)).send().await.unwrap();
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert!(!answer.text().await.unwrap().contains(" style=\""), "{path}: the policy would drop inline style");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_name_that_points_at_this_machine_is_turned_away() {
    let server = Server::start(made_up::healthy()).await;
    let asked = |host: &'static str| client().get(&server.url).header("host", host).send();
    assert_eq!(asked("evil.example").await.unwrap().status().as_u16(), 421);
    assert_eq!(asked("localhost:1").await.unwrap().status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_document_says_is_shown_as_text_and_never_as_markup() {
    let mut view = made_up::failing();
    view.syncs[0].steps[0].message = "<script>alert(1)</script>".to_owned();
    let server = Server::start(view).await;
    let (_, page) = server.get("/syncs/windlass-system/platform?q=%22%3E%3Cb%3E").await;
    assert!(!page.contains("<script>alert") && !page.contains("\"><b>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_there_says_so() {
    let server = Server::start(made_up::healthy()).await;
    for path in ["/nowhere", "/syncs/windlass-system/nobody"] {
        let (status, page) = server.get(path).await;
        assert_eq!(status, 404);
        assert!(page.contains("Nothing is here."), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_searched_filtered_and_paged_by_the_address() {
    let server = Server::start(made_up::large()).await;
    let page = async |query: &str| server.get(&format!("/syncs/windlass-system/platform{query}")).await.1;
    let rows = |page: &str| page.matches("<tr class=\"row\"").count();
    let first = page("").await;
    assert_eq!(rows(&first), 200);
    assert!(first.contains("200 of 10,000"), "the page says how many there are");
    assert!(first.find("app-09999").unwrap() < first.find("app-00000").unwrap(), "what failed stands first");
    assert_eq!(rows(&page("?page=49").await), 200);
    assert_eq!(rows(&page("?all=1").await), 10_000);
    assert_eq!(rows(&page("?q=app-0123").await), 10);
    assert_eq!(rows(&page("?state=failed").await), 1);
    assert!(page("?q=nothing-like-it").await.contains("No step matches."));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_steps_are_shown_without_a_wait() {
    let server = Server::start(made_up::large()).await;
    server.get("/").await;
    let start = Instant::now();
    server.get("/syncs/windlass-system/platform").await;
    // An unoptimised build on a busy machine; a release build takes a few milliseconds.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_agent_ends_open_streams() {
    let mut server = Server::start(made_up::healthy()).await;
    let mut stream = client().get(format!("{}/events", server.url)).send().await.unwrap();
    let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.starts_with("event: view\ndata: {"), "{first}");
    server.cancel.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), &mut server.task).await;
    ended.expect("the server ends").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_pages_listen_than_there_are_seats() {
    let server = Server::start(made_up::healthy()).await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(client().get(format!("{}/events", server.url)).send().await.unwrap());
    }
    assert!(open.iter().all(|answer| answer.status().as_u16() == 200));
    assert_eq!(server.get("/events").await.0, 503);
    assert_eq!(server.get("/healthz").await.0, 200, "who only looks is not kept out");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_has_a_line_in_the_docs_and_the_other_way_round() {
    let server = Server::start(made_up::failing()).await;
    server.metrics.pass_finished("windlass-system/platform", Outcome::Changed, made_up::now());
    let (status, page) = server.get("/metrics").await;
    assert_eq!(status, 200);
    let mut shown: Vec<String> = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        shown.push(match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        });
    }
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut listed: Vec<String> = rows.map(|row| row.split(['`', '{']).next().unwrap().to_owned()).collect();
    shown.sort();
    listed.sort();
    assert_eq!(shown, listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_follows_the_agent_without_being_loaded_again() {
    let server = Server::start(made_up::healthy()).await;
    let browser = Browser::start().await;
    browser.open(&server.url).await;
    browser.wait_for("document.getElementById('stream').textContent.includes('live')").await;
    browser.run("window.sameDocument = true").await;
    server.view.send_replace(Arc::new(made_up::failing()));
    browser.wait_for("document.querySelector('h1').textContent.includes('needs you')").await;
    browser.wait_for("document.body.textContent.includes('quota pods allows 20')").await;
    assert_eq!(browser.run("return window.sameDocument").await, true, "the page was not loaded again");

    browser.open(&format!("{}/syncs/windlass-system/platform", server.url)).await;
    browser.wait_for("document.querySelectorAll('.steps .row').length > 3").await;
    browser
        .run("const s = document.querySelector('input[type=search]'); s.value = 'journal'; s.dispatchEvent(new Event('input'))")
        .await;
    browser.wait_for("location.search === '?q=journal' && document.querySelectorAll('.steps .row').length === 2").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());

    server.cancel.cancel();
    browser.wait_for("document.getElementById('stream').textContent.includes('not live since')").await;
    assert!(browser.run("return document.querySelectorAll('.steps .row').length").await == 2, "it stays readable");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_whole_on_a_phone_and_on_a_desk_in_both_themes() {
    let browser = Browser::start().await;
    for (name, view) in made_up::all() {
        let server = Server::start(view).await;
        for (page, path) in [("overview", "/"), ("sync", "/syncs/windlass-system/platform"), ("missing", "/nowhere")] {
            for (size, width, height) in [("desk", 1240, 1000), ("phone", 390, 844)] {
                for theme in ["light", "dark"] {
                    browser.look(width, height, theme).await;
                    browser.open(&format!("{}{path}", server.url)).await;
                    browser.wait_for("document.getElementById('stream').textContent.includes('live')").await;
                    let over = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                    assert_eq!(browser.run(over).await, 0, "{name} {page} {size} scrolls sideways");
                    browser.picture(&format!("{name}-{page}-{size}-{theme}")).await;
                }
            }
        }
    }
    let complaints = browser.complaints().await;
    let real: Vec<_> = complaints.iter().filter(|line| !line.contains("404")).collect();
    assert!(real.is_empty(), "{real:?}");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_in_the_docs_are_there_and_small() {
    let pictures = [("overview", "/", 760), ("sync", "/syncs/windlass-system/platform", 1000)];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    if std::env::var_os("UPDATE").is_some() {
        let (server, browser) = (Server::start(made_up::failing()).await, Browser::start().await);
        for (name, path, height) in pictures {
            browser.look(1240, height, "light").await;
            browser.open(&format!("{}{path}", server.url)).await;
            browser.wait_for("document.getElementById('stream').textContent.includes('live')").await;
            browser.picture_to(&folder.join(format!("{name}.png"))).await;
        }
        browser.end().await;
    }
    for (name, ..) in pictures {
        let size = std::fs::metadata(folder.join(format!("{name}.png"))).unwrap().len();
        assert!((1..200 * 1024).contains(&size), "{name}.png has {size} bytes; UPDATE=1 makes it anew");
    }
}
