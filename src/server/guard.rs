//! Keeps web pages out: a page in the user's browser must not spend the user's money.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header};

/// Tells whether a request may come in: `None` if so, else what is wrong with it.
///
/// A browser names the page in `Origin`, and the name it looked up in `Host`; with DNS rebinding that name
/// points here. Names of this machine and bare addresses are fine, as is a request without
/// `Origin`.
pub(super) fn objection(headers: &HeaderMap, uri: &Uri) -> Option<&'static str> {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let local = origin.to_str().is_ok_and(|origin| {
            origin.split_once("://").is_some_and(|(_, authority)| is_local_authority(authority))
        });
        if !local {
            return Some("the `Origin` header names a web page of another site");
        }
    }
    // HTTP/2 carries the authority in the request's URI.
    let host = match headers.get(header::HOST) {
        Some(host) => host.to_str().unwrap_or("?"),
        None => uri.authority().map_or("", http::uri::Authority::as_str),
    };
    let fine = host.is_empty() || is_local_authority(host) || is_address(host);
    (!fine).then_some("the `Host` header names neither this machine nor an address")
}

fn is_local_authority(authority: &str) -> bool {
    let host = host_of(authority);
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_address(authority: &str) -> bool {
    host_of(authority).parse::<IpAddr>().is_ok()
}

fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_addresses_are_let_in() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("127.0.0.1:8484",     None,                           true),
            ("localhost:8484",     None,                           true),
            ("[::1]:8484",         None,                           true),
            ("10.0.0.7:8484",      None,                           true),
            ("evil.example:8484",  None,                           false),
            ("127.0.0.1.evil.com", None,                           false),
            ("localhost:8484",     Some("https://evil.example"),   false),
            ("localhost:8484",     Some("http://localhost:3000"),  true),
            ("localhost:8484",     Some("null"),                   false),
        ];
        for (host, origin, let_in) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header value"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("a header value"));
            }
            let objection = objection(&headers, &Uri::from_static("/v1/models"));
            assert_eq!(objection.is_none(), let_in, "{host} {origin:?}: {objection:?}");
        }
    }
}
