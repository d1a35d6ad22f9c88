//! Which commit to follow: the choice among the references that a repository shows.
//!
//! Pure: takes a list, gives a choice or says what there is instead.

use git2::Oid;

use super::super::error::{SourceError, reasons};
use crate::sync::spec::Reference;

/// What a source follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The repository's HEAD.
    Head,
    /// A branch.
    Branch(String),
    /// A tag.
    Tag(String),
    /// The highest tag in a range.
    Semver(semver::VersionReq),
    /// A commit.
    Commit(Oid),
}

impl Wanted {
    /// Reads `spec.source.ref`.
    ///
    /// # Errors
    /// If more than one field is set, or one cannot be used.
    pub(crate) fn new(reference: Option<&Reference>) -> Result<Self, SourceError> {
        let Some(Reference { branch, tag, semver, commit }) = reference else { return Ok(Self::Head) };
        let invalid = |message: String| SourceError::new(reasons::SPEC_INVALID, message);
        let name = |field: &str, prefix: &str, name: &str| {
            let name = name.strip_prefix(prefix).unwrap_or(name);
            if git2::Reference::is_valid_name(&format!("{prefix}{name}")) {
                Ok(name.to_owned())
            } else {
                Err(invalid(format!("source.ref.{field} is {name:?}, which git does not allow as a name")))
            }
        };
        match (branch, tag, semver, commit) {
            (None, None, None, None) => Ok(Self::Head),
            (Some(branch), None, None, None) => Ok(Self::Branch(name("branch", "refs/heads/", branch)?)),
            (None, Some(tag), None, None) => Ok(Self::Tag(name("tag", "refs/tags/", tag)?)),
            (None, None, Some(range), None) => semver::VersionReq::parse(range).map(Self::Semver).map_err(|error| {
                invalid(format!(
                    "source.ref.semver is {range:?}, which is not a range: {error}; write it as in \">=1.2, <2\""
                ))
            }),
            (None, None, None, Some(commit)) => match (commit.len(), Oid::from_str(commit)) {
                (40, Ok(oid)) => Ok(Self::Commit(oid)),
                _ => Err(invalid(format!(
                    "source.ref.commit is {commit:?}; write the commit's full name, 40 hexadecimal digits"
                ))),
            },
            _ => Err(invalid(
                "source.ref sets more than one of branch, tag, semver and commit; keep one of them".to_owned(),
            )),
        }
    }
}

/// A reference as a repository shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Full name, or `HEAD`.
    pub name: String,
    /// What it points at: a commit, or the object of an annotated tag.
    pub oid: Oid,
    /// Where HEAD points.
    pub symref: Option<String>,
}

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Name on the other side; none for a commit that no reference points at.
    pub name: Option<String>,
    /// What the name points at there.
    pub oid: Oid,
}

/// Picks the wanted reference.
///
/// # Errors
/// If it is not among `shown`; the message names what is.
pub(crate) fn choose(wanted: &Wanted, shown: &[Shown], place: &str) -> Result<Choice, SourceError> {
    let shown: Vec<&Shown> = shown.iter().filter(|shown| !shown.name.ends_with("^{}")).collect();
    if let Wanted::Commit(oid) = wanted {
        // A shallow fetch by name works on every server, one by commit does not.
        let name = shown.iter().find(|shown| shown.oid == *oid && shown.name.starts_with("refs/heads/"));
        return Ok(Choice { name: name.map(|shown| shown.name.clone()), oid: *oid });
    }
    if shown.is_empty() {
        return Err(SourceError::new(
            reasons::EMPTY_REPOSITORY,
            format!("the repository {place} has no commit yet; push one"),
        ));
    }
    let find = |name: &str| {
        let found = shown.iter().find(|shown| shown.name == name)?;
        Some(Choice { name: Some(found.name.clone()), oid: found.oid })
    };
    let missing = |what: String, prefix: &str, word: &str| {
        let names: Vec<&str> = shown.iter().filter_map(|shown| shown.name.strip_prefix(prefix)).collect();
        SourceError::new(reasons::REF_MISSING, format!("the repository {place} has no {what}; {}", there(&names, word)))
    };
    match wanted {
        Wanted::Head => {
            let head = shown.iter().find(|shown| shown.name == "HEAD");
            let Some(head) = head else {
                return Err(missing(
                    "commit at its HEAD (its default branch does not exist); set source.ref.branch".to_owned(),
                    "refs/heads/",
                    "branch",
                ));
            };
            let name = head.symref.as_ref().filter(|name| find(name).is_some());
            Ok(Choice { name: Some(name.cloned().unwrap_or_else(|| "HEAD".to_owned())), oid: head.oid })
        }
        Wanted::Branch(name) => find(&format!("refs/heads/{name}"))
            .ok_or_else(|| missing(format!("branch {name}"), "refs/heads/", "branch")),
        Wanted::Tag(name) => {
            find(&format!("refs/tags/{name}")).ok_or_else(|| missing(format!("tag {name}"), "refs/tags/", "tag"))
        }
        Wanted::Semver(range) => shown
            .iter()
            .filter_map(|shown| {
                let tag = shown.name.strip_prefix("refs/tags/")?;
                let version = semver::Version::parse(tag.strip_prefix(['v', 'V']).unwrap_or(tag)).ok()?;
                range.matches(&version).then_some((version, *shown))
            })
            // Of two tags of the same version the one without `v` would be as good; the order makes it one of them always.
            .max_by(|(a, at), (b, bt)| a.cmp(b).then_with(|| bt.name.cmp(&at.name)))
            .map(|(_, shown)| Choice { name: Some(shown.name.clone()), oid: shown.oid })
            .ok_or_else(|| missing(format!("tag in the range {range}"), "refs/tags/", "tag")),
        Wanted::Commit(oid) => Ok(Choice { name: None, oid: *oid }),
    }
}

fn there(names: &[&str], word: &str) -> String {
    const SHOWN: usize = 10;
    let plural = if word == "branch" { "branches" } else { "tags" };
    if names.is_empty() {
        return format!("it has no {plural} at all");
    }
    let list = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("its {} {list}{more}", if names.len() == 1 { format!("only {word} is") } else { format!("{plural} are") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(digit: char) -> Oid {
        Oid::from_str(&digit.to_string().repeat(40)).unwrap()
    }

    fn shown(rows: &[(&str, char)]) -> Vec<Shown> {
        rows.iter().map(|(name, digit)| Shown { name: (*name).to_owned(), oid: oid(*digit), symref: None }).collect()
    }

    fn semver(range: &str) -> Wanted {
        Wanted::new(Some(&Reference { semver: Some(range.into()), ..Reference::default() })).unwrap()
    }

    #[test]
    fn the_highest_version_in_the_range_wins_with_or_without_v() {
        let tags = shown(&[
            ("refs/tags/v1.2.0", '1'),
            ("refs/tags/1.10.0", '2'),
            ("refs/tags/v2.0.0", '3'),
            ("refs/tags/v1.11.0-rc.1", '4'),
            ("refs/tags/v1.10.0^{}", '5'),
            ("refs/tags/latest", '6'),
        ]);
        for (range, wanted) in [("1", '2'), (">=1.2.0, <1.5", '1'), ("*", '3'), (">=1.11.0-rc.0, <2", '4')] {
            assert_eq!(choose(&semver(range), &tags, "x").unwrap().oid, oid(wanted), "{range}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_there() {
        let refs =
            shown(&[("HEAD", '1'), ("refs/heads/main", '1'), ("refs/heads/dev", '2'), ("refs/tags/v1.0.0", '1')]);
        let missing = |wanted: &Wanted| {
            let error = choose(wanted, &refs, "/srv/x").unwrap_err();
            assert_eq!(error.reason, reasons::REF_MISSING);
            error.message
        };
        assert_eq!(
            missing(&Wanted::Branch("prod".into())),
            "the repository /srv/x has no branch prod; its branches are main, dev"
        );
        assert_eq!(missing(&Wanted::Tag("v2".into())), "the repository /srv/x has no tag v2; its only tag is v1.0.0");
        assert_eq!(missing(&semver("2")), "the repository /srv/x has no tag in the range ^2; its only tag is v1.0.0");
    }

    #[test]
    fn head_is_followed_to_its_branch() {
        let mut refs = shown(&[("HEAD", '1'), ("refs/heads/main", '1')]);
        assert_eq!(choose(&Wanted::Head, &refs, "x").unwrap().name.as_deref(), Some("HEAD"));
        refs[0].symref = Some("refs/heads/main".into());
        assert_eq!(choose(&Wanted::Head, &refs, "x").unwrap().name.as_deref(), Some("refs/heads/main"));
    }

    #[test]
    fn no_reference_at_all_is_an_empty_repository() {
        assert_eq!(choose(&Wanted::Head, &[], "x").unwrap_err().reason, reasons::EMPTY_REPOSITORY);
    }

    #[test]
    fn a_ref_that_cannot_be_used_is_refused() {
        for (reference, needle) in [
            (Reference { branch: Some("a".into()), tag: Some("b".into()), ..Reference::default() }, "more than one"),
            (Reference { branch: Some("a..b".into()), ..Reference::default() }, "does not allow"),
            (Reference { tag: Some(String::new()), ..Reference::default() }, "does not allow"),
            (Reference { semver: Some("newest".into()), ..Reference::default() }, "not a range"),
            (Reference { commit: Some("abc123".into()), ..Reference::default() }, "40 hexadecimal digits"),
            (Reference { commit: Some("z".repeat(40)), ..Reference::default() }, "40 hexadecimal digits"),
        ] {
            let error = Wanted::new(Some(&reference)).unwrap_err();
            assert_eq!(error.reason, reasons::SPEC_INVALID);
            assert!(error.message.contains(needle), "{error}");
        }
        let reference = Reference { branch: Some("refs/heads/main".into()), ..Reference::default() };
        assert_eq!(Wanted::new(Some(&reference)).unwrap(), Wanted::Branch("main".into()));
    }
}
