//! The binary under test, run with a clean environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::process::{Process, scratch};
use super::wait;

/// How long a command may run.
const LIMIT: Duration = Duration::from_secs(120);

/// A home, state and temporary folder of its own for the binary.
#[derive(Debug)]
pub(crate) struct Windlass {
    home: PathBuf,
    kubeconfig: Option<PathBuf>,
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Exit code; -1 for a signal.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Windlass {
    /// Without a cluster.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let home = scratch().join(format!("home-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(home.join("tmp")).expect("a home");
        Self { home, kubeconfig: None }
    }

    /// With the cluster of a kubeconfig file.
    pub(crate) fn on(kubeconfig: &Path) -> Self {
        Self { kubeconfig: Some(kubeconfig.to_owned()), ..Self::new() }
    }

    /// Its home folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The command, to be completed by the caller.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command.args(args).env_clear().current_dir(&self.home);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.home).env("TMPDIR", self.home.join("tmp"));
        command.env("XDG_STATE_HOME", self.home.join("state"));
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
    }

    /// Runs it to its end. Panics if that takes longer than two minutes.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Finished {
        self.finish(&mut self.command(args))
    }

    /// Runs a prepared command to its end, within the limit.
    pub(crate) fn finish(&self, command: &mut Command) -> Finished {
        use std::process::Stdio;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the windlass binary");
        let pid = child.id();
        let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                if let Some(mut pipe) = pipe {
                    _ = pipe.read_to_end(&mut text);
                }
                text
            })
        };
        let stdout = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
        let stderr = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
        let end = Instant::now() + LIMIT;
        let mut late = false;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > end && !late {
                late = true;
                super::process::signal_pid(pid, "KILL");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let output =
            Output { status, stdout: stdout.join().expect("a reader"), stderr: stderr.join().expect("a reader") };
        let finished = Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!late, "{command:?} did not end within {} s: {finished:#?}", LIMIT.as_secs());
        finished
    }

    /// Starts it in the background; it dies when dropped.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, args: &[S]) -> Process {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = self.home.join(format!("{}.log", NEXT.fetch_add(1, Ordering::Relaxed)));
        Process::start("windlass", &mut self.command(args), log).expect("the windlass binary")
    }

    /// Waits until a background process has printed `text`.
    pub(crate) fn await_output(process: &mut Process, text: &str) {
        wait::until_blocking(&format!("{text:?} in its output"), || {
            let ended = process.exited();
            let found = process.log().contains(text);
            assert!(found || ended.is_none(), "windlass ended ({ended:?}) without {text:?}: {}", process.tail());
            found.then_some(())
        });
    }

    /// Waits until a background process has ended; gives its exit code.
    pub(crate) fn await_exit(process: &mut Process) -> i32 {
        wait::until_blocking("the end of windlass", || process.exited())
    }
}
