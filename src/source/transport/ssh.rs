//! git over SSH: a key from memory, a host key that known_hosts must list, one command on the other side.
//!
//! Never asks an agent, never reads ~/.ssh, never goes on with a host key that is unknown or has changed.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use ssh2::{Channel, ErrorCode, MethodType, Session};

use super::super::error::{SourceError, reasons};
use super::super::url::Location;
use super::Link;
use super::known_hosts::{KnownHosts, Verdict, fingerprint};

/// What libssh2 calls these.
const TIMEOUT: i32 = -9;
const SOCKET_TIMEOUT: i32 = -30;
const AUTHENTICATION_FAILED: i32 = -18;
const PUBLICKEY_UNVERIFIED: i32 = -19;
const KEY_UNREADABLE: i32 = -16;
const KEX_FAILURE: i32 = -5;
const METHOD_NONE: i32 = -17;

/// The connection of one fetch.
pub(super) struct Ssh(Arc<Link>);

impl Ssh {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self(link)
    }

    fn connect(&self) -> Result<Stream, SourceError> {
        let link = &self.0;
        let Location::Ssh { user, host, port, path } = &link.location else {
            return Err(SourceError::new(reasons::INTERNAL, "not an SSH source"));
        };
        let known = link.credentials.known_hosts.as_deref().unwrap_or_default();
        if known.trim().is_empty() {
            return Err(SourceError::new(
                reasons::HOST_KEY_REFUSED,
                format!(
                    "{} needs known_hosts in the Secret of source.secretRef; `ssh-keyscan -p {port} {host}` shows the \
                     lines, check them before you trust them",
                    link.location
                ),
            ));
        }
        let Some(identity) = &link.credentials.identity else {
            return Err(SourceError::new(
                reasons::CREDENTIALS_INVALID,
                format!("{} needs a private key: identity in the Secret of source.secretRef", link.location),
            ));
        };
        let known = KnownHosts::parse(known);
        let session = self.handshake(host, *port, &known)?;
        self.check_host(&session, host, *port, &known)?;
        // The key must end with a line break for some readers.
        let identity = format!("{}\n", identity.trim());
        session
            .userauth_pubkey_memory(user, None, &identity, link.credentials.passphrase.as_deref())
            .map_err(|error| self.refused(user, &error))?;
        self.limit(&session)?;
        let mut channel = session.channel_session().map_err(|error| self.explain("cannot open a channel", &error))?;
        channel
            .exec(&format!("git-upload-pack {}", quote(path)))
            .map_err(|error| self.explain("cannot start git", &error))?;
        Ok(Stream { link: Arc::clone(link), session, channel, any: false })
    }

    fn handshake(&self, host: &str, port: u16, known: &KnownHosts) -> Result<Session, SourceError> {
        let link = &self.0;
        let unreachable = |why: String| {
            SourceError::new(reasons::SOURCE_UNAVAILABLE, format!("cannot reach {}: {why}", link.location))
        };
        let addresses = (host, port).to_socket_addrs().map_err(|error| unreachable(error.to_string()))?;
        let mut last = unreachable("the name has no address".to_owned());
        let mut stream = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, link.timeouts.connect.min(link.left()?)) {
                Ok(connected) => {
                    stream = Some(connected);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    last = link.late("did not connect", link.timeouts.connect);
                }
                Err(error) => last = unreachable(error.to_string()),
            }
        }
        let Some(stream) = stream else { return Err(last) };
        let mut session = Session::new().map_err(|error| self.explain("cannot start SSH", &error))?;
        // The kinds that known_hosts lists come first: a server has several keys, and shows the one it is asked for.
        let mut kinds: Vec<&str> = Vec::new();
        for kind in known.kinds(host, port) {
            match kind {
                "ssh-rsa" => kinds.extend(["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]),
                other => kinds.push(other),
            }
        }
        if !kinds.is_empty() {
            // A kind that this build does not know leaves the order as it is; the check below decides.
            _ = session.method_pref(MethodType::HostKey, &kinds.join(","));
        }
        session.set_tcp_stream(stream);
        session.set_timeout(millis(link.timeouts.connect.min(link.left()?)));
        session.handshake().map_err(|error| match error.code() {
            // Both sides have no kind of host key in common: the server has none of those that are listed.
            ErrorCode::Session(KEX_FAILURE | METHOD_NONE) if !kinds.is_empty() => SourceError::new(
                reasons::HOST_KEY_REFUSED,
                format!(
                    "{host} has no host key of the kinds that known_hosts lists for it ({}); list its present keys",
                    known.kinds(host, port).join(", ")
                ),
            ),
            _ => self.explain("cannot agree on a connection", &error),
        })?;
        self.limit(&session)?;
        Ok(session)
    }

    fn check_host(&self, session: &Session, host: &str, port: u16, known: &KnownHosts) -> Result<(), SourceError> {
        let refuse = |text: String| Err(SourceError::new(reasons::HOST_KEY_REFUSED, text));
        let Some((key, _)) = session.host_key() else { return refuse(format!("{host} showed no host key")) };
        let name = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        let print = fingerprint(key);
        match known.check(host, port, key) {
            Verdict::Known => Ok(()),
            Verdict::Unknown => refuse(format!(
                "known_hosts has no line for {name}, which shows the host key {print}; add its line if that is the \
                 right key"
            )),
            Verdict::Changed(kinds) => refuse(format!(
                "the host key of {name} is {print}, and known_hosts lists another ({}). Either the server was set up \
                 anew, or somebody else answers; replace the line only if you know which",
                kinds.join(", ")
            )),
            Verdict::Revoked => refuse(format!("the host key {print} of {name} is marked @revoked in known_hosts")),
        }
    }

    /// No call of this session may take longer than this from now on.
    fn limit(&self, session: &Session) -> Result<(), SourceError> {
        session.set_timeout(millis(self.0.timeouts.idle.min(self.0.left()?)));
        Ok(())
    }

    fn refused(&self, user: &str, error: &ssh2::Error) -> SourceError {
        let place = &self.0.location;
        match error.code() {
            ErrorCode::Session(AUTHENTICATION_FAILED | PUBLICKEY_UNVERIFIED) => SourceError::new(
                reasons::AUTHENTICATION_FAILED,
                format!("{place} refused the key of source.secretRef for the user {user}; add its public half there"),
            ),
            ErrorCode::Session(KEY_UNREADABLE) => SourceError::new(
                reasons::CREDENTIALS_INVALID,
                format!(
                    "the private key for {place} cannot be read: it is not a private key in PEM form, or its passphrase is wrong"
                ),
            ),
            _ => self.explain("cannot log in", error),
        }
    }

    fn explain(&self, what: &str, error: &ssh2::Error) -> SourceError {
        explain(&self.0, what, error)
    }
}

fn explain(link: &Link, what: &str, error: &ssh2::Error) -> SourceError {
    match error.code() {
        ErrorCode::Session(TIMEOUT | SOCKET_TIMEOUT) => link.late("got no answer", link.timeouts.idle),
        _ => SourceError::new(
            reasons::SOURCE_UNAVAILABLE,
            format!("cannot reach {}: {what}: {}", link.location, error.message()),
        ),
    }
}

impl SmartSubtransport for Ssh {
    fn action(&self, _url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let failed = |error| self.0.failed_git(error);
        match service {
            Service::UploadPackLs | Service::UploadPack => Ok(Box::new(self.connect().map_err(failed)?)),
            Service::ReceivePackLs | Service::ReceivePack => {
                Err(failed(SourceError::new(reasons::INTERNAL, "a source is never written to")))
            }
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// The running command on the other side.
struct Stream {
    link: Arc<Link>,
    session: Session,
    channel: Channel,
    any: bool,
}

impl Stream {
    fn limit(&self) -> io::Result<()> {
        let left = self.link.left().map_err(|error| self.link.failed_io(error))?;
        self.session.set_timeout(millis(self.link.timeouts.idle.min(left)));
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> io::Error {
        let error = match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                self.link.late("got no answer", self.link.timeouts.idle)
            }
            _ => SourceError::new(
                reasons::SOURCE_UNAVAILABLE,
                format!("the connection to {} broke off: {error}", self.link.location),
            ),
        };
        self.link.failed_io(error)
    }

    /// Why the command ended without a word of git's protocol.
    fn silent(&mut self) -> io::Error {
        let mut text = Vec::new();
        // What cannot be read is not shown.
        _ = self.channel.stderr().take(2_000).read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        let said: String = text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("; ");
        let said = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {said}") };
        self.link.failed_io(SourceError::new(
            reasons::REPOSITORY_NOT_FOUND,
            format!("{} is not a repository that this key may read; {said}", self.link.location),
        ))
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        match self.channel.read(into) {
            Ok(0) if !self.any => Err(self.silent()),
            Ok(read) => {
                self.any = true;
                self.link.count(read).map_err(|error| self.link.failed_io(error))?;
                Ok(read)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.limit()?;
        self.channel.write(bytes).map_err(|error| self.failed(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.channel.flush().map_err(|error| self.failed(&error))
    }
}

/// libssh2 takes 0 for "wait for ever".
fn millis(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// For the shell on the other side.
fn quote(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''"))
}
