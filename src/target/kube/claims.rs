//! Volume claims whose data is of no use without a generated password.
//!
//! IO, reads only. Called by `apply` and `observe`.

use serde_json::Value;

use super::Kube;
use super::answers::{Doing, classify};
use super::discovery::{Known, Resource};
use super::wire::JSON;
use crate::plan::Step;
use crate::target::execute::reasons::CLAIMS_REMAIN;
use crate::target::{Class, Failure};

impl Kube {
    /// Reads a whole object; none if it is not there.
    pub(super) async fn read_if_there(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, Failure> {
        match self.wire.get(&resource.object(namespace, name), JSON).await {
            Ok(object) => Ok(Some(object)),
            Err(refused) if refused.is_not_found() => Ok(None),
            Err(refused) => Err(classify(&Doing { verb: "get", resource, namespace, name }, &refused)),
        }
    }

    /// The first of these claims that is there, or that may be.
    pub(super) async fn claim_left(
        &self,
        namespace: Option<&str>,
        claims: &[String],
    ) -> Result<Option<String>, Failure> {
        if claims.is_empty() {
            return Ok(None);
        }
        let Known::Served(resource) = self.discovery.find("v1", "PersistentVolumeClaim").await else {
            let message = "whether volume claims are left cannot be told: the cluster's kinds cannot be read";
            return Err(Failure::new(Class::Retry, "Unreachable", message));
        };
        for claim in claims {
            if self.read_if_there(&resource, namespace, claim).await?.is_some() {
                return Ok(Some(claim.clone()));
            }
        }
        Ok(None)
    }

    /// A new password is of no use to data that was made with another one.
    pub(super) async fn refuse_lost_password(&self, step: &Step, namespace: Option<&str>) -> Result<(), Failure> {
        let Some(claim) = self.claim_left(namespace, &step.policy.claims).await? else { return Ok(()) };
        let message = format!(
            "making {}: its generated password is gone, while claim {claim} still holds data that was made with it. Make \
             the Secret by hand with the old password, or delete the claim to begin with an empty one",
            step.id
        );
        Err(Failure::new(Class::Stalled, CLAIMS_REMAIN, message))
    }
}
