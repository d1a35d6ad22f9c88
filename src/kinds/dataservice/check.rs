//! What is wrong with a DataService, beside what its schema says.
//!
//! Pure. What would be without effect is said, so that nothing is silently ignored.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::expand;
use super::middleware::{self, Runs};
use super::spec::{DataServiceSpec, Middleware, Port, Retention, Service};
use super::table::{PARTS, PASSWORD_VARIABLE};
use crate::kinds::{FieldProblem, image};
use crate::problem::{Code, Severity};

/// Ports on a node that a cluster hands out unless it was set up otherwise.
const NODE_PORTS: std::ops::RangeInclusive<i32> = 30_000..=32_767;

pub(super) fn check(manifest: &Value, spec: &DataServiceSpec) -> Vec<FieldProblem> {
    let mut told = Vec::new();
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    told.extend(image::check_name(name, 0, "the label `dataservice`, which is the name,"));
    for part in &PARTS[..3] {
        check_middleware(part.field, part.name, spec.middleware(part.field), &mut told);
    }
    for (field, service) in spec.services() {
        check_service(field, service, &mut told);
    }
    check_node_ports(spec, &mut told);
    told
}

fn error(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> FieldProblem {
    FieldProblem::error(code, pointer, message)
}

fn warning(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> FieldProblem {
    FieldProblem { severity: Severity::Warning, ..FieldProblem::error(code, pointer, message) }
}

fn check_name(field: &str, wanted: &str, given: &str, told: &mut Vec<FieldProblem>) {
    if given != wanted {
        let message = format!("`{field}` has the fixed name `{wanted}`, not `{given}`: its objects are called so.");
        told.push(error(Code::InvalidValue, format!("/spec/{field}/name"), message));
    }
}

fn check_middleware(field: &str, name: &str, given: &Middleware, told: &mut Vec<FieldProblem>) {
    let at = |rest: &str| format!("/spec/{field}{rest}");
    check_name(field, name, &given.name, told);
    let as_service = field == "eureka" && given.image.is_some();
    if given.kind.is_none() && !as_service {
        let message = format!(
            "`{field}.kind` is required: 0 for a Deployment, 1 for a StatefulSet, 2 for a DaemonSet, 3 for a third party."
        );
        told.push(error(Code::MissingField, at("/kind"), message));
        return;
    }
    if given.kind.is_none() {
        for (missing, is) in [("/port", given.port.is_none()), ("/replica", given.replica.is_none())] {
            if is {
                let message = format!("`{}` is required where eureka is described as a service.", &missing[1..]);
                told.push(error(Code::MissingField, at(missing), message));
            }
        }
    }
    told.extend(given.image.as_deref().and_then(|text| image::check(&at("/image"), text)));
    check_env(&at("/env"), &given.env, told);
    let runs = Runs::of(given);
    match runs {
        Runs::ThirdParty => check_third_party(field, given, told),
        Runs::Deployment | Runs::StatefulSet | Runs::DaemonSet => {
            if given.third_party.is_some() {
                told.push(unused(at("/thirdParty"), "`kind` is not 3"));
            }
            for (what, missing) in [
                ("/image", middleware::image(field, given).is_none()),
                ("/port", middleware::port(field, given).is_none()),
            ] {
                if missing {
                    let message = format!("`{}` is required: there is no published one of {field}.", &what[1..]);
                    told.push(error(Code::MissingField, at(what), message));
                }
            }
        }
    }
    let replicas = given.replica.unwrap_or(1);
    if field == "mysql" && replicas != 1 && runs != Runs::ThirdParty {
        let message = "MySQL is one process; more would each have data of their own.";
        told.push(error(Code::InvalidValue, at("/replica"), message));
    } else if given.replica.is_some() && runs == Runs::DaemonSet {
        told.push(unused(at("/replica"), "a DaemonSet has one pod on each node"));
    }
    check_storage(field, given, runs, told);
    if given.third_party.as_ref().is_some_and(|other| other.password.is_some()) {
        let message = "A password stands here, where everybody reads it who reads the repository. It is kept out of the \
                       object in the cluster and put into a Secret; name a Secret in `spec.mysql.passwordFrom` instead, \
                       and change the password.";
        told.push(warning(Code::SecretInGit, at("/thirdParty/password"), message));
    }
}

fn unused(pointer: String, why: &str) -> FieldProblem {
    warning(Code::InvalidValue, pointer, format!("This has no effect: {why}."))
}

fn check_third_party(field: &str, given: &Middleware, told: &mut Vec<FieldProblem>) {
    let at = |rest: &str| format!("/spec/{field}{rest}");
    let Some(other) = &given.third_party else {
        let message = format!("`{field}.kind` is 3, a third party, so `thirdParty` has to say where it is.");
        told.push(error(Code::MissingField, at("/thirdParty"), message));
        return;
    };
    let authority = other.url.split_once("://").map_or(other.url.as_str(), |(_, rest)| rest);
    if authority.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        let message = "The URL holds a user or a password; give them in `username` and `passwordFrom`.";
        told.push(error(Code::SecretInGit, at("/thirdParty/url"), message));
    } else if let Err((field, why)) = middleware::ask(given) {
        let hint = if field == "/checkCMD" { " Leave it out to see whether `url` answers." } else { "" };
        let message = format!("`{}` {why}.{hint}", field.trim_start_matches('/'));
        told.push(error(Code::InvalidValue, at(&format!("/thirdParty{field}")), message));
    }
    let ours = [
        ("/image", given.image.is_some()),
        ("/port", given.port.is_some()),
        ("/replica", given.replica.is_some()),
        ("/nodePort", given.node_port.is_some()),
        ("/env", !given.env.is_empty()),
    ];
    for (pointer, _) in ours.into_iter().filter(|(_, given)| *given) {
        told.push(unused(at(pointer), "somebody else runs it (`kind` is 3)"));
    }
    if field != "mysql" {
        for (pointer, _) in [("/username", other.username.is_some()), ("/password", other.password.is_some())]
            .into_iter()
            .filter(|(_, given)| *given)
        {
            told.push(unused(at(&format!("/thirdParty{pointer}")), "only MySQL's is handed to services"));
        }
    }
    if other.password.is_some() && given.password_from.is_some() {
        let message = "The password is named twice, here and in `passwordFrom`. Take this one away.";
        told.push(error(Code::InvalidValue, at("/thirdParty/password"), message));
    }
}

fn check_storage(field: &str, given: &Middleware, runs: Runs, told: &mut Vec<FieldProblem>) {
    let at = |rest: &str| format!("/spec/{field}{rest}");
    if field != "mysql" {
        for (pointer, _) in [("/storage", given.storage.is_some()), ("/passwordFrom", given.password_from.is_some())]
            .into_iter()
            .filter(|(_, given)| *given)
        {
            told.push(unused(at(pointer), "only MySQL has it"));
        }
        return;
    }
    match (runs, &given.storage) {
        (Runs::ThirdParty, Some(_)) => told.push(unused(at("/storage"), "somebody else runs it (`kind` is 3)")),
        (Runs::DaemonSet, _) => told.push(warning(
            Code::InvalidValue,
            at("/kind"),
            "MySQL as a DaemonSet keeps its data no longer than each of its pods lives, and each has its own. Use 1, a \
             StatefulSet.",
        )),
        (Runs::Deployment, Some(storage)) if storage.retention == Retention::Delete => told.push(warning(
            Code::InvalidValue,
            at("/storage/retention"),
            "Of a Deployment the claim is an object of its own, which is deleted only on acknowledgement.",
        )),
        _ => {}
    }
    let size = given.storage.as_ref().and_then(|storage| storage.size.as_deref());
    if let Some(size) = size.filter(|size| !is_quantity(size)) {
        let message = format!("`size` is {size:?}, which is no quantity such as 10Gi.");
        told.push(error(Code::InvalidValue, at("/storage/size"), message));
    }
}

fn check_service(field: &'static str, service: &Service, told: &mut Vec<FieldProblem>) {
    let at = |rest: &str| format!("/spec/{field}{rest}");
    check_name(field, field, &service.name, told);
    told.extend(image::check(&at("/image"), &service.image));
    check_env(&at("/env"), &service.env, told);
    let ports = expand::ports(service);
    if ports.is_empty() {
        let message = "`port` is required, or at least one entry in `ports`.";
        told.push(error(Code::MissingField, at("/port"), message));
    }
    if service.port.is_none() && service.node_port.is_some_and(|port| port != 0) {
        told.push(unused(at("/nodePort"), "it belongs to `port`, which is missing; say it in `ports`"));
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    let first = usize::from(service.port.is_some());
    for (index, Port { name, port, .. }) in ports.iter().enumerate() {
        let place = |rest: &str| match index.checked_sub(first) {
            Some(index) => at(&format!("/ports/{index}{rest}")),
            None => at("/port"),
        };
        if !is_port_name(name) {
            let message =
                format!("{name:?} is no name of a port: at most 15 small letters, digits and `-`, one letter.");
            told.push(error(Code::InvalidValue, place("/name"), message));
        }
        if !names.insert(name.clone()) {
            told.push(error(Code::InvalidValue, place("/name"), format!("Two ports are called `{name}`.")));
        }
        if !numbers.insert(*port) {
            told.push(error(Code::InvalidValue, place("/port"), format!("Port {port} is named twice.")));
        }
    }
}

fn check_env(pointer: &str, env: &BTreeMap<String, String>, told: &mut Vec<FieldProblem>) {
    for name in env.keys() {
        let place = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        if name == PASSWORD_VARIABLE || name == "MYSQL_ROOT_PASSWORD" {
            let message = format!(
                "`{name}` is set from the Secret of MySQL's password. Name the Secret in `spec.mysql.passwordFrom`."
            );
            told.push(error(Code::SecretInGit, place, message));
        } else if name.is_empty() || name.contains('=') || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            told.push(error(Code::InvalidValue, place, format!("{name:?} is no name of a variable.")));
        }
    }
}

fn check_node_ports(spec: &DataServiceSpec, told: &mut Vec<FieldProblem>) {
    let mut all: Vec<(String, i32)> = PARTS[..3]
        .iter()
        .filter(|part| Runs::of(spec.middleware(part.field)) != Runs::ThirdParty)
        .filter_map(|part| Some((format!("/spec/{}/nodePort", part.field), spec.middleware(part.field).node_port?)))
        .collect();
    for (field, service) in spec.services() {
        all.extend(service.node_port.map(|port| (format!("/spec/{field}/nodePort"), port)));
        let more = service.ports.iter().enumerate();
        all.extend(more.filter_map(|(at, port)| Some((format!("/spec/{field}/ports/{at}/nodePort"), port.node_port?))));
    }
    let mut seen: BTreeMap<i32, String> = BTreeMap::new();
    for (pointer, port) in all.into_iter().filter(|(_, port)| *port != 0) {
        if !NODE_PORTS.contains(&port) {
            let message = format!(
                "Port {port} is outside of {} to {}, which clusters hand out unless they were set up otherwise.",
                NODE_PORTS.start(),
                NODE_PORTS.end()
            );
            told.push(warning(Code::InvalidValue, pointer.clone(), message));
        }
        match seen.get(&port) {
            Some(first) => {
                let first = first.trim_start_matches("/spec/").replace('/', ".");
                let message = format!("Port {port} of the nodes is taken by `{first}` already.");
                told.push(error(Code::PortTaken, pointer, message));
            }
            None => _ = seen.insert(port, pointer),
        }
    }
}

fn is_port_name(name: &str) -> bool {
    let edges = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 15
        && name.starts_with(edges)
        && name.ends_with(edges)
        && !name.contains("--")
        && name.contains(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| edges(c) || c == '-')
}

/// A number with one of Kubernetes' suffixes.
fn is_quantity(text: &str) -> bool {
    const SUFFIXES: [&str; 13] = ["", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    number.parse::<f64>().is_ok_and(|number| number > 0.0) && SUFFIXES.contains(&suffix)
}
