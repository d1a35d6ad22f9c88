//! Questions to servers that misbehave, each in its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::plan::Origin;

const SHORT: Duration = Duration::from_secs(1);

/// A server that does the same to everybody; its address.
async fn server<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address.to_string()
}

/// A server that answers with this text.
async fn says(text: &str) -> String {
    let text: Arc<str> = text.replace('\n', "\r\n").into();
    server(move |mut stream| {
        let text = Arc::clone(&text);
        async move {
            read_head(&mut stream).await;
            _ = stream.write_all(text.as_bytes()).await;
        }
    })
    .await
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn head(address: &str) -> Result<(), String> {
    ask::ask("HEAD", &format!("http://{address}/duc"), SHORT).await
}

#[tokio::test]
async fn an_answer_is_good_whatever_its_body() {
    let good = says("HTTP/1.1 200 OK\nContent-Length: 0\n\n").await;
    assert_eq!(head(&good).await, Ok(()));
    // A body far over any limit is never read.
    let big =
        says(&format!("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 99999999\n\n{}", "x".repeat(1 << 20)))
            .await;
    assert_eq!(ask::ask("GET", &format!("http://{big}/"), SHORT).await, Ok(()));
    assert_eq!(ask::ask("TCP", &format!("tcp://{good}"), SHORT).await, Ok(()));
}

#[tokio::test]
async fn every_way_to_fail_says_what_it_is_and_nothing_that_the_server_wrote() {
    let hang = server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let reset = server(|mut stream| async move {
        read_head(&mut stream).await;
        _ = stream.set_zero_linger();
    })
    .await;
    let garbage = says("<html>hunter2</html>\n\n").await;
    let down = says("HTTP/1.1 503 Service Unavailable\nContent-Length: 7\n\nhunter2").await;
    let login = says("HTTP/1.1 302 Found\nLocation: http://login.example.com/hunter2\nContent-Length: 0\n\n").await;
    let other_port = says("HTTP/1.1 302 Found\nLocation: http://127.0.0.1:1/\nContent-Length: 0\n\n").await;
    let circle = says("HTTP/1.1 302 Found\nLocation: /duc\nContent-Length: 0\nConnection: close\n\n").await;
    let metadata = says("HTTP/1.1 301 Moved\nLocation: http://169.254.169.254/latest\nContent-Length: 0\n\n").await;
    let huge_head = says(&format!("HTTP/1.1 200 OK\nX: {}\n\n", "hunter2".repeat(100_000))).await;
    for (address, says) in [
        (hang, "no answer within 1 s"),
        (reset, "no answer ("),
        (garbage, "no answer ("),
        (down, "answered 503 Service Unavailable"),
        (login, "answered 302 Found to another host or port"),
        (other_port, "to another host or port"),
        (circle, "redirects more than 5 times"),
        (metadata, "to another host or port"),
        (huge_head, "no answer ("),
    ] {
        let error = head(&address).await.expect_err(says);
        assert!(error.contains(says) && error.contains(&format!("HEAD http://{address}/duc")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let refused = head(&nobody).await.expect_err("nobody listens");
    assert!(refused.contains("cannot connect"), "{refused}");
    let refused = ask::ask("TCP", &format!("tcp://{nobody}"), SHORT).await.expect_err("nobody listens");
    assert!(refused.contains("cannot connect"), "{refused}");
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed() {
    let address = server(|mut stream| async move {
        let asked = read_head(&mut stream).await;
        let answer: &[u8] = if asked.starts_with("HEAD /duc ") {
            b"HTTP/1.1 302 Found\r\nLocation: /duc/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        } else {
            b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
        };
        _ = stream.write_all(answer).await;
    })
    .await;
    assert_eq!(head(&address).await, Ok(()));
}

#[tokio::test]
async fn names_that_lead_nowhere_or_where_no_probe_goes_are_refused() {
    let nowhere = ask::ask("HEAD", "http://no-such-host.invalid/", SHORT).await.expect_err("no such name");
    assert!(nowhere.contains("cannot be resolved") || nowhere.contains("no answer within"), "{nowhere}");
    for url in ["http://169.254.169.254/", "http://[::ffff:a9fe:a9fe]/", "tcp://[fe80::1]:80"] {
        let refused = ask::ask("TCP", url, SHORT).await.expect_err(url);
        assert!(refused.contains("link-local"), "{refused}");
    }
    // Other spellings of an address are read by the resolver, and checked after it.
    let spelled = ask::ask("HEAD", "http://2852039166/", SHORT).await.expect_err("169.254.169.254 as one number");
    let whys = ["link-local", "cannot be resolved", "not everybody reads alike"];
    assert!(whys.iter().any(|why| spelled.contains(why)), "{spelled}");
}

fn step(url: &str) -> Step {
    let want = Want::Probe { method: "HEAD".to_owned(), url: url.to_owned(), timeout_seconds: 1 };
    Step::new(StepId::probe("web", "one", "uuc"), Arc::new(Origin::default()), None, want)
}

#[tokio::test]
async fn a_server_that_comes_back_is_seen_and_one_that_goes_too() {
    let (asked, good) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (count, up) = (Arc::clone(&asked), Arc::clone(&good));
    let address = server(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let good = up.load(Ordering::SeqCst) == 1;
        async move {
            read_head(&mut stream).await;
            let status = if good { "200 OK" } else { "503 Down" };
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            _ = stream.write_all(text.as_bytes()).await;
        }
    })
    .await;
    let probes = Probes::default();
    let step = step(&format!("http://{address}/"));
    let steps = [&step];
    let seen = probes.observe(&steps).await;
    assert!(matches!(&seen[0].1, Readiness::Progressing(why) if why.contains("503")), "{seen:?}");
    // Dropped again and again, as the executor does: it is asked no more often for that.
    for _ in 0..20 {
        _ = tokio::time::timeout(Duration::from_millis(5), probes.settle(&steps)).await;
    }
    assert!(asked.load(Ordering::SeqCst) <= 2, "{asked:?}");
    good.store(1, Ordering::SeqCst);
    let told = tokio::time::timeout(Duration::from_secs(20), probes.settle(&steps)).await.unwrap();
    assert_eq!(told[0].1, Readiness::Ready);
    good.store(0, Ordering::SeqCst);
    assert!(matches!(probes.observe(&steps).await[0].1, Readiness::Progressing(_)));
    // Another question under the same id, as after a commit.
    let other = says("HTTP/1.1 200 OK\nContent-Length: 0\n\n").await;
    let moved = self::step(&format!("http://{other}/"));
    let seen = tokio::time::timeout(Duration::from_secs(20), probes.observe(&[&moved])).await.unwrap();
    assert_eq!(seen[0].1, Readiness::Ready);
    probes.keep(&BTreeSet::new());
    assert!(probes.0.known().is_empty(), "what left the plan is forgotten");
}
