//! git over SSH against OpenSSH's sshd, run as the user who runs the tests.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use windlass::source::{Credentials, Source, SourceConfig, SourceError, Timeouts, reasons};

use super::repository::*;

/// A running sshd; killed when dropped.
struct Sshd {
    child: Child,
    port: u16,
    folder: PathBuf,
    user: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Sshd {
    fn start(scratch: &Scratch) -> Self {
        let folder = scratch.folder.path().join("ssh");
        std::fs::create_dir(&folder).unwrap();
        for (name, kind, passphrase) in [
            ("host", "ed25519", ""),
            ("host_ecdsa", "ecdsa", ""),
            ("key", "ed25519", ""),
            ("locked", "ed25519", "open sesame"),
        ] {
            keygen(&["-q", "-t", kind, "-N", passphrase, "-f", folder.join(name).to_str().unwrap()]);
        }
        let authorized =
            ["key.pub", "locked.pub"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).concat();
        std::fs::write(folder.join("authorized"), authorized).unwrap();
        // sshd run by root wants this folder, which its service would make.
        let user = run(Command::new("id").arg("-un"));
        if user == "root" {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("the tests need the program sshd; install package openssh-server");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nHostKey {0}/host_ecdsa\nAuthorizedKeysFile {0}/authorized\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
            folder.display()
        );
        std::fs::write(folder.join("config"), config).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut child = Command::new(sshd)
            .args(["-D", "-e", "-f"])
            .arg(folder.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "sshd ended: {}", log());
            assert!(Instant::now() < deadline, "sshd does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, port, folder, user }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// A known_hosts line for one of the server's keys.
    fn line(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.file(key))
    }

    fn config(&self, scratch: &Scratch) -> SourceConfig {
        SourceConfig {
            url: format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, scratch.repo().display()),
            credentials: Credentials {
                identity: Some(self.file("key")),
                known_hosts: Some(self.line("host.pub")),
                ..Credentials::default()
            },
            ..scratch.config(None)
        }
    }
}

fn run(command: &mut Command) -> String {
    let output =
        command.output().expect("the tests need the programs ssh-keygen and id; install package openssh-client");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn keygen(arguments: &[&str]) {
    run(Command::new("ssh-keygen").args(arguments));
}

async fn refused(config: SourceConfig) -> SourceError {
    Source::open(config).unwrap().fetch().await.unwrap_err()
}

#[tokio::test]
async fn a_repository_is_fetched_with_a_key_and_a_known_host() {
    let scratch = Scratch::with_commit();
    let first = scratch.git(&["rev-parse", "HEAD"]);
    let sshd = Sshd::start(&scratch);
    let source = Source::open(sshd.config(&scratch)).unwrap();
    let (revision, snapshot) = read(&source).await;
    assert_eq!(revision.id, first);
    assert_eq!(text(&snapshot, "a.yaml"), "a: 1\n");
    for round in 2..5 {
        let id = scratch.commit("a.yaml", &format!("a: {round}\n"), "more");
        let (revision, snapshot) = read(&source).await;
        assert_eq!(revision.id, id);
        assert_eq!(text(&snapshot, "a.yaml"), format!("a: {round}\n"));
    }
    // Only the commits that were followed, no history in between was asked for.
    git(&scratch.clone(), &["fsck", "--full"]);
    // A key with a passphrase; the other kind of host key; a hashed name.
    let hashed = sshd.folder.join("hashed");
    std::fs::write(&hashed, sshd.line("host_ecdsa.pub")).unwrap();
    keygen(&["-H", "-f", hashed.to_str().unwrap()]);
    let mut config = sshd.config(&scratch);
    config.credentials.identity = Some(sshd.file("locked"));
    config.credentials.passphrase = Some("open sesame".into());
    config.credentials.known_hosts = Some(std::fs::read_to_string(hashed).unwrap());
    assert!(config.credentials.known_hosts.as_deref().unwrap().starts_with("|1|"));
    config.clone = scratch.folder.path().join("other.git");
    read(&Source::open(config).unwrap()).await;
}

#[tokio::test]
async fn a_host_that_is_not_known_is_refused() {
    let scratch = Scratch::with_commit();
    let sshd = Sshd::start(&scratch);
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", sshd.folder.join("stranger").to_str().unwrap()]);
    let changed = format!("[127.0.0.1]:{} {}", sshd.port, sshd.file("stranger.pub"));
    let revoked = format!("{}\n@revoked * {}", sshd.line("host.pub"), sshd.file("host.pub"));
    for (known_hosts, needle) in [
        (None, "needs known_hosts in the Secret"),
        (Some("# nothing\n".to_owned()), "has no line for [127.0.0.1]:"),
        (Some(format!("127.0.0.1 {}", sshd.file("host.pub"))), "has no line for [127.0.0.1]:"),
        (Some(changed), "known_hosts lists another (ssh-ed25519)"),
        (Some(revoked), "is marked @revoked"),
    ] {
        let mut config = sshd.config(&scratch);
        config.credentials.known_hosts = known_hosts;
        let error = refused(config).await;
        assert_eq!(error.reason, reasons::HOST_KEY_REFUSED, "{error}");
        assert!(error.message.contains(needle), "{error}");
    }
}

#[tokio::test]
async fn wrong_keys_and_paths_are_told_apart_and_never_shown() {
    let scratch = Scratch::with_commit();
    let sshd = Sshd::start(&scratch);
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", sshd.folder.join("stranger").to_str().unwrap()]);
    let stranger = sshd.file("stranger");
    let with = |change: &dyn Fn(&mut SourceConfig)| {
        let mut config = sshd.config(&scratch);
        change(&mut config);
        config
    };
    for (config, reason, needle) in [
        (with(&|c| c.credentials.identity = Some(stranger.clone())), reasons::AUTHENTICATION_FAILED, "refused the key"),
        (with(&|c| c.credentials.identity = None), reasons::CREDENTIALS_INVALID, "needs a private key"),
        (with(&|c| c.credentials.identity = Some("no key".into())), reasons::CREDENTIALS_INVALID, "cannot be read"),
        (
            with(&|c| {
                c.credentials.identity = Some(sshd.file("locked"));
                c.credentials.passphrase = Some("wr0ng".into());
            }),
            reasons::CREDENTIALS_INVALID,
            "its passphrase is wrong",
        ),
        (
            with(&|c| c.url.push_str("/it's-not-here")),
            reasons::REPOSITORY_NOT_FOUND,
            "does not appear to be a git repository",
        ),
    ] {
        let error = refused(config).await;
        assert_eq!(error.reason, reason, "{error}");
        assert!(error.message.contains(needle) && !error.message.contains("wr0ng"), "{error}");
        assert!(!error.message.contains("PRIVATE KEY"), "{error}");
    }
}

#[tokio::test]
async fn a_host_that_says_nothing_or_is_not_there_is_given_up() {
    let scratch = Scratch::with_commit();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut config = scratch.config(None);
    config.url = format!("ssh://me@127.0.0.1:{port}/repo");
    config.credentials.identity = Some("key".into());
    config.credentials.known_hosts = Some("# nobody".into());
    config.timeouts = Timeouts { connect: Duration::from_millis(300), ..Timeouts::default() };
    let start = Instant::now();
    let error = refused(config.clone()).await;
    assert_eq!(error.reason, reasons::TIMEOUT, "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(listener);
    let error = refused(config).await;
    assert_eq!(error.reason, reasons::SOURCE_UNAVAILABLE, "{error}");
    assert!(error.message.starts_with(&format!("cannot reach ssh://127.0.0.1:{port}/repo: ")), "{error}");
}
