//! What happens when an object that is to be created exists already: the adoption policy, and taking over.
//!
//! The policy is pure, the takeover is IO. Never steals: an object that somebody else answers for is taken only where
//! the sync says so. Called by `apply`.

use serde_json::Value;

use super::answers::{Doing, classify};
use super::discovery::Resource;
use super::managed::{self, Paths};
use super::observe::{controller, label};
use super::wire::{JSON_PATCH, Refused};
use super::{Kube, Options};
use crate::plan::Step;
use crate::sync::PART_OF;
use crate::sync::spec::Adoption;
use crate::target::claims::Claim;
use crate::target::{Class, Failure};

/// How often a patch is made anew because somebody wrote in between.
pub(super) const TRIES: usize = 5;

/// Whether an object that exists is this sync's to apply, by the adoption policy. The error names who holds it.
pub(super) fn judge(live: &Value, options: &Options) -> Result<(), String> {
    if label(live, PART_OF) == Some(options.part_of.as_str()) || managed::own(live, &options.manager).is_some() {
        return Ok(());
    }
    match options.adoption {
        Adoption::AdoptAll => Ok(()),
        Adoption::AdoptUnowned => holder(live, options).map_or(Ok(()), Err),
        Adoption::MustMatch => Err(holder(live, options).unwrap_or_else(|| "nobody in particular".to_owned())),
    }
}

/// Who answers for an object, if anybody does.
fn holder(live: &Value, options: &Options) -> Option<String> {
    /// Marks that other delivery tools leave.
    const MARKS: &[(&str, &str)] = &[
        ("/metadata/annotations/meta.helm.sh~1release-name", "Helm release"),
        ("/metadata/annotations/argocd.argoproj.io~1tracking-id", "Argo CD application"),
        ("/metadata/labels/kustomize.toolkit.fluxcd.io~1name", "Flux Kustomization"),
        ("/metadata/labels/helm.toolkit.fluxcd.io~1name", "Flux HelmRelease"),
    ];
    if let Some(other) = label(live, PART_OF).filter(|other| *other != options.part_of) {
        return Some(format!("the sync or ApplySet with part-of label {other}"));
    }
    if let Some(controller) = controller(live) {
        return Some(format!("its controller {controller}"));
    }
    for (pointer, tool) in MARKS {
        if let Some(name) = live.pointer(pointer).and_then(Value::as_str) {
            return Some(format!("{tool} {name}"));
        }
    }
    managed::appliers(live, &options.manager).next().map(|name| format!("field manager {name}"))
}

impl Kube {
    /// The object exists although it was to be created: takes it over if the policy allows that.
    pub(super) async fn adopt(&self, step: &Step, resource: &Resource, api_version: &str) -> Result<Value, Failure> {
        let parts = step.id.object_parts();
        let (namespace, name) = parts.map_or((None, ""), |parts| (parts.namespace, parts.name));
        let live = self.read_whole(resource, namespace, name).await?;
        if live.pointer("/metadata/deletionTimestamp").is_some() {
            return Err(terminating(&Doing { verb: "patch", resource, namespace, name }, &live));
        }
        let doing = Doing { verb: "patch", resource, namespace, name };
        let other = label(&live, PART_OF).filter(|other| *other != self.options.part_of);
        match other.map(|other| self.options.claims.of(other, &step.id, &self.options.part_of)) {
            Some(Claim::Released { manager, .. }) => {
                self.patch_tested(resource, &live, |live| {
                    managed::inherit(live, &self.options.manager, &manager, api_version)
                })
                .await?;
                return Ok(live);
            }
            Some(Claim::Wanted(other)) => {
                let message =
                    format!("{doing}: sync {other} declares it too and has it already; take it out of one of the two");
                return Err(Failure::new(Class::Stalled, "DeclaredTwice", message));
            }
            Some(Claim::Unknown(other)) => {
                let message =
                    format!("{doing}: sync {other} has it, and whether that one still wants it is not known yet");
                return Err(Failure::new(Class::Retry, "OwnerNotKnown", message));
            }
            Some(Claim::Stranger) | None => {}
        }
        judge(&live, &self.options).map_err(|holder| {
            Failure::new(
                Class::Stalled,
                "NotAdopted",
                format!(
                    "{doing}: it exists already and is held by {holder}; adoption policy {:?} leaves it alone. Take it out \
                     of the repository, release it there, or set spec.adoption to AdoptAll",
                    self.options.adoption
                ),
            )
        })?;
        self.take(resource, &live, api_version, |manager, _| managed::by_hand(manager), &Paths::new()).await?;
        Ok(live)
    }

    /// Moves other managers' fields into our entry. False if there was nothing to move. `live` is what was read last; a
    /// write that comes in between (a controller's status, most often) makes it read again.
    pub(super) async fn take(
        &self,
        resource: &Resource,
        live: &Value,
        api_version: &str,
        choose: impl Fn(&str, &[String]) -> bool,
        also: &Paths,
    ) -> Result<bool, Failure> {
        self.patch_tested(resource, live, |live| {
            managed::takeover(live, &self.options.manager, api_version, &choose, also)
        })
        .await
    }

    /// Sends a JSON patch that tests the resourceVersion, made anew of what is read if the test fails. False if there is
    /// nothing to send.
    pub(super) async fn patch_tested(
        &self,
        resource: &Resource,
        live: &Value,
        make: impl Fn(&Value) -> Option<Value>,
    ) -> Result<bool, Failure> {
        let text = |pointer| live.pointer(pointer).and_then(Value::as_str);
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name").unwrap_or_default());
        let doing = Doing { verb: "patch", resource, namespace, name };
        let path = format!("{}?fieldManager={}", resource.object(namespace, name), self.options.manager);
        let mut again = None;
        for _ in 0..TRIES {
            let Some(patch) = make(again.as_ref().unwrap_or(live)) else {
                return Ok(again.is_some());
            };
            match self.wire.patch(&path, JSON_PATCH, &patch).await {
                Ok(_) => return Ok(true),
                // The `test` of a JSON patch fails with 422.
                Err(refused) if matches!(refused.code, 409 | 422) => {
                    again = Some(self.read_whole(resource, namespace, name).await?);
                }
                Err(refused) => return Err(classify(&doing, &refused)),
            }
        }
        let message = format!("{doing}: it changes faster than other people's fields can be taken over");
        Err(Failure::new(Class::Retry, "Conflict", message))
    }

    /// Reads a whole object.
    pub(super) async fn read_whole(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Value, Failure> {
        let read = self.wire.get(&resource.object(namespace, name), super::wire::JSON).await;
        read.map_err(|refused: Refused| classify(&Doing { verb: "get", resource, namespace, name }, &refused))
    }
}

/// A deletion has been asked for and has not ended; applying to what is going has no effect that lasts.
pub(super) fn terminating(doing: &Doing<'_>, live: &Value) -> Failure {
    let finalizers: Vec<&str> = live
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let waits = match finalizers.as_slice() {
        [] => String::new(),
        some => format!(", waiting for finalizer {}", some.join(", ")),
    };
    Failure::new(Class::Retry, "Terminating", format!("{doing}: it is being deleted{waits}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(adoption: Adoption) -> Options {
        Options { adoption, ..Options::new("windlass-system", "platform", "https://example.com/a.git") }
    }

    #[test]
    fn adoption_is_a_table_of_policy_and_holder() {
        let ours = options(Adoption::MustMatch);
        let manager = |name: &str| json!({"manager": name, "operation": "Apply", "fieldsV1": {"f:a": {}}});
        let plain = json!({"metadata": {"name": "a"}});
        let own = json!({"metadata": {"labels": {PART_OF: ours.part_of}}});
        let other = json!({"metadata": {"labels": {PART_OF: "applyset-other-v1"}}});
        let controlled =
            json!({"metadata": {"ownerReferences": [{"kind": "Deployment", "name": "d", "controller": true}]}});
        let helm = json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "r"}}});
        let flux = json!({"metadata": {"managedFields": [manager("kustomize-controller")]}});
        let person = json!({"metadata": {"managedFields": [manager("kubectl")]}});
        for (name, live, must_match, unowned) in [
            ("plain", &plain, false, true),
            ("ours", &own, true, true),
            ("another sync's", &other, false, false),
            ("a controller's", &controlled, false, false),
            ("Helm's", &helm, false, false),
            ("another tool's", &flux, false, false),
            ("a person's", &person, false, true),
        ] {
            assert_eq!(judge(live, &ours).is_ok(), must_match, "{name}");
            assert_eq!(judge(live, &options(Adoption::AdoptUnowned)).is_ok(), unowned, "{name}");
            assert!(judge(live, &options(Adoption::AdoptAll)).is_ok(), "{name}");
        }
        assert_eq!(judge(&helm, &ours).unwrap_err(), "Helm release r");
    }
}
