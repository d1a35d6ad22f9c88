//! Canaries: secret values are looked for in everything that leaves the program, and may be found nowhere but in the
//! Secret that they are for.

mod cluster;
mod folder;

use std::path::Path;

use crate::support::git_repo::GitRepo;

/// Every secret value begins with this, or is [`PIN`].
const CANARY: &str = "c4n4ry";
/// The same in base64, also behind `me:` as in a basic authorization.
const CANARY_BASE64: &str = "YzRuNHJ5";
/// A value that is written without quotes and looks like an octal number.
const PIN: &str = "742666013";
/// What it would be if it were one.
const PIN_DECIMAL: &str = "126577675";

/// Fails if a canary stands in `text`.
fn clean(what: &str, text: &str) {
    for needle in [CANARY, CANARY_BASE64, PIN, PIN_DECIMAL] {
        if let Some(at) = text.find(needle) {
            let from = text[..at].char_indices().rev().nth(200).map_or(0, |(index, _)| index);
            let around: String = text[from..].chars().take(400).collect();
            panic!("{what} shows {needle}: …{around}…");
        }
    }
}

/// Fails if a canary stands in a file below `folder`, but for those that `allowed` takes.
fn clean_files(folder: &Path, allowed: &dyn Fn(&Path) -> bool) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if allowed(&path) {
            continue;
        }
        if path.is_dir() {
            clean_files(&path, allowed);
        } else {
            clean(&path.display().to_string(), &String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
        }
    }
}

/// A Secret whose manifest goes on with `rest`.
fn secret(name: &str, rest: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: web\n{rest}")
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: web\n";
const NEIGHBOUR: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: neighbour\n  namespace: web\ndata: {a: b}\n";

/// A Secret that is well, with every place where a value may stand.
fn good(value: &str) -> String {
    let metadata =
        "  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: '{\"data\":{\"p\":\"c4n4ry-copy\"}}'\n";
    secret("good", &format!("{metadata}data:\n  token: YzRuNHJ5LWRhdGE=\nstringData:\n  password: {value}\n"))
}

/// Documents that are wrong at their secret values, each in another way, by name.
fn broken() -> Vec<(String, String)> {
    let value = |value: &str| format!("stringData:\n  a: {value}\n");
    let rests = [
        ("data-is-text", "data: c4n4ry-text\n".to_owned()),
        ("data-is-list", "stringData: [c4n4ry-item]\n".to_owned()),
        ("value-is-map", value("{c4n4ry: c4n4ry-deep}")),
        ("duplicate", "stringData:\n  a: c4n4ry-1\n  a: c4n4ry-2\n".to_owned()),
        ("unknown-field", "stringdata:\n  a: c4n4ry-slip\n".to_owned()),
        ("unknown-text", "secret: c4n4ry-slip\n".to_owned()),
        ("not-base64", "data:\n  a: c4n4ry!!\n".to_owned()),
        ("number", value("0742666013")),
        ("decimal", value("742666013")),
        ("real", value("742666013.5e0")),
        ("octal", value("0o742666013")),
        ("separated", value("742_666_013 c4n4ry: x")),
        ("unclosed-quote", value("\"c4n4ry-open")),
        ("unclosed-list", value("[c4n4ry-open")),
        ("colon", value("c4n4ry: more")),
        ("alias", value("*c4n4ry")),
        ("anchor-twice", value("&c4n4ry &c4n4ry x")),
        ("tag", value("!c4n4ry x")),
        ("tag-int", value("!!int c4n4ry")),
        ("tag-float", value("!!float c4n4ry")),
        ("tag-bool", value("!!bool c4n4ry")),
        ("tag-null", value("!!null c4n4ry")),
        ("tag-time", value("!!timestamp c4n4ry")),
        ("tag-binary", value("!!binary c4n4ry")),
        ("tag-unknown", value("!!c4n4ry x")),
        ("directive", value("%c4n4ry")),
        ("at", value("@c4n4ry")),
        ("escape", value("\"c4n4ry\\qc4n4ry\"")),
        ("tab", "stringData:\n\ta: c4n4ry\n".to_owned()),
        ("merge", "stringData:\n  <<: c4n4ry\n".to_owned()),
        ("block", "stringData:\n  a: |\n    c4n4ry-one\n   c4n4ry-two\n".to_owned()),
        ("type", "type: [Opaque]\nstringData: {a: c4n4ry}\n".to_owned()),
    ];
    let mut all: Vec<(String, String)> =
        rests.into_iter().map(|(name, rest)| (name.to_owned(), secret(name, &rest))).collect();
    all.push(("kind".to_owned(), secret("kind", &value("c4n4ry")).replace("kind: Secret", "kind: secret")));
    all.push(("group".to_owned(), secret("group", &value("c4n4ry")).replace("apiVersion: v1", "apiVersion: core/v1")));
    all.push(("no-name".to_owned(), secret("", &value("c4n4ry"))));
    all.push(("no-kind".to_owned(), secret("no-kind", &value("c4n4ry")).replace("kind: Secret\n", "")));
    all.push(("json".to_owned(), secret("json", "").lines().take(1).collect::<String>() + "\n{\"a\": \"c4n4ry\n"));
    let items = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: item, namespace: web}\n  stringData: {a: c4n4ry-item}\n- {kind: Secret, data: c4n4ry}\n- c4n4ry\n";
    all.push(("list".to_owned(), items.to_owned()));
    all
}

/// A repository with all of these.
fn repository() -> GitRepo {
    let repo = GitRepo::with(&[
        ("good/namespace.yaml", NAMESPACE),
        ("good/neighbour.yaml", NEIGHBOUR),
        ("good/secret.yaml", &good("c4n4ry-string")),
    ]);
    for (name, text) in broken() {
        repo.write(&format!("broken/{name}.yaml"), &text);
    }
    repo.commit("Keep canaries");
    repo
}
