//! What can be asked for.

/// What generates texts, vectors, judgements, images or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum Endpoint {
    Chat,
    Completions,
    Responses,
    Compaction,
    InputTokens,
    Embeddings,
    Moderations,
    ImageGenerations,
    ImageEdits,
    ImageVariations,
    Speech,
    Transcriptions,
    Translations,
    Videos,
    Messages,
    MessageTokens,
}

impl Endpoint {
    /// Returns the endpoint at a path without its `/v1`.
    pub(in crate::simulate) fn at(path: &str) -> Option<Self> {
        match path {
            "/chat/completions" => Some(Self::Chat),
            "/completions" => Some(Self::Completions),
            "/responses" => Some(Self::Responses),
            "/responses/compact" => Some(Self::Compaction),
            "/responses/input_tokens" => Some(Self::InputTokens),
            "/embeddings" => Some(Self::Embeddings),
            "/moderations" => Some(Self::Moderations),
            "/images/generations" => Some(Self::ImageGenerations),
            "/images/edits" => Some(Self::ImageEdits),
            "/images/variations" => Some(Self::ImageVariations),
            "/audio/speech" => Some(Self::Speech),
            "/audio/transcriptions" => Some(Self::Transcriptions),
            "/audio/translations" => Some(Self::Translations),
            "/videos" => Some(Self::Videos),
            "/messages" => Some(Self::Messages),
            "/messages/count_tokens" => Some(Self::MessageTokens),
            _ => None,
        }
    }

    /// Tells whether it makes images.
    pub(in crate::simulate) const fn makes_images(self) -> bool {
        matches!(self, Self::ImageGenerations | Self::ImageEdits | Self::ImageVariations)
    }

    /// Tells whether it listens to sound.
    pub(in crate::simulate) const fn listens(self) -> bool {
        matches!(self, Self::Transcriptions | Self::Translations)
    }

    /// Tells whether it takes forms, with files.
    pub(in crate::simulate) const fn takes_forms(self) -> bool {
        self.makes_images() || self.listens() || matches!(self, Self::Videos)
    }

    /// Tells whether it can answer with a stream.
    pub(super) const fn streams(self) -> bool {
        matches!(
            self,
            Self::Chat
                | Self::Completions
                | Self::Responses
                | Self::ImageGenerations
                | Self::ImageEdits
                | Self::Transcriptions
                | Self::Messages
        )
    }

    /// Tells whether it generates nothing that has tokens.
    pub(super) const fn generates_nothing(self) -> bool {
        matches!(
            self,
            Self::Embeddings
                | Self::Moderations
                | Self::InputTokens
                | Self::Videos
                | Self::MessageTokens
        )
    }

    /// Tells whether it is one of Anthropic's.
    pub(in crate::simulate) const fn is_anthropics(self) -> bool {
        matches!(self, Self::Messages | Self::MessageTokens)
    }

    /// Tells whether its prompt is what is charged.
    pub(in crate::simulate) const fn charges_prompt(self) -> bool {
        !matches!(self, Self::InputTokens | Self::Videos | Self::ImageVariations)
    }

    /// Returns the model of a request that names none, where it may.
    pub(super) const fn usual_model(self) -> Option<&'static str> {
        match self {
            Self::Moderations => Some("omni-moderation-latest"),
            Self::ImageVariations => Some("dall-e-2"),
            Self::Videos => Some("sora-2"),
            Self::InputTokens => Some("gpt-4o"),
            _ => None,
        }
    }
}
