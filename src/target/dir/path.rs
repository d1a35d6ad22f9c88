//! Where an object's file lies in the folder: `<ns|_cluster>/<kind>.<group>-<name>.yaml`, the group left out for core.
//!
//! Pure. No two ids share a file, and no id, however odd, names one outside the folder: whatever is not a letter, a
//! digit, `.`, `_` or `-` is written as `%XX` (no Kubernetes name holds a `%`), and so is a `.` at the start of a name
//! or a `-` in a group. Called by `dir` only.

use crate::plan::{StepId, canonical};

/// Folder of objects without a namespace; no namespace may hold a `_`.
pub const CLUSTER: &str = "_cluster";
/// Longest file name, in bytes; most file systems take 255.
const LONGEST: usize = 240;

/// Path inside the folder, `/`-separated; none for a step that is not an object.
#[must_use]
pub fn relative(id: &StepId) -> Option<String> {
    let parts = id.object_parts()?;
    let folder = parts.namespace.map_or_else(|| CLUSTER.to_owned(), safe);
    let kind = safe(&parts.kind.to_ascii_lowercase()).replace('-', "%2D");
    let group = match parts.group {
        "" => String::new(),
        group => format!(".{}", safe(group).replace('-', "%2D")),
    };
    let mut name = format!("{kind}{group}-{}", safe(parts.name));
    if name.len() > LONGEST {
        // Cut where no `%XX` is torn; the hash keeps two long names apart, and `~` appears in no other name.
        name.truncate(LONGEST - 20);
        name.truncate(name.rfind('%').filter(|at| at + 3 > name.len()).unwrap_or(name.len()));
        let hash = canonical::hash_bytes(id.as_str().as_bytes());
        name = format!("{name}~{}", hash.get(..16).unwrap_or_default());
    }
    Some(format!("{folder}/{name}.yaml"))
}

fn safe(text: &str) -> String {
    use std::fmt::Write as _;
    let mut safe = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0) {
            safe.push(byte as char);
        } else {
            // Writing to a String cannot fail.
            _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn of(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> String {
        relative(&StepId::object(group, kind, namespace, name)).unwrap()
    }

    #[test]
    fn a_file_is_named_after_its_object() {
        assert_eq!(of("apps", "Deployment", Some("web"), "front"), "web/deployment.apps-front.yaml");
        assert_eq!(of("", "Service", Some("web"), "front"), "web/service-front.yaml");
        assert_eq!(of("", "Namespace", None, "web"), "_cluster/namespace-web.yaml");
        let role = of("rbac.authorization.k8s.io", "ClusterRole", None, "system:node");
        assert_eq!(role, "_cluster/clusterrole.rbac.authorization.k8s.io-system%3Anode.yaml");
        assert_eq!(relative(&StepId::probe("web", "front", "home")), None);
    }

    #[test]
    fn names_that_would_climb_stay_inside() {
        assert_eq!(of("", "Pod", Some(".."), "../../etc/passwd"), "%2E./pod-%2E.%2F..%2Fetc%2Fpasswd.yaml");
    }

    #[test]
    fn a_dash_in_a_group_is_no_dash_before_a_name() {
        assert_ne!(of("a", "Kind", None, "b-c"), of("a-b", "Kind", None, "c"));
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (one, two) = (format!("{}1", "a".repeat(252)), format!("{}2", "a".repeat(252)));
        let (one, two) = (of("apps", "Deployment", None, &one), of("apps", "Deployment", None, &two));
        assert!(one.len() < 255 && one != two, "{one}");
    }

    proptest! {
        #[test]
        fn no_two_objects_share_a_file(ids in prop::collection::btree_set(
            ("[a-c.-]{0,3}", "[A-B][a-b]", prop::option::of("[a-b.]{1,3}"), "[a-c:%./-]{1,4}"), 0..40,
        )) {
            let mut files: BTreeMap<String, StepId> = BTreeMap::new();
            for (group, kind, namespace, name) in ids {
                let id = StepId::object(&group, &kind, namespace.as_deref(), &name);
                let file = relative(&id).unwrap();
                let depth = file.split('/').collect::<Vec<_>>();
                prop_assert!(depth.len() == 2 && depth.iter().all(|part| !part.starts_with('.')), "{}", file);
                if let Some(other) = files.insert(file.clone(), id.clone()) {
                    prop_assert_eq!(other, id, "{}", file);
                }
            }
        }
    }
}
