//! Whose words the provider speaks.

use clap::ValueEnum;
use serde::Deserialize;

use super::wire::Endpoint;

/// Whose paths, headers, errors and habits are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Dialect {
    /// OpenAI's.
    #[default]
    OpenAi,
    /// Azure's: deployments, whole seconds, slices of ten seconds.
    Azure,
    /// Anthropic's: messages of its own, input and output limited apart.
    Anthropic,
    /// Groq's: requests are told per day, tokens per minute.
    Groq,
    /// Mistral's: no resets, `stream_options` is refused, usage comes without it.
    Mistral,
    /// Together's: limits per second.
    Together,
    /// Cerebras': minute and day apart, errors without an envelope.
    Cerebras,
    /// SambaNova's: requests only.
    SambaNova,
    /// Fireworks': limits without what is left of them.
    Fireworks,
    /// OpenRouter's: comments while one waits, errors inside answers.
    OpenRouter,
    /// DeepSeek's: as many at a time as there is room for, blank lines while one waits.
    DeepSeek,
    /// Google's, as OpenAI's SDK may ask it: errors in arrays.
    Gemini,
    /// That of vLLM: usage on every chunk where that is asked for.
    Vllm,
    /// That of Ollama: any key will do.
    Ollama,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::OpenAi,
        Self::Azure,
        Self::Anthropic,
        Self::Groq,
        Self::Mistral,
        Self::Together,
        Self::Cerebras,
        Self::SambaNova,
        Self::Fireworks,
        Self::OpenRouter,
        Self::DeepSeek,
        Self::Gemini,
        Self::Vllm,
        Self::Ollama,
    ];

    /// Returns its name, as it is written in commands and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
            Self::Groq => "groq",
            Self::Mistral => "mistral",
            Self::Together => "together",
            Self::Cerebras => "cerebras",
            Self::SambaNova => "sambanova",
            Self::Fireworks => "fireworks",
            Self::OpenRouter => "openrouter",
            Self::DeepSeek => "deepseek",
            Self::Gemini => "gemini",
            Self::Vllm => "vllm",
            Self::Ollama => "ollama",
        }
    }

    /// Returns what stands before the paths of endpoints, as the vendors' documentation has it; read 2026-11-21.
    pub const fn base(self) -> &'static str {
        match self {
            Self::Azure | Self::Groq => "/openai/v1",
            Self::Fireworks => "/inference/v1",
            Self::OpenRouter => "/api/v1",
            Self::Gemini => "/v1beta/openai",
            _ => "/v1",
        }
    }

    /// Takes a path apart: the deployment that it names, if any, and what stands behind the base.
    ///
    /// Azure's older paths name a deployment
    /// (<https://learn.microsoft.com/azure/ai-foundry/openai/reference>, read 2026-11-21).
    pub(super) fn place(self, path: &str) -> (Option<&str>, &str) {
        if self == Self::Azure
            && let Some(rest) = path.strip_prefix("/openai/deployments/")
            && let Some(end) = rest.find('/')
        {
            let (deployment, rest) = rest.split_at(end);
            return (Some(deployment), rest);
        }
        let bases = [self.base(), "/v1"];
        (None, bases.iter().find_map(|base| path.strip_prefix(base)).unwrap_or(path))
    }

    /// Tells whether there is such an endpoint.
    pub(super) const fn has(self, endpoint: Endpoint) -> bool {
        match self {
            Self::OpenAi | Self::Azure => !endpoint.is_anthropics(),
            // What OpenAI's SDK may ask of it
            // (<https://docs.claude.com/en/api/openai-sdk>, read 2026-11-21).
            Self::Anthropic => endpoint.is_anthropics() || matches!(endpoint, Endpoint::Chat),
            _ => matches!(
                endpoint,
                Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings | Endpoint::Responses
            ),
        }
    }

    /// Tells whether it looks at keys: a local server may not.
    pub(super) const fn asks_for_keys(self) -> bool {
        !matches!(self, Self::Ollama)
    }

    /// Returns the models that exist where nobody lists any, so that a mistyped name is answered with 404:
    /// families of the vendors' models pages, read 2026-11.
    pub(super) const fn usual_models(self) -> &'static [&'static str] {
        match self {
            Self::OpenAi | Self::Azure => &[
                "gpt-*",
                "chatgpt-*",
                "codex-*",
                "o1*",
                "o3*",
                "o4*",
                "text-embedding-*",
                "davinci-002",
                "babbage-002",
                "ft:*",
            ],
            Self::Anthropic => &["claude-*"],
            Self::Groq => &["llama-*", "meta-llama/*", "openai/gpt-oss-*", "qwen/*"],
            Self::Mistral => &["mistral-*", "ministral-*", "codestral-*", "devstral-*"],
            Self::Cerebras => &["llama*", "qwen-*", "gpt-oss-*", "zai-glm-*"],
            Self::Together | Self::OpenRouter | Self::Vllm => &["*/*"],
            Self::SambaNova => &["Meta-Llama-*", "DeepSeek-*", "gpt-oss-*"],
            Self::Fireworks => &["accounts/fireworks/models/*"],
            Self::DeepSeek => &["deepseek-*"],
            Self::Gemini => &["gemini-*", "models/gemini-*"],
            Self::Ollama => &["llama*", "qwen*", "gemma*", "gpt-oss*"],
        }
    }

    /// Returns those of them that are listed, where they exist.
    pub(super) const fn listed_models(self) -> &'static [&'static str] {
        match self {
            Self::OpenAi | Self::Azure => {
                &["gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "text-embedding-3-small"]
            }
            Self::Anthropic => &["claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5"],
            Self::Groq => &["llama-3.3-70b-versatile", "llama-3.1-8b-instant"],
            Self::Mistral => &["mistral-large-latest", "mistral-small-latest"],
            Self::Together => &["meta-llama/Llama-3.3-70B-Instruct-Turbo"],
            Self::Cerebras => &["llama3.1-8b", "zai-glm-4.7"],
            Self::SambaNova => &["Meta-Llama-3.3-70B-Instruct"],
            Self::Fireworks => &["accounts/fireworks/models/llama-v3p3-70b-instruct"],
            Self::OpenRouter => &["openai/gpt-4o-mini", "meta-llama/llama-3.3-70b-instruct"],
            Self::DeepSeek => &["deepseek-chat", "deepseek-reasoner"],
            Self::Gemini => &["gemini-2.5-flash", "gemini-2.5-pro"],
            Self::Vllm => &["Qwen/Qwen2.5-0.5B-Instruct"],
            Self::Ollama => &["llama3.2:latest"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_is_known_by_its_name() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_str(dialect.name(), false), Ok(dialect));
        }
        assert_eq!(Dialect::value_variants().len(), Dialect::ALL.len());
    }

    #[test]
    fn a_path_is_found_behind_the_base_and_may_name_a_deployment() {
        let chat = "/chat/completions";
        #[rustfmt::skip] // One case a line.
        let cases = [
            (Dialect::OpenAi,  "/v1/chat/completions",                      (None, chat)),
            (Dialect::OpenAi,  "/chat/completions",                         (None, chat)),
            (Dialect::Groq,    "/openai/v1/chat/completions",               (None, chat)),
            (Dialect::Gemini,  "/v1beta/openai/chat/completions",           (None, chat)),
            (Dialect::Azure,   "/openai/v1/chat/completions",               (None, chat)),
            (Dialect::Azure,   "/openai/deployments/mine/chat/completions", (Some("mine"), chat)),
            (Dialect::Azure,   "/openai/deployments/mine",                  (None, "/openai/deployments/mine")),
            (Dialect::OpenAi,  "/openai/deployments/mine/chat/completions", (None, "/openai/deployments/mine/chat/completions")),
        ];
        for (dialect, path, expected) in cases {
            assert_eq!(dialect.place(path), expected, "{dialect:?} {path}");
        }
    }
}
