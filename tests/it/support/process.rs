//! Child processes that never outlive the test binary, however it ends.
//!
//! A small shell script, the reaper, holds the other end of a pipe. When the test binary ends (also by kill -9), the
//! pipe closes; the reaper kills what is still registered and removes the binary's scratch folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

const REAPER: &str = r#"
trap '' INT TERM HUP
read -r _
for file in "$1"/pids/*; do
  [ -e "$file" ] && kill -9 "${file##*/}" 2>/dev/null
done
rm -rf -- "$1"
"#;

struct Scratch {
    folder: PathBuf,
    /// Its stdin is held open for as long as the binary lives.
    _reaper: Child,
}

/// A folder that is removed when the test binary ends.
pub(crate) fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<Scratch> = OnceLock::new();
    let scratch = SCRATCH.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("windlass-it-").tempdir().expect("a temporary folder").keep();
        fs::create_dir(folder.join("pids")).expect("pids");
        let mut command = Command::new("sh");
        command.args(["-c", REAPER, "reaper"]).arg(&folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: Ctrl-C on a terminal must not reach it before the servers.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Scratch { folder, _reaper: command.spawn().expect("the reaper") }
    });
    &scratch.folder
}

/// A process that dies with the test binary at the latest, and when dropped. Its output is in a file.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its stdout and stderr going to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: PathBuf) -> io::Result<Self> {
        let out = fs::File::create(&log)?;
        let child = command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()?;
        fs::write(Self::registration(child.id()), name)?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    fn registration(pid: u32) -> PathBuf {
        scratch().join("pids").join(pid.to_string())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// What it has printed after so many bytes.
    pub(crate) fn log_after(&self, bytes: u64) -> String {
        use std::io::{Read as _, Seek as _};
        let mut text = Vec::new();
        if let Ok(mut file) = fs::File::open(&self.log) {
            _ = file.seek(io::SeekFrom::Start(bytes)).and_then(|_| file.read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The last lines of its output, under its name.
    pub(crate) fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("--- last lines of {}:\n{}\n", self.name, lines[lines.len().saturating_sub(25)..].join("\n"))
    }

    /// Its exit code if it has ended; a signal counts as -1.
    pub(crate) fn exited(&mut self) -> Option<i32> {
        let status = self.child.try_wait().ok().flatten()?;
        _ = fs::remove_file(Self::registration(self.id()));
        Some(status.code().unwrap_or(-1))
    }

    /// Sends it a signal by name, as in `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        signal_pid(self.id(), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited().is_none() {
            _ = self.child.kill();
            _ = self.child.wait();
            _ = fs::remove_file(Self::registration(self.id()));
        }
    }
}

/// Sends a signal to a process, by the shell's own `kill`.
pub(crate) fn signal_pid(pid: u32, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status();
    assert!(sent.is_ok(), "kill could not be run: {sent:?}");
}
