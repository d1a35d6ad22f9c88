//! What every request has to pass and every answer carries: methods, host names, time, headers.
//!
//! Decides nothing by content. Used by `routes`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// How long an answer may take to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                   base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CSP),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// By which names the server may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// Bound to loopback: only loopback names, so that a page from elsewhere cannot read this one by pointing a name of
    /// its own at this machine (DNS rebinding).
    Loopback,
    /// Bound to a network address: whoever leads there knows the name.
    Any,
}

impl Hosts {
    pub(super) fn of(address: SocketAddr) -> Self {
        if address.ip().is_loopback() { Self::Loopback } else { Self::Any }
    }

    fn allow(self, headers: &HeaderMap) -> bool {
        if self == Self::Any {
            return true;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let Some(name) = host.and_then(name_of) else { return false };
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// The host without its port and without the brackets of an IPv6 address.
fn name_of(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(name, _)| name),
        None => host.split(':').next(),
    }
}

pub(super) async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut response = if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, "GET, HEAD")];
        (StatusCode::METHOD_NOT_ALLOWED, allow, "This dashboard only shows; it takes GET and HEAD.\n").into_response()
    } else if !hosts.allow(request.headers()) {
        let why = "This dashboard answers on this machine only: open it as localhost or 127.0.0.1.\n";
        (StatusCode::MISDIRECTED_REQUEST, why).into_response()
    } else {
        match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "The answer took too long.\n").into_response(),
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_bind_answers_to_loopback_names_only() {
        let allowed = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
            Hosts::Loopback.allow(&headers)
        };
        for host in ["localhost", "LOCALHOST:8480", "127.0.0.1:8480", "127.0.0.7", "[::1]:8480"] {
            assert!(allowed(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1:8480", "", "[::1"] {
            assert!(!allowed(host), "{host}");
        }
        assert!(!Hosts::Loopback.allow(&HeaderMap::new()));
        assert!(Hosts::Any.allow(&HeaderMap::new()));
    }
}
