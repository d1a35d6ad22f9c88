//! A plan after a history of edits is the plan made from nothing, byte for byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use windlass::declared::{self, Context, Memo, Problems};
use windlass::expand;
use windlass::plan::Plan;
use windlass::plan::canonical::{self, HashKey};
use windlass::plan::changed;
use windlass::plan::render::{self, Secrets};
use windlass::revision::{Content, File, Known, Revision, Snapshot};

/// Documents that name one another, collide, wait in circles and have errors; `{n}` is a small number.
const DOCUMENTS: &[&str] = &[
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m{n}}\ndata: {v: '{v}'}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m{n}, namespace: own}\ndata: {v: '{v}'}\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s{n}, namespace: web}\nstringData: {password: 'p{v}'}\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: web}\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, namespace: wrong}\n",
    "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a{n}, namespace: web}\n",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b{v}, namespace: web}\n\
     roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\n\
     subjects: [{kind: ServiceAccount, name: a{n}}]\n",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: web}\n",
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n{n}, namespace: web}\nspec: {podSelector: {}}\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d{n}, namespace: web}\nspec:\n  replicas: {v}\n  template:\n    \
     metadata: {labels: {app: d{v}}}\n    spec: {serviceAccountName: a{n}, volumes: [{secret: {secretName: s{v}}}]}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: svc, namespace: web}\nspec: {selector: {app: d{v}}}\n",
    "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: hook{n}}\n\
     webhooks: [{clientConfig: {service: {namespace: web, name: svc}}}]\n",
    "apiVersion: cache.example.com/v1alpha1\nkind: Memcached\nmetadata: {name: d{n}, namespace: web}\nspec: {size: {v}}\n",
    "apiVersion: goop.example.com/v1alpha1\nkind: Goop\nmetadata: {name: g{n}, namespace: web}\nspec: {job_count: {v}}\n",
    "apiVersion: cache.example.com/v1alpha1\nkind: Memcached\nmetadata: {name: bad{n}}\nspec: {size: many}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: w{n}\n  annotations: {windlass.dev/depends-on: object/core/ConfigMap/default/w{v}}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x{n}\n  annotations: {windlass.dev/depends-on: object/goop.example.com/Goop/web/g{v}}\n",
    "apiVersion: x.example.com/v1\nkind: Thing\nmetadata: {name: t{n}, namespace: web}\n",
    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.x.example.com}\nspec:\n  \
     group: x.example.com\n  scope: {scope}\n  names: {kind: Thing, plural: things}\n",
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: l{n}}}\n\
     - {apiVersion: v1, kind: ConfigMap, metadata: {name: l{v}, namespace: web}}\n",
    "# nothing\n",
    "a: [\n",
];

/// A file: documents, each with two small numbers.
type Text = Vec<(usize, u8, u8)>;

/// What one commit does.
#[derive(Clone, Debug)]
enum Edit {
    Write(u8, Text),
    Remove(u8),
    Move(u8, u8),
    Kustomize(bool),
    Namespace(bool),
    Forget,
}

fn text() -> impl Strategy<Value = Text> {
    prop::collection::vec((0..DOCUMENTS.len(), 0..3_u8, 0..3_u8), 0..6)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        8 => (0..6_u8, text()).prop_map(|(file, text)| Edit::Write(file, text)),
        2 => (0..6_u8).prop_map(Edit::Remove),
        2 => (0..6_u8, 0..6_u8).prop_map(|(from, to)| Edit::Move(from, to)),
        1 => any::<bool>().prop_map(Edit::Kustomize),
        1 => any::<bool>().prop_map(Edit::Namespace),
        1 => Just(Edit::Forget),
    ]
}

fn path(file: u8) -> String {
    format!("{}/{file}.yaml", if file.is_multiple_of(2) { "even" } else { "odd" })
}

fn written(text: &Text) -> String {
    text.iter()
        .map(|(document, n, v)| {
            let scope = if n.is_multiple_of(2) { "Cluster" } else { "Namespaced" };
            let text = DOCUMENTS[*document].replace("{n}", &n.to_string()).replace("{v}", &v.to_string());
            format!("---\n{}", text.replace("{scope}", scope))
        })
        .collect()
}

/// The files as a source hands them over to somebody who knows some of them.
fn snapshot(files: &BTreeMap<String, String>, known: &Known) -> Snapshot {
    let files = files.iter().map(|(path, text)| {
        let blob: windlass::text::Text = canonical::hash_bytes(text.as_bytes()).into();
        let content = match known.get(path.as_str()) == Some(&blob) {
            true => Content::Known,
            false => Content::Read(Arc::from(text.as_bytes())),
        };
        (path.into(), File { blob, content })
    });
    let revision = Revision { id: "0123456789abcdef".into(), ..Revision::default() };
    Snapshot { revision, files: files.collect(), ..Snapshot::default() }
}

/// As the agent makes it.
fn plan(
    files: &BTreeMap<String, String>,
    context: &Context,
    memo: &mut Memo,
    expanded: &mut expand::Memo,
    key: &HashKey,
) -> (Plan, Problems) {
    let snapshot = snapshot(files, &memo.known());
    _ = declared::references(&snapshot, memo);
    let (declared, mut problems) = declared::read(&snapshot, context, memo);
    let (mut plan, mut more) = expand::update(&declared, expanded);
    if expanded.holds_secret() && plan.holds_secret() && expanded.key(key) {
        (plan, more) = expand::update(&declared, expanded);
    }
    problems.extend(more);
    problems.sort();
    (plan, problems)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_plan_after_many_edits_is_the_plan_made_from_nothing(edits in prop::collection::vec(edit(), 1..14)) {
        let key = HashKey::new(&[3; 32]);
        let mut files = BTreeMap::new();
        let mut context = Context::default();
        let (mut memo, mut expanded) = (Memo::default(), expand::Memo::default());
        let mut before: Option<Plan> = None;
        for edit in edits {
            match edit {
                Edit::Write(file, text) => _ = files.insert(path(file), written(&text)),
                Edit::Remove(file) => _ = files.remove(&path(file)),
                Edit::Move(from, to) => {
                    if let Some(text) = files.remove(&path(from)) {
                        files.insert(path(to), text);
                    }
                }
                Edit::Kustomize(true) => _ = files.insert("odd/kustomization.yaml".to_owned(), String::new()),
                Edit::Kustomize(false) => _ = files.remove("odd/kustomization.yaml"),
                Edit::Namespace(named) => context.target_namespace = named.then(|| "team".to_owned()),
                Edit::Forget => memo = Memo::default(),
            }
            let (found, told) = plan(&files, &context, &mut memo, &mut expanded, &key);
            let (mut fresh, scratch) = (Memo::default(), &mut expand::Memo::default());
            let (wanted, expected) = plan(&files, &context, &mut fresh, scratch, &key);
            prop_assert_eq!(&told, &expected);
            let text = |plan: &Plan| render::json(plan, &told, Secrets::Shown).to_string();
            prop_assert_eq!(text(&found), text(&wanted));
            prop_assert_eq!(&found, &wanted);
            // Nothing that was there is made anew for no reason, and the digest of a whole plan is that of its parts.
            let pairs = found.steps.iter().map(|step| (step.id.as_str(), step.hash.as_str()));
            prop_assert_eq!(&found.digest, &canonical::digest(pairs));
            if let Some(before) = before.replace(found.clone()) {
                let differs = changed(&before, &found);
                let same = before.steps.iter().filter(|step| !differs.contains(&step.id));
                for step in same.filter(|_| told.is_empty()) {
                    let kept = found.step(&step.id).is_some_and(|found| Arc::ptr_eq(found, step));
                    prop_assert!(kept, "{} was made anew", step.id);
                }
            }
        }
    }
}
