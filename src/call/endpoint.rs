//! Tells which requests are metered.

use http::Method;

/// A metered endpoint; every other path passes through uncounted but for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/embeddings`.
    Embeddings,
}

impl Endpoint {
    /// Returns the endpoint that `method` and `path` (without its query) ask for, with or without
    /// `/v1`: a client's base URL may lack it.
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        if method != Method::POST {
            return None;
        }
        match path.strip_prefix("/v1").unwrap_or(path) {
            "/chat/completions" => Some(Self::ChatCompletions),
            "/completions" => Some(Self::Completions),
            "/responses" => Some(Self::Responses),
            "/embeddings" => Some(Self::Embeddings),
            _ => None,
        }
    }

    /// Returns its path below the provider's base URL, fit to name it in logs and metrics.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Responses => "/responses",
            Self::Embeddings => "/embeddings",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_with_and_without_its_version() {
        let all = [
            Endpoint::ChatCompletions,
            Endpoint::Completions,
            Endpoint::Responses,
            Endpoint::Embeddings,
        ];
        for endpoint in all {
            assert_eq!(Endpoint::of(&Method::POST, endpoint.path()), Some(endpoint));
            let versioned = format!("/v1{}", endpoint.path());
            assert_eq!(Endpoint::of(&Method::POST, &versioned), Some(endpoint));
        }
    }

    #[test]
    fn what_generates_nothing_is_not_metered() {
        assert_eq!(Endpoint::of(&Method::GET, "/v1/responses"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1/responses/compact"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1/v1/completions"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1x/completions"), None);
    }
}
