//! What a run is aimed at, and whether it may be.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

/// An address of HTTP, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was written.
    pub url: String,
    pub tls: bool,
    /// Name or address, for TLS.
    pub name: String,
    /// What the `Host` header says.
    pub host: String,
    /// Path and query.
    pub path: String,
    pub addresses: Vec<SocketAddr>,
}

/// Why a target is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("{url:?} is no address of a target: {why}")]
    Malformed { url: String, why: String },
    #[error("{name}: no such host: {source}")]
    Unknown {
        name: String,
        source: std::io::Error,
    },
    #[error(
        "{name} is {address}, which is neither this machine nor a private network: load without the owner's leave is an attack"
    )]
    Foreign { name: String, address: IpAddr },
}

impl Target {
    /// Reads `http://host:port/path` (or `https`), and finds its addresses.
    pub fn resolve(url: &str) -> Result<Self, TargetError> {
        let malformed = |why: &str| TargetError::Malformed {
            url: url.to_owned(),
            why: why.to_owned(),
        };
        let with_scheme = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let uri: http::Uri = with_scheme
            .parse()
            .map_err(|error: http::uri::InvalidUri| malformed(&error.to_string()))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(malformed("it begins with http:// or https://")),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| malformed("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(malformed(
                "a name and password do not belong in it; send a header: -H 'Authorization: ...'",
            ));
        }
        let name = authority.host().trim_matches(['[', ']']).to_owned();
        if name.is_empty() {
            return Err(malformed("it names no host"));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none() {
            return Err(malformed("its port is no number up to 65535"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let mut addresses: Vec<SocketAddr> = (name.as_str(), port)
            .to_socket_addrs()
            .map_err(|source| TargetError::Unknown {
                name: name.clone(),
                source,
            })?
            .collect();
        addresses.sort();
        addresses.dedup();
        // One host by both families is one target: a server on 127.0.0.1 alone is not half down.
        if addresses.iter().any(SocketAddr::is_ipv4) && !authority.host().starts_with('[') {
            addresses.retain(SocketAddr::is_ipv4);
        }
        let path = uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        Ok(Self {
            url: with_scheme,
            tls,
            host: authority.as_str().to_owned(),
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path
            },
            name,
            addresses,
        })
    }

    /// Refuses a target that is neither this machine nor in a private network.
    pub fn must_be_near(&self) -> Result<(), TargetError> {
        let foreign = self
            .addresses
            .iter()
            .map(SocketAddr::ip)
            .find(|ip| !is_near(*ip));
        match foreign {
            Some(address) => Err(TargetError::Foreign {
                name: self.name.clone(),
                address,
            }),
            None => Ok(()),
        }
    }
}

/// Loopback, link-local and private addresses.
pub fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => is_near(mapped.into()),
            None => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::resolve("https://127.0.0.1/a?b=c").unwrap();
        assert!(target.tls && target.must_be_near().is_ok());
        assert_eq!(
            (target.host.as_str(), target.path.as_str()),
            ("127.0.0.1", "/a?b=c")
        );
        assert_eq!(target.addresses[0].port(), 443);
        let bare = Target::resolve("127.0.0.1:8080").unwrap();
        assert_eq!(
            (bare.url.as_str(), bare.path.as_str()),
            ("http://127.0.0.1:8080", "/")
        );
        assert_eq!(Target::resolve("http://[::1]:1/x").unwrap().name, "::1");
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let faults: Vec<String> = [
            "ftp://127.0.0.1/",
            "http://",
            "http://a:b@127.0.0.1/",
            "http://127.0.0.1:99999/",
            "",
        ]
        .map(|url| Target::resolve(url).unwrap_err().to_string())
        .into();
        insta::assert_snapshot!(faults.join("\n"));
    }

    #[test]
    fn foreign_networks_are_refused() {
        for (ip, near) in [
            ("127.8.8.8", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("192.168.0.1", true),
            ("169.254.1.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("::ffff:10.0.0.1", true),
            ("172.32.0.1", false),
            ("100.64.0.1", false),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
            ("::ffff:192.0.2.1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_near(ip.parse().unwrap()), near, "{ip}");
        }
        let target = Target::resolve("http://192.0.2.1/").unwrap();
        insta::assert_snapshot!(target.must_be_near().unwrap_err(), @"192.0.2.1 is 192.0.2.1, which is neither this machine nor a private network: load without the owner's leave is an attack");
    }
}
