//! Where a repository is.

use std::fmt;

use crate::target::{Target, TargetError};

/// A repository on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Path without a slash at its end.
    Http { target: Target, path: String },
    Ssh {
        /// `user@host`, as it is given to ssh.
        host: String,
        port: Option<u16>,
        path: String,
        addresses: Vec<std::net::SocketAddr>,
    },
}

/// Why an address is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(
        "{0:?} is no address of a repository: write http://host/path.git, ssh://host/path.git or host:path.git"
    )]
    Malformed(String),
}

impl Remote {
    /// Reads `http(s)://host/path`, `ssh://user@host:port/path` or `user@host:path`, and finds the host's addresses.
    pub fn resolve(text: &str) -> Result<Self, RemoteError> {
        let malformed = || RemoteError::Malformed(text.to_owned());
        if text.starts_with("http://") || text.starts_with("https://") {
            let target = Target::resolve(text)?;
            let path = target.path.trim_end_matches('/').to_owned();
            if path.is_empty() {
                return Err(malformed());
            }
            return Ok(Self::Http { target, path });
        }
        let (host, port, path) = match text.strip_prefix("ssh://") {
            Some(rest) => {
                let (authority, path) = rest.split_once('/').ok_or_else(malformed)?;
                let (host, port) = match authority.rsplit_once(':') {
                    Some((host, port)) if !port.ends_with(']') => {
                        (host, Some(port.parse().map_err(|_| malformed())?))
                    }
                    _ => (authority, None),
                };
                (host, port, format!("/{path}"))
            }
            None => {
                let (host, path) = text.split_once(':').ok_or_else(malformed)?;
                (host, None, path.to_owned())
            }
        };
        let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
        // What begins with a dash would be an option of ssh.
        if name.is_empty() || path.len() < 2 || host.starts_with('-') || path.contains('\'') {
            return Err(malformed());
        }
        let found = Target::resolve(&format!("http://{name}:{}/", port.unwrap_or(22)))?;
        Ok(Self::Ssh {
            host: host.to_owned(),
            port,
            path,
            addresses: found.addresses,
        })
    }

    /// Refuses a server that is neither this machine nor in a private network.
    pub fn must_be_near(&self) -> Result<(), TargetError> {
        let (name, addresses) = match self {
            Self::Http { target, .. } => return target.must_be_near(),
            Self::Ssh {
                host, addresses, ..
            } => (host, addresses),
        };
        let foreign = addresses
            .iter()
            .map(std::net::SocketAddr::ip)
            .find(|ip| !crate::target::is_near(*ip));
        match foreign {
            Some(address) => Err(TargetError::Foreign {
                name: name.clone(),
                address,
            }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { target, .. } => f.write_str(&target.url),
            Self::Ssh {
                host, port, path, ..
            } => match port {
                Some(port) => write!(f, "ssh://{host}:{port}{path}"),
                None => write!(f, "{host}:{path}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_read() {
        let all: Vec<String> = [
            "http://127.0.0.1:8080/a/b.git/",
            "ssh://git@127.0.0.1:2222/srv/x.git",
            "git@127.0.0.1:x.git",
            "-oProxyCommand=x@127.0.0.1:x.git",
            "ssh://127.0.0.1/it's",
            "127.0.0.1",
            "http://127.0.0.1/",
            "ssh://192.0.2.9/x.git",
        ]
        .map(|text| match Remote::resolve(text) {
            Ok(remote) => match remote.must_be_near() {
                Ok(()) => remote.to_string(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        })
        .into();
        insta::assert_snapshot!(all.join("\n"));
    }
}
