//! What a probe may ask, and of whom: the addresses that no probe ever reaches (design §6).
//!
//! Pure. Called by the families when they make a probe, and by `target::probe` again after every name was resolved and
//! every redirect was read: a name may lead anywhere.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Longest time for one try. Seconds.
pub const MOST_SECONDS: u32 = 5;

/// Where a probe goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `http`, `https` or `tcp`.
    pub scheme: &'static str,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Reads a probe's URL.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence about it. The URL itself is not in it: it may hold a password.
pub fn address(url: &str) -> Result<Address, String> {
    let uri: Uri = url.parse().map_err(|error| format!("is not a URL ({error})"))?;
    let (scheme, default) = match uri.scheme_str() {
        Some("http") => ("http", Some(80)),
        Some("https") => ("https", Some(443)),
        Some("tcp") => ("tcp", None),
        _ => return Err("does not begin with http://, https:// or tcp://".to_owned()),
    };
    let authority = uri.authority().ok_or("names no host")?;
    if authority.as_str().contains('@') {
        return Err("holds a user or password".to_owned());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    let port = match (authority.port_u16(), default) {
        (Some(0), _) => return Err("names port 0".to_owned()),
        (Some(port), _) => port,
        (None, Some(port)) if authority.port().is_none() && !authority.as_str().ends_with(':') => port,
        _ => return Err("names no port".to_owned()),
    };
    if let Ok(ip) = host.parse()
        && let Some(what) = forbidden(ip)
    {
        return Err(format!("leads to {what}, which no probe asks"));
    }
    Ok(Address { scheme, host, port })
}

/// What an address is that no probe may reach; none if it may.
#[must_use]
pub fn forbidden(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => forbidden_v4(ip),
        IpAddr::V6(ip) => forbidden_v6(ip),
    }
}

fn forbidden_v4(ip: Ipv4Addr) -> Option<&'static str> {
    // What clouds answer on beside link-local addresses: Alibaba, Azure, Oracle.
    const METADATA: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
    if ip.is_link_local() {
        Some("a link-local address")
    } else if METADATA.contains(&ip) {
        Some("a metadata service")
    } else if ip.octets()[0] == 0 || ip.is_broadcast() || ip.is_multicast() {
        Some("an address that is no host's")
    } else {
        None
    }
}

fn forbidden_v6(ip: Ipv6Addr) -> Option<&'static str> {
    const METADATA: [Ipv6Addr; 2] =
        [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];
    let parts = ip.segments();
    // An IPv4 address in other clothes: mapped, compatible, NAT64, 6to4.
    let last = Ipv4Addr::from(u32::from(parts[6]) << 16 | u32::from(parts[7]));
    let inner = match parts {
        [0, 0, 0, 0, 0, 0xffff | 0, ..] if !ip.is_loopback() => Some(last),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(last),
        [0x2002, high, low, ..] => Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        _ => None,
    };
    if let Some(inner) = inner {
        return forbidden_v4(inner);
    }
    if ip.is_unicast_link_local() {
        Some("a link-local address")
    } else if METADATA.contains(&ip) {
        Some("a metadata service")
    } else if ip.is_multicast() {
        Some("an address that is no host's")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let wanted = |scheme, host: &str, port| Ok(Address { scheme, host: host.to_owned(), port });
        assert_eq!(address("https://id.example.com/duc"), wanted("https", "id.example.com", 443));
        assert_eq!(address("http://10.0.0.1:8080"), wanted("http", "10.0.0.1", 8080));
        assert_eq!(address("tcp://db.example.com:3306"), wanted("tcp", "db.example.com", 3306));
        assert_eq!(address("http://[::1]:80/"), wanted("http", "::1", 80));
    }

    #[test]
    fn what_no_probe_may_ask_is_refused_by_its_text() {
        for url in [
            "file:///etc/passwd",
            "mysql://db:3306",
            "/etc/passwd",
            "",
            "tcp://db",
            "http://db:0/",
            "http://user:secret@host/",
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://0.0.0.0:80/",
            "http://[::]/",
            "tcp://224.0.0.1:1",
        ] {
            let error = address(url).expect_err(url);
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn private_addresses_are_where_most_middleware_is() {
        for ip in ["10.0.0.1", "192.168.1.1", "127.0.0.1", "::1", "fd12::1", "8.8.8.8"] {
            assert_eq!(forbidden(ip.parse().unwrap()), None, "{ip}");
        }
    }
}
