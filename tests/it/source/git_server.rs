//! An HTTPS server in front of `git http-backend`, with a CA of its own, and ways to behave badly.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What the server does with a request.
#[derive(Clone)]
pub(super) enum Behaviour {
    /// Serves the repositories in a folder, to those who send this Authorization header.
    Git { root: PathBuf, authorization: Option<String> },
    /// Always the same: status line, content type, body.
    Fixed(&'static str, &'static str, &'static str),
    /// Sends everybody elsewhere.
    Redirect(String),
    /// Takes the request and says nothing.
    Hang,
}

/// Stops when dropped.
pub(super) struct GitServer {
    pub(super) port: u16,
    /// Certificate of the root CA, PEM.
    pub(super) ca: String,
    /// Head of every request.
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    behaviour: Arc<Mutex<Behaviour>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl GitServer {
    /// Starts on a free port of 127.0.0.1; the certificate is for that address only and comes from an intermediate CA.
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let (ca, tls) = certificates();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let behaviour = Arc::new(Mutex::new(behaviour));
        let (log, now) = (Arc::clone(&requests), Arc::clone(&behaviour));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log, now) = (TlsAcceptor::from(Arc::clone(&tls)), Arc::clone(&log), Arc::clone(&now));
                tokio::spawn(async move {
                    // A client that refuses the certificate breaks off here.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &log, &now).await;
                    }
                });
            }
        });
        Self { port, ca, requests, behaviour, task }
    }

    pub(super) fn url(&self, repository: &str) -> String {
        format!("https://127.0.0.1:{}/{repository}", self.port)
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// Takes what was asked so far.
    pub(super) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn certificates() -> (String, Arc<ServerConfig>) {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root_key = KeyPair::generate().unwrap();
    let root = authority("test root").self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(authority("test root"), root_key);
    let middle_key = KeyPair::generate().unwrap();
    let middle = authority("test intermediate").signed_by(&middle_key, &root_issuer).unwrap();
    let middle_issuer = Issuer::new(authority("test intermediate"), middle_key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&leaf_key, &middle_issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone(), middle.der().clone()], key)
        .unwrap();
    (root.pem(), Arc::new(config))
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    log: &Mutex<Vec<String>>,
    behaviour: &Mutex<Behaviour>,
) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    log.lock().unwrap().push(text.clone());
    let header = |name: &str| {
        text.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let behaviour = behaviour.lock().unwrap().clone();
    let answer = match behaviour {
        Behaviour::Hang => {
            // Until the client gives up.
            _ = stream.read_buf(&mut Vec::new()).await;
            return;
        }
        Behaviour::Fixed(status, kind, text) => answer(status, &format!("Content-Type: {kind}\r\n"), text.as_bytes()),
        Behaviour::Redirect(base) => {
            let target = text.split(' ').nth(1).unwrap_or_default();
            answer("302 Found", &format!("Location: {base}{target}\r\n"), b"")
        }
        Behaviour::Git { authorization, .. } if authorization.is_some() && header("authorization") != authorization => {
            answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\nContent-Type: text/plain\r\n", b"no")
        }
        Behaviour::Git { root, .. } => backend(&root, &text, header("content-type"), &body).await,
    };
    // The client may be gone.
    _ = stream.write_all(&answer).await;
    _ = stream.shutdown().await;
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn backend(root: &Path, head: &str, kind: Option<String>, body: &[u8]) -> Vec<u8> {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut command = tokio::process::Command::from(super::repository::command(root));
    let mut child = command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", kind.unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_USER", "me")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the tests need the program git; install package git");
    let mut stdin = child.stdin.take().unwrap();
    let body = body.to_vec();
    let feed = tokio::spawn(async move {
        // git may end before it has read everything.
        _ = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await.unwrap().stdout;
    feed.abort();
    let at = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(output.len());
    let headers = String::from_utf8_lossy(&output[..at]).into_owned();
    let status = headers.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let headers: String =
        headers.lines().filter(|line| !line.starts_with("Status:")).map(|line| format!("{line}\r\n")).collect();
    answer(&status, &headers, output.get(at + 4..).unwrap_or_default())
}
