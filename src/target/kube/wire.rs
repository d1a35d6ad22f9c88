//! One request to the API server and its answer, as plain values.
//!
//! IO, nothing else: no throttle, no judgement (that is `answers`). Reads are tried again a few times where the server
//! is only busy for a moment; writes never (that is the executor's to decide). Below `kube::Api` on purpose: an answer's
//! `Retry-After`, its causes and the three kinds of 404 have to be seen.

use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;

use super::lease::Fence;

/// Whole objects.
pub(super) const JSON: &str = "application/json";
/// Metadata only, of one object.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// Metadata only, of a list.
pub(super) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
/// Server-side apply. JSON is YAML.
pub(super) const APPLY: &str = "application/apply-patch+yaml";
/// JSON patch.
pub(super) const JSON_PATCH: &str = "application/json-patch+json";
/// Merge patch.
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

/// `reason` of a write that was not sent because the sync's Lease is not held any more.
pub(super) const LEASE_LOST: &str = "LeaseLost";

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How often a read is tried.
const READS: u32 = 4;
/// Longest pause between two tries of a read, whatever the server asks for.
const READ_PAUSE: Duration = Duration::from_secs(3);
/// A read that failed only after this long is not tried again: a server that hangs is not waited for four times.
const QUICK: Duration = Duration::from_secs(5);

/// Longest line of a watch in bytes; etcd takes no object half as large.
const LINE: usize = 16 << 20;

/// What the API server says when it does not do what it was asked, or why no answer came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// HTTP status; 0 if no answer came.
    pub(super) code: u16,
    /// `reason` of the Status; empty if the answer was no Status.
    pub(super) reason: String,
    /// `message` of the Status, or the answer's text.
    pub(super) message: String,
    /// `details` of the Status.
    pub(super) details: Box<Details>,
    /// Pause asked for by the answer's header.
    pub(super) retry_after: Option<Duration>,
}

/// `details` of a Status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Details {
    /// Name of the object it is about.
    pub(super) name: String,
    /// Resource (plural) it is about.
    pub(super) kind: String,
    /// What is wrong, one by one.
    pub(super) causes: Vec<Cause>,
    /// Pause asked for, in seconds.
    pub(super) retry_after_seconds: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Cause {
    /// As in `FieldValueInvalid`.
    pub(super) reason: String,
    /// For people.
    pub(super) message: String,
    /// As in `spec.ports[0].port`.
    pub(super) field: String,
}

/// An answer.
pub(super) type Answer = Result<Value, Refused>;

/// The way to the API server.
#[derive(Clone)]
pub(super) struct Wire {
    client: kube::Client,
    /// Nothing is sent that could change anything.
    only_reads: bool,
    fence: Fence,
}

impl Wire {
    /// Over a client.
    pub(super) fn new(client: kube::Client) -> Self {
        Self::fenced(client, Fence::default())
    }

    /// Over a client; sends no write while the fence is closed.
    pub(super) fn fenced(client: kube::Client, fence: Fence) -> Self {
        Self { client, only_reads: false, fence }
    }

    /// Over a client, for whoever only looks: reads, and applies that the server only rehearses (`dryRun=All`). Anything
    /// else is refused before it is sent.
    pub(super) fn for_reading(client: kube::Client) -> Self {
        Self { client, only_reads: true, fence: Fence::default() }
    }

    /// Reads a path. A server that is busy, starting or cut off for a moment is asked again.
    pub(super) async fn get(&self, path: &str, accept: &'static str) -> Answer {
        self.read(path, accept).await.and_then(|bytes| json(&bytes))
    }

    /// [`Self::get`], not yet parsed.
    pub(super) async fn read(&self, path: &str, accept: &'static str) -> Result<Vec<u8>, Refused> {
        let mut tried = 1;
        loop {
            let began = Instant::now();
            match self.send(Method::GET, path, accept, None).await {
                Err(refused) if refused.may_pass() && tried < READS && began.elapsed() < QUICK => {
                    let pause = Duration::from_millis(100 << tried);
                    tokio::time::sleep(refused.retry_after.map_or(pause, |asked| asked.max(pause)).min(READ_PAUSE))
                        .await;
                    tried += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Patches a path.
    pub(super) async fn patch(&self, path: &str, kind: &'static str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, JSON, Some((kind, body))).await.and_then(|bytes| json(&bytes))
    }

    /// Creates below a path.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, JSON, Some((JSON, body))).await.and_then(|bytes| json(&bytes))
    }

    /// Deletes what is at a path, with DeleteOptions.
    pub(super) async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.send(Method::DELETE, path, JSON, Some((JSON, options))).await.and_then(|bytes| json(&bytes))
    }

    /// Opens a watch. The answer's lines come until the server, or the connection, ends it.
    pub(super) async fn watch(&self, path: &str, accept: &'static str) -> Result<Lines, Refused> {
        let open = async {
            let response = self.request(Method::GET, path, accept, None).await?;
            if response.status().is_success() {
                return Ok(Lines { body: response.into_body(), buffer: Vec::new(), looked: 0 });
            }
            refused(response).await
        };
        tokio::time::timeout(ANSWER, open).await.unwrap_or_else(|_| Err(too_late()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Vec<u8>, Refused> {
        let answer = async {
            let response = self.request(method, path, accept, body).await?;
            if !response.status().is_success() {
                return refused(response).await;
            }
            let bytes = response.into_body().collect_bytes().await.map_err(|error| Refused::unsent(chain(&error)))?;
            // Something in between may answer in the server's place.
            if bytes.first() != Some(&b'{') {
                json(&bytes)?;
            }
            Ok(bytes.into())
        };
        tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(too_late()))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Response<Body>, Refused> {
        let rehearsed = path.split(['?', '&']).any(|part| part == "dryRun=All");
        if self.only_reads && method != Method::GET && !rehearsed {
            return Err(Refused::unsent("this command only reads; nothing was sent".to_owned()));
        }
        // The last moment before it is on its way: this process may have been stopped for an hour a line above.
        if method != Method::GET && !self.fence.is_open() {
            return Err(Refused { reason: LEASE_LOST.to_owned(), ..Refused::default() });
        }
        let mut request = Request::builder().method(method).uri(path).header(ACCEPT, accept);
        let body = match body {
            Some((kind, value)) => {
                request = request.header(CONTENT_TYPE, kind);
                Body::from(value.to_string().into_bytes())
            }
            None => Body::empty(),
        };
        let request =
            request.body(body).map_err(|error| Refused::unsent(format!("the request is malformed: {error}")))?;
        self.client.send(request).await.map_err(|error| Refused::unsent(chain(&error)))
    }
}

/// The answer of a watch, one line an event.
pub(super) struct Lines {
    body: Body,
    buffer: Vec<u8>,
    /// So far there is no end of line in the buffer.
    looked: usize,
}

impl Lines {
    /// The next line without its end; none once the answer is over. Dropped while it waits, it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Refused> {
        loop {
            if let Some(end) = self.buffer[self.looked..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.looked + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.looked = 0;
                line.pop();
                return Ok(Some(line));
            }
            self.looked = self.buffer.len();
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                    if self.buffer.len() > LINE {
                        return Err(Refused::unsent("an event of the watch is larger than any object".to_owned()));
                    }
                }
                Some(Err(error)) => return Err(Refused::unsent(chain(&error))),
                None => return Ok(None),
            }
        }
    }
}

fn json(bytes: &[u8]) -> Answer {
    serde_json::from_slice(bytes).map_err(|error| Refused::unsent(format!("the answer is not JSON: {error}")))
}

fn too_late() -> Refused {
    Refused::unsent(format!("no answer within {} seconds", ANSWER.as_secs()))
}

/// Reads an answer that is not a success.
async fn refused<T>(response: Response<Body>) -> Result<T, Refused> {
    let code = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse().ok())
        .map(Duration::from_secs);
    let bytes = response.into_body().collect_bytes().await.map_err(|error| Refused::unsent(chain(&error)))?;
    Err(Refused::from_answer(code, &bytes, retry_after))
}

impl Refused {
    /// No answer came.
    pub(super) fn unsent(message: String) -> Self {
        Self { message, ..Self::default() }
    }

    /// Reads an answer that is not a success: a Status, or some text.
    pub(super) fn from_answer(code: u16, bytes: &[u8], retry_after: Option<Duration>) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            kind: String,
            reason: String,
            message: String,
            details: Box<Details>,
        }
        let status: Status = serde_json::from_slice(bytes).unwrap_or_default();
        if status.kind != "Status" {
            let message = String::from_utf8_lossy(bytes).trim().to_owned();
            return Self { code, message, retry_after, ..Self::default() };
        }
        let asked = status.details.retry_after_seconds;
        let retry_after = retry_after.or_else(|| (asked > 0).then(|| Duration::from_secs(asked)));
        Self { code, reason: status.reason, message: status.message, details: status.details, retry_after }
    }

    /// Whether the same question may well be answered a moment later.
    fn may_pass(&self) -> bool {
        matches!(self.code, 0 | 429 | 502..=504)
    }

    /// Whether the agent itself was refused: it may not act as the service account that the request named.
    pub(super) fn may_not_impersonate(&self) -> bool {
        self.code == 403 && self.message.contains(" cannot impersonate")
    }

    /// Whether an answer came and says that there is nothing at the path.
    pub(super) fn is_not_found(&self) -> bool {
        self.code == 404
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
