//! DataService: MySQL, a user centre and Eureka, and nine services that start once what they need is there.
//!
//! Pure. In the registry of `kinds`.

mod check;
mod check_line;
mod configuration;
mod expand;
mod middleware;
mod objects;
mod spec;
mod status;
mod table;

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value;

pub use self::spec::{
    ConfigFrom, DataService, DataServiceSpec, Middleware, PasswordFrom, Port, Retention, Service, Storage, ThirdParty,
};
pub use self::status::DataServiceStatus;

use super::{Family, FieldProblem, Kind, Reference, schema};
use crate::problem::Severity;

/// The family.
pub static FAMILY: Family = Family {
    name: "dataservice",
    summary: "MySQL, a user centre and Eureka, and nine services that start once what they need is there.",
    kinds: &[Kind {
        group: "d3os-product.com.d3os",
        version: "v1",
        kind: "DataService",
        plural: "dataservices",
        namespaced: true,
        crd,
        check,
        refers,
        secrets: &[
            "/spec/mysql/thirdParty/password",
            "/spec/uuc/thirdParty/password",
            "/spec/eureka/thirdParty/password",
        ],
        expand: expand::expand,
        status: status::status,
        writes: &[
            ("", "configmaps"),
            ("", "persistentvolumeclaims"),
            ("", "secrets"),
            ("", "services"),
            ("apps", "daemonsets"),
            ("apps", "deployments"),
            ("apps", "statefulsets"),
        ],
    }],
};

fn crd() -> CustomResourceDefinition {
    DataService::crd()
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema::of(&crd()));

fn check(manifest: &Value) -> Vec<FieldProblem> {
    let mut problems = schema::check(&SCHEMA, manifest);
    if !problems.iter().any(|problem| problem.severity == Severity::Error) {
        match schema::spec::<DataServiceSpec>(manifest) {
            Ok(spec) => problems.extend(check::check(manifest, &spec)),
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

fn refers(manifest: &Value) -> Vec<Reference> {
    let path = manifest.pointer(configuration::POINTER).and_then(Value::as_str);
    path.map(|path| Reference { pointer: configuration::POINTER, path: path.to_owned() }).into_iter().collect()
}

#[cfg(test)]
mod tests;
