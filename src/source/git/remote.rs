//! A repository on a server: asked what it has, fetched only when that is new, as little as the server allows.

use std::sync::Arc;

use git2::{Direction, FetchOptions, Oid, Repository};

use super::super::error::{SourceError, reasons};
use super::super::transport::{self, Link};
use super::{Choice, Inner, Shown, Trouble, Wanted, refs, store};

/// Asks for all history, also where the clone has none.
const ALL: i32 = i32::MAX;
/// Only the commit itself.
const ONE: i32 = 1;

/// Picks the wanted commit and fetches it if the clone does not have it.
pub(super) fn fetch(inner: &Inner, clone: &Repository, wanted: &Wanted) -> Result<(Choice, Oid), Trouble> {
    let link = Link::new(&inner.location, &inner.credentials, inner.timeouts);
    link.through(|| Session { inner, clone, link: &link }.fetch(wanted))
}

/// Picks a branch or a tag by a name that may be either.
pub(super) fn resolve(inner: &Inner, clone: &Repository, name: &str) -> Result<Wanted, Trouble> {
    let link = Link::new(&inner.location, &inner.credentials, inner.timeouts);
    link.through(|| {
        let shown = Session { inner, clone, link: &link }.list()?;
        for (prefix, wanted) in
            [("refs/heads/", Wanted::Branch(name.to_owned())), ("refs/tags/", Wanted::Tag(name.to_owned()))]
        {
            if shown.iter().any(|shown| shown.name.strip_prefix(prefix) == Some(name)) {
                return Ok(wanted);
            }
        }
        Err(super::no_such(name, &inner.location).into())
    })
}

/// Brings all branches and tags with their history, for a commit whose full name is not known.
pub(super) fn everything(inner: &Inner, clone: &Repository) -> Result<(), Trouble> {
    let link = Link::new(&inner.location, &inner.credentials, inner.timeouts);
    link.through(|| Session { inner, clone, link: &link }.all())
}

struct Session<'a> {
    inner: &'a Inner,
    clone: &'a Repository,
    link: &'a Arc<Link>,
}

impl Session<'_> {
    fn remote(&self) -> Result<git2::Remote<'_>, Trouble> {
        self.clone.remote_anonymous(transport::URL).map_err(|error| Trouble::Clone(error.message().to_owned()))
    }

    fn list(&self) -> Result<Vec<Shown>, Trouble> {
        let mut remote = self.remote()?;
        let connection =
            remote.connect_auth(Direction::Fetch, None, None).map_err(|error| self.explain("ask", &error))?;
        let heads = connection.list().map_err(|error| self.explain("ask", &error))?;
        Ok(heads
            .iter()
            .map(|head| Shown {
                name: head.name().to_owned(),
                oid: head.oid(),
                symref: head.symref_target().map(str::to_owned),
            })
            .collect())
    }

    fn fetch(&self, wanted: &Wanted) -> Result<(Choice, Oid), Trouble> {
        let place = self.inner.location.to_string();
        let shown = self.list()?;
        let choice = refs::choose(wanted, &shown, &place)?;
        // What an annotated tag points at is shown beside it.
        let peeled = choice.name.as_ref().map(|name| format!("{name}^{{}}"));
        let commit =
            shown.iter().find(|shown| Some(&shown.name) == peeled.as_ref()).map_or(choice.oid, |shown| shown.oid);
        if store::is_complete(self.clone, commit) {
            return Ok((choice, commit));
        }
        let from = choice.name.clone().unwrap_or_else(|| choice.oid.to_string());
        let spec = format!("+{from}:refs/windlass/fetched");
        if let Some(why) = self.download(&[&spec], ONE)? {
            // A server that cannot do with one commit alone is asked for more.
            tracing::debug!(source = %place, why, "A shallow fetch was refused; history is fetched, too");
            match choice.name {
                Some(_) => self.must_download(&[&spec])?,
                None => self.all()?,
            }
        }
        let object = self.clone.find_object(choice.oid, None).and_then(|object| object.peel_to_commit());
        match object {
            Ok(commit) => Ok((choice, commit.id())),
            Err(_) if choice.name.is_none() => {
                Err(super::no_such(&choice.oid.to_string(), &self.inner.location).into())
            }
            Err(error) if matches!(error.code(), git2::ErrorCode::Peel | git2::ErrorCode::InvalidSpec) => {
                Err(SourceError::new(
                    reasons::REF_MISSING,
                    format!("{} of {place} does not point at a commit", choice.name.unwrap_or_default()),
                )
                .into())
            }
            Err(error) => Err(Trouble::Clone(error.message().to_owned())),
        }
    }

    fn all(&self) -> Result<(), Trouble> {
        let specs = ["+refs/heads/*:refs/windlass/all/heads/*", "+refs/tags/*:refs/windlass/all/tags/*"];
        self.must_download(&specs)
    }

    fn must_download(&self, specs: &[&str]) -> Result<(), Trouble> {
        match self.download(specs, ALL)? {
            None => Ok(()),
            // What the clone offers as known is not there.
            Some(why) if store::is_damaged(self.clone) => Err(Trouble::Clone(why)),
            Some(why) => Err(SourceError::new(
                reasons::SOURCE_UNAVAILABLE,
                format!("cannot fetch {}: {why}", self.inner.location),
            )
            .into()),
        }
    }

    /// Fetches. None if that worked; the reason if the two sides did not agree on what to send.
    fn download(&self, specs: &[&str], depth: i32) -> Result<Option<String>, Trouble> {
        let mut options = FetchOptions::new();
        options.depth(depth).download_tags(git2::AutotagOption::None).update_fetchhead(false);
        match self.remote()?.fetch(specs, Some(&mut options), Some("fetched")) {
            Ok(()) => Ok(None),
            Err(error) => match self.link.failure() {
                Some(failure) => Err(failure.into()),
                None if error.class() == git2::ErrorClass::Os => {
                    Err(store::unwritable(&self.inner.clone, error.message()).into())
                }
                None => Ok(Some(error.message().to_owned())),
            },
        }
    }

    fn explain(&self, what: &str, error: &git2::Error) -> SourceError {
        self.link.failure().unwrap_or_else(|| {
            SourceError::new(
                reasons::SOURCE_UNAVAILABLE,
                format!("cannot {what} {}: {}", self.inner.location, error.message()),
            )
        })
    }
}
