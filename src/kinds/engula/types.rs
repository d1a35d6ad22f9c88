//! The resources of the family and their CRDs.
//!
//! Pure. The five components share one type; their CRDs are made from it, each without what that component has not.

use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, ResourceRequirements};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::{CustomResource, CustomResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::part::{Need, Part};
use crate::kinds::status::ConditionsStatus;

/// API group.
pub(super) const GROUP: &str = "cluster.engula.io";
/// API version.
pub(super) const VERSION: &str = "v1alpha1";

/// Storage cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.engula.io",
    version = "v1alpha1",
    kind = "Cluster",
    plural = "clusters",
    namespaced,
    status = "ConditionsStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterSpec {
    /// Name for people. Required as ever, and used by nothing: every object is named after the resource.
    pub(super) name: String,
    /// Image of components that name none of their own. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<PodImage>,
    /// Journal nodes. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) journal: Option<PartSpec>,
    /// Storage nodes. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) storage: Option<PartSpec>,
    /// Kernel nodes, which start when journal and storage are ready. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kernel: Option<PartSpec>,
    /// Engine nodes, which start when the kernel is ready. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) engine: Option<PartSpec>,
    /// Background nodes, which start when the kernel is ready. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) background: Option<PartSpec>,
}

impl ClusterSpec {
    /// A component, if the cluster has it.
    pub(super) fn part(&self, part: Part) -> Option<&PartSpec> {
        match part {
            Part::Background => self.background.as_ref(),
            Part::Engine => self.engine.as_ref(),
            Part::Journal => self.journal.as_ref(),
            Part::Kernel => self.kernel.as_ref(),
            Part::Storage => self.storage.as_ref(),
        }
    }

    /// The components that the cluster has.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Part, &PartSpec)> {
        Part::ALL.into_iter().filter_map(|part| Some((part, self.part(part)?)))
    }
}

/// Nodes of one component.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.engula.io",
    version = "v1alpha1",
    kind = "Component",
    plural = "components",
    namespaced,
    status = "ConditionsStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Replicas","type":"integer","jsonPath":".spec.replicas"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(deny_unknown_fields)]
pub(super) struct PartSpec {
    /// Number of nodes. Fewer than there are is held until the document allows it by annotation.
    #[schemars(range(min = 0, max = 1000))]
    pub(super) replicas: i32,
    /// Image. Default in a Cluster: the Cluster's; by itself there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<PodImage>,
    /// Port on which it listens. Default: kernel 24567, engine 24568, storage 24569, journal 24570, background 24571.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub(super) port: Option<i32>,
    /// Resources of the container. Default: none asked for, none limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ResourceRequirements>")]
    pub(super) resource: Option<Value>,
    /// Where the data lies, mounted at `/data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) volume: Option<Volume>,
    /// Where to find the others, if not at `<cluster>-<component>` and the default port. A Cluster fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) peers: Option<Peers>,
}

/// Image of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PodImage {
    /// Image with its tag.
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// When it is pulled. Default: `IfNotPresent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pull_policy: Option<PullPolicy>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) enum PullPolicy {
    /// At every start.
    Always,
    /// If the node has not got it.
    #[default]
    IfNotPresent,
    /// By no means.
    Never,
}

/// Where a component's data lies: in new claims, or in one that exists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Volume {
    /// A new claim for each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<PersistentVolumeClaimSpec>")]
    pub(super) spec: Option<Value>,
    /// A claim of the same namespace that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Source>,
    /// What becomes of new claims. Default: they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retention: Option<Retention>,
}

/// An existing claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Source {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1))]
    pub(super) claim_name: String,
    /// Mounts it read-only. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read_only: Option<bool>,
}

/// What becomes of claims that are not used any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Retention {
    /// When the component is deleted. With `Delete` its deletion waits for an acknowledgement. Default: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) when_deleted: Option<Keep>,
    /// When there are fewer nodes. Default: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) when_scaled: Option<Keep>,
}

/// Whether a claim stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) enum Keep {
    /// It stays, with its data.
    #[default]
    Retain,
    /// It goes, with its data.
    Delete,
}

/// Where the other components are found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Peers {
    /// The journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) journal: Option<Peer>,
    /// The storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) storage: Option<Peer>,
    /// The kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kernel: Option<Peer>,
}

impl Peers {
    /// What is said of a component.
    pub(super) fn of(&self, part: Part) -> Option<&Peer> {
        match part {
            Part::Journal => self.journal.as_ref(),
            Part::Storage => self.storage.as_ref(),
            Part::Kernel => self.kernel.as_ref(),
            Part::Engine | Part::Background => None,
        }
    }
}

/// Where one component is found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Peer {
    /// Its Service. Default: `<cluster>-<component>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub(super) service: Option<String>,
    /// Its port. Default: the component's default port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub(super) port: Option<i32>,
}

pub(super) fn cluster_crd() -> CustomResourceDefinition {
    let mut crd = Cluster::crd();
    if let Some(spec) = spec_schema(&mut crd) {
        for part in Part::ALL {
            if let Some(schema) = field(spec, part.name()) {
                fit(part, schema);
                // Where its peers are is for the Cluster to say.
                without(schema, "peers");
            }
        }
        shorten(spec);
    }
    crd
}

pub(super) fn part_crd(part: Part) -> CustomResourceDefinition {
    let mut crd = Component::crd();
    crd.metadata.name = Some(format!("{}.{GROUP}", part.plural()));
    let names = &mut crd.spec.names;
    names.kind = part.kind().to_owned();
    names.list_kind = Some(format!("{}List", part.kind()));
    names.plural = part.plural().to_owned();
    names.singular = Some(part.name().to_owned());
    if let Some(spec) = spec_schema(&mut crd) {
        fit(part, spec);
        spec.required.get_or_insert_default().push("image".to_owned());
        if let Some(peers) = field(spec, "peers") {
            // It knows where it is itself.
            without(peers, part.name());
        }
        shorten(spec);
    }
    crd
}

/// Takes out of a component's schema what it has not.
fn fit(part: Part, schema: &mut JSONSchemaProps) {
    if part == Part::Kernel
        && let Some(replicas) = field(schema, "replicas")
    {
        replicas.minimum = Some(1.0);
    }
    match part.volume() {
        Need::Never => without(schema, "volume"),
        Need::Optional => {}
        Need::Required => schema.required.get_or_insert_default().push("volume".to_owned()),
    }
}

fn spec_schema(crd: &mut CustomResourceDefinition) -> Option<&mut JSONSchemaProps> {
    let schema = crd.spec.versions.first_mut()?.schema.as_mut()?.open_api_v3_schema.as_mut()?;
    field(schema, "spec")
}

fn field<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}

fn without(schema: &mut JSONSchemaProps, name: &str) {
    if let Some(properties) = &mut schema.properties {
        properties.remove(name);
    }
}

/// Keeps the first paragraph of each description: Kubernetes' own run to pages.
fn shorten(schema: &mut JSONSchemaProps) {
    if let Some(text) = &mut schema.description
        && let Some(end) = text.find("\n\n")
    {
        text.truncate(end);
    }
    schema.properties.iter_mut().flatten().for_each(|(_, field)| shorten(field));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        shorten(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        values.description = None;
    }
}
