//! What a request is sent with, and whose it is.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::units::{KeyLabel, Secret};

/// What a request is sent with. Cloning it copies pointers.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Names the key to people; never the key itself.
    pub label: KeyLabel,
    /// What goes into the request's head.
    pub authorization: Authorization,
}

/// What goes into a request's head to pay for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// Ours, in place of whatever the client sent.
    Ours {
        /// The key.
        key: OwnKey,
        /// The value of `OpenAI-Organization`, where the account names one.
        organization: Option<HeaderValue>,
        /// The value of `OpenAI-Project`, where the account names one.
        project: Option<HeaderValue>,
    },
    /// The client's own, passed on as it came.
    Client,
}

/// A key of ours, as the value of each header that it may stand in; marked sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// With `Bearer` before it.
    pub bearer: HeaderValue,
    /// By itself.
    pub bare: HeaderValue,
}

impl Authorization {
    /// Creates the head of one of our own keys; `None` where a text cannot stand in a header.
    pub fn ours(
        secret: &Secret,
        organization: Option<&str>,
        project: Option<&str>,
    ) -> Option<Self> {
        let sensitive = |text: String| {
            let mut value = HeaderValue::try_from(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        let bearer = sensitive(format!("Bearer {}", secret.expose()))?;
        let key = OwnKey { bearer, bare: sensitive(secret.expose().to_owned())? };
        let value = |text: Option<&str>| text.map(HeaderValue::from_str).transpose().ok();
        Some(Self::Ours { key, organization: value(organization)?, project: value(project)? })
    }
}

/// Who a client is to the provider when it brings its own key: the owner of the quotas it uses.
///
/// Cloning it copies pointers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientKey {
    secret: Secret,
    organization: Secret,
    project: Secret,
}

impl ClientKey {
    /// Reads `Authorization` (else `x-api-key`, `api-key`), `OpenAI-Organization` and
    /// `OpenAI-Project`.
    ///
    /// A client without a key is a client too: servers of one's own often ask for none.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text =
            |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let secret = text(AUTHORIZATION.as_str())
            .or_else(|| text("x-api-key"))
            .or_else(|| text("api-key"))
            .unwrap_or_default();
        Self {
            secret: Secret::new(&*secret),
            organization: Secret::new(&*text("openai-organization").unwrap_or_default()),
            project: Secret::new(&*text("openai-project").unwrap_or_default()),
        }
    }

    /// Returns how many bytes remembering it takes.
    pub(super) fn length(&self) -> usize {
        [&self.secret, &self.organization, &self.project]
            .iter()
            .map(|secret| secret.expose().len())
            .sum()
    }

    /// Returns a label that tells clients apart and from which no key can be read.
    pub(super) fn label(&self) -> KeyLabel {
        let hash = xxhash_rust::xxh3::xxh3_64(self.secret.expose().as_bytes());
        KeyLabel::new(format!("client-{:08x}", hash >> 32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_credential_shows_its_secret() {
        let ours = Authorization::ours(&Secret::new("sk-secret"), Some("org-1"), None);
        let credential = Credential {
            label: KeyLabel::new("main"),
            authorization: ours.expect("fits into a header"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer sk-secret"));
        let client = ClientKey::from_headers(&headers);
        let shown = format!("{credential:?} {client:?} {}", client.label());
        assert!(!shown.contains("sk-secret"), "{shown}");
    }

    #[test]
    fn a_key_that_cannot_stand_in_a_header_is_no_credential() {
        assert!(Authorization::ours(&Secret::new("a\nb"), None, None).is_none());
    }
}
