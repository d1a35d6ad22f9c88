//! A problem: what is wrong with a document or a file, where, and what to do about it.
//!
//! Pure data. Never holds a secret value. Made by `source`, `declared`, `kinds`, `expand` and `plan`; shown by `cli`,
//! `report` and `dashboard`. Every code has an entry in `docs/problems.md` (held by a test).

use serde::{Deserialize, Serialize};

/// Whether a problem keeps its document from being applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is not applied, and nothing it used to declare is pruned.
    Error,
    /// The document is applied.
    Warning,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The stable name of what is wrong. Closed set; each has an entry in `docs/problems.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of the docs.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as printed, as in `NotAnObject`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

codes! {
    // --- files
    /// A file is larger than the limit for documents.
    FileTooLarge,
    /// A file is not text: it holds NUL bytes or is not UTF-8.
    FileNotText,
    /// A path in the repository is not UTF-8.
    PathNotUtf8,
    /// A symbolic link points out of the repository.
    LinkLeavesTree,
    /// A symbolic link points at nothing, at a folder or at itself.
    LinkBroken,
    /// A file exists but cannot be read: no permission, not a regular file.
    FileUnreadable,
    /// A submodule lies in the path; its files are not read.
    SubmoduleSkipped,
    /// A folder named in `paths` is not in the revision.
    PathMissing,
    /// The revision, or the part of it named by `paths`, holds no document.
    NothingDeclared,
    // --- YAML
    /// A file is not valid YAML or JSON.
    YamlSyntax,
    /// A mapping holds the same key twice.
    DuplicateKey,
    /// A file expands aliases, nests or holds more nodes than the limit allows.
    YamlBudget,
    /// A file holds more documents than the limit allows.
    TooManyDocuments,
    /// A scalar is read otherwise than kubectl would read it.
    ScalarDiffers,
    // --- objects
    /// A document has no `apiVersion` or `kind`, or is not a mapping.
    NotAnObject,
    /// An object has no name, or one that Kubernetes refuses.
    InvalidName,
    /// An object's namespace is one that Kubernetes refuses, or a cluster-scoped object names one.
    InvalidNamespace,
    /// A label, annotation or other metadata field has the wrong shape.
    InvalidMetadata,
    /// The same object is declared twice.
    DuplicateObject,
    /// A field has the wrong type.
    WrongType,
    /// A required field is missing.
    MissingField,
    /// A field of a known kind does not exist.
    UnknownField,
    /// A field's value is not allowed.
    InvalidValue,
    /// The apiVersion of a known kind is not one that this version knows.
    UnknownVersion,
    /// A `kustomization.yaml` or Helm chart lies in the path; neither is built.
    NotRendered,
    /// An annotation under `windlass.dev/` is not known.
    UnknownAnnotation,
    /// Whether a kind has namespaces is not known; it was taken to have.
    ScopeAssumed,
    /// Two documents expand to the same object.
    NameConflict,
    /// Two documents claim the same port of every node.
    PortTaken,
    /// Steps wait for one another in a circle.
    DependencyCycle,
    /// An annotation `depends-on` names a step that is not in the plan.
    DependencyMissing,
    /// A password or token stands where everybody reads it.
    SecretInGit,
    /// A GitSync asks for something that this version does not do.
    NotSupported,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing wrong, as in design §5.2: `{code,severity,file,document,line,column,pointer,message}`.
/// The order of the fields is the order in which problems are sorted for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Errors come before warnings.
    pub severity: Severity,
    /// Path inside the repository, `/`-separated.
    pub file: Option<String>,
    /// Number of the document in the file, from 1.
    pub document: Option<u32>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// Column in the line, from 1, in characters.
    pub column: Option<u32>,
    /// JSON pointer into the document (RFC 6901), as in `/spec/size`.
    pub pointer: Option<String>,
    /// Stable name.
    pub code: Code,
    /// What was being done, what is wrong, and what to do next. One paragraph, no final newline.
    pub message: String,
}

impl Problem {
    /// A problem without a place yet.
    #[must_use]
    pub fn new(severity: Severity, code: Code, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: None,
            document: None,
            line: None,
            column: None,
            pointer: None,
            code,
            message: message.into(),
        }
    }

    /// An error without a place yet.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Says in which file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Says in which document (from 1).
    #[must_use]
    pub fn in_document(mut self, document: u32) -> Self {
        self.document = Some(document);
        self
    }

    /// Says at which line and column (from 1).
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// Says at which JSON pointer.
    #[must_use]
    pub fn pointing(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }
}

/// The form of `windlass validate`: `file:line:column: code: message`.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
                if let Some(column) = self.column {
                    write!(f, "{column}:")?;
                }
            }
            f.write_str(" ")?;
        }
        write!(f, "{}: ", self.code)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)
    }
}
