//! Bad input, always: what is wrong with a repository or document is told with file, line and one clear sentence, a good
//! neighbour is still declared, and nothing that the bad file used to declare can be taken for removed.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use windlass::declared::{self, Context, Declared, Memo};
use windlass::expand;
use windlass::source::Source;

const NEIGHBOUR: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: neighbour, namespace: good}\ndata: {a: b}\n";
const NEIGHBOUR_ID: &str = "object/core/ConfigMap/good/neighbour";

/// What a folder comes to: everything that is wrong, as `windlass validate` prints it, and what is declared.
async fn outcome(folder: &Path, paths: &[&str]) -> (Vec<String>, Declared) {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let source = Source::disk(folder, &paths).unwrap();
    let revision = source.fetch().await.unwrap();
    let snapshot = source.snapshot(&revision).await.unwrap();
    let (declared, mut problems) = declared::read(&snapshot, &Context::default(), &mut Memo::default());
    let (plan, found) = expand::expand(&declared);
    problems.extend(found);
    let present = plan.steps.iter().any(|step| step.id.as_str() == NEIGHBOUR_ID);
    assert_eq!(present, snapshot.files.contains_key("good/neighbour.yaml"), "the neighbour is in the plan");
    (problems.iter().map(ToString::to_string).collect(), declared)
}

fn write(folder: &Path, path: impl AsRef<Path>, bytes: &[u8]) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn config_map(name: &str, more: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{more}")
}

fn memcached(version: &str, spec: &str) -> String {
    let known = windlass::kinds::FAMILIES.iter().flat_map(|family| family.kinds).find(|kind| kind.kind == "Memcached");
    let known = known.expect("the registry has Memcached");
    let version = if version == "VERSION" { known.version } else { version };
    format!("apiVersion: {}/{version}\nkind: Memcached\nmetadata:\n  name: m\nspec:\n{spec}", known.group)
}

struct Case {
    what: &'static str,
    text: Vec<u8>,
    /// Every problem, exactly.
    told: &'static [&'static str],
    /// Documents of the file that are declared in spite of it.
    declared: usize,
}

fn case(what: &'static str, text: impl Into<Vec<u8>>, declared: usize, told: &'static [&'static str]) -> Case {
    Case { what, text: text.into(), told, declared }
}

/// Each is the text of `bad.yaml`.
fn cases() -> Vec<Case> {
    let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(", "));
    }
    vec![
        case("0-byte file", "", 0, &[]),
        case("comments only", "# nothing\n---\n# here\n", 0, &[]),
        case("CRLF", config_map("a", "data: {a: b}\n").replace('\n', "\r\n"), 1, &[]),
        case("BOM", format!("\u{feff}{}", config_map("a", "")), 1, &[]),
        case("JSON", r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}"#, 1, &[]),
        case(
            "10,000 documents",
            (0..10_000).map(|n| format!("---\n{}", config_map(&format!("c{n}"), ""))).collect::<String>(),
            10_000,
            &[],
        ),
        case(
            "too many documents",
            "---\na: 1\n".repeat(10_001),
            0,
            &[
                "bad.yaml:20002:1: TooManyDocuments: reading the file: it holds more than 10000 documents; split it into several files",
            ],
        ),
        case(
            "binary",
            b"\x7fELF\0\0\0".to_vec(),
            0,
            &[
                "bad.yaml: FileNotText: the file is not text: it holds NUL bytes; remove it or name it in .windlassignore",
            ],
        ),
        case("UTF-16", b"\xff\xfea\0:\0".to_vec(), 0, &["bad.yaml: FileNotText: the file is UTF-16; save it as UTF-8"]),
        case(
            "Latin-1",
            b"a: 1\nb: caf\xe9\n".to_vec(),
            0,
            &[
                "bad.yaml:2:7: FileNotText: the file is not UTF-8 from here on; save it as UTF-8, or name it in .windlassignore",
            ],
        ),
        case(
            "tabs",
            "a:\n\tb: 1\n",
            0,
            &["bad.yaml:2:2: YamlSyntax: not valid YAML: tabs disallowed within this context (block indentation)"],
        ),
        case(
            "syntax error beside a good document",
            format!("{}---\na: [\n", config_map("a", "")),
            1,
            &["bad.yaml:6:4: YamlSyntax: not valid YAML: unclosed bracket '['"],
        ),
        case(
            "duplicate key",
            config_map("a", "data:\n  x: '1'\n  x: '2'\n"),
            0,
            &["bad.yaml:7:3: DuplicateKey: the mapping already has this key; remove one of the two"],
        ),
        case(
            "aliases that explode",
            bomb,
            0,
            &["bad.yaml:6:35: YamlBudget: the file's aliases expand to more than 16 MiB; write the values out"],
        ),
        case(
            "deep nesting",
            format!("a: {}", "[".repeat(1000)),
            0,
            &["bad.yaml:1:68: YamlBudget: mappings and lists stand more than 64 deep in one another"],
        ),
        case(
            "deep nesting in blocks",
            (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>(),
            0,
            &["bad.yaml:65:65: YamlBudget: mappings and lists stand more than 64 deep in one another"],
        ),
        case(
            "an alias of itself",
            "a: &a [*a]\n",
            0,
            &["bad.yaml:1:8: YamlSyntax: not valid YAML: the alias names the mapping or list in which it stands"],
        ),
        case(
            "an unknown alias",
            "a: *b\n",
            0,
            &["bad.yaml:1:4: YamlSyntax: not valid YAML: while parsing node, found unknown anchor"],
        ),
        case(
            "a tag of another program",
            config_map("a", "data: {x: !Ref y}\n"),
            0,
            &[
                "bad.yaml:5:16: YamlSyntax: not valid here: Kubernetes documents have no YAML tags of their own; kubectl would drop the tag",
            ],
        ),
        case(
            "infinity",
            config_map("a", "data: {x: .inf}\n"),
            0,
            &[
                "bad.yaml:5:11: InvalidValue: infinity and not-a-number cannot be sent to Kubernetes; put it in quotes if it is text",
            ],
        ),
        case(
            "a null as key",
            config_map("a", "data: {~: x}\n"),
            0,
            &["bad.yaml:5:8: WrongType: a key must be a text; put it in quotes"],
        ),
        case(
            "a word that kubectl reads otherwise",
            config_map("a", "data: {x: yes}\n"),
            1,
            &[
                "bad.yaml:5:11: ScalarDiffers: warning: this word without quotes is text here (YAML 1.2), but kubectl reads a \
             boolean (YAML 1.1); write true or false, or put the text in quotes",
            ],
        ),
        case(
            "no object",
            "replicas: 3\n",
            0,
            &[
                "bad.yaml:1:1: NotAnObject: the document has neither apiVersion nor kind, so it is not a Kubernetes object; if \
             it is not meant for Kubernetes, name it in .windlassignore",
            ],
        ),
        case(
            "no kind",
            "\n---\napiVersion: v1\n",
            0,
            &[
                "bad.yaml:3:1: NotAnObject: the document has no kind, so it is not a Kubernetes object; if it is not meant for \
             Kubernetes, name it in .windlassignore",
            ],
        ),
        case(
            "a list",
            "- a\n",
            0,
            &["bad.yaml:1:1: NotAnObject: the document is a list and not a Kubernetes object; if it is not meant for \
             Kubernetes, name it in .windlassignore"],
        ),
        case(
            "a text",
            "just words\n",
            0,
            &[
                "bad.yaml:1:1: NotAnObject: the document is a single value and not a Kubernetes object; if it is not meant for \
             Kubernetes, name it in .windlassignore",
            ],
        ),
        case(
            "a number as apiVersion",
            "apiVersion: 1\nkind: Pod\n",
            0,
            &["bad.yaml:1:1: WrongType: apiVersion must be a text; put it in quotes"],
        ),
        case(
            "a kind with a blank",
            "apiVersion: v1\nkind: Config Map\n",
            0,
            &["bad.yaml:2:1: InvalidValue: kind is not one that Kubernetes takes, as in apps/v1 and Deployment"],
        ),
        case(
            "an unknown kind",
            "apiVersion: example.com/v1\nkind: Lake\nmetadata: {name: a}\n",
            1,
            &[
                "bad.yaml:2:1: ScopeAssumed: warning: whether a Lake of example.com has a namespace is known from nowhere, so it \
             was taken to have one (1 document); commit its CRD, or let Windlass see a cluster that has it",
            ],
        ),
        case(
            "no metadata",
            "apiVersion: v1\nkind: ConfigMap\n",
            0,
            &["bad.yaml:1:1: InvalidName: the ConfigMap has no metadata.name; give it one"],
        ),
        case(
            "metadata as text",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: a\n",
            0,
            &["bad.yaml:3:1: WrongType: metadata must be a mapping, and this is a text"],
        ),
        case(
            "a number as name",
            config_map("12", ""),
            0,
            &["bad.yaml:4:3: WrongType: metadata.name must be a text, and this is a number; put it in quotes"],
        ),
        case(
            "a name with capitals",
            config_map("Front_End", ""),
            0,
            &[
                "bad.yaml:4:3: InvalidName: Kubernetes refuses the name: a ConfigMap's name must be lower-case letters, digits, \
             `-` and `.`, and each part must begin and end with a letter or digit",
            ],
        ),
        case(
            "a name that is too long",
            config_map(&"a".repeat(254), ""),
            0,
            &[
                "bad.yaml:4:3: InvalidName: Kubernetes refuses the name: a ConfigMap's name is longer than 253 characters",
            ],
        ),
        case(
            "a generated name",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: a-\n",
            0,
            &[
                "bad.yaml:4:3: InvalidName: metadata.generateName makes a new object on every apply; give the object a metadata.name",
            ],
        ),
        case(
            "a bad namespace",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: a.b\n",
            0,
            &[
                "bad.yaml:5:3: InvalidNamespace: Kubernetes refuses the namespace: its name must be lower-case letters, digits \
             and `-`, and begin and end with a letter or digit",
            ],
        ),
        case(
            "a namespace where there is none",
            "apiVersion: v1\nkind: Node\nmetadata:\n  name: a\n  namespace: b\n",
            0,
            &["bad.yaml:5:3: InvalidNamespace: a Node belongs to no namespace, and this one names one; remove it"],
        ),
        case(
            "labels",
            config_map("a", "  labels: {a: 1, b/c/d: x, e: a b}\n"),
            0,
            &[
                "bad.yaml:5:12: InvalidMetadata: metadata.labels holds text only, and this is a number; put it in quotes",
                "bad.yaml:5:18: InvalidMetadata: the label's key must have a name part of letters, digits, `-`, `_` and `.`, \
             with a letter or digit at both ends",
                "bad.yaml:5:28: InvalidMetadata: the value of label `e` must be letters, digits, `-`, `_` and `.`, with a \
             letter or digit at both ends",
            ],
        ),
        case(
            "what the server writes",
            config_map("a", "  uid: 1-2\n  resourceVersion: '5'\n"),
            0,
            &[
                "bad.yaml:5:3: InvalidMetadata: metadata.uid is written by the API server alone; remove it",
                "bad.yaml:6:3: InvalidMetadata: metadata.resourceVersion is written by the API server alone; remove it",
            ],
        ),
        case(
            "a misspelt annotation",
            config_map("a", "  annotations: {windlass.dev/purne: disabled}\n"),
            0,
            &["bad.yaml:5:17: UnknownAnnotation: there is no annotation `windlass.dev/purne`; did you mean \
             `windlass.dev/prune`?"],
        ),
        case(
            "an annotation that says too much",
            config_map("a", "  annotations: {windlass.dev/drift: 'off'}\n"),
            0,
            &["bad.yaml:5:17: InvalidValue: the annotation `windlass.dev/drift` takes `ignore` and nothing else"],
        ),
        case(
            "data that is no text",
            config_map("a", "data: {x: 1, z: true}\n"),
            0,
            &[
                "bad.yaml:5:8: WrongType: ConfigMap.data holds text only, and this is a number; put it in quotes",
                "bad.yaml:5:14: WrongType: ConfigMap.data holds text only, and this is a boolean; put it in quotes",
            ],
        ),
        case(
            "a Secret with errors",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  pin: 4711\n",
            0,
            &["bad.yaml:5:3: WrongType: Secret.stringData holds text only, and this is a number; put it in quotes"],
        ),
        case(
            "a known kind in another version",
            memcached("v9", "  size: 3\n"),
            0,
            &[
                "bad.yaml:1:1: UnknownVersion: reading Memcached: this version of Windlass knows apiVersion cache.example.com/v1alpha1 and not cache.example.com/v9",
            ],
        ),
        case(
            "an unknown field",
            memcached("VERSION", "  sise: 3\n"),
            0,
            &["bad.yaml:6:3: UnknownField: `sise` is not a field of `spec`. Did you mean `size`?"],
        ),
        case(
            "a wrong type",
            memcached("VERSION", "  size: three\n"),
            0,
            &["bad.yaml:6:3: WrongType: `spec.size` has to be an integer, but is a string."],
        ),
        case(
            "a wrong value",
            memcached("VERSION", "  size: 2\n"),
            0,
            &[
                "bad.yaml:6:3: InvalidValue: `spec.size` is 2, but has to be odd: 1 or 3. Of two processes neither is a majority, so one that is lost takes half of the cache with it.",
            ],
        ),
        case("nulls in a known kind", memcached("VERSION", "  size: 3\n  image: null\n"), 1, &[]),
        case("explicit nulls", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: null}\ndata:\n", 1, &[]),
        case(
            "the same twice in a file",
            format!("{}---\n{}", config_map("a", ""), config_map("a", "")),
            0,
            &[
                "bad.yaml:4:3: DuplicateObject: object/core/ConfigMap/default/a is declared twice: also at bad.yaml:9; nothing \
             says which is meant, so none is applied",
                "bad.yaml:9:3: DuplicateObject: object/core/ConfigMap/default/a is declared twice: also at bad.yaml:4; nothing \
             says which is meant, so none is applied",
            ],
        ),
        case(
            "a kustomization under another name",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
            0,
            &[
                "bad.yaml:2:1: NotRendered: Windlass does not build kustomizations; commit what `kustomize build` prints \
             instead, or name the file in .windlassignore",
            ],
        ),
        case(
            "a circle",
            format!(
                "{}---\n{}",
                config_map("a", "  annotations: {windlass.dev/depends-on: object/core/ConfigMap/default/b}\n"),
                config_map("b", "  annotations: {windlass.dev/depends-on: object/core/ConfigMap/default/a}\n"),
            ),
            2,
            &[
                "bad.yaml:1:1: DependencyCycle: Its steps wait for one another in a circle: object/core/ConfigMap/default/a → object/core/ConfigMap/default/b → object/core/ConfigMap/default/a. Take one of the `windlass.dev/depends-on` annotations on it away.",
                "bad.yaml:7:1: DependencyCycle: Its steps wait for one another in a circle: object/core/ConfigMap/default/a → object/core/ConfigMap/default/b → object/core/ConfigMap/default/a. Take one of the `windlass.dev/depends-on` annotations on it away.",
            ],
        ),
    ]
}

#[tokio::test]
async fn every_bad_document_is_told_exactly_and_harms_only_itself() {
    let mut wrong = String::new();
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "good/neighbour.yaml", NEIGHBOUR.as_bytes());
        write(folder.path(), "bad.yaml", &case.text);
        let (told, declared) = outcome(folder.path(), &[]).await;
        if told != case.told {
            wrong += &format!("{}:\n{told:#?}\n", case.what);
        }
        assert_eq!(declared.documents.len(), case.declared + 1, "{}: {told:#?}", case.what);
        assert!(!declared.held.empty && declared.held.present.contains("bad.yaml"), "{}", case.what);
        // The errors of expansion are held in the plan.
        let errors = told.iter().any(|line| !line.contains(": warning: ") && !line.contains("DependencyCycle"));
        assert_eq!(declared.held.paths.contains("bad.yaml"), errors, "{}", case.what);
        assert_eq!(declared.held.paths.len(), usize::from(errors), "{}", case.what);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn a_secret_never_shows_in_a_problem() {
    const SECRET: &str = "hunter2hunter2";
    for body in [
        "data: {p: hunter2hunter2, p: x}",
        "stringData: {p: [hunter2hunter2]}",
        "stringData: {p: !x hunter2hunter2}",
        "stringData: hunter2hunter2",
        "data:\n  p: \"hunter2hunter2",
        "data:\n\tp: hunter2hunter2",
        "data: {p: *hunter2hunter2}",
        "stringData: {p: hunter2hunter2: hunter2hunter2}",
        "type: [hunter2hunter2",
        "data:\n p: 'hunter2hunter2' x",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{body}\n");
        write(folder.path(), "bad.yaml", text.as_bytes());
        let (told, declared) = outcome(folder.path(), &[]).await;
        assert!(!told.is_empty() && declared.documents.is_empty(), "{body}");
        assert!(!told.concat().contains(SECRET), "{told:#?}");
    }
}

#[tokio::test]
async fn an_empty_repository_declares_nothing_and_says_so() {
    let nothing = "NothingDeclared: the revision declares nothing: no .yaml, .yml or .json file below the paths holds an \
                   object; nothing is applied or pruned until one does";
    let folder = tempfile::tempdir().unwrap();
    for text in [None, Some("# nothing yet\n")] {
        if let Some(text) = text {
            write(folder.path(), "README.md", b"hello");
            write(folder.path(), "a.yaml", text.as_bytes());
        }
        let (told, declared) = outcome(folder.path(), &[]).await;
        assert_eq!(told, [nothing]);
        assert!(declared.held.empty);
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_keeps_what_it_declared() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good/neighbour.yaml", NEIGHBOUR.as_bytes());
    let (told, declared) = outcome(folder.path(), &["good", "gone"]).await;
    assert_eq!(
        told,
        [
            "gone: PathMissing: `paths` names gone, which is not in this revision; the root holds good/. Correct `paths` or add the folder.",
        ]
    );
    assert!(declared.held.paths.contains("gone") && !declared.held.empty);
    assert_eq!(declared.documents.len(), 1);
}

#[tokio::test]
async fn files_that_cannot_be_read_are_told_and_held() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    write(&root, "good/neighbour.yaml", NEIGHBOUR.as_bytes());
    write(folder.path(), "outside.yaml", config_map("outside", "").as_bytes());
    let large = std::fs::File::create(root.join("large.yaml")).unwrap();
    large.set_len(50 << 20).unwrap();
    std::os::unix::fs::symlink("../outside.yaml", root.join("out.yaml")).unwrap();
    std::os::unix::fs::symlink("gone.yaml", root.join("broken.yaml")).unwrap();
    write(&root, Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9.yaml")), NEIGHBOUR.as_bytes());
    let (told, declared) = outcome(&root, &[]).await;
    assert_eq!(
        told,
        [
            "broken.yaml: LinkBroken: this link to \"gone.yaml\" points at nothing; point it at a file of the repository or remove it",
            "caf\u{fffd}.yaml: PathNotUtf8: the name of this file is not UTF-8, so it was not read; rename it",
            "large.yaml: FileTooLarge: the file has 50 MiB; a document file may have at most 8 MiB. Split it, or leave it out with \
         .windlassignore",
            "out.yaml: LinkLeavesTree: this link to \"../outside.yaml\" leads out of the repository, so it was not followed; \
         remove it",
        ]
    );
    for path in ["broken.yaml", "caf\u{fffd}.yaml", "large.yaml", "out.yaml"] {
        assert!(declared.held.paths.contains(path), "{path}");
    }
    assert_eq!(declared.documents.len(), 1);
}

#[tokio::test]
async fn the_same_object_in_two_files_is_applied_from_neither() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good/neighbour.yaml", NEIGHBOUR.as_bytes());
    write(folder.path(), "a.yaml", config_map("twin", "").as_bytes());
    write(
        folder.path(),
        "b.json",
        br#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": "twin"}}"#,
    );
    let (told, declared) = outcome(folder.path(), &[]).await;
    assert_eq!(
        told,
        [
            "a.yaml:4:3: DuplicateObject: object/core/ConfigMap/default/twin is declared twice: also at b.json:1; nothing says \
         which is meant, so none is applied",
            "b.json:1:80: DuplicateObject: object/core/ConfigMap/default/twin is declared twice: also at a.yaml:4; nothing says \
         which is meant, so none is applied",
        ]
    );
    assert_eq!(declared.documents.len(), 1);
    assert_eq!(
        declared.held.owners.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["object/core/ConfigMap/default/twin"]
    );
    assert_eq!(declared.held.paths.iter().collect::<Vec<_>>(), ["a.yaml", "b.json"]);
}

#[tokio::test]
async fn kustomizations_and_charts_are_not_applied_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good/neighbour.yaml", NEIGHBOUR.as_bytes());
    write(folder.path(), "web/kustomization.yaml", b"resources: [deployment.yaml]\n");
    write(folder.path(), "web/deployment.yaml", config_map("web", "").as_bytes());
    write(folder.path(), "chart/Chart.yaml", b"name: chart\n");
    write(folder.path(), "chart/templates/a.yaml", b"{{ if .Values.x }}\n");
    let (told, declared) = outcome(folder.path(), &[]).await;
    assert_eq!(
        told,
        [
            "chart/Chart.yaml: NotRendered: the folder chart is a Helm chart, which Windlass does not render: nothing in it is \
         applied or pruned; commit what `helm template` prints instead, or name this file in .windlassignore to have the \
         other files applied as they stand",
            "web/kustomization.yaml: NotRendered: the folder web is a kustomization, which Windlass does not build: nothing in \
         it is applied or pruned; commit what `kustomize build` prints instead, or name this file in .windlassignore to \
         have the other files applied as they stand",
        ]
    );
    assert_eq!(declared.documents.len(), 1);
    let held: Vec<_> = declared.held.paths.iter().map(String::as_str).collect();
    assert_eq!(held, ["chart/Chart.yaml", "chart/templates/a.yaml", "web/deployment.yaml", "web/kustomization.yaml"]);
    // Named in .windlassignore, the marker no longer speaks for its folder.
    write(folder.path(), "web/.windlassignore", b"kustomization.yaml\n");
    let (told, declared) = outcome(folder.path(), &[]).await;
    assert_eq!((told.len(), declared.documents.len()), (1, 2));
}
