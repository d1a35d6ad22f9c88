//! Canaries in commands, a folder target, the dashboard and credentials; no cluster.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::{CANARY_BASE64, clean, clean_files, good, repository};
use crate::support::git_repo::GitRepo;
use crate::support::wait::until_blocking;
use crate::support::windlass::{Finished, Windlass};

fn quiet(what: &str, ran: &Finished) {
    clean(&format!("stdout of {what}"), &ran.stdout);
    clean(&format!("stderr of {what}"), &ran.stderr);
    assert!(ran.code >= 0 && !ran.stderr.contains("panicked"), "{what}: {ran:?}");
}

/// The Secrets' own files, and the clone, which holds the repository itself. Both are closed to others.
fn allowed(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    let own = name.starts_with("secret") && name.ends_with(".yaml");
    if own {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    own || name == "clone.git"
}

fn agent<'a>(source: &'a str, out: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["agent", "--source", source, "--target", out, "--log-level", "trace"], rest].concat()
}

#[test]
fn no_command_shows_a_secret_value() {
    let repo = repository();
    let windlass = Windlass::new();
    let source = repo.path().to_str().unwrap();
    for output in ["tree", "yaml", "json"] {
        let rendered = windlass.run(&["render", source, "-o", output]);
        quiet(&format!("render -o {output}"), &rendered);
        assert!(rendered.stdout.contains("good"), "{rendered:?}");
    }
    quiet("render --rbac", &windlass.run(&["render", source, "--rbac"]));
    quiet("render --revision", &windlass.run(&["render", source, "--revision", "HEAD", "-o", "json"]));
    let validated = windlass.run(&["validate", source]);
    quiet("validate", &validated);
    assert_eq!(validated.code, 1);
    let shown = windlass.run(&["render", source, "--show-secrets", "-o", "json"]);
    assert!(shown.stdout.contains(CANARY_BASE64), "who asks for the values gets them");

    let target = format!("dir:{}", windlass.home().join("out").display());
    for format in ["pretty", "json"] {
        quiet(&format!("agent, {format}"), &windlass.run(&agent(source, &target, &["--once", "--log-format", format])));
    }
    let file = fs::read_to_string(windlass.home().join("out/web/secret-good.yaml")).unwrap();
    assert!(file.contains("c4n4ry-string") && file.contains("YzRuNHJ5LWRhdGE="), "{file}");
    for args in [&["status"][..], &["status", "-o", "json"]] {
        quiet("status", &windlass.run(args));
    }
    let name = repo.path().file_name().unwrap().to_str().unwrap().to_lowercase();
    quiet("inventory", &windlass.run(&["inventory", &name]));
    clean_files(&windlass.home().join("out"), &allowed);
    clean_files(&windlass.home().join("state"), &allowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_of_an_agent_shows_no_secret_value() {
    _ = rustls::crypto::ring::default_provider().install_default();
    let repo = repository();
    let windlass = Windlass::new();
    let target = format!("dir:{}", windlass.home().join("out").display());
    let process = windlass.start(&agent(repo.path().to_str().unwrap(), &target, &["--listen", "127.0.0.1:0"]));
    let address = until_blocking("the dashboard's address", || {
        let log = process.log();
        let at = log.find("address=")?;
        let rest = log[at + "address=".len()..].split_whitespace().next()?;
        Some(rest.to_owned())
    });
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let get = async |path: &str| client.get(format!("http://{address}{path}")).send().await.unwrap();
    let secret = windlass.home().join("out/web/secret-good.yaml");
    until_blocking("the Secret's file", || secret.exists().then_some(()));
    let api = crate::support::wait::until("the end of the first pass", async || {
        let text = get("/api/v1/syncs").await.text().await.unwrap();
        text.contains("object/core/Secret/web/good").then_some(text)
    })
    .await;
    clean("/api/v1/syncs", &api);
    let view: serde_json::Value = serde_json::from_str(&api).unwrap();
    let name = view["syncs"][0]["name"].as_str().unwrap().to_owned();
    let page = format!("/syncs/windlass-system/{name}");
    for path in ["/", &page, &format!("{page}?all=1"), "/metrics", "/readyz"] {
        let answer = get(path).await;
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        clean(path, &answer.text().await.unwrap());
    }
    let mut events = get("/events").await;
    clean("/events", &String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()));
    // A hand edit of a Secret is told without its value, too.
    fs::write(&secret, good("c4n4ry-by-hand")).unwrap();
    until_blocking("the edit is taken back", || {
        fs::read_to_string(&secret).is_ok_and(|text| text.contains("c4n4ry-string")).then_some(())
    });
    clean("the log", &process.log());
    clean_files(&windlass.home().join("state"), &allowed);
}

#[test]
fn what_stands_open_names_no_hash_that_a_value_can_be_tried_out_on() {
    let windlass = Windlass::new();
    let target = format!("dir:{}", windlass.home().join("out").display());
    let repo = GitRepo::with(&[("a.yaml", &super::secret("weak", "stringData: {pin: '1234'}\n"))]);
    let source = repo.path().to_str().unwrap().to_owned();
    let run = || windlass.run(&["agent", "--source", &source, "--target", &target, "--once"]);
    let annotation = || {
        let text = fs::read_to_string(windlass.home().join("out/web/secret-weak.yaml")).unwrap();
        text.lines().find(|line| line.contains("content-hash")).unwrap().trim().to_owned()
    };
    let digest = || {
        let rendered = windlass.run(&["render", &source, "-o", "json"]).stdout;
        serde_json::from_str::<serde_json::Value>(&rendered).unwrap()["digest"].to_string()
    };
    assert!(run().stdout.contains(": applied 1\n"));
    let manifest = serde_json::json!({"object": {"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "weak", "namespace": "web"}, "stringData": {"pin": "1234"}}});
    let plain = windlass::canonical::hash(&manifest);
    assert!(!annotation().contains(&plain), "the hash is not keyed");
    let (first, rendered) = (annotation(), digest());
    assert!(run().stdout.contains(": nothing changed\n"));

    // Another value is another hash; a render, which has no key, cannot tell.
    repo.write("a.yaml", &super::secret("weak", "stringData: {pin: '4321'}\n")).commit("another pin");
    assert!(run().stdout.contains(": applied 1\n"));
    assert!(annotation() != first && digest() == rendered);
    repo.write("b.yaml", super::NEIGHBOUR).commit("a neighbour");
    assert!(run().stdout.contains(": applied 1\n"));

    // A lost key: the Secret is written once more, its neighbour is not.
    let find = |name: &str| {
        let state = windlass.home().join("state/windlass/windlass-system");
        fs::read_dir(state).unwrap().next().unwrap().unwrap().path().join(name)
    };
    assert_eq!(fs::metadata(find("hash-key")).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(find("hash-key")).unwrap();
    let before = annotation();
    assert!(run().stdout.contains(": applied 1\n"));
    assert_ne!(annotation(), before);
    assert!(run().stdout.contains(": nothing changed\n"));
    // A damaged one is made anew.
    fs::write(find("hash-key"), "short").unwrap();
    assert!(run().stdout.contains(": applied 1\n"));
    assert!(run().stdout.contains(": nothing changed\n"));
}

/// A server that answers every request with all that it was sent.
fn echo(status: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(20) {
            let Ok(mut stream) = stream else { return };
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).unwrap_or_default();
            let said = String::from_utf8_lossy(&request[..read]).replace(['\r', '\n'], " ");
            let head =
                format!("HTTP/1.1 {status}\r\nx-echo: {said}\r\nlocation: http://127.0.0.1:1/?{CANARY_BASE64}\r\n");
            _ = write!(stream, "{head}content-length: {}\r\nconnection: close\r\n\r\n{said}", said.len());
        }
    });
    port
}

#[test]
fn no_message_about_a_source_shows_its_credentials() {
    let windlass = Windlass::new();
    let secrets = windlass.home().join("secrets/source");
    fs::create_dir_all(&secrets).unwrap();
    let out = format!("dir:{}", windlass.home().join("out").display());
    let folder = windlass.home().join("secrets");
    let mut all = vec![
        "https://127.0.0.1:1/x.git".to_owned(),
        "ssh://git@127.0.0.1:1/x.git".to_owned(),
        "https://me:c4n4ry@127.0.0.1:1/x.git".to_owned(),
        "https://c4n4ry@127.0.0.1:1/x.git".to_owned(),
        "ssh://me:c4n4ry@127.0.0.1:1/x.git".to_owned(),
        "me:c4n4ry@127.0.0.1:x.git".to_owned(),
        "gopher://me:c4n4ry@127.0.0.1/x.git".to_owned(),
        "https://me:c4n4ry@[/x.git".to_owned(),
    ];
    for status in ["500 Internal Server Error", "401 Unauthorized", "403 Forbidden", "200 OK", "302 Found"] {
        all.push(format!("http://127.0.0.1:{}/x.git", echo(status)));
    }
    for keys in [
        &[("username", "me"), ("password", "c4n4ry-password")][..],
        &[("bearerToken", "c4n4ry-token")],
        &[("identity", "c4n4ry-key"), ("passphrase", "c4n4ry-phrase"), ("known_hosts", "c4n4ry-host")],
        &[("username", "me"), ("password", "c4n4ry\npassword"), ("ca.crt", "c4n4ry-certificate")],
    ] {
        for (key, value) in keys {
            fs::write(secrets.join(key), value).unwrap();
        }
        for url in &all {
            let args = ["--secrets", folder.to_str().unwrap(), "--once", "--log-format", "json"];
            let ran = windlass.run(&agent(url, &out, &args));
            quiet(&format!("agent --source {}", url.replace("c4n4ry", "…")), &ran);
            assert_eq!(ran.code, 2, "{ran:?}");
        }
        for (key, _) in keys {
            fs::remove_file(secrets.join(key)).unwrap();
        }
    }
    quiet("status", &windlass.run(&["status", "-o", "json"]));
    let state = windlass.home().join("state");
    if state.exists() {
        clean_files(&state, &|_| false);
    }
}

#[test]
fn a_name_or_path_of_a_gitsync_never_leaves_its_folder() {
    let repo = GitRepo::with(&[("a.yaml", super::NEIGHBOUR)]);
    let windlass = Windlass::new();
    let file = windlass.home().join("sync.yaml");
    let sync = |name: &str, namespace: &str, secret: &str, path: &str| {
        serde_json::json!({"apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"source": {"url": repo.path(), "paths": [path], "secretRef": {"name": secret}},
                     "target": {"directory": {"path": windlass.home().join("out")}}}})
    };
    let secrets = windlass.home().join("secrets/s");
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("password"), "c4n4ry").unwrap();
    fs::write(windlass.home().join("password"), "c4n4ry").unwrap();
    for (sync, told) in [
        (sync("../../x", "n", "s", "/"), "InvalidName"),
        (sync("x", "../../n", "s", "/"), "InvalidNamespace"),
        (sync("x", "n", "..", "/"), "InvalidName"),
        (sync("x", "n", "s", "../x"), "../x"),
    ] {
        fs::write(&file, sync.to_string()).unwrap();
        let args = ["agent", "--once", "-f", file.to_str().unwrap(), "--secrets", "secrets"];
        let ran = windlass.run(&args);
        quiet("agent -f", &ran);
        assert!(ran.code == 2 && ran.stderr.contains(told), "{told}: {ran:?}");
        assert!(!windlass.home().join("x").exists() && !windlass.home().join("out").exists());
    }
    let source = repo.path().to_str().unwrap();
    let ran = windlass.run(&["agent", "--once", "--source", source, "--path", "../..", "--target", "dir:out"]);
    assert!(ran.code == 2 && ran.stderr.contains("../.."), "{ran:?}");
    let ran = windlass.run(&["render", source, "--path", "../.."]);
    assert!(ran.code == 2 && ran.stderr.contains("../.."), "{ran:?}");
}
