//! One question to one server.
//!
//! IO. Every address is checked after its name was resolved, and the connection goes to the addresses that were checked.
//! Bounded in time; bodies are not read. Called by `probe`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url, redirect};
use tokio::net::TcpStream;

use crate::plan::probe::{self, Address};

/// As many redirects as are followed, all on the host that was asked.
const HOPS: usize = 5;

/// Asks. The error says why the answer is not good, for people; it holds nothing that the server wrote.
pub(super) async fn ask(method: &str, url: &str, limit: Duration) -> Result<(), String> {
    match tokio::time::timeout(limit, unbounded(method, url, limit)).await {
        Ok(answer) => answer.map_err(|why| format!("{method} {url}: {why}")),
        Err(_) => Err(format!("{method} {url}: no answer within {} s", limit.as_secs())),
    }
}

async fn unbounded(method: &str, url: &str, limit: Duration) -> Result<(), String> {
    let address = probe::address(url).map_err(|why| format!("the URL {why}"))?;
    let resolved = resolve(&address).await?;
    match (address.scheme, method) {
        ("tcp", _) => connect(&resolved).await,
        (_, "HEAD") => http(Method::HEAD, url, address, &resolved, limit).await,
        (_, "GET") => http(Method::GET, url, address, &resolved, limit).await,
        _ => Err("a probe asks by HEAD, GET or a TCP connection only".to_owned()),
    }
}

/// The addresses of a host, unless one of them is forbidden: a name that leads there once may do so any time.
async fn resolve(address: &Address) -> Result<Vec<SocketAddr>, String> {
    let looked_up = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let all: Vec<SocketAddr> =
        looked_up.map_err(|error| format!("{} cannot be resolved ({})", address.host, error.kind()))?.collect();
    if all.is_empty() {
        return Err(format!("{} has no address", address.host));
    }
    match all.iter().find_map(|one| probe::forbidden(one.ip())) {
        Some(what) => Err(format!("{} leads to {what}, which no probe asks", address.host)),
        None => Ok(all),
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<(), String> {
    let mut last = String::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) => last = format!("cannot connect ({})", error.kind()),
        }
    }
    Err(last)
}

async fn http(
    method: Method,
    url: &str,
    address: Address,
    resolved: &[SocketAddr],
    limit: Duration,
) -> Result<(), String> {
    let client = client(&address, resolved, limit)?;
    let mut at = Url::parse(url).map_err(|error| format!("the URL cannot be read: {error}"))?;
    if !is_host(&at, &address.host) {
        return Err("the host is written in a way that not everybody reads alike".to_owned());
    }
    for _ in 0..=HOPS {
        let response =
            client.request(method.clone(), at.clone()).send().await.map_err(|error| explain(&error.without_url()))?;
        let status = response.status();
        let moved = response.headers().get(reqwest::header::LOCATION).filter(|_| is_redirect(status));
        let Some(moved) = moved else {
            return match status {
                status if status.is_success() || status == StatusCode::NOT_MODIFIED => Ok(()),
                status => Err(format!("answered {status}")),
            };
        };
        let next = moved.to_str().ok().and_then(|text| at.join(text).ok());
        let next = next.ok_or_else(|| format!("answered {status} with an address that cannot be read"))?;
        let less_safe = at.scheme() == "https" && next.scheme() != "https";
        let same_port = next.port_or_known_default() == Some(address.port);
        let upgraded = at.scheme() == "http" && next.scheme() == "https";
        if next.host_str() != at.host_str() || less_safe || !(same_port || upgraded) {
            return Err(format!("answered {status} to another host or port, which is not followed"));
        }
        at = next;
        // A password in an address is never sent.
        if !at.username().is_empty() || at.password().is_some() {
            return Err(format!("answered {status} with an address that holds a user"));
        }
    }
    Err(format!("redirects more than {HOPS} times"))
}

/// Whether the client will go to the host that was checked: it also takes other spellings of an address.
fn is_host(url: &Url, host: &str) -> bool {
    let named = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match (named.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(named), Ok(host)) => named == host,
        (Err(_), Err(_)) => named.eq_ignore_ascii_case(host),
        _ => false,
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Connects to the checked addresses only: nothing is resolved again, no proxy of the environment stands between.
fn client(address: &Address, resolved: &[SocketAddr], limit: Duration) -> Result<Client, String> {
    // Somebody else may have chosen one already; any will do.
    _ = rustls::crypto::ring::default_provider().install_default();
    // Port 0 leaves the port to the URL, which may move from http to https.
    let addresses: Vec<SocketAddr> = resolved.iter().map(|one| SocketAddr::new(one.ip(), 0)).collect();
    let mut builder = Client::builder()
        .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(limit);
    if address.host.parse::<IpAddr>().is_err() {
        builder = builder.resolve_to_addrs(&address.host, &addresses);
    }
    builder.build().map_err(|error| format!("the question cannot be prepared: {}", explain(&error)))
}

/// The innermost cause, in short.
fn explain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "no answer"
    };
    let mut why = cause.to_string();
    if why.len() > 200 {
        why = why.chars().take(200).collect();
    }
    format!("{what} ({why})")
}
