//! DataService → what it is made of, each part once the parts it needs are ready.
//!
//! Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::configuration::{self, Rendered};
use super::middleware::{self, Password, Runs};
use super::objects::{self, Workload};
use super::spec::{DataServiceSpec, Middleware, Port, Retention, Service};
use super::table::{DATA, PARTS, PASSWORD, PASSWORD_VARIABLE, Part, SECRET, part};
use crate::kinds::{Child, Cr, Expansion, schema};
use crate::plan::{Policy, StepId, Want};

/// What services ask for and may take.
const SERVICE: [(&str, &str); 2] = [("10m", "1000Mi"), ("200m", "1000Mi")];
/// What MySQL asks for and may take.
const MYSQL: [(&str, &str); 2] = [("100m", "1500Mi"), ("1000m", "2000Mi")];
/// The port that has no other name.
pub(super) const HTTP: &str = "http";

pub(super) fn expand(cr: &Cr<'_>) -> Expansion {
    let spec = match schema::spec::<DataServiceSpec>(cr.manifest) {
        Ok(spec) => spec,
        Err(problem) => return Expansion { children: Vec::new(), problems: vec![problem] },
    };
    let password = Password::of(&spec);
    let (maps, problems) = configuration::render(cr, &spec, password.place().is_some());
    let mut expander = Expander { cr, spec: &spec, password, maps: &maps, children: Vec::new() };
    for part in &PARTS {
        expander.part(part);
    }
    Expansion { children: expander.children, problems }
}

/// The step by whose readiness a part is there.
pub(super) fn gate(cr: &Cr<'_>, spec: &DataServiceSpec, part: &Part) -> StepId {
    let kind = match part.field {
        "mysql" | "uuc" | "eureka" => Runs::of(spec.middleware(part.field)).kind(),
        _ => Some("Deployment"),
    };
    match kind {
        Some(kind) => StepId::object("apps", kind, Some(cr.namespace), part.name),
        None => StepId::probe(cr.namespace, cr.name, part.field),
    }
}

/// The ports of a service, the one without a name of its own first.
pub(super) fn ports(service: &Service) -> Vec<Port> {
    let main = service.port.map(|port| Port { name: HTTP.to_owned(), port, node_port: outside(service.node_port) });
    let more = service.ports.iter().map(|port| Port { node_port: outside(port.node_port), ..port.clone() });
    main.into_iter().chain(more).collect()
}

/// 0 says the same as nothing.
fn outside(node_port: Option<i32>) -> Option<i32> {
    node_port.filter(|port| *port != 0)
}

struct Expander<'a> {
    cr: &'a Cr<'a>,
    spec: &'a DataServiceSpec,
    password: Password<'a>,
    maps: &'a BTreeMap<&'static str, Rendered>,
    children: Vec<Child>,
}

impl Expander<'_> {
    fn part(&mut self, part: &Part) {
        match self.spec.services().into_iter().find(|(field, _)| *field == part.field) {
            Some((_, service)) => self.service(part, service),
            None => self.middleware(part, self.spec.middleware(part.field)),
        }
    }

    fn service(&mut self, part: &Part, service: &Service) {
        self.config_maps(part);
        let ports = ports(service);
        self.add(part, objects::service(self.cr, part, &ports));
        let workload = Workload {
            part,
            kind: "Deployment",
            image: &service.image,
            replicas: service.replica,
            ports: &ports,
            env: self.env(part, &service.env, Vec::new()),
            maps: self.maps,
            resources: Some(SERVICE),
            storage: None,
        };
        let object = objects::workload(self.cr, &workload);
        self.add(part, object);
    }

    fn middleware(&mut self, part: &Part, middleware: &Middleware) {
        let mysql = part.field == "mysql";
        let runs = Runs::of(middleware);
        if mysql {
            self.secret(part, runs);
        }
        let Some(kind) = runs.kind() else {
            if let Ok(ask) = middleware::ask(middleware) {
                let want = Want::Probe { method: ask.method.to_owned(), url: ask.url, timeout_seconds: ask.seconds };
                let id = Some(gate(self.cr, self.spec, part));
                let needs = self.needs(part);
                self.children.push(Child { want, id, needs, after: Vec::new(), policy: Policy::default() });
            }
            return;
        };
        let (Some(image), Some(port)) =
            (middleware::image(part.field, middleware), middleware::port(part.field, middleware))
        else {
            // `check` has told what is missing.
            return;
        };
        self.config_maps(part);
        let ports = [Port { name: HTTP.to_owned(), port, node_port: outside(middleware.node_port) }];
        self.add(part, objects::service(self.cr, part, &ports));
        let storage = mysql.then(|| middleware.storage.clone().unwrap_or_default());
        if let Some(storage) = storage.as_ref().filter(|_| runs == Runs::Deployment) {
            let object = objects::claim(self.cr, part, storage);
            let policy = Policy { keep: storage.retention == Retention::Retain, ..Policy::default() };
            let needs = self.needs(part);
            self.children.push(Child { needs, policy, ..Child::object(object) });
        }
        let mut own = vec![("TZ", json!("Asia/Shanghai"))];
        if mysql {
            own.extend([
                ("MYSQL_DATABASE", json!("sdh_auth")),
                ("character-set-server", json!("utf8mb4")),
                ("collation-server", json!("utf8mb4_general_ci")),
            ]);
            own.extend(self.password.place().map(|place| ("MYSQL_ROOT_PASSWORD", key_of(place))));
        }
        let workload = Workload {
            part,
            kind,
            image,
            replicas: middleware.replica.unwrap_or(1),
            ports: &ports,
            env: self.env(part, &middleware.env, own),
            maps: self.maps,
            resources: mysql.then_some(MYSQL),
            storage: storage.as_ref(),
        };
        let object = objects::workload(self.cr, &workload);
        self.add(part, object);
    }

    /// The Secret that Windlass makes, if the user names none.
    fn secret(&mut self, part: &Part, runs: Runs) {
        let mut object = objects::head(self.cr, "v1", "Secret", SECRET, part.name);
        object["type"] = "Opaque".into();
        let mut policy = Policy::default();
        match &self.password {
            Password::Named(_) | Password::Unknown => return,
            Password::Literal(text) => object["stringData"] = json!({PASSWORD: text}),
            Password::Generated => {
                object["metadata"]["annotations"] = json!({"windlass.dev/generate": "password"});
                object["stringData"] = json!({PASSWORD: ""});
                policy.claims = claims(part, runs);
            }
        }
        self.children.push(Child { policy, ..Child::object(object) });
    }

    fn config_maps(&mut self, part: &Part) {
        for map in part.maps {
            if let Some(rendered) = self.maps.get(map.name) {
                self.add(part, objects::config_map(self.cr, part, map, rendered));
            }
        }
    }

    /// What Windlass sets, under what the user sets, and MySQL's password where a file asks for it.
    fn env(&self, part: &Part, user: &BTreeMap<String, String>, own: Vec<(&str, Value)>) -> BTreeMap<String, Value> {
        let mut env: BTreeMap<String, Value> = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        env.extend(user.iter().map(|(name, value)| (name.clone(), json!(value))));
        let asked = part.maps.iter().any(|map| self.maps.get(map.name).is_some_and(|rendered| rendered.password));
        if let Some(place) = self.password.place().filter(|_| asked) {
            env.insert(PASSWORD_VARIABLE.to_owned(), key_of(place));
        }
        env
    }

    fn add(&mut self, part: &Part, object: Value) {
        let needs = self.needs(part);
        self.children.push(Child { needs, ..Child::object(object) });
    }

    /// What has to be ready before a part. Nothing remembers a probe once the resource is gone, so what the probe itself
    /// waits for stands beside it: otherwise the end would not know that MySQL goes after Eureka.
    fn needs(&self, of: &Part) -> Vec<StepId> {
        let mut found = Vec::new();
        for need in of.needs.iter().filter_map(|field| part(field)) {
            let id = gate(self.cr, self.spec, need);
            let behind = if id.object_parts().is_none() { self.needs(need) } else { Vec::new() };
            for id in std::iter::once(id).chain(behind) {
                if !found.contains(&id) {
                    found.push(id);
                }
            }
        }
        found
    }
}

fn key_of((name, key): (&str, &str)) -> Value {
    json!({"secretKeyRef": {"name": name, "key": key}})
}

/// The claims whose data is of no use without the generated password.
fn claims(part: &Part, runs: Runs) -> Vec<String> {
    match runs {
        Runs::StatefulSet => vec![format!("{DATA}-{}-0", part.name)],
        Runs::Deployment => vec![part.name.to_owned()],
        Runs::DaemonSet | Runs::ThirdParty => Vec::new(),
    }
}
