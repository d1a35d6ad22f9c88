//! git over HTTP(S): the two requests of the smart protocol, with rustls.
//!
//! Credentials go only to the host the user named, never over plain HTTP, never along a redirect to another host.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url, redirect};

use super::super::error::{SourceError, reasons};
use super::super::url::Location;
use super::{Link, chain};

const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const RESULT: &str = "application/x-git-upload-pack-result";

/// The connection of one fetch.
pub(super) struct Http {
    link: Arc<Link>,
    client: OnceLock<Client>,
    /// Where the repository really is, once a redirect said so.
    moved: Mutex<Option<Url>>,
}

impl Http {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, client: OnceLock::new(), moved: Mutex::new(None) }
    }

    fn client(&self) -> Result<&Client, SourceError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = build(&self.link)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The address of a part of the repository, and whether it is on the host that the user named.
    fn address(&self, part: &str) -> Result<(Url, bool), SourceError> {
        let Location::Http(named) = &self.link.location else {
            return Err(SourceError::new(reasons::INTERNAL, "not an HTTP source"));
        };
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let base = moved.as_ref().unwrap_or(named);
        let own = base.origin() == named.origin();
        let mut url = base.clone();
        url.set_path(&format!("{}/{part}", base.path().trim_end_matches('/')));
        Ok((url, own))
    }

    fn with_credentials(&self, request: RequestBuilder, own: bool) -> RequestBuilder {
        let credentials = &self.link.credentials;
        match (&credentials.bearer_token, &credentials.password) {
            _ if !own => request,
            (Some(token), _) => request.bearer_auth(token.trim()),
            (None, Some(password)) => request
                .basic_auth(credentials.username.as_deref().unwrap_or("git"), Some(password.trim_end_matches('\n'))),
            (None, None) => request,
        }
    }

    fn ask(&self) -> Result<Response, SourceError> {
        let (mut url, own) = self.address("info/refs")?;
        url.set_query(Some("service=git-upload-pack"));
        let request = self.with_credentials(self.client()?.get(url), own);
        let response = send(&self.link, request, ADVERTISEMENT)?;
        let mut at = response.url().clone();
        at.set_query(None);
        if let Some(base) = at.path().strip_suffix("/info/refs").map(str::to_owned) {
            at.set_path(&base);
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        }
        Ok(response)
    }
}

impl SmartSubtransport for Http {
    fn action(&self, _url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let failed = |error| self.link.failed_git(error);
        match service {
            Service::UploadPackLs => {
                let response = self.ask().map_err(failed)?;
                Ok(Box::new(Stream { link: Arc::clone(&self.link), state: State::Answer(response, Vec::new(), 0) }))
            }
            Service::UploadPack => {
                let (url, own) = self.address("git-upload-pack").map_err(failed)?;
                let client = self.client().map_err(failed)?;
                let request = self
                    .with_credentials(client.post(url), own)
                    .header("content-type", "application/x-git-upload-pack-request")
                    .header("accept", RESULT);
                Ok(Box::new(Stream {
                    link: Arc::clone(&self.link),
                    state: State::Question(Some(Box::new(request)), Vec::new()),
                }))
            }
            Service::ReceivePackLs | Service::ReceivePack => {
                Err(failed(SourceError::new(reasons::INTERNAL, "a source is never written to")))
            }
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// One request and its answer.
struct Stream {
    link: Arc<Link>,
    state: State,
}

enum State {
    /// What is to be sent, until the first read.
    Question(Option<Box<RequestBuilder>>, Vec<u8>),
    /// What comes back: the chunk at hand and how much of it was read.
    Answer(Response, Vec<u8>, usize),
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Question(_, body) => {
                body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            State::Answer(..) => Err(io::Error::other("the request was sent already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let State::Question(request, body) = &mut self.state {
            let request = request.take().ok_or_else(|| io::Error::other("the request failed"))?;
            let response = send(&self.link, request.body(std::mem::take(body)), RESULT)
                .map_err(|error| self.link.failed_io(error))?;
            self.state = State::Answer(response, Vec::new(), 0);
        }
        let State::Answer(response, chunk, done) = &mut self.state else { return Ok(0) };
        if *done == chunk.len() {
            let failed = |error| self.link.failed_io(error);
            let left = self.link.left().map_err(failed)?;
            let next = self.link.runtime.block_on(async { tokio::time::timeout(left, response.chunk()).await });
            match next {
                Err(_) => return Err(failed(self.link.late("did not end", self.link.timeouts.overall))),
                Ok(Err(error)) => return Err(failed(explain(&self.link, error))),
                Ok(Ok(None)) => return Ok(0),
                Ok(Ok(Some(bytes))) => {
                    self.link.count(bytes.len()).map_err(failed)?;
                    *chunk = bytes.into();
                    *done = 0;
                }
            }
        }
        let rest = chunk.get(*done..).unwrap_or_default();
        let len = rest.len().min(into.len());
        into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        *done += len;
        Ok(len)
    }
}

/// Sends a request and checks that git answers.
fn send(link: &Link, request: RequestBuilder, wanted: &str) -> Result<Response, SourceError> {
    let left = link.left()?;
    let sent = link.runtime.block_on(async { tokio::time::timeout(left, request.send()).await });
    let response = match sent {
        Err(_) => return Err(link.late("did not end", link.timeouts.overall)),
        Ok(Err(error)) => return Err(explain(link, error)),
        Ok(Ok(response)) => response,
    };
    check(link, &response, wanted)?;
    Ok(response)
}

fn build(link: &Link) -> Result<Client, SourceError> {
    // Somebody else may have chosen one already; any will do.
    _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("git/2 (windlass ", env!("CARGO_PKG_VERSION"), ")"))
        .connect_timeout(link.timeouts.connect)
        .read_timeout(link.timeouts.idle)
        .redirect(redirect::Policy::custom(|attempt| {
            let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
            if attempt.previous().len() > 5 || (from_tls && attempt.url().scheme() != "https") {
                attempt.stop()
            } else {
                attempt.follow()
            }
        }));
    if let Some(ca) = &link.credentials.ca {
        let certificates = Certificate::from_pem_bundle(ca.as_bytes()).ok().filter(|found| !found.is_empty());
        let Some(certificates) = certificates else {
            return Err(SourceError::new(
                reasons::CREDENTIALS_INVALID,
                format!("the ca.crt for {} holds no certificate in PEM form", link.location),
            ));
        };
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|error| {
        SourceError::new(
            reasons::CREDENTIALS_INVALID,
            format!("cannot prepare the connection to {}: {}", link.location, chain(&error)),
        )
    })
}

/// Gives a failed request its name.
fn explain(link: &Link, error: reqwest::Error) -> SourceError {
    let error = error.without_url();
    if error.is_timeout() {
        let limit = if error.is_connect() { link.timeouts.connect } else { link.timeouts.idle };
        let what = if error.is_connect() { "did not connect" } else { "got no answer" };
        return link.late(what, limit);
    }
    if let Some(why) = certificate_problem(&error) {
        let advice = if link.credentials.ca.is_some() {
            "only the CA in the Secret's ca.crt is trusted"
        } else {
            "if the server has a CA of its own, put its certificate into the Secret's ca.crt"
        };
        return SourceError::new(
            reasons::CERTIFICATE_REFUSED,
            format!("the certificate of {} was refused: {why}; {advice}", link.location),
        );
    }
    SourceError::new(reasons::SOURCE_UNAVAILABLE, format!("cannot reach {}: {}", link.location, chain(&error)))
}

fn certificate_problem(error: &reqwest::Error) -> Option<String> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .or_else(|| error.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(why)) = tls {
            return Some(why.to_string());
        }
        // An io::Error hides what it wraps from `source`.
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Whether git answered, and if not, who did.
fn check(link: &Link, response: &Response, wanted: &str) -> Result<(), SourceError> {
    let place = &link.location;
    let status = response.status();
    let given = link.credentials.password.is_some() || link.credentials.bearer_token.is_some();
    let (reason, text) = match status {
        StatusCode::OK => {
            let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if kind == wanted {
                return Ok(());
            }
            let kind = if kind.is_empty() { "something without a type" } else { kind };
            (
                reasons::NOT_A_GIT_SERVER,
                format!(
                    "{place} answered with {kind}, not with git's protocol; check the URL (a login page answers so)"
                ),
            )
        }
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED if given => (
            reasons::AUTHENTICATION_FAILED,
            format!("{place} refused the credentials; check the Secret of source.secretRef"),
        ),
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => (
            reasons::AUTHENTICATION_FAILED,
            format!(
                "{place} asks for credentials; name a Secret with username and password, or bearerToken, in source.secretRef"
            ),
        ),
        StatusCode::FORBIDDEN => {
            (reasons::ACCESS_DENIED, format!("{place} refuses access (403); the credentials need the right to read it"))
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => (
            reasons::REPOSITORY_NOT_FOUND,
            format!("{place} does not exist ({}), or these credentials may not see it", status.as_u16()),
        ),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            (reasons::SOURCE_UNAVAILABLE, format!("{place} answered {status}; it is asked again later"))
        }
        _ if status.is_redirection() => (
            reasons::NOT_A_GIT_SERVER,
            format!("{place} redirects ({status}) to where Windlass does not follow (plain HTTP, or in a circle)"),
        ),
        _ => (reasons::NOT_A_GIT_SERVER, format!("{place} answered {status}; check the URL")),
    };
    Err(SourceError::new(reason, text))
}
