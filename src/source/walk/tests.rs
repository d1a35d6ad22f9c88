//! The walk over trees made up here.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A tree in memory. A folder is whatever has something below it.
#[derive(Default)]
struct Made(BTreeMap<Vec<u8>, Node>, BTreeMap<Vec<u8>, Vec<u8>>, std::cell::Cell<u32>);

impl Made {
    fn blob(&self, path: &str) -> String {
        format!("blob of {path}: {}", String::from_utf8_lossy(self.1.get(path.as_bytes()).map_or(&[], Vec::as_slice)))
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.0.insert(path.into(), Node::File(None));
        self.1.insert(path.into(), text.into());
        self
    }

    fn link(mut self, path: &str, target: &str) -> Self {
        self.0.insert(path.into(), Node::Link(target.into()));
        self
    }

    fn other(mut self, path: &[u8], node: Node) -> Self {
        self.0.insert(path.into(), node);
        self
    }
}

impl Tree for Made {
    fn node(&self, path: &str) -> Result<Option<Node>, SourceError> {
        let below = format!("{path}/").into_bytes();
        Ok(self
            .0
            .get(path.as_bytes())
            .cloned()
            .or_else(|| self.0.keys().any(|key| key.starts_with(&below)).then_some(Node::Folder)))
    }

    fn list(&self, folder: &str) -> Result<Vec<(Vec<u8>, Node)>, SourceError> {
        let prefix = if folder.is_empty() { Vec::new() } else { format!("{folder}/").into_bytes() };
        let mut found: BTreeMap<Vec<u8>, Node> = BTreeMap::new();
        for (path, node) in &self.0 {
            let Some(rest) = path.strip_prefix(prefix.as_slice()) else { continue };
            match rest.iter().position(|byte| *byte == b'/') {
                Some(at) => found.insert(rest[..at].to_vec(), Node::Folder),
                None => found.insert(rest.to_vec(), node.clone()),
            };
        }
        Ok(found.into_iter().collect())
    }

    fn read(&self, path: &str, _: &Node, limit: u64) -> Result<Read, SourceError> {
        let bytes = self.1.get(path.as_bytes()).cloned().unwrap_or_default();
        if bytes.len() as u64 > limit {
            return Ok(Read::TooLarge(bytes.len() as u64));
        }
        self.2.set(self.2.get() + 1);
        Ok(Read::Bytes(self.blob(path), bytes.into()))
    }

    fn hint(&self, path: &str, _: &Node) -> Option<Text> {
        // Content is its own name, so that a change shows.
        Some(self.blob(path).into())
    }

    fn folder_hint(&self, folder: &str) -> Option<Text> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.0.iter().filter(|(path, _)| path.starts_with(prefix.as_bytes()));
        let below = below.map(|(path, node)| format!("{path:?} {node:?} {:?}\n", self.1.get(path)));
        Some(below.collect::<String>().into())
    }

    fn name(&self, path: &str, _: &Node) -> Result<Result<String, String>, SourceError> {
        Ok(Ok(self.blob(path)))
    }
}

/// The whole walk, from nothing.
fn walk(tree: &Made, paths: &[String], limits: Limits) -> Result<(BTreeMap<Text, File>, Vec<Problem>), SourceError> {
    super::walk(tree, paths, limits, Prior::default()).map(|walked| (walked.files, walked.problems))
}

fn small() -> Limits {
    Limits { file: 20, total: 60, files: 6 }
}

fn seen(tree: &Made, paths: &[&str]) -> (Vec<String>, Vec<String>) {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let (files, problems) = walk(tree, &paths::normalize(&paths).unwrap(), Limits::default()).unwrap();
    (files.into_keys().map(|path| path.to_string()).collect(), problems.iter().map(ToString::to_string).collect())
}

#[test]
fn every_file_is_listed_and_only_documents_are_read() {
    let tree = Made::default()
        .file("a.yaml", "x")
        .file("deep/er/b.json", "{}")
        .file("README.md", "text")
        .file(".hidden.yaml", "x")
        .file(".git/config.yaml", "x")
        .file("deep/.cache/c.yaml", "x");
    let (files, problems) = walk(&tree, &[String::new()], Limits::default()).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let names: Vec<_> = files.keys().map(Text::as_str).collect();
    assert_eq!(names, [".hidden.yaml", "README.md", "a.yaml", "deep/er/b.json"]);
    assert_eq!(files["README.md"].content, Content::NotRead);
    assert_eq!(files["a.yaml"].content, Content::Read(b"x".as_slice().into()));
}

#[test]
fn ignore_files_are_honoured_nested_and_from_above() {
    let tree = Made::default()
        .file(".windlassignore", "\u{feff}*.json\nskip/\n/top.yaml\n# a comment\n")
        .file("top.yaml", "")
        .file("env/top.yaml", "")
        .file("env/a.json", "")
        .file("env/keep/.windlassignore", "!b.json\n")
        .file("env/keep/b.json", "")
        .file("env/skip/c.yaml", "");
    let wanted = ["env/keep/.windlassignore", "env/keep/b.json", "env/top.yaml"];
    assert_eq!(seen(&tree, &["env"]).0, wanted);
    assert_eq!(seen(&tree, &[]).0, [&[".windlassignore"], wanted.as_slice()].concat());
}

#[test]
fn an_ignore_rule_that_is_not_valid_is_a_problem_at_its_line() {
    let tree = Made::default().file(".windlassignore", "ok\n[z-a]\n").file("a.yaml", "");
    let (files, problems) = seen(&tree, &[]);
    assert_eq!(files, [".windlassignore", "a.yaml"]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(".windlassignore:2:1: InvalidValue: this rule is not valid"), "{problems:?}");
}

#[test]
fn a_link_is_read_as_the_file_it_leads_to() {
    let tree = Made::default()
        .file("base/web.yaml", "web")
        .link("prod/web.yaml", "../base/web.yaml")
        .link("data.yaml", "current/web.yaml")
        .link("current", "base")
        .link("..data.yaml", "./prod/web.yaml");
    let (files, problems) = walk(&tree, &[String::new()], Limits::default()).unwrap();
    for path in ["prod/web.yaml", "data.yaml", "..data.yaml"] {
        assert_eq!(files[path].content, Content::Read(b"web".as_slice().into()), "{path}");
        assert_eq!(files[path].blob, "blob of base/web.yaml: web");
    }
    // A link to a folder declares nothing by itself.
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("current: LinkBroken: warning: this link to \"base\" points at a folder"));
}

#[test]
fn a_link_that_leads_nowhere_good_is_a_problem_of_that_file() {
    let tree = Made::default()
        .file("a/ok.yaml", "")
        .link("a/abs.yaml", "/etc/passwd")
        .link("a/up.yaml", "../../x.yaml")
        .link("a/up2.yaml", "b/../../../x.yaml")
        .link("a/gone.yaml", "nothing.yaml")
        .link("a/self.yaml", "self.yaml")
        .link("a/ping.yaml", "pong.yaml")
        .link("a/pong.yaml", "ping.yaml")
        .link("a/folder.yaml", "../a")
        .link("a/through.yaml", "ok.yaml/x");
    let (files, problems) = seen(&tree, &["a"]);
    assert_eq!(files, ["a/ok.yaml"]);
    let short: Vec<String> = problems.iter().map(|line| line.split(": this link").next().unwrap().to_owned()).collect();
    assert_eq!(
        short,
        [
            "a/abs.yaml: LinkLeavesTree",
            "a/folder.yaml: LinkBroken",
            "a/gone.yaml: LinkBroken",
            "a/ping.yaml: LinkBroken",
            "a/pong.yaml: LinkBroken",
            "a/self.yaml: LinkBroken",
            "a/through.yaml: LinkBroken",
            "a/up.yaml: LinkLeavesTree",
            "a/up2.yaml: LinkBroken",
        ]
    );
}

#[test]
fn a_file_over_the_limit_is_a_problem_and_its_neighbours_are_read() {
    let tree =
        Made::default().file("big.yaml", &"x".repeat(21)).file("fine.yaml", "x").file("big.bin", &"x".repeat(99));
    let (files, problems) = walk(&tree, &[String::new()], small()).unwrap();
    assert_eq!(files.into_keys().collect::<Vec<_>>(), ["big.bin", "fine.yaml"]);
    assert_eq!(
        problems[0].to_string(),
        "big.yaml: FileTooLarge: the file has 21 bytes; a document file may have at most 20 bytes. Split it, or leave it \
         out with .windlassignore"
    );
}

#[test]
fn too_much_in_all_is_an_error_of_the_source() {
    let tree = ["a", "b", "c", "d"]
        .iter()
        .fold(Made::default(), |tree, name| tree.file(&format!("{name}.yaml"), &"x".repeat(20)));
    let error = walk(&tree, &[String::new()], small()).unwrap_err();
    assert_eq!(error.reason, reasons::LIMIT_EXCEEDED);
    let tree = (0..7).fold(Made::default(), |tree, number| tree.file(&format!("{number}.txt"), ""));
    let error = walk(&tree, &[String::new()], small()).unwrap_err();
    assert!(error.message.starts_with("there are more than 6 files below `paths`"), "{error}");
}

#[test]
fn a_path_that_is_not_there_is_said_with_what_is() {
    let tree = Made::default().file("apps/web/a.yaml", "").file("apps/README.md", "").file("top.yaml", "");
    let (files, problems) = seen(&tree, &["apps/wbe", "top.yaml", "nope/deeper"]);
    assert_eq!(files, ["top.yaml"]);
    assert_eq!(
        problems,
        [
            "apps/wbe: PathMissing: `paths` names apps/wbe, which is not in this revision; apps/ holds README.md, web/. \
             Correct `paths` or add the folder.",
            "nope/deeper: PathMissing: `paths` names nope/deeper, which is not in this revision; the root holds apps/, \
             top.yaml. Correct `paths` or add the folder.",
        ]
    );
}

#[test]
fn submodules_pipes_and_unsayable_names_harm_only_themselves() {
    let tree = Made::default()
        .file("a.yaml", "")
        .other(b"vendor", Node::Submodule)
        .other(b"pipe.yaml", Node::Other("this is a pipe".to_owned()))
        .other(b"socket", Node::Other("this is a socket".to_owned()))
        .other(b"b\xff.yaml", Node::File(None));
    let (files, problems) = seen(&tree, &[]);
    assert_eq!(files, ["a.yaml"]);
    let codes: Vec<_> = problems.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect();
    assert_eq!(codes, ["b\u{fffd}.yaml: PathNotUtf8", "pipe.yaml: FileUnreadable", "vendor: SubmoduleSkipped"]);
}

#[test]
fn an_empty_tree_is_no_error() {
    assert_eq!(seen(&Made::default(), &[]), (Vec::new(), Vec::new()));
}

proptest! {
    #[test]
    fn any_mess_of_links_ends_without_panic(
        links in prop::collection::btree_map("[ab](/[ab]){0,2}\\.yaml", "[ab./]{0,12}(\\.yaml)?", 0..12),
        paths in prop::collection::vec("[ab](/[ab]){0,2}", 0..3),
    ) {
        let tree = links.iter().fold(Made::default().file("a/a/a.yaml", "x"), |tree, (path, target)| tree.link(path, target));
        let paths = paths::normalize(&paths).unwrap();
        let (files, _) = walk(&tree, &paths, Limits::default()).unwrap();
        // Only what is inside was read.
        prop_assert!(files.values().all(|file| file.blob.starts_with("blob of a/a/a.yaml: ")));
    }
}

#[test]
fn what_a_document_refers_to_is_read_whole_and_stays_inside_the_tree() {
    let tree = Made::default()
        .file("ds/.windlassignore", "*.sql\n")
        .file("ds/config/auth/application.properties", "a")
        .file("ds/config/init/a.sql", "b")
        .file("ds/config/.hidden/c", "c")
        .file("ds/config/.git/config", "never")
        .file("ds/spec.json", "{}")
        .file("shared/d", "d")
        .link("ds/config/shared", "../../shared/d")
        .link("ds/bad/out", "../../../etc/passwd")
        .file("ds/big/e", &"e".repeat(30));
    let targets = ["ds/config", "ds/spec.json", "ds/bad", "ds/big", "ds/none"].map(str::to_owned);
    let found = referred(&tree, &targets.into(), Limits { total: 1000, files: 100, ..small() }).unwrap();
    let names = |target: &str| found[target].files.keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(names("ds/config"), [".hidden/c", "auth/application.properties", "init/a.sql", "shared"]);
    assert_eq!(names("ds/spec.json"), ["spec.json"]);
    let all = found.values().flat_map(|referred| referred.files.values());
    assert!(all.into_iter().all(|file| matches!(file.content, Content::Read(_))));
    let codes: Vec<_> = found
        .values()
        .flat_map(|referred| &referred.problems)
        .map(|problem| (problem.severity, problem.code))
        .collect();
    let wanted = [Code::LinkLeavesTree, Code::FileTooLarge, Code::PathMissing];
    assert_eq!(codes, wanted.map(|code| (Severity::Error, code)));
}

/// What somebody who read a snapshot knows of it.
fn known(files: &BTreeMap<Text, File>) -> crate::revision::Known {
    let documents = files.iter().filter(|(path, file)| file.content != Content::NotRead && paths::is_document(path));
    std::sync::Arc::new(documents.map(|(path, file)| (path.clone(), file.blob.clone())).collect())
}

#[test]
fn a_folder_that_is_as_it_was_is_not_looked_into() {
    let tree =
        Made::default().file("a/one.yaml", "1").file("a/two.yaml", "2").file("b/three.yaml", "3").file("b/x.txt", "4");
    let first = super::walk(&tree, &[String::new()], Limits::default(), Prior::default()).unwrap();
    assert_eq!(tree.2.replace(0), 3);
    let known = known(&first.files);
    let prior = Prior { last: Some(&first.last), wanted: Wanted::Unless(&known) };
    let same = super::walk(&tree, &[String::new()], Limits::default(), prior).unwrap();
    assert_eq!(tree.2.get(), 0);
    let contents: Vec<_> = same.files.values().map(|file| file.content.clone()).collect();
    assert_eq!(contents, [Content::Known, Content::Known, Content::Known, Content::NotRead]);
    let changed = tree.file("b/three.yaml", "5");
    let next = super::walk(&changed, &[String::new()], Limits::default(), prior).unwrap();
    assert_eq!(changed.2.get(), 1);
    assert_eq!(next.files["b/three.yaml"].content, Content::Read(b"5".as_slice().into()));
    assert!(
        next.files.get_key_value("a/one.yaml").unwrap().0.is_same(first.files.get_key_value("a/one.yaml").unwrap().0)
    );
}

proptest! {
    #[test]
    fn a_walk_after_many_changes_finds_what_a_walk_from_nothing_finds(
        changes in prop::collection::vec(
            (prop::sample::select(vec![
                "a.yaml", "a/b.yaml", "a/c/d.yaml", "a/c/e.txt", ".windlassignore", "a/.windlassignore", "b/link.yaml",
                "b/.hidden/f.yaml", "b/g.json", "b-/h.yaml",
            ]), prop_oneof![
                Just(None),
                "[a-c]\\.yaml|c/|!d\\.yaml|\\*\\*/e\\.txt|[0-9]{1,2}|\\.\\./a/b\\.yaml".prop_map(Some),
            ]), 1..12),
        whole: bool,
    ) {
        let paths = if whole { vec![String::new()] } else { vec!["a".to_owned(), "b/g.json".to_owned()] };
        let mut tree = Made::default();
        let mut before: Option<(Last, crate::revision::Known)> = None;
        for (path, text) in changes {
            tree = match text {
                None => {
                    tree.0.remove(path.as_bytes());
                    tree.1.remove(path.as_bytes());
                    tree
                }
                Some(text) if path.contains("link") => tree.link(path, &text),
                Some(text) => tree.file(path, &text),
            };
            let fresh = super::walk(&tree, &paths, Limits::default(), Prior::default()).unwrap();
            let mut found = match &before {
                None => super::walk(&tree, &paths, Limits::default(), Prior::default()).unwrap(),
                Some((last, known)) => {
                    let prior = Prior { last: Some(last), wanted: Wanted::Unless(known) };
                    super::walk(&tree, &paths, Limits::default(), prior).unwrap()
                }
            };
            prop_assert_eq!(&found.problems, &fresh.problems);
            for (path, file) in &mut found.files {
                let wanted = fresh.files.get(path);
                if file.content == Content::Known {
                    let blob = before.as_ref().and_then(|(_, known)| known.get(path));
                    prop_assert_eq!(blob, Some(&file.blob));
                    file.content = wanted.unwrap().content.clone();
                }
                prop_assert_eq!(Some(&*file), wanted);
            }
            prop_assert_eq!(found.files.len(), fresh.files.len());
            let known = known(&found.files);
            before = Some((found.last, known));
        }
    }
}
