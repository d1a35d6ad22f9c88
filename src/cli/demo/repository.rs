//! The scratch repository, made from the files of `example-repo` that the binary carries.

use std::path::Path;

use anyhow::Context as _;
use include_dir::{Dir, include_dir};

static EXAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/example-repo");

/// Makes the repository with one commit on `main`; returns how many files it has. Needs no git and no git configuration,
/// and leaves an author in the repository's own, so that the user's commits need none either.
pub(super) fn make(folder: &Path) -> anyhow::Result<usize> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut options = git2::RepositoryInitOptions::new();
    options.initial_head("main").external_template(false);
    let repository = git2::Repository::init_opts(folder, &options)?;
    let mut config = repository.config()?.open_level(git2::ConfigLevel::Local)?;
    config.set_str("user.name", "Windlass demo")?;
    config.set_str("user.email", "demo@windlass.dev")?;
    config.set_bool("commit.gpgsign", false)?;
    EXAMPLE.extract(folder).with_context(|| format!("cannot write to {}", folder.display()))?;

    let mut index = repository.index()?;
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None)?;
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let author = git2::Signature::now("Windlass demo", "demo@windlass.dev")?;
    repository.commit(Some("HEAD"), &author, &author, "Start with the example repository", &tree, &[])?;
    Ok(index.len())
}
