//! The URL or path of a source: what it means, and how it is shown without credentials.
//!
//! Looks at the text only. Called by `Source::open` and wherever a URL stands in a message.

use std::path::PathBuf;

use reqwest::Url;

use super::error::{SourceError, reasons};

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A path on this machine.
    Local(PathBuf),
    /// Over HTTP or HTTPS; without userinfo, query and fragment, without a final slash.
    Http(Url),
    /// Over SSH.
    Ssh {
        /// Who logs in.
        user: String,
        /// Host name or address, IPv6 without brackets.
        host: String,
        /// Port, 22 where none is given.
        port: u16,
        /// Path on the server as its shell sees it; relative paths start in the user's home.
        path: String,
    },
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Http(url) => url.fmt(f),
            Self::Ssh { host, port, path, .. } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let port = if *port == 22 { String::new() } else { format!(":{port}") };
                let slash = if path.starts_with('/') { "" } else { "/~/" };
                write!(f, "ssh://{host}{port}{slash}{path}")
            }
        }
    }
}

/// Reads a URL or path as the user gave it.
///
/// # Errors
/// If it cannot be used; the message says why and never shows credentials.
pub(crate) fn parse(text: &str) -> Result<Location, SourceError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(invalid("the source has no URL; set source.url to a git repository or a folder"));
    }
    if text.contains(['\0', '\n', '\r']) {
        return Err(invalid("the source's URL holds a line break or NUL byte"));
    }
    if !text.contains("://") {
        return match scp_like(text) {
            Some(location) => location,
            None => Ok(Location::Local(PathBuf::from(text))),
        };
    }
    let shown = redact(text);
    let url = Url::parse(text).map_err(|error| invalid(format!("{shown} is not a URL: {error}")))?;
    match url.scheme() {
        "file" => url.to_file_path().map(Location::Local).map_err(|()| {
            invalid(format!("{shown} names a host; a file URL has three slashes, as in file:///srv/repo.git"))
        }),
        "http" | "https" => http(url, &shown),
        "ssh" | "git+ssh" | "ssh+git" => ssh(&url, &shown),
        other => {
            Err(invalid(format!("{shown} has the unknown scheme {other}; use https://, ssh://, file:// or a path")))
        }
    }
}

fn http(mut url: Url, shown: &str) -> Result<Location, SourceError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(format!(
            "the URL of {shown} holds a user name or password; remove them and put them into a Secret that \
             source.secretRef names (username, password or bearerToken)"
        )));
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(Location::Http(url))
}

fn ssh(url: &Url, shown: &str) -> Result<Location, SourceError> {
    if url.password().is_some() {
        return Err(invalid(format!(
            "the URL of {shown} holds a password; remove it and put an SSH key into a Secret that source.secretRef names \
             (identity, known_hosts)"
        )));
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(invalid(format!("{shown} names no host")));
    };
    let user = percent_decode(url.username());
    let path = percent_decode(url.path());
    // `/~/` is the user's home, as for git itself.
    let path = path.strip_prefix("/~/").map_or(path.clone(), str::to_owned);
    if path.trim_matches('/').is_empty() {
        return Err(invalid(format!("{shown} names no repository on the host")));
    }
    checked_ssh(&user, host.trim_matches(['[', ']']), url.port().unwrap_or(22), path, shown)
}

/// `user@host:path`: no slash before the first colon. None if the text is a path.
fn scp_like(text: &str) -> Option<Result<Location, SourceError>> {
    let at = text.find('@').filter(|at| !text.get(..*at).unwrap_or_default().contains('/'));
    let (user, rest) = match at {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => ("", text),
    };
    let (host, path) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => rest.split_once(':')?,
    };
    if host.contains('/') {
        return None;
    }
    let shown = format!("{host}:{path}");
    if path.starts_with(':') {
        return Some(Err(invalid(format!(
            "{shown} asks for a remote helper; use https://, ssh://, file:// or a path"
        ))));
    }
    if user.contains(':') {
        return Some(Err(invalid(format!(
            "the URL of {} holds a password; remove it and put an SSH key into a Secret that source.secretRef names \
             (identity, known_hosts)",
            redact(text)
        ))));
    }
    if host.is_empty() || path.trim_matches('/').is_empty() {
        return Some(Err(invalid(format!("{shown} names no host or no repository; write user@host:path"))));
    }
    let path = path.strip_prefix("~/").unwrap_or(path);
    Some(checked_ssh(user, host, 22, path.to_owned(), &shown))
}

fn checked_ssh(user: &str, host: &str, port: u16, path: String, shown: &str) -> Result<Location, SourceError> {
    // A name that starts with a dash could be read as an option by the other side.
    if host.starts_with('-') || user.starts_with('-') || path.starts_with('-') {
        return Err(invalid(format!("{shown} has a part that starts with a dash")));
    }
    let user = if user.is_empty() { "git" } else { user };
    Ok(Location::Ssh { user: user.to_owned(), host: host.to_owned(), port, path })
}

/// A URL as it may be shown: without userinfo, query and fragment. When in doubt, too much is cut.
pub(crate) fn redact(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    // The last @: a password may hold an unescaped slash or another @.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    format!("{scheme}{}", rest.get(..end).unwrap_or_default())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let decoded = (byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn invalid(message: impl Into<String>) -> SourceError {
    SourceError::new(reasons::URL_INVALID, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ssh(user: &str, host: &str, port: u16, path: &str) -> Location {
        Location::Ssh { user: user.into(), host: host.into(), port, path: path.into() }
    }

    #[test]
    fn urls_and_paths_are_told_apart() {
        for (text, wanted) in [
            ("/srv/repo", Location::Local("/srv/repo".into())),
            ("./a:b", Location::Local("./a:b".into())),
            (".", Location::Local(".".into())),
            ("dir/x@y:z", Location::Local("dir/x@y:z".into())),
            ("file:///srv/my%20repo", Location::Local("/srv/my repo".into())),
            ("git@example.com:team/repo.git", ssh("git", "example.com", 22, "team/repo.git")),
            ("example.com:/srv/repo.git", ssh("git", "example.com", 22, "/srv/repo.git")),
            ("git@[::1]:repo", ssh("git", "::1", 22, "repo")),
            ("ssh://me@example.com:2222/srv/repo.git", ssh("me", "example.com", 2222, "/srv/repo.git")),
            ("ssh://example.com/~/repo.git", ssh("git", "example.com", 22, "repo.git")),
            ("ssh://[::1]:2222/srv/a%20b", ssh("git", "::1", 2222, "/srv/a b")),
        ] {
            assert_eq!(parse(text).unwrap(), wanted, "{text}");
        }
        assert_eq!(parse("HTTPS://Example.com/a/b.git/?x=1").unwrap().to_string(), "https://example.com/a/b.git");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        for (text, needle) in [
            ("", "no URL"),
            ("ftp://example.com/x", "unknown scheme ftp"),
            ("git://example.com/x", "unknown scheme git"),
            ("ext::sh -c x", "remote helper"),
            ("https://", "is not a URL"),
            ("file://host/x", "three slashes"),
            ("ssh://example.com", "names no repository"),
            ("ssh://-oProxyCommand=x/y", "starts with a dash"),
            ("-oProxyCommand=x:y", "starts with a dash"),
            ("a\nb", "line break"),
        ] {
            match parse(text) {
                Err(error) => {
                    assert_eq!(error.reason, reasons::URL_INVALID);
                    assert!(error.message.contains(needle), "{text}: {error}");
                }
                Ok(location) => panic!("{text} was taken as {location:?}"),
            }
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_never_shown() {
        for text in [
            "https://me:s3cret@example.com/x.git",
            "https://s3cret@example.com/x.git",
            "https://me:s3/cr@et@example.com/x.git",
            "ssh://me:s3cret@example.com/x.git",
            "me:s3cret@example.com:x.git",
            "ftp://me:s3cret@example.com/x.git",
            "https://me:s3cret@exa mple/x",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.message.contains("s3"), "{error}");
        }
        assert!(parse("https://a:b@example.com/x").unwrap_err().message.contains("source.secretRef"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_shows_a_password(
            text in "\\PC{0,40}",
            scheme in "(https|ssh|http|ftp|x)://",
        ) {
            _ = parse(&text);
            _ = percent_decode(&text);
            let shown = match parse(&format!("{scheme}user:PASSWORD{text}@host/path")) {
                Ok(location) => location.to_string(),
                Err(error) => error.message,
            };
            // Text that itself moves the @ out of the userinfo is the reason for cutting at the last one.
            prop_assert!(!shown.contains("PASSWORD"), "{}", shown);
        }
    }
}
