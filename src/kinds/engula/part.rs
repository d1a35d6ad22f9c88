//! The five components and what differs between them.
//!
//! Pure data. Called by the rest of the family.

/// A component of a Cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Background,
    Engine,
    Journal,
    Kernel,
    Storage,
}

impl Part {
    /// All of them, sorted by name.
    pub(super) const ALL: [Self; 5] = [Self::Background, Self::Engine, Self::Journal, Self::Kernel, Self::Storage];

    /// The components whose Service and port every pod is told.
    pub(super) const TOLD: [Self; 3] = [Self::Journal, Self::Storage, Self::Kernel];

    /// Field in a Cluster, suffix of names, and value of the component label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Engine => "engine",
            Self::Journal => "journal",
            Self::Kernel => "kernel",
            Self::Storage => "storage",
        }
    }

    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Engine => "Engine",
            Self::Journal => "Journal",
            Self::Kernel => "Kernel",
            Self::Storage => "Storage",
        }
    }

    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Background => "backgrounds",
            Self::Engine => "engines",
            Self::Journal => "journals",
            Self::Kernel => "kernels",
            Self::Storage => "storages",
        }
    }

    /// Port where none is given.
    pub(super) const fn port(self) -> i32 {
        match self {
            Self::Kernel => 24567,
            Self::Engine => 24568,
            Self::Storage => 24569,
            Self::Journal => 24570,
            Self::Background => 24571,
        }
    }

    /// Whether it may keep data, and whether it has to.
    pub(super) const fn volume(self) -> Need {
        match self {
            Self::Background => Need::Never,
            Self::Engine => Need::Optional,
            Self::Journal | Self::Kernel | Self::Storage => Need::Required,
        }
    }

    /// What its pods find at their start, or end.
    pub(super) const fn waits_for(self) -> &'static [Self] {
        match self {
            Self::Journal | Self::Storage => &[],
            Self::Kernel => &[Self::Journal, Self::Storage],
            Self::Engine | Self::Background => &[Self::Kernel],
        }
    }

    /// The command of its container.
    pub(super) fn command(self, port: i32) -> Vec<String> {
        let address = format!("0.0.0.0:{port}");
        let words: &[&str] = match self {
            Self::Journal => &["journal", "run", &address, "--file", "/data"],
            Self::Storage => &["storage", "run", &address, "--file", "/data"],
            Self::Kernel => &[
                "kernel",
                "run",
                // The program asks for two addresses here and then finds its peers through the environment.
                "--journal",
                "0.0.0.0:9999",
                "--storage",
                "0.0.0.0:9999",
                &address,
                "--kube",
                "/data/kernel",
            ],
            Self::Engine => &["demo-engine", "run", &address],
            Self::Background => &["background", "run", &address],
        };
        std::iter::once("/bin/engula").chain(words.iter().copied()).map(str::to_owned).collect()
    }
}

/// Whether a component has a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Never,
    Optional,
    Required,
}
