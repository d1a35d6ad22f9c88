//! What becomes of the three middleware systems: who runs them, where services find them, how they are seen to be there.
//!
//! Pure.

use super::check_line::{self, Ask};
use super::spec::{DataServiceSpec, Middleware, PasswordFrom};
use super::table::{EUREKA, MYSQL, PASSWORD, SECRET, part};
use crate::plan::probe;

/// Who runs a middleware system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    Deployment,
    StatefulSet,
    DaemonSet,
    ThirdParty,
}

impl Runs {
    /// From `kind`; a middleware system without one is described as a service.
    pub(super) fn of(middleware: &Middleware) -> Self {
        match middleware.kind {
            Some(1) => Self::StatefulSet,
            Some(2) => Self::DaemonSet,
            Some(3) => Self::ThirdParty,
            _ => Self::Deployment,
        }
    }

    /// As a Kubernetes kind.
    pub(super) fn kind(self) -> Option<&'static str> {
        match self {
            Self::Deployment => Some("Deployment"),
            Self::StatefulSet => Some("StatefulSet"),
            Self::DaemonSet => Some("DaemonSet"),
            Self::ThirdParty => None,
        }
    }
}

/// Image where the CR names none.
pub(super) fn image<'a>(field: &str, middleware: &'a Middleware) -> Option<&'a str> {
    let default = match field {
        "mysql" => Some(MYSQL.0),
        "eureka" => Some(EUREKA.0),
        _ => None,
    };
    middleware.image.as_deref().or(default)
}

/// Port where the CR names none.
pub(super) fn port(field: &str, middleware: &Middleware) -> Option<i32> {
    let default = match field {
        "mysql" => Some(MYSQL.1),
        "eureka" => Some(EUREKA.1),
        _ => None,
    };
    middleware.port.or(default)
}

/// What files say for `{{mysqlUrl}}`, `{{eurekaUrl}}` and `{{uucUrl}}`.
pub(super) fn url(spec: &DataServiceSpec, field: &str, namespace: &str) -> String {
    let middleware = spec.middleware(field);
    if let (Runs::ThirdParty, Some(other)) = (Runs::of(middleware), &middleware.third_party) {
        return other.url.clone();
    }
    let scheme = if field == "mysql" { "mysql" } else { "http" };
    let port = port(field, middleware).unwrap_or_default();
    let name = part(field).map_or(field, |part| part.name);
    format!("{scheme}://{name}.{namespace}.svc:{port}")
}

/// What files say for `{{mysqlUsername}}`.
pub(super) fn username(spec: &DataServiceSpec) -> &str {
    let named = spec.mysql.third_party.as_ref().and_then(|other| other.username.as_deref());
    named.filter(|_| Runs::of(&spec.mysql) == Runs::ThirdParty).unwrap_or("root")
}

/// Where MySQL's password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Password<'a> {
    /// In a Secret of the user's.
    Named(&'a PasswordFrom),
    /// In the CR, from which it is moved to a Secret.
    Literal(&'a str),
    /// In a Secret that is filled when it is made.
    Generated,
    /// Nowhere: somebody else runs MySQL, and nobody said.
    Unknown,
}

impl Password<'_> {
    pub(super) fn of(spec: &DataServiceSpec) -> Password<'_> {
        let third_party = Runs::of(&spec.mysql) == Runs::ThirdParty;
        let literal = spec.mysql.third_party.as_ref().and_then(|other| other.password.as_deref());
        match (&spec.mysql.password_from, literal) {
            (Some(named), _) => Password::Named(named),
            (None, Some(literal)) if third_party => Password::Literal(literal),
            _ if third_party => Password::Unknown,
            _ => Password::Generated,
        }
    }

    /// Name of the Secret and key; none if there is no password.
    pub(super) fn place(&self) -> Option<(&str, &str)> {
        match self {
            Self::Named(named) => Some((&named.name, named.key.as_deref().unwrap_or(PASSWORD))),
            Self::Literal(_) | Self::Generated => Some((SECRET, PASSWORD)),
            Self::Unknown => None,
        }
    }
}

/// How a third party is seen to be there.
pub(super) fn ask(middleware: &Middleware) -> Result<Ask, (&'static str, String)> {
    let Some(other) = &middleware.third_party else { return Err(("", "says nothing".to_owned())) };
    match &other.check_cmd {
        Some(line) => check_line::read(line).map_err(|why| ("/checkCMD", why)),
        None => of_url(&other.url).map_err(|why| ("/url", why)),
    }
}

/// Whether the URL answers: HTTP(S) by a request, anything else with a port by a connection.
fn of_url(url: &str) -> Result<Ask, String> {
    let rest = match url.split_once("://") {
        Some(("http" | "https", _)) => {
            probe::address(url)?;
            return Ok(Ask { method: "GET", url: url.to_owned(), seconds: probe::MOST_SECONDS });
        }
        Some((_, rest)) => rest,
        None => return Err("has no protocol, as in mysql://host:3306".to_owned()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let tcp = format!("tcp://{authority}");
    probe::address(&tcp)?;
    Ok(Ask { method: "TCP", url: tcp, seconds: probe::MOST_SECONDS })
}
