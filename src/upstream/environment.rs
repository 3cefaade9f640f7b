//! The environment variables that bear on how the provider is reached.

use std::fmt;
use std::path::PathBuf;

/// Forward proxies and extra roots, as the environment names them.
///
/// The one place where these variables are named: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
/// `NO_PROXY` (upper case wins over lower case; `HTTP_PROXY` counts only in lower case inside a CGI
/// program, where a request could set it), `SSL_CERT_FILE` and `SSL_CERT_DIR`. The default is an
/// empty environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NetworkEnvironment {
    /// The forward proxy for `https` upstreams; empty for none.
    pub https_proxy: String,
    /// The forward proxy for `http` upstreams; empty for none.
    pub http_proxy: String,
    /// Hosts that are reached directly, as curl reads them.
    pub no_proxy: String,
    /// A file of certificates that are trusted beside the built-in and the system's.
    pub cert_file: Option<PathBuf>,
    /// A folder of such files.
    pub cert_dir: Option<PathBuf>,
}

impl NetworkEnvironment {
    /// Reads the environment through `lookup`, which returns the value of a variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| lookup(name).filter(|text| !text.is_empty());
        let either = |upper: &str, lower: &str| value(upper).or_else(|| value(lower));
        let all = either("ALL_PROXY", "all_proxy").unwrap_or_default();
        let http = if value("REQUEST_METHOD").is_some() {
            value("http_proxy")
        } else {
            either("HTTP_PROXY", "http_proxy")
        };
        Self {
            https_proxy: either("HTTPS_PROXY", "https_proxy").unwrap_or_else(|| all.clone()),
            http_proxy: http.unwrap_or(all),
            no_proxy: either("NO_PROXY", "no_proxy").unwrap_or_default(),
            cert_file: value("SSL_CERT_FILE").map(PathBuf::from),
            cert_dir: value("SSL_CERT_DIR").map(PathBuf::from),
        }
    }
}

impl fmt::Debug for NetworkEnvironment {
    /// A proxy's address may hold a password, so only its presence is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkEnvironment")
            .field("https_proxy", &!self.https_proxy.is_empty())
            .field("http_proxy", &!self.http_proxy.is_empty())
            .field("no_proxy", &self.no_proxy)
            .field("cert_file", &self.cert_file)
            .field("cert_dir", &self.cert_dir)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> NetworkEnvironment {
        NetworkEnvironment::read(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn all_proxy_stands_in_for_what_is_not_named() {
        let environment = read(&[("ALL_PROXY", "http://a"), ("https_proxy", "http://b")]);
        assert_eq!(environment.https_proxy, "http://b");
        assert_eq!(environment.http_proxy, "http://a");
    }

    #[test]
    fn inside_cgi_a_request_header_cannot_name_the_proxy() {
        let environment = read(&[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil")]);
        assert_eq!(environment.http_proxy, "");
    }

    #[test]
    fn a_password_of_a_proxy_is_not_shown() {
        let shown = format!("{:?}", read(&[("HTTPS_PROXY", "http://user:hunter2@proxy")]));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
