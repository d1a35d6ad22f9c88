//! A real etcd, kube-apiserver and kube-controller-manager, started once per test binary, with the pretended kubelet of
//! [`super::kubelet`]. Tests are kept apart by namespace.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::kubelet;
use super::process::{Process, scratch};
use super::wait;

/// Version of the binaries that `tests/servers/kubernetes/build.sh` makes; names the cache folder.
const VERSION: &str = "v1.36.3";
const ADMIN_TOKEN: &str = "admin-of-the-test-bench";

/// The running control plane.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    folder: PathBuf,
    url: String,
    kubectl: PathBuf,
    servers: Mutex<Vec<Process>>,
    /// Program and arguments of etcd.
    etcd: (PathBuf, Vec<String>),
    /// Program and arguments of the API server.
    apiserver: (PathBuf, Vec<String>),
}

/// The control plane of this test binary; started at the first call. Panics with the servers' last lines if it does not
/// start.
pub(crate) fn control_plane() -> &'static ControlPlane {
    static PLANE: OnceLock<ControlPlane> = OnceLock::new();
    PLANE.get_or_init(own_control_plane)
}

/// A control plane of one's own, for tests that act on a whole cluster. Ends when dropped.
pub(crate) fn own_control_plane() -> ControlPlane {
    let tools = Tools::find().unwrap_or_else(|missing| panic!("{missing}"));
    let plane = (0..3)
        .find_map(|_| match ControlPlane::start(&tools) {
            Ok(plane) => Some(plane),
            // Another process took one of the free ports in between.
            Err(log) if log.contains("address already in use") => None,
            Err(log) => panic!("the test control plane does not start\n{log}"),
        })
        .expect("three times in a row a free port was taken by another process");
    let client = plane.config(&plane.kubeconfig());
    on_harness(async move {
        let client = Client::try_from(client).expect("a client");
        kubelet::register(&client).await;
        tokio::spawn(kubelet::run(client.clone()));
        // The sign that the controllers work: pods cannot be made before.
        let accounts: Api<core::ServiceAccount> = Api::namespaced(client, "default");
        wait::until("the controller manager makes the default service account", || async {
            accounts.get_opt("default").await.ok().flatten()
        })
        .await;
    });
    plane
}

/// Runs a future on the runtime that lives as long as the test binary, and waits for it. Servers of the test support
/// (kubelet, proxies) live there, since the runtime of a test ends with the test.
pub(crate) fn on_harness<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (give, take) = mpsc::channel();
    harness().spawn(async move { _ = give.send(future.await) });
    take.recv().expect("the test support panicked; its message stands above")
}

/// See [`on_harness`].
pub(crate) fn harness() -> &'static tokio::runtime::Handle {
    static HARNESS: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    HARNESS
        .get_or_init(|| {
            _ = rustls::crypto::ring::default_provider().install_default();
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
        })
        .handle()
}

/// Where the servers' programs are.
#[derive(Debug)]
struct Tools {
    etcd: PathBuf,
    apiserver: PathBuf,
    controller_manager: PathBuf,
    kubectl: PathBuf,
}

impl Tools {
    fn find() -> Result<Self, String> {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
        let cache = cache.join(format!("windlass-tests/kubernetes-{VERSION}"));
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> =
            assets.into_iter().chain([cache.clone()]).chain(std::env::split_paths(&path)).collect();
        let find = |name: &str| {
            folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()).ok_or_else(|| {
                format!(
                    "{name} is neither in $KUBEBUILDER_ASSETS nor in {} nor on PATH. Run `tests/run cluster`, which builds \
                     it, or tests/servers/kubernetes/build.sh {}",
                    cache.display(),
                    cache.display()
                )
            })
        };
        Ok(Self {
            etcd: find("etcd")?,
            apiserver: find("kube-apiserver")?,
            controller_manager: find("kube-controller-manager")?,
            kubectl: find("kubectl")?,
        })
    }
}

impl ControlPlane {
    #[expect(clippy::unwrap_in_result, reason = "the error is only what another attempt may cure")]
    fn start(tools: &Tools) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = scratch().join(format!("control-plane-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder).expect("a folder");
        write_certificates(&folder);
        fs::write(folder.join("tokens.csv"), format!("{ADMIN_TOKEN},admin,1,\"system:masters\"\n")).expect("tokens");

        let [etcd_port, peer_port, port] = free_ports();
        let url = format!("https://127.0.0.1:{port}");
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let peer_url = format!("http://127.0.0.1:{peer_port}");
        let file = |name: &str| folder.join(name).display().to_string();
        let start = |program: &Path, args: &[String]| {
            let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut command = Command::new(program);
            command.args(args).current_dir(&folder);
            Process::start(&name, &mut command, folder.join(format!("{name}.log")))
                .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
        };

        let etcd_args = vec![
            format!("--data-dir={}", file("etcd")),
            "--unsafe-no-fsync".into(),
            "--log-level=warn".into(),
            format!("--listen-client-urls={etcd_url}"),
            format!("--advertise-client-urls={etcd_url}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--initial-cluster=default={peer_url}"),
        ];
        let etcd = start(&tools.etcd, &etcd_args);
        let apiserver_args = vec![
            format!("--etcd-servers={etcd_url}"),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={port}"),
            // A loopback address cannot stand in Endpoints.
            "--endpoint-reconciler-type=none".into(),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--cert-dir={}", file("apiserver-certificates")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("accounts.pub")),
            format!("--service-account-signing-key-file={}", file("accounts.key")),
        ];
        let apiserver = start(&tools.apiserver, &apiserver_args);
        let plane = Self {
            folder: folder.clone(),
            url,
            kubectl: tools.kubectl.clone(),
            servers: Mutex::default(),
            etcd: (tools.etcd.clone(), etcd_args),
            apiserver: (tools.apiserver.clone(), apiserver_args),
        };
        let kubeconfig = plane.write_kubeconfig("admin", &plane.url, ADMIN_TOKEN, "default");
        let mut servers = vec![etcd, apiserver];
        plane.await_ready(&kubeconfig, &mut servers)?;
        servers.push(start(
            &tools.controller_manager,
            &[
                format!("--kubeconfig={}", kubeconfig.display()),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                // Both would remove pods from a node without a real kubelet.
                "--controllers=*,-node-lifecycle-controller,-pod-garbage-collector-controller".into(),
                "--kube-api-qps=500".into(),
                "--kube-api-burst=1000".into(),
                "--concurrent-deployment-syncs=10".into(),
                format!("--service-account-private-key-file={}", file("accounts.key")),
                format!("--root-ca-file={}", file("ca.crt")),
            ],
        ));
        *plane.servers.lock().expect("not poisoned") = servers;
        Ok(plane)
    }

    /// Kills the API server with signal 9, runs `meanwhile`, starts it again and waits until it is ready. For a control
    /// plane of one's own.
    pub(crate) fn restart_api_server(&self, meanwhile: impl FnOnce()) {
        self.restart(1, &self.apiserver, meanwhile);
    }

    /// The same with etcd, whose data stay; the API server runs on.
    pub(crate) fn restart_etcd(&self, meanwhile: impl FnOnce()) {
        self.restart(0, &self.etcd, meanwhile);
    }

    /// `position` is where the server stands among all, as they were started.
    fn restart(&self, position: usize, (program, args): &(PathBuf, Vec<String>), meanwhile: impl FnOnce()) {
        let mut servers = self.servers.lock().expect("not poisoned");
        // Dropped is killed.
        drop(servers.remove(position));
        meanwhile();
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder);
        let log = self.folder.join(format!("{name}-again.log"));
        servers.insert(position, Process::start(&name, &mut command, log).expect("the server"));
        self.await_ready(&self.kubeconfig(), &mut servers).unwrap_or_else(|log| panic!("{log}"));
    }

    fn await_ready(&self, kubeconfig: &Path, servers: &mut [Process]) -> Result<(), String> {
        let config = self.config(kubeconfig);
        let end = Instant::now() + wait::PATIENCE;
        loop {
            let config = config.clone();
            let ready = on_harness(async move {
                let request = axum::http::Request::get("/readyz").body(Vec::new()).expect("a request");
                let client = Client::try_from(config).expect("a client");
                tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await
            });
            if matches!(&ready, Ok(Ok(text)) if text == "ok") {
                return Ok(());
            }
            let ended = servers.iter_mut().any(|server| server.exited().is_some());
            if ended || Instant::now() > end {
                let tails: String = servers.iter().map(Process::tail).collect();
                return Err(format!("/readyz: {ready:?}\n{tails}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Kubeconfig of the administrator, for the CLI.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Writes a kubeconfig for any server URL (a proxy's, say) and token.
    pub(crate) fn write_kubeconfig(&self, name: &str, server: &str, token: &str, namespace: &str) -> PathBuf {
        let authority = if server.starts_with("https") {
            format!("    certificate-authority: {}\n", self.folder.join("ca.crt").display())
        } else {
            String::new()
        };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\n\
             clusters:\n- name: test\n  cluster:\n    server: {server}\n{authority}\
             users:\n- name: {name}\n  user:\n    token: {token}\n\
             contexts:\n- name: {name}\n  context:\n    cluster: test\n    user: {name}\n    namespace: {namespace}\n"
        );
        let path = self.folder.join(format!("{name}.kubeconfig"));
        fs::write(&path, text).expect("a kubeconfig");
        path
    }

    /// The administrator's token, for a kubeconfig of one's own.
    pub(crate) fn admin_token(&self) -> &'static str {
        ADMIN_TOKEN
    }

    /// Client configuration of a kubeconfig file.
    pub(crate) fn config(&self, kubeconfig: &Path) -> Config {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        on_harness(async move {
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a configuration")
        })
    }

    /// The administrator's client, for the runtime of the calling test.
    pub(crate) fn client(&self) -> Client {
        self.client_of(&self.kubeconfig())
    }

    /// Client of a kubeconfig file, for the runtime of the calling test.
    pub(crate) fn client_of(&self, kubeconfig: &Path) -> Client {
        Client::try_from(self.config(kubeconfig)).expect("a client")
    }

    /// A token of a service account, as a pod would have it.
    pub(crate) async fn token(&self, namespace: &str, account: &str) -> String {
        let accounts: Api<core::ServiceAccount> = Api::namespaced(self.client(), namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.expect("a token");
        answer.status.and_then(|status| status.token).expect("a token")
    }

    /// A new service account without rights, and a kubeconfig with its token.
    pub(crate) async fn account(&self, namespace: &str, name: &str) -> PathBuf {
        let accounts: Api<core::ServiceAccount> = Api::namespaced(self.client(), namespace);
        let account = core::ServiceAccount {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            ..core::ServiceAccount::default()
        };
        accounts.create(&PostParams::default(), &account).await.expect("a service account");
        let token = self.token(namespace, name).await;
        self.write_kubeconfig(&format!("{namespace}-{name}"), &self.url, &token, namespace)
    }

    /// Runs kubectl as the administrator; gives its stdout. Panics with its stderr if it fails.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let output = self.kubectl_command().args(args).output().expect("kubectl");
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Applies manifests as they are printed for people, strictly. Panics if that fails or the API server warns.
    pub(crate) fn apply(&self, text: &str) {
        use std::io::Write as _;
        use std::process::Stdio;
        let mut apply = self
            .kubectl_command()
            .args(["apply", "--server-side", "--validate=strict", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl");
        apply.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
        let output = apply.wait_with_output().expect("kubectl");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(said, "", "the API server warns of nothing");
    }

    /// kubectl with the administrator's kubeconfig, to be completed.
    pub(crate) fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.folder);
        command
    }

    /// A namespace for one test. Its deletion is asked for when it is dropped.
    pub(crate) async fn namespace(&self) -> Namespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("it-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let namespaces: Api<core::Namespace> = Api::all(self.client());
        let namespace = core::Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..core::Namespace::default()
        };
        namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
        Namespace { name, config: self.config(&self.kubeconfig()) }
    }
}

/// A namespace of one test.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    config: Config,
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl std::ops::Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let (name, config) = (self.name.clone(), self.config.clone());
        harness().spawn(async move {
            if let Ok(client) = Client::try_from(config) {
                _ = Api::<core::Namespace>::all(client).delete(&name, &DeleteParams::default()).await;
            }
        });
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that they differ.
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    std::array::from_fn(|index| held[index].local_addr().expect("an address").port())
}

/// CA, server certificate (a leaf: rustls takes no CA as the server's certificate) and the key pair of the service
/// account tokens.
fn write_certificates(folder: &Path) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a certificate");
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "Windlass test CA");
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    write("ca.crt", ca.self_signed(&ca_key).expect("a certificate").pem());
    let issuer = Issuer::new(ca, ca_key);

    let server_key = KeyPair::generate().expect("a key");
    let mut server = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).expect("names");
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    server.use_authority_key_identifier_extension = true;
    write("server.crt", server.signed_by(&server_key, &issuer).expect("a certificate").pem());
    write("server.key", server_key.serialize_pem());

    let accounts = KeyPair::generate().expect("a key");
    write("accounts.key", accounts.serialize_pem());
    write("accounts.pub", accounts.public_key_pem());
}
