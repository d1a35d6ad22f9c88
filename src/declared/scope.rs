//! Whether a kind's objects have a namespace, and what its plural is.
//!
//! Pure: looks into the table of built-in kinds, the registry of our own, the CRDs of the revision and a discovery
//! snapshot that was handed in. Called by `gather`; `expand` and `cli` ask for plurals.

use serde_json::Value;

use super::Scopes;
use super::builtin::KINDS;
use crate::kinds;

/// Whether a kind is namespaced: of Kubernetes itself or one of our own; none if it is neither.
#[must_use]
pub fn namespaced(group: &str, kind: &str) -> Option<bool> {
    kinds::find(group, kind).map(|known| known.namespaced).or_else(|| builtin(group, kind).map(|row| row.3))
}

/// The plural of a kind of Kubernetes itself or of our own, as in URLs and RBAC; none if it is neither.
#[must_use]
pub fn plural(group: &str, kind: &str) -> Option<&'static str> {
    kinds::find(group, kind).map(|known| known.plural).or_else(|| builtin(group, kind).map(|row| row.2))
}

fn builtin(group: &str, kind: &str) -> Option<&'static (&'static str, &'static str, &'static str, bool)> {
    KINDS.binary_search_by_key(&(group, kind), |row| (row.0, row.1)).ok().map(|index| &KINDS[index])
}

/// Every scope known while one revision is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    declared: &'a Scopes,
    discovered: &'a Scopes,
}

impl<'a> Known<'a> {
    /// From the CRDs of the revision and a discovery snapshot.
    pub(super) fn new(declared: &'a Scopes, discovered: &'a Scopes) -> Self {
        Self { declared, discovered }
    }

    /// Whether a kind is namespaced; none if nothing says.
    pub(super) fn find(&self, group: &str, kind: &str) -> Option<bool> {
        if let Some(known) = namespaced(group, kind) {
            return Some(known);
        }
        let key = (group.to_owned(), kind.to_owned());
        self.declared.get(&key).or_else(|| self.discovered.get(&key)).copied()
    }
}

/// What a CRD says of its kind.
pub(super) fn of_crd(manifest: &Value) -> Option<((String, String), bool)> {
    if manifest.get("kind")? != "CustomResourceDefinition" {
        return None;
    }
    let spec = manifest.get("spec")?;
    let text = |pointer| spec.pointer(pointer).and_then(Value::as_str);
    let namespaced = match text("/scope")? {
        "Namespaced" => true,
        "Cluster" => false,
        _ => return None,
    };
    Some(((text("/group")?.to_owned(), text("/names/kind")?.to_owned()), namespaced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_holds_what_everybody_uses() {
        assert!(KINDS.is_sorted_by_key(|row| (row.0, row.1)));
        assert_eq!(namespaced("apps", "Deployment"), Some(true));
        assert_eq!(namespaced("", "Namespace"), Some(false));
        assert_eq!(namespaced("apiextensions.k8s.io", "CustomResourceDefinition"), Some(false));
        assert_eq!(namespaced("example.com", "Deployment"), None);
        assert_eq!(namespaced(crate::sync::GROUP, "GitSync"), Some(true));
        assert_eq!(plural("networking.k8s.io", "NetworkPolicy"), Some("networkpolicies"));
    }

    #[test]
    fn a_crd_of_the_revision_says_its_scope() {
        let crd = serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "spec": {"group": "example.com", "scope": "Cluster", "names": {"kind": "Lake"}},
        });
        let scopes = Scopes::from([(("example.com".to_owned(), "Boat".to_owned()), true)]);
        let declared = of_crd(&crd).into_iter().collect();
        let known = Known::new(&declared, &scopes);
        assert_eq!(known.find("example.com", "Lake"), Some(false));
        assert_eq!(known.find("example.com", "Boat"), Some(true));
        assert_eq!(known.find("example.com", "Duck"), None);
    }
}
