//! Sources against real repositories and real servers: `git http-backend` behind TLS, `sshd`, file paths, folders.
//!
//! Needs the programs git and sshd (Debian: git, openssh-server); a test that misses one fails and says so.

#![expect(clippy::unwrap_used, reason = "clippy knows test functions, not the helpers that they share")]

mod folder;
mod git_server;
mod https;
mod local;
mod repository;
mod ssh;
mod watch;
