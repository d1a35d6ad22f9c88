//! Engula: a Cluster of storage, journal, kernel, engine and background nodes.
//!
//! Pure. In the registry of `kinds`. A Cluster expands to rights and to one resource a component; each of these, which
//! may also be declared by itself, expands to a headless Service and a StatefulSet.

mod check;
mod expand;
mod part;
mod status;
mod types;

use super::{Family, Kind, no_files};
use part::Part;

/// The family.
pub static FAMILY: Family = Family {
    name: "engula",
    summary: "A storage cluster: journal and storage first, then kernel, then engine and background.",
    kinds: &[
        Kind {
            group: types::GROUP,
            version: types::VERSION,
            kind: "Cluster",
            plural: "clusters",
            namespaced: true,
            crd: types::cluster_crd,
            check: check::cluster,
            refers: no_files,
            secrets: &[],
            expand: expand::cluster,
            status: status::cluster,
            writes: &[
                ("", "serviceaccounts"),
                ("cluster.engula.io", "backgrounds"),
                ("cluster.engula.io", "engines"),
                ("cluster.engula.io", "journals"),
                ("cluster.engula.io", "kernels"),
                ("cluster.engula.io", "storages"),
                ("rbac.authorization.k8s.io", "rolebindings"),
                ("rbac.authorization.k8s.io", "roles"),
            ],
        },
        kind_of(
            Part::Background,
            || types::part_crd(Part::Background),
            |manifest| check::part(Part::Background, manifest),
            |cr| expand::part(Part::Background, cr),
        ),
        kind_of(
            Part::Engine,
            || types::part_crd(Part::Engine),
            |manifest| check::part(Part::Engine, manifest),
            |cr| expand::part(Part::Engine, cr),
        ),
        kind_of(
            Part::Journal,
            || types::part_crd(Part::Journal),
            |manifest| check::part(Part::Journal, manifest),
            |cr| expand::part(Part::Journal, cr),
        ),
        kind_of(
            Part::Kernel,
            || types::part_crd(Part::Kernel),
            |manifest| check::part(Part::Kernel, manifest),
            |cr| expand::part(Part::Kernel, cr),
        ),
        kind_of(
            Part::Storage,
            || types::part_crd(Part::Storage),
            |manifest| check::part(Part::Storage, manifest),
            |cr| expand::part(Part::Storage, cr),
        ),
    ],
};

/// The kind of a component. Its functions are closures over the component, which plain function pointers cannot be told.
const fn kind_of(
    part: Part,
    crd: fn() -> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    check: fn(&serde_json::Value) -> Vec<super::FieldProblem>,
    expand: fn(&super::Cr<'_>) -> super::Expansion,
) -> Kind {
    Kind {
        group: types::GROUP,
        version: types::VERSION,
        kind: part.kind(),
        plural: part.plural(),
        namespaced: true,
        crd,
        check,
        refers: no_files,
        secrets: &[],
        expand,
        status: status::part,
        writes: &[("", "services"), ("apps", "statefulsets")],
    }
}

#[cfg(test)]
mod tests;
