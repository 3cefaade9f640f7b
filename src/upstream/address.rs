//! Where a request goes at its provider, and in which header its key stands there.
//!
//! Azure has two shapes of paths: `/openai/v1/chat/completions`, with the deployment as the model in the body, and
//! `/openai/deployments/NAME/chat/completions?api-version=DATE`, which its older versions ask for. Where the configuration
//! names an `api_version`, what a client asks for in OpenAI's way is asked for in the second. What a client asks for in
//! Azure's way stays as it is, and is asked for in OpenAI's where it goes to another provider
//! (<https://learn.microsoft.com/azure/ai-services/openai/reference>, read 2026-11-21).

use std::fmt::Write as _;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

use super::request::RequestError;
use crate::config::{AzureSettings, Dialect, UpstreamSettings};
use crate::units::{DEPLOYMENTS, deployment, unversioned};

/// How an upstream is addressed.
#[derive(Debug, Clone)]
pub struct Address {
    base: Uri,
    dialect: Dialect,
    azure: AzureSettings,
}

/// The header in which a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeader {
    /// `Authorization: Bearer`.
    Bearer,
    /// `api-key`, Azure's.
    ApiKey,
    /// `x-api-key`, Anthropic's.
    XApiKey,
}

impl Address {
    /// Returns how a provider at `base` is addressed that speaks `dialect`; `azure` is what only Azure's
    /// paths need.
    pub const fn new(base: Uri, dialect: Dialect, azure: AzureSettings) -> Self {
        Self { base, dialect, azure }
    }

    /// Returns how the upstream that `settings` describe is addressed.
    pub fn of_upstream(settings: &UpstreamSettings) -> Self {
        Self::new(settings.base_url.clone(), settings.dialect, settings.azure.clone())
    }

    /// Tells whether requests are bound to one region there, which costs more: OpenAI has a host for each
    /// (<https://developers.openai.com/api/docs/guides/data-residency>, read 2026-11-22).
    pub fn is_regional(&self) -> bool {
        let host = self.base.host().unwrap_or_default().to_ascii_lowercase();
        let region = host.strip_suffix(".api.openai.com");
        region.is_some_and(|region| region.len() == 2)
    }

    /// Returns how its provider speaks.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns the name by which `model` is asked for there.
    pub fn name_of<'a>(&'a self, model: &'a str) -> &'a str {
        let known = self.azure.deployments.iter().find(|known| known.model.as_str() == model);
        known.map_or(model, |known| &known.name)
    }

    /// Tells whether a model may be asked for by another name there.
    pub fn has_other_names(&self) -> bool {
        !self.azure.deployments.is_empty()
    }

    /// Tells whether a metered request for `path` names its model there in its path, and not in its body.
    pub fn names_in_path(&self, path: &str) -> bool {
        let by_deployment =
            self.azure.api_version.is_some() && is_of_a_deployment(unversioned(path));
        self.dialect == Dialect::Azure
            && (deployment(path).is_some() || !path.starts_with(AZURE) && by_deployment)
    }

    /// Returns where a request goes that asks for `asked`; the client's `/v1/x` and `/x` are both `x` below
    /// the base. `model` is the name under which a metered one is asked for.
    ///
    /// # Errors
    ///
    /// Returns [`RequestError::Path`] where the path does not begin with `/`, as in `OPTIONS *`.
    pub fn of(&self, asked: &Uri, model: Option<&str>) -> Result<Uri, RequestError> {
        let (path, query) = (asked.path(), asked.query());
        let below = self.base.path().trim_end_matches('/');
        if self.dialect == Dialect::Azure && path.starts_with(AZURE) {
            return match (model, deployment(path)) {
                (Some(model), Some((_, rest))) => {
                    self.at(&format!("{DEPLOYMENTS}{}{rest}", in_a_path(model)), query)
                }
                _ => self.at(path, query),
            };
        }
        let path = match model {
            // A client of Azure's, led elsewhere.
            Some(_) => deployment(path).map_or(path, |(_, rest)| rest),
            None => path,
        };
        let path = unversioned(path);
        if !path.is_empty() && !path.starts_with('/') {
            return Err(RequestError::Path);
        }
        let Some(version) = &self.azure.api_version else {
            let query = query.filter(|_| model.is_none() || deployment(asked.path()).is_none());
            return self.at(&format!("{below}{path}"), query);
        };
        let query = query.map(|query| format!("{query}&")).unwrap_or_default();
        let query = format!("{query}api-version={version}");
        match model.filter(|_| is_of_a_deployment(path)) {
            Some(model) => {
                let path = format!("{below}/deployments/{}{path}", in_a_path(model));
                self.at(&path, Some(&query))
            }
            None => self.at(&format!("{below}{path}"), Some(&query)),
        }
    }

    /// Returns where the key of a request for `path` stands. Anthropic takes it in OpenAI's way where it speaks
    /// OpenAI's words (<https://docs.claude.com/en/api/openai-sdk>, read 2026-11-21).
    pub fn key_header(&self, path: &str) -> KeyHeader {
        match self.dialect {
            Dialect::Azure => KeyHeader::ApiKey,
            Dialect::Anthropic if unversioned(path) == "/chat/completions" => KeyHeader::Bearer,
            Dialect::Anthropic => KeyHeader::XApiKey,
            _ => KeyHeader::Bearer,
        }
    }

    /// Returns the address of a path at the provider's host.
    fn at(&self, path: &str, query: Option<&str>) -> Result<Uri, RequestError> {
        let mut whole =
            String::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
        whole.push_str(path);
        if let Some(query) = query {
            whole.push('?');
            whole.push_str(query);
        }
        let whole = PathAndQuery::try_from(whole);
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(whole.map_err(|_| RequestError::Path)?);
        parts.scheme.get_or_insert(Scheme::HTTPS);
        Uri::from_parts(parts).map_err(|_| RequestError::Path)
    }
}

/// Tells whether Azure serves a path at a deployment.
fn is_of_a_deployment(path: &str) -> bool {
    let known = ["/chat/completions", "/completions", "/embeddings"];
    known.contains(&path) || path.starts_with("/audio/") || path.starts_with("/images/")
}

/// Returns a text as it may stand in a path, as one segment.
fn in_a_path(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'%') {
            written.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(written, "%{byte:02X}");
        }
    }
    written
}

const AZURE: &str = "/openai/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Deployment;
    use crate::units::ModelName;

    fn address(base: &str, dialect: Dialect, api_version: Option<&str>) -> Address {
        let mine = Deployment { model: ModelName::new("gpt-4o"), name: "mine".into() };
        let (deployments, api_version) = (vec![mine], api_version.map(str::to_owned));
        let base = base.parse().expect("a URL");
        Address::new(base, dialect, AzureSettings { deployments, api_version })
    }

    #[test]
    fn some_hosts_are_bound_to_a_region() {
        let cases = [
            ("https://api.openai.com/v1", false),
            ("https://eu.api.openai.com/v1", true),
            ("https://US.api.openai.com", true),
            ("https://evil.eu.api.openai.com", false),
            ("https://eu.example.com/v1", false),
        ];
        for (base, is_regional) in cases {
            let base = base.parse().expect("a URL");
            let address = Address::new(base, Dialect::OpenAi, AzureSettings::default());
            assert_eq!(address.is_regional(), is_regional, "{:?}", address.base);
        }
    }

    #[test]
    fn paths_with_and_without_v1_meet_below_the_base() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("https://a.b/v1",       "/v1/chat/completions",   "https://a.b/v1/chat/completions"),
            ("https://a.b/v1",       "/chat/completions",      "https://a.b/v1/chat/completions"),
            ("https://a.b/v1/",      "/v1/models",             "https://a.b/v1/models"),
            ("http://a.b:8000",      "/v1/models",             "http://a.b:8000/models"),
            ("https://a.b/v1",       "/v1",                    "https://a.b/v1"),
            ("https://a.b/v1",       "/v1beta/x",              "https://a.b/v1/v1beta/x"),
            ("https://a.b/v1",       "/v1/files?a=%2F&b=c+d",  "https://a.b/v1/files?a=%2F&b=c+d"),
            ("https://a.b/v1",       "/v1/a%20b//c/../d?",     "https://a.b/v1/a%20b//c/../d?"),
            ("https://a.b/x/openai", "/v1/models",             "https://a.b/x/openai/models"),
        ];
        for (base, asked, expected) in cases {
            let asked: Uri = asked.parse().expect("a path");
            let address = address(base, Dialect::OpenAi, None);
            assert_eq!(address.of(&asked, None).expect("a URL").to_string(), expected, "{asked}");
        }
        let none =
            address("https://a.b/v1", Dialect::OpenAi, None).of(&Uri::from_static("*"), None);
        assert_eq!(none.err(), Some(RequestError::Path));
    }

    #[test]
    fn azure_is_asked_for_deployments_in_either_shape() {
        let (v1, dated) = ("https://a.b/openai/v1", "https://a.b/openai");
        let date = Some("2024-10-21");
        #[rustfmt::skip] // One case a line.
        let cases = [
            (v1,    None, "/v1/chat/completions",  Some("mine"), "https://a.b/openai/v1/chat/completions"),
            (v1,    None, "/openai/v1/responses",  Some("mine"), "https://a.b/openai/v1/responses"),
            (v1,    None, "/openai/deployments/x/embeddings?api-version=1", Some("mine"), "https://a.b/openai/deployments/mine/embeddings?api-version=1"),
            (dated, date, "/v1/chat/completions",  Some("my one"), "https://a.b/openai/deployments/my%20one/chat/completions?api-version=2024-10-21"),
            (dated, date, "/chat/completions?x=y", Some("mine"), "https://a.b/openai/deployments/mine/chat/completions?x=y&api-version=2024-10-21"),
            (dated, date, "/v1/responses",         Some("mine"), "https://a.b/openai/responses?api-version=2024-10-21"),
            (dated, date, "/v1/models",            None,         "https://a.b/openai/models?api-version=2024-10-21"),
            (dated, date, "/openai/models?api-version=1", None,  "https://a.b/openai/models?api-version=1"),
        ];
        for (base, version, asked, model, expected) in cases {
            let asked: Uri = asked.parse().expect("a path");
            let address = address(base, Dialect::Azure, version);
            assert_eq!(address.of(&asked, model).expect("a URL").to_string(), expected, "{asked}");
        }
    }

    #[test]
    fn a_client_of_azures_is_led_elsewhere_in_openais_way() {
        let openai = address("https://a.b/v1", Dialect::OpenAi, None);
        let asked = Uri::from_static("/openai/deployments/x/chat/completions?api-version=1");
        let led = openai.of(&asked, Some("gpt-4o")).expect("a URL");
        assert_eq!(led.to_string(), "https://a.b/v1/chat/completions");
        assert!(!openai.names_in_path(asked.path()));
        let azure = address("https://a.b/openai/v1", Dialect::Azure, None);
        assert!(azure.names_in_path(asked.path()) && !azure.names_in_path("/v1/chat/completions"));
        assert_eq!((azure.name_of("gpt-4o"), azure.name_of("other")), ("mine", "other"));
    }

    #[test]
    fn each_dialect_has_its_keys_in_a_header_of_its_own() {
        let header = |dialect, path| address("https://a.b", dialect, None).key_header(path);
        assert_eq!(header(Dialect::OpenAi, "/v1/chat/completions"), KeyHeader::Bearer);
        assert_eq!(header(Dialect::Azure, "/v1/chat/completions"), KeyHeader::ApiKey);
        assert_eq!(header(Dialect::Anthropic, "/v1/messages"), KeyHeader::XApiKey);
        assert_eq!(header(Dialect::Anthropic, "/v1/chat/completions"), KeyHeader::Bearer);
    }
}
