//! What tests share: a real control plane with a pretended kubelet, a proxy that counts and breaks requests, git
//! repositories, and the binary under test.

pub(crate) mod control_plane;
pub(crate) mod git_repo;
pub(crate) mod kubelet;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod storm;
pub(crate) mod wait;
pub(crate) mod windlass;
