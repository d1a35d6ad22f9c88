//! The table: bad documents, and exactly what is told of each.

use super::{config_map, memcached};

pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) text: Vec<u8>,
    /// Every problem, exactly.
    pub(super) told: &'static [&'static str],
    /// Documents of the file that are declared in spite of it.
    pub(super) declared: usize,
}

fn case(what: &'static str, text: impl Into<Vec<u8>>, declared: usize, told: &'static [&'static str]) -> Case {
    Case { what, text: text.into(), told, declared }
}

/// Each is the text of `bad.yaml`.
pub(super) fn cases() -> Vec<Case> {
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
