//! known_hosts: which host keys may be shown by which host. OpenSSH's format: plain and hashed names, `[host]:port`,
//! patterns, `@revoked`.
//!
//! Pure. A host that is not listed is refused, and so is one that shows another key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::hmac;
use sha2::{Digest as _, Sha256};

/// The lines of a known_hosts file that could be read.
#[derive(Debug, Default)]
pub(crate) struct KnownHosts(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    revoked: bool,
    names: Names,
    kind: String,
    key: Vec<u8>,
}

#[derive(Debug)]
enum Names {
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    Patterns(Vec<String>),
}

/// What known_hosts says of a host and its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This host has this key.
    Known,
    /// Nothing is known of the host.
    Unknown,
    /// The host has other keys, of these kinds.
    Changed(Vec<String>),
    /// The key is revoked.
    Revoked,
}

impl KnownHosts {
    /// Reads the lines; those that say nothing (comments, other formats, certificate authorities) are left out.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Entry::parse).collect())
    }

    /// The kinds of keys known for a host, in the order of the lines.
    pub(crate) fn kinds(&self, host: &str, port: u16) -> Vec<&str> {
        let mut kinds = Vec::new();
        for entry in self.0.iter().filter(|entry| !entry.revoked && entry.names.contain(host, port)) {
            if !kinds.contains(&entry.kind.as_str()) {
                kinds.push(&entry.kind);
            }
        }
        kinds
    }

    /// Judges the key that a host shows.
    pub(crate) fn check(&self, host: &str, port: u16, key: &[u8]) -> Verdict {
        let mut known = false;
        let mut others = Vec::new();
        for entry in self.0.iter().filter(|entry| entry.names.contain(host, port)) {
            match (entry.key == key, entry.revoked) {
                (true, true) => return Verdict::Revoked,
                (true, false) => known = true,
                (false, false) => others.push(entry.kind.clone()),
                (false, true) => {}
            }
        }
        match (known, others.is_empty()) {
            (true, _) => Verdict::Known,
            (false, true) => Verdict::Unknown,
            (false, false) => {
                others.dedup();
                Verdict::Changed(others)
            }
        }
    }
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let mut fields = line.split_whitespace();
        let mut first = fields.next()?;
        let revoked = match first {
            "@revoked" => {
                first = fields.next()?;
                true
            }
            marker if marker.starts_with('@') => return None,
            _ => false,
        };
        let names = match first.strip_prefix("|1|") {
            Some(rest) => {
                let (salt, hash) = rest.split_once('|')?;
                Names::Hashed { salt: STANDARD.decode(salt).ok()?, hash: STANDARD.decode(hash).ok()? }
            }
            None => Names::Patterns(first.split(',').map(str::to_ascii_lowercase).collect()),
        };
        let kind = fields.next()?.to_owned();
        let key = STANDARD.decode(fields.next()?).ok()?;
        Some(Self { revoked, names, kind, key })
    }
}

impl Names {
    fn contain(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        let name = if port == 22 { host } else { format!("[{host}]:{port}") };
        match self {
            Self::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
            Self::Patterns(patterns) => {
                let denied = patterns.iter().any(|pattern| pattern.strip_prefix('!').is_some_and(|p| glob(p, &name)));
                !denied && patterns.iter().any(|pattern| !pattern.starts_with('!') && glob(pattern, &name))
            }
        }
    }
}

/// `*` stands for any text, `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// The fingerprint of a key as ssh-keygen shows it.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Two keys that are no keys: only their bytes count here.
    const A: &str = "QUFBQQ==";
    const B: &str = "QkJCQg==";

    fn check(text: &str, host: &str, port: u16) -> Verdict {
        KnownHosts::parse(text).check(host, port, b"AAAA")
    }

    #[test]
    fn names_ports_and_patterns_are_matched_as_openssh_does() {
        for (line, host, port, wanted) in [
            (format!("example.com ssh-ed25519 {A} a comment"), "example.com", 22, Verdict::Known),
            (format!("EXAMPLE.com ssh-ed25519 {A}"), "example.COM", 22, Verdict::Known),
            (format!("other,example.com ssh-ed25519 {A}"), "example.com", 22, Verdict::Known),
            (format!("example.com ssh-ed25519 {A}"), "example.com", 2222, Verdict::Unknown),
            (format!("[example.com]:2222 ssh-ed25519 {A}"), "example.com", 2222, Verdict::Known),
            (format!("[example.com]:2222 ssh-ed25519 {A}"), "example.com", 22, Verdict::Unknown),
            (format!("*.example.com,!bad.example.com ssh-ed25519 {A}"), "git.example.com", 22, Verdict::Known),
            (format!("*.example.com,!bad.example.com ssh-ed25519 {A}"), "bad.example.com", 22, Verdict::Unknown),
            (format!("example.com ssh-ed25519 {B}"), "example.com", 22, Verdict::Changed(vec!["ssh-ed25519".into()])),
            (format!("example.com ssh-rsa {B}\nexample.com ssh-ed25519 {A}"), "example.com", 22, Verdict::Known),
            (format!("@revoked * ssh-ed25519 {A}\nexample.com ssh-ed25519 {A}"), "example.com", 22, Verdict::Revoked),
            (format!("@cert-authority * ssh-ed25519 {A}"), "example.com", 22, Verdict::Unknown),
            (format!("# example.com ssh-ed25519 {A}"), "example.com", 22, Verdict::Unknown),
            ("example.com ssh-ed25519".to_owned(), "example.com", 22, Verdict::Unknown),
        ] {
            assert_eq!(check(&line, host, port), wanted, "{line} for {host}:{port}");
        }
    }

    #[test]
    fn a_hashed_name_is_recognised() {
        // Made by `ssh-keygen -H` from `example.com` would have a random salt; this one is written out.
        let salt = [7_u8; 20];
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        let hash = hmac::sign(&key, b"[example.com]:2222");
        let line = format!("|1|{}|{} ssh-ed25519 {A}", STANDARD.encode(salt), STANDARD.encode(hash));
        assert_eq!(check(&line, "example.com", 2222), Verdict::Known);
        assert_eq!(check(&line, "example.com", 22), Verdict::Unknown);
        assert_eq!(KnownHosts::parse(&line).kinds("example.com", 2222), ["ssh-ed25519"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_trusts_anybody(text in "\\PC{0,80}(\n\\PC{0,40})?") {
            prop_assert_ne!(KnownHosts::parse(&text).check("example.com", 22, b"never listed"), Verdict::Known);
        }

        #[test]
        fn a_pattern_without_wildcards_matches_only_itself(a in "[a-c.]{0,6}", b in "[a-c.]{0,6}") {
            prop_assert_eq!(glob(&a, &b), a == b);
            let star = format!("{a}*");
            prop_assert_eq!(glob(&star, &b), b.starts_with(&a));
        }
    }
}
