//! What many attempts have in common.

use std::sync::Arc;

/// Who asked for what, and where it was served. What is not known is an empty text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Facet {
    /// The app.
    pub app: Arc<str>,
    /// How urgent it was.
    pub class: Arc<str>,
    /// The labels of the app, each once.
    pub labels: Vec<Arc<str>>,
    /// The upstream.
    pub upstream: Arc<str>,
    /// The account that pays.
    pub account: Arc<str>,
    /// The label of the key.
    pub key: Arc<str>,
    /// The front of the path.
    pub endpoint: Arc<str>,
    /// The model as the client names it.
    pub model: Arc<str>,
    /// The model as the upstream was asked for it.
    pub sent_model: Arc<str>,
    /// The model that answered, as the provider names it; empty where the answer does not tell.
    pub served_model: Arc<str>,
    /// The service tier, in the provider's word; empty where the answer does not tell.
    pub tier: Arc<str>,
}

impl Facet {
    /// Returns the name by which the provider counts: of the model that answered, where it tells.
    pub fn counted_as(&self) -> &Arc<str> {
        if self.served_model.is_empty() { &self.sent_model } else { &self.served_model }
    }
}
