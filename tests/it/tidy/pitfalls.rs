//! What server-side apply, watches and deletions really do: each known case has a test of its name on a real cluster.

use super::{files, none, read};

/// The cases, as they are called.
const CASES: &[&str] = &[
    "keyed_list_reorder",
    "admission_on_third_party_write",
    "our_manager_name_by_hand",
    "backup_restore",
    "crd_field_dropped_and_restored",
    "ssa_writes_null",
    "foreign_additions",
    "one_of_by_hand",
    "defaulted_one_of_in_a_commit",
    "removal_that_does_not_remove",
    "aggregated_clusterrole",
    "job_with_ttl",
    "replicas_and_hpa",
    "silent_theft",
    "part_of_label_removed",
    "uid_proof_both_ways",
    "copied_labels",
    "namespace_deletion",
    "one_manager_for_all",
    "schema_errors_are_500",
    "terminating_namespace_is_403",
    "immutable_has_no_cause",
    "status_apply_adds_an_entry",
    "configmap_limit",
    "dry_run_says_nothing",
];

#[test]
fn every_pitfall_has_a_test_of_its_name() {
    let tests: String = files("tests/it/cluster", "rs").iter().map(|path| read(path)).collect();
    let missing = CASES.iter().filter(|case| !tests.contains(&format!("fn {case}()")));
    none(&missing.map(|case| (*case).to_owned()).collect::<Vec<_>>(), "no test in tests/it/cluster has these names");
}
