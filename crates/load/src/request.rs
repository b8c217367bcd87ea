//! The bytes of an HTTP/1.1 request.

use std::io::Write as _;

use crate::scenario::{Endpoint, Filled, Template};

/// A request, rendered as far as it can be ahead of time.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) group: usize,
    /// The whole request when it is always the same.
    pub(crate) fixed: Option<Vec<u8>>,
    pub(crate) head_only: bool,
    /// Whether it may be sent again when the connection turns out to be closed (RFC 9110, section 9.2.2).
    pub(crate) idempotent: bool,
}

impl Prepared {
    pub(crate) fn new(endpoint: &Endpoint, host: &str) -> Self {
        let templates = endpoint.headers.iter().map(|(_, value)| value);
        let is_fixed = templates
            .chain([&endpoint.path])
            .chain(&endpoint.body)
            .all(|template| template.fixed().is_some());
        let fixed = is_fixed.then(|| {
            let mut out = Vec::new();
            let mut unused = bellwether_stats::random::Random::new(0);
            let mut filled = Filled {
                sequence: 0,
                random: &mut unused,
            };
            render(endpoint, host, &mut filled, &mut out);
            out
        });
        let method = &endpoint.method;
        Self {
            group: endpoint.group,
            fixed,
            head_only: *method == http::Method::HEAD,
            idempotent: method.is_idempotent(),
        }
    }
}

/// Appends the request with its values.
pub(crate) fn render(endpoint: &Endpoint, host: &str, filled: &mut Filled<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(endpoint.method.as_str().as_bytes());
    out.push(b' ');
    endpoint.path.fill(filled, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let has = |name: &str| {
        endpoint
            .headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if !has("host") {
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(host.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !has("user-agent") {
        out.extend_from_slice(USER_AGENT.as_bytes());
    }
    for (name, value) in &endpoint.headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        value.fill(filled, out);
        out.extend_from_slice(b"\r\n");
    }
    body(endpoint.body.as_ref(), &endpoint.method, filled, out);
}

const USER_AGENT: &str = "User-Agent: bellwether\r\n";

fn body(
    body: Option<&Template>,
    method: &http::Method,
    filled: &mut Filled<'_>,
    out: &mut Vec<u8>,
) {
    let Some(body) = body else {
        if [http::Method::POST, http::Method::PUT, http::Method::PATCH].contains(method) {
            out.extend_from_slice(b"Content-Length: 0\r\n");
        }
        out.extend_from_slice(b"\r\n");
        return;
    };
    let mut bytes = Vec::new();
    body.fill(filled, &mut bytes);
    // Writing to a vector cannot fail.
    drop(write!(out, "Content-Length: {}\r\n\r\n", bytes.len()));
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Expect;

    #[test]
    fn requests_are_whole() {
        let endpoint = Endpoint {
            group: 0,
            method: http::Method::POST,
            path: Template::parse("/a?b=1").unwrap(),
            headers: vec![("X-Y".to_owned(), Template::plain("z"))],
            body: Some(Template::plain("hello")),
            expect: Expect::Below400,
        };
        let prepared = Prepared::new(&endpoint, "localhost:80");
        assert!(!prepared.idempotent && !prepared.head_only);
        let text = String::from_utf8(prepared.fixed.unwrap()).unwrap();
        assert_eq!(
            text,
            "POST /a?b=1 HTTP/1.1\r\nHost: localhost:80\r\nUser-Agent: bellwether\r\nX-Y: z\r\nContent-Length: 5\r\n\r\nhello"
        );
        let changing = Endpoint {
            path: Template::parse("/${seq}").unwrap(),
            ..endpoint
        };
        assert!(Prepared::new(&changing, "h").fixed.is_none());
    }
}
