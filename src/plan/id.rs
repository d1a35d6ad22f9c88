//! Step ids: the name of one wanted state, stable across API versions, files and revisions (design §5.2).
//!
//! Pure. Called wherever a step is made or looked up.

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// As in `object/apps/Deployment/web/front`, `object/core/Namespace/-/web`, `probe/web/front/home`. A copy is a pointer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(Text);

impl StepId {
    /// `object/<group|core>/<Kind>/<ns|->/<name>`. `group` is empty for the core group.
    #[must_use]
    pub fn object(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let group = if group.is_empty() { "core" } else { group };
        let namespace = namespace.filter(|n| !n.is_empty()).unwrap_or("-");
        Self(format!("object/{group}/{kind}/{namespace}/{name}").into())
    }

    /// `probe/<ns>/<CR>/<use>`.
    #[must_use]
    pub fn probe(namespace: &str, cr: &str, usage: &str) -> Self {
        Self(format!("probe/{namespace}/{cr}/{usage}").into())
    }

    /// The id of the document that an annotation `windlass.dev/origin` names: `<Kind>.<group|core>/<ns|->/<name>`.
    #[must_use]
    pub fn from_origin(origin: &str) -> Option<Self> {
        let mut parts = origin.splitn(3, '/');
        let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        let (kind, group) = kind.split_once('.')?;
        let group = if group == "core" { "" } else { group };
        Some(Self::object(group, kind, Some(namespace).filter(|namespace| *namespace != "-"), name))
    }

    /// Takes a string as it stands, as in an annotation or a stored inventory.
    #[must_use]
    pub fn from_text(text: impl Into<Text>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts of an object's id; none for other steps.
    #[must_use]
    pub fn object_parts(&self) -> Option<ObjectParts<'_>> {
        let mut parts = self.0.strip_prefix("object/")?.splitn(4, '/');
        let (group, kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(ObjectParts {
            group: if group == "core" { "" } else { group },
            kind,
            namespace: (namespace != "-").then_some(namespace),
            name,
        })
    }
}

/// An object's id taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectParts<'a> {
    /// API group; empty for core.
    pub group: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Namespace; none if cluster-scoped.
    pub namespace: Option<&'a str>,
    /// Name.
    pub name: &'a str,
}

impl std::fmt::Display for StepId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
