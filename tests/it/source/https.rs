//! git over HTTPS against `git http-backend`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use windlass::source::{Credentials, Source, SourceConfig, Timeouts, reasons};
use windlass::sync::spec::Reference;

use super::git_server::{Behaviour, GitServer};
use super::repository::*;

const PASSWORD: &str = "s3cret-pass";

fn basic(password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{password}")))
}

async fn serving(scratch: &Scratch, authorization: Option<String>) -> GitServer {
    GitServer::start(Behaviour::Git { root: scratch.folder.path().to_path_buf(), authorization }).await
}

fn config(scratch: &Scratch, server: &GitServer, reference: Option<Reference>) -> SourceConfig {
    SourceConfig {
        url: server.url("repo/.git"),
        credentials: Credentials {
            username: Some("me".into()),
            password: Some(PASSWORD.into()),
            ca: Some(server.ca.clone()),
            ..Credentials::default()
        },
        ..scratch.config(reference)
    }
}

fn open(scratch: &Scratch, server: &GitServer, reference: Option<Reference>) -> Source {
    Source::open(config(scratch, server, reference)).unwrap()
}

#[tokio::test]
async fn a_commit_is_fetched_alone_and_asked_for_only_when_new() {
    let scratch = Scratch::with_commit();
    let first = scratch.git(&["rev-parse", "HEAD"]);
    let id = scratch.commit("a.yaml", "a: 2\n", "second");
    let server = serving(&scratch, Some(basic(PASSWORD))).await;
    let source = open(&scratch, &server, None);
    let (revision, snapshot) = read(&source).await;
    assert_eq!(revision.id, id);
    assert_eq!(revision.reference.as_deref(), Some("refs/heads/main"));
    assert_eq!(text(&snapshot, "a.yaml"), "a: 2\n");
    // Without history.
    let parent = command(&scratch.clone()).args(["cat-file", "-e", &first]).output().unwrap();
    assert!(!parent.status.success(), "the parent was fetched, too");
    git(&scratch.clone(), &["fsck", "--full"]);
    // Nothing new: one question.
    server.take_requests();
    assert_eq!(source.fetch().await.unwrap(), revision);
    let asked = server.take_requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with("GET /repo/.git/info/refs?service=git-upload-pack "), "{asked:?}");
    // Something new, three times: each on top of a shallow clone.
    for round in 3..6 {
        let id = scratch.commit("b/c.yaml", &format!("c: {round}\n"), "more");
        let (revision, snapshot) = read(&source).await;
        assert_eq!(revision.id, id);
        assert_eq!(text(&snapshot, "b/c.yaml"), format!("c: {round}\n"));
    }
    git(&scratch.clone(), &["fsck", "--full"]);
    // Force-pushed.
    scratch.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    assert_eq!(read(&source).await.0.id, scratch.git(&["rev-parse", "HEAD"]));
    assert_eq!(text(&source.snapshot(&revision).await.unwrap(), "a.yaml"), "a: 2\n");
}

#[tokio::test]
async fn every_kind_of_ref_is_followed() {
    let (scratch, [first, second, third]) = Scratch::with_history();
    let server = serving(&scratch, None).await;
    for (reference, id, name) in [
        (branch("release"), &second, Some("refs/heads/release")),
        (tag("v1.2.0"), &second, Some("refs/tags/v1.2.0")),
        (semver("<1.1"), &first, Some("refs/tags/v1.0.0")),
        (commit(&third), &third, Some("refs/heads/main")),
        (None, &third, Some("refs/heads/main")),
        // Not a tip of a branch, and this server gives only tips: history is fetched.
        (commit(&first), &first, None),
        (commit(&second), &second, Some("refs/heads/release")),
    ] {
        let source = open(&scratch, &server, reference.clone());
        let (revision, _) = read(&source).await;
        assert_eq!(&revision.id, id, "{reference:?}");
        assert_eq!(revision.reference.as_deref(), name, "{reference:?}");
    }
    let source = open(&scratch, &server, branch("gone"));
    let error = source.fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::REF_MISSING);
    assert!(error.message.contains("its branches are main, release"), "{error}");
    let source = open(&scratch, &server, commit(&"ab".repeat(20)));
    assert_eq!(source.fetch().await.unwrap_err().reason, reasons::REF_MISSING);
}

#[tokio::test]
async fn a_revision_is_found_by_commit_branch_or_tag() {
    let scratch = Scratch::with_commit();
    let first = scratch.git(&["rev-parse", "HEAD"]);
    scratch.git(&["tag", "-a", "v1", "-m", "one"]);
    scratch.git(&["branch", "old"]);
    scratch.commit("a.yaml", "a: 2\n", "second");
    let server = serving(&scratch, None).await;
    for name in ["v1", "old", first.as_str(), &first[..9]] {
        // Each from nothing.
        _ = std::fs::remove_dir_all(scratch.clone());
        let revision = open(&scratch, &server, None).find(name).await.unwrap();
        assert_eq!(revision.id, first, "{name}");
    }
    for name in ["nope", "abcdef12", &"ab".repeat(20)] {
        assert_eq!(open(&scratch, &server, None).find(name).await.unwrap_err().reason, reasons::REF_MISSING, "{name}");
    }
}

#[tokio::test]
async fn a_bearer_token_is_sent() {
    let scratch = Scratch::with_commit();
    let server = serving(&scratch, Some("Bearer t0ken".to_owned())).await;
    let mut config = config(&scratch, &server, None);
    config.credentials.bearer_token = Some("t0ken\n".into());
    read(&Source::open(config).unwrap()).await;
}

#[tokio::test]
async fn wrong_or_missing_credentials_are_told_apart_and_never_shown() {
    let scratch = Scratch::with_commit();
    let server = serving(&scratch, Some(basic("another"))).await;
    let error = open(&scratch, &server, None).fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::AUTHENTICATION_FAILED);
    assert!(error.message.contains("refused the credentials; check the Secret"), "{error}");
    assert!(!format!("{error} {error:?}").contains(PASSWORD));
    assert_eq!(server.take_requests().len(), 1, "refused credentials are not tried again");
    let mut config = config(&scratch, &server, None);
    config.credentials.password = None;
    let error = Source::open(config).unwrap().fetch().await.unwrap_err();
    assert!(error.message.contains("asks for credentials; name a Secret"), "{error}");
}

#[tokio::test]
async fn only_the_given_ca_and_the_right_host_are_trusted() {
    let scratch = Scratch::with_commit();
    let server = serving(&scratch, None).await;
    let other = serving(&scratch, None).await;
    let mut wrong_ca = config(&scratch, &server, None);
    wrong_ca.credentials.ca = Some(other.ca.clone());
    let mut no_ca = config(&scratch, &server, None);
    no_ca.credentials.ca = None;
    let mut wrong_host = config(&scratch, &server, None);
    wrong_host.url = format!("https://localhost:{}/repo/.git", server.port);
    for (config, needle) in [
        (wrong_ca, "only the CA in the Secret's ca.crt is trusted"),
        (no_ca, "put its certificate into the Secret's ca.crt"),
        (wrong_host, "not valid for name"),
    ] {
        let error = Source::open(config).unwrap().fetch().await.unwrap_err();
        assert_eq!(error.reason, reasons::CERTIFICATE_REFUSED, "{error}");
        assert!(error.message.contains(needle), "{error}");
    }
    assert!(server.take_requests().is_empty(), "nothing was asked of a server that is not trusted");
    let mut no_pem = config(&scratch, &server, None);
    no_pem.credentials.ca = Some("no certificate".into());
    let error = Source::open(no_pem).unwrap().fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::CREDENTIALS_INVALID);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let scratch = Scratch::with_commit();
    let server = GitServer::start(Behaviour::Hang).await;
    for (idle, overall) in [(300, 60_000), (60_000, 300)] {
        let mut config = config(&scratch, &server, None);
        config.timeouts = Timeouts {
            connect: Duration::from_secs(5),
            idle: Duration::from_millis(idle),
            overall: Duration::from_millis(overall),
        };
        let start = Instant::now();
        let error = Source::open(config).unwrap().fetch().await.unwrap_err();
        assert_eq!(error.reason, reasons::TIMEOUT);
        assert!(error.message.contains("within 0.3s"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn answers_that_are_not_gits_are_named() {
    let scratch = Scratch::with_commit();
    let server = serving(&scratch, None).await;
    let source = open(&scratch, &server, None);
    let (revision, _) = read(&source).await;
    for (status, kind, reason, needle) in [
        (
            "200 OK",
            "text/html; charset=utf-8",
            reasons::NOT_A_GIT_SERVER,
            "answered with text/html, not with git's protocol",
        ),
        ("503 Service Unavailable", "text/html", reasons::SOURCE_UNAVAILABLE, "answered 503 Service Unavailable"),
        ("429 Too Many Requests", "text/html", reasons::SOURCE_UNAVAILABLE, "answered 429"),
        ("403 Forbidden", "text/plain", reasons::ACCESS_DENIED, "refuses access (403)"),
        ("404 Not Found", "text/plain", reasons::REPOSITORY_NOT_FOUND, "does not exist (404)"),
        ("418 I'm a teapot", "text/plain", reasons::NOT_A_GIT_SERVER, "answered 418"),
        ("200 OK", "application/x-git-upload-pack-advertisement", reasons::SOURCE_UNAVAILABLE, "cannot ask"),
    ] {
        server.behave(Behaviour::Fixed(status, kind, "<html>not git</html>"));
        let error = source.fetch().await.unwrap_err();
        assert_eq!(error.reason, reason, "{status} {kind}: {error}");
        assert!(error.message.contains(needle), "{error}");
        // What was fetched stays readable.
        source.snapshot(&revision).await.unwrap();
    }
    drop(server);
    let error = source.fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::SOURCE_UNAVAILABLE);
    assert!(error.message.starts_with("cannot reach https://127.0.0.1:"), "{error}");
    source.snapshot(&revision).await.unwrap();
}

#[tokio::test]
async fn a_missing_and_an_empty_repository_are_told_apart() {
    let scratch = Scratch::new();
    let server = serving(&scratch, None).await;
    let error = open(&scratch, &server, None).fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::EMPTY_REPOSITORY, "{error}");
    let mut config = config(&scratch, &server, None);
    config.url = server.url("nope.git");
    let error = Source::open(config).unwrap().fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::REPOSITORY_NOT_FOUND, "{error}");
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_server() {
    let scratch = Scratch::with_commit();
    let real = serving(&scratch, None).await;
    let front = GitServer::start(Behaviour::Redirect(format!("https://127.0.0.1:{}", real.port))).await;
    let mut config = config(&scratch, &front, None);
    config.credentials.ca = Some(format!("{}{}", front.ca, real.ca));
    read(&Source::open(config).unwrap()).await;
    assert!(front.take_requests().iter().all(|head| head.to_lowercase().contains("authorization: basic")));
    let seen = real.take_requests();
    assert!(seen.iter().any(|head| head.starts_with("POST /repo/.git/git-upload-pack ")), "{seen:?}");
    assert!(seen.iter().all(|head| !head.to_lowercase().contains("authorization")), "{seen:?}");
    // Never down to plain HTTP, never in a circle.
    for target in [format!("http://127.0.0.1:{}", real.port), format!("https://127.0.0.1:{}", front.port)] {
        front.behave(Behaviour::Redirect(target));
        let mut config = self::config(&scratch, &front, None);
        config.clone = scratch.folder.path().join("other.git");
        let error = Source::open(config).unwrap().fetch().await.unwrap_err();
        assert_eq!(error.reason, reasons::NOT_A_GIT_SERVER, "{error}");
    }
}

#[tokio::test]
async fn a_damaged_clone_is_fetched_again() {
    let scratch = Scratch::with_commit();
    let server = serving(&scratch, None).await;
    let source = open(&scratch, &server, None);
    let (revision, _) = read(&source).await;
    for entry in std::fs::read_dir(scratch.clone().join("objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        let size = std::fs::metadata(&path).unwrap().len();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, vec![7; usize::try_from(size).unwrap()]).unwrap();
    }
    assert_eq!(text(&source.snapshot(&revision).await.unwrap(), "a.yaml"), "a: 1\n");
    assert_eq!(source.fetch().await.unwrap().id, revision.id);
}

#[test]
fn credentials_are_refused_in_plain_http() {
    let scratch = Scratch::with_commit();
    let mut config = scratch.config(None);
    config.url = "http://127.0.0.1:1/repo".to_owned();
    config.credentials.password = Some(PASSWORD.to_owned());
    let error = Source::open(config).unwrap_err();
    assert_eq!(error.reason, reasons::URL_INVALID);
    assert!(error.message.contains("in clear text; use https://"), "{error}");
}
