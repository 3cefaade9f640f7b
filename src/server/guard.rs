//! Keeps web pages out: a page in the user's browser must not spend the user's money.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Uri, header};

/// Tells whether a request may come in: `None` if so, else what is wrong with it.
///
/// A browser names the page in `Origin`, and the name it looked up in `Host`; with DNS rebinding that name
/// points here. Names of this machine and bare addresses are fine, as is a request without
/// `Origin`, and one from an origin that is `known`. Where there are several names, all have to be.
pub(super) fn objection(
    headers: &HeaderMap,
    uri: &Uri,
    known: impl Fn(&HeaderValue) -> bool,
) -> Option<&'static str> {
    let is_here = |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|origin| {
            origin.split_once("://").is_some_and(|(_, authority)| is_local_authority(authority))
        })
    };
    if !headers.get_all(header::ORIGIN).iter().all(|origin| is_here(origin) || known(origin)) {
        return Some(OTHER_SITE);
    }
    let given = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    // HTTP/2 carries the authority in the request's URI, and a request to a forward proxy does.
    let mut hosts = given.chain(uri.authority().map(http::uri::Authority::as_str));
    let fine = hosts.all(|host| host.is_empty() || is_local_authority(host) || is_address(host));
    (!fine).then_some("the `Host` header names neither this machine nor an address")
}

/// What is wrong with a web page of an origin that is not known.
pub(super) const OTHER_SITE: &str = "the `Origin` header names a web page of another site";

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
            let objection = objection(&headers, &Uri::from_static("/v1/models"), |_| false);
            assert_eq!(objection.is_none(), let_in, "{host} {origin:?}: {objection:?}");
        }
    }

    #[test]
    fn one_name_of_another_place_among_several_keeps_a_request_out() {
        let here = HeaderValue::from_static("localhost:8484");
        let there = HeaderValue::from_static("evil.example");
        let page = |text| HeaderValue::from_static(text);
        let origins = [page("http://localhost:3000"), page("https://evil.example")];
        let ours = Uri::from_static("/line");
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (HeaderMap::from_iter([(header::HOST, here.clone())]),                                        Uri::from_static("http://evil.example/line")),
            (HeaderMap::from_iter([(header::HOST, here.clone()), (header::HOST, there)]),                 ours.clone()),
            (HeaderMap::from_iter(origins.map(|origin| (header::ORIGIN, origin))),                        ours.clone()),
        ];
        for (headers, uri) in cases {
            assert!(objection(&headers, &uri, |_| false).is_some(), "{headers:?} {uri}");
        }
        let headers = HeaderMap::from_iter([(header::HOST, here)]);
        let uri = Uri::from_static("http://127.0.0.1:8484/line");
        assert_eq!(objection(&headers, &uri, |_| false), None);
    }
}
