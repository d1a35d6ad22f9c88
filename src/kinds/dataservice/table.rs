//! What is fixed about the parts of a DataService: their order, what each needs, and where its files are mounted.
//!
//! Pure data. The names are the published ones; a namespace has room for one DataService.

/// One part.
#[derive(Debug)]
pub(super) struct Part {
    /// Its field in the spec, and its word in phase and message.
    pub(super) field: &'static str,
    /// Name of its workload and Service, and the value of the label `app`.
    pub(super) name: &'static str,
    /// The parts that have to be ready first, by field: what its configuration names, and what it calls.
    pub(super) needs: &'static [&'static str],
    /// Its ConfigMaps.
    pub(super) maps: &'static [Map],
}

/// One ConfigMap, and one folder below `configFrom.path`.
#[derive(Debug)]
pub(super) struct Map {
    /// Its name.
    pub(super) name: &'static str,
    /// The key that the part reads; none if it reads whatever is there.
    pub(super) key: Option<&'static str>,
    /// The folder of the container that its keys are mounted in, each by itself (with `key`) or all as one.
    pub(super) folder: &'static str,
    /// Whether a change rolls the pods: what is read at the first start only does not.
    pub(super) rolls: bool,
}

const fn map(name: &'static str, key: &'static str, folder: &'static str) -> Map {
    Map { name, key: Some(key), folder, rolls: true }
}

/// Every part, in the order in which users know them.
pub(super) static PARTS: [Part; 12] = [
    Part {
        field: "mysql",
        name: "mysql-dataservice",
        needs: &[],
        maps: &[
            Map { name: "mysql-dataservice", key: None, folder: "/etc/mysql/conf.d", rolls: true },
            Map { name: "mysql-dataservice-init", key: None, folder: "/docker-entrypoint-initdb.d", rolls: false },
        ],
    },
    Part { field: "uuc", name: "uuc", needs: &["mysql"], maps: &[] },
    Part { field: "eureka", name: "eureka", needs: &["uuc"], maps: &[] },
    Part {
        field: "api-manager",
        name: "api-manager",
        needs: &["mysql", "eureka"],
        maps: &[map("api-manager", "application.yml", "/dataservice/api-manager/config")],
    },
    Part {
        field: "auth",
        name: "auth",
        needs: &["mysql", "uuc", "eureka"],
        maps: &[map("auth", "application.properties", "/dataservice/auth/config")],
    },
    Part {
        field: "ds-adapter",
        name: "ds-adapter",
        needs: &["mysql", "eureka"],
        maps: &[map("ds-adapter", "application.yml", "/dataservice/adapter/ds-adapter/config")],
    },
    Part {
        field: "es-adapter",
        name: "es-adapter",
        needs: &["mysql", "eureka"],
        maps: &[map("es-adapter", "application.yml", "/dataservice/adapter/es-adapter/config")],
    },
    Part {
        field: "trd-adapter",
        name: "trd-adapter",
        needs: &["mysql", "eureka"],
        maps: &[
            map("trd-adapter", "application.yml", "/dataservice/adapter/3rd-adapter/config"),
            map("trd-adapter-py", "pythonScript.py", "/dataservice/adapter/3rd-adapter/config"),
        ],
    },
    Part {
        field: "gateway-master",
        name: "gateway-master",
        needs: &["mysql", "eureka"],
        maps: &[map("gateway-master", "application.yml", "/dataservice/gateway/master/config")],
    },
    Part {
        field: "gateway-web",
        name: "gateway-web",
        needs: &["mysql", "eureka"],
        maps: &[map("gateway-web", "application.yml", "/dataservice/gateway/web/config")],
    },
    Part {
        field: "proxy",
        name: "proxy",
        needs: &["mysql", "eureka"],
        maps: &[map("proxy", "application.yml", "/dataservice/proxy/config")],
    },
    Part {
        field: "web",
        name: "web",
        needs: &["uuc", "gateway-master", "proxy"],
        maps: &[
            map("web", "app.config.js", "/usr/share/nginx/html"),
            map("web-template", "default.conf.template", "/etc/nginx/templates"),
        ],
    },
];

/// Name of the Secret that Windlass makes for MySQL's password.
pub(super) const SECRET: &str = "mysql-dataservice-password";
/// Key of a password where none is named.
pub(super) const PASSWORD: &str = "password";
/// Variable in which a container finds MySQL's password.
pub(super) const PASSWORD_VARIABLE: &str = "MYSQL_PASSWORD";
/// Name of the volume in which MySQL keeps its data.
pub(super) const DATA: &str = "data";
/// Images and ports where a CR names none.
pub(super) const MYSQL: (&str, i32) = ("registry-edge.cosmoplat.com/dataservice/mysql-dataservice:v20230516", 3306);
pub(super) const EUREKA: (&str, i32) = ("registry-edge.cosmoplat.com/dataservice/eureka:v1", 8761);

/// A part by its field.
pub(super) fn part(field: &str) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.field == field)
}

/// The ConfigMap of a name.
pub(super) fn config_map(name: &str) -> Option<&'static Map> {
    PARTS.iter().flat_map(|part| part.maps).find(|map| map.name == name)
}
