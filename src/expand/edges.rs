//! The default order: which steps wait for which without being asked to.
//!
//! Pure. Called by `expand` on documents whose objects were looked into before (`links`); works on numbers of ids only, so
//! that a plan of ten thousand steps takes a millisecond.
//!
//! Every rule follows a reference or a name, so that the number of edges grows with the number of references, not with
//! the square of the objects. An edge leads only to a step of the same plan; what is referred to but not declared here is
//! somebody else's and is not waited for.
//!
//! | a step | waits for |
//! |---|---|
//! | everything in a namespace | the Namespace |
//! | a custom resource | its CustomResourceDefinition |
//! | a workload | the ServiceAccount, ConfigMaps, Secrets, PersistentVolumeClaims, PriorityClass and RuntimeClass it names; the bindings of its ServiceAccount; NetworkPolicies, ResourceQuotas and LimitRanges of its namespace (of each at most 16); a StatefulSet also its Service |
//! | a RoleBinding or ClusterRoleBinding | its role and its ServiceAccounts |
//! | a PersistentVolumeClaim or PersistentVolume | its StorageClass; a claim also its volume |
//! | a HorizontalPodAutoscaler | what it scales |
//! | a webhook configuration or APIService | its Service and the workloads behind that (at most 16) |
//!
//! Beside these rules stands what a family asks for where the plan holds it.
//!
//! None of these rules alone can close a circle: nothing waits for a webhook or an autoscaler, workloads wait for no
//! workloads, and the rest waits only for what stands above it in the list.

use std::collections::HashMap;

use super::Shape;
use super::ids::{Ids, Number};
use super::links::{More, Workload};
use super::unit::{Cell, Unit};
use crate::plan::StepId;

/// How many steps of one rule a step waits for, where the rule follows no single name.
const MOST: usize = 16;

/// What the rules follow, of all documents that are in.
#[derive(Default)]
pub(super) struct Index<'a> {
    /// CRDs by the kind they define.
    crds: HashMap<Number, Number>,
    /// Bindings by the ServiceAccount they bind.
    bindings: HashMap<Number, Vec<Number>>,
    /// What limits workloads, by Namespace.
    limits: HashMap<Number, Vec<Number>>,
    /// Workloads by Namespace, with their pods' labels.
    workloads: HashMap<Number, Vec<(Number, &'a Workload)>>,
    /// What Services select, with their Namespace.
    selectors: HashMap<Number, &'a [u64]>,
}

impl<'a> Index<'a> {
    /// Looks at every step that is in.
    pub(super) fn of(units: &'a [Unit], shape: &Shape, ids: &Ids) -> Self {
        let mut index = Self::default();
        let mut calls = false;
        for cell in shape.live(units) {
            let Some(more) = cell.links.more.as_deref() else { continue };
            let More { defines, binds, limits, workload: _, selects: _, calls: called, after: _, node_ports: _ } = more;
            calls |= !called.is_empty();
            if let Some(kind) = defines {
                // Of two that define one kind the last in the order of ids is meant, whatever the order of files.
                let known = index.crds.entry(*kind).or_insert(cell.id);
                if ids.rank_of(*known) < ids.rank_of(cell.id) {
                    *known = cell.id;
                }
            }
            for account in binds {
                index.bindings.entry(*account).or_default().push(cell.id);
            }
            if let Some(namespace) = limits {
                index.limits.entry(*namespace).or_default().push(cell.id);
            }
        }
        // Nobody asks what is behind a Service but who calls one.
        for cell in shape.live(units).filter(|_| calls) {
            let Some(more) = cell.links.more.as_deref() else { continue };
            if let Some(workload) = &more.workload {
                index.workloads.entry(workload.namespace).or_default().push((cell.id, workload));
            }
            if !more.selects.is_empty() {
                index.selectors.insert(cell.id, &more.selects);
            }
        }
        // Which ones a bound keeps must not depend on the order of files.
        let rank = |id: &Number| ids.rank_of(*id);
        index.bindings.values_mut().chain(index.limits.values_mut()).for_each(|of| of.sort_unstable_by_key(rank));
        index.workloads.values_mut().for_each(|of| of.sort_unstable_by_key(|(id, _)| rank(id)));
        index
    }

    /// What a step waits for by the rules above.
    pub(super) fn needs(&self, cell: &Cell, shape: &Shape, ids: &Ids, needs: &mut Vec<Number>) {
        let from = needs.len();
        needs.extend(cell.links.names.iter().filter(|name| shape.is_live(**name)));
        needs.extend(self.crds.get(&cell.links.kind));
        let Some(more) = cell.links.more.as_deref() else {
            drop_own(needs, from, cell.id);
            return;
        };
        if let Some(workload) = &more.workload {
            needs.extend(self.bindings.get(&workload.account).into_iter().flatten().take(MOST));
            needs.extend(self.limits.get(&workload.namespace).into_iter().flatten().take(MOST));
        }
        for service in &more.calls {
            self.behind(*service, ids, needs);
        }
        needs.extend(more.after.iter().map(|(step, _)| *step).filter(|step| shape.is_live(*step)));
        drop_own(needs, from, cell.id);
    }

    /// The workloads that a Service leads to.
    fn behind(&self, service: Number, ids: &Ids, needs: &mut Vec<Number>) {
        let Some(selects) = self.selectors.get(&service) else { return };
        let namespace = ids.id(service).object_parts().and_then(|parts| parts.namespace).unwrap_or_default();
        let namespace = ids.find(&StepId::object("", "Namespace", None, namespace));
        let of = namespace.and_then(|namespace| self.workloads.get(&namespace));
        let matches = |workload: &Workload| selects.iter().all(|label| workload.labels.binary_search(label).is_ok());
        let of = of.into_iter().flatten().filter(|(_, workload)| matches(workload));
        needs.extend(of.take(MOST).map(|(id, _)| *id));
    }
}

/// No rule makes a step wait for itself.
fn drop_own(needs: &mut Vec<Number>, from: usize, id: Number) {
    let mut at = from;
    while at < needs.len() {
        if needs[at] == id {
            needs.swap_remove(at);
        } else {
            at += 1;
        }
    }
}
