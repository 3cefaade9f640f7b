//! How each vendor limits, where nothing else is said: its lowest paid tier, or what its free one has.
//!
//! What a vendor does not tell, as nearly none tells how it charges, is as OpenAI's limiter behaves: a bucket, and
//! the output bound reserved and given back.

use super::dialect::Dialect;
use super::engine::{AbsentMax, Charging, Counting, Limits, Slices};

impl Dialect {
    /// Returns the limits of an account where nobody configures others.
    pub fn usual_limits(self) -> Limits {
        match self {
            // GPT-4o mini's of usage tier 1 (OpenAI's model page, read 2026-11).
            Self::OpenAi => limited(Some(500), Some(200_000)),
            Self::Azure => azure(),
            // Claude Sonnet 4's of tier 1; a bucket, outputs are charged when they are produced
            // (<https://docs.claude.com/en/api/rate-limits>, read 2026-11-21).
            Self::Anthropic => Limits {
                input_per_minute: Some(30_000),
                output_per_minute: Some(8_000),
                charging: Charging::Split,
                ..limited(Some(50), None)
            },
            // Llama 3.3's, free (<https://console.groq.com/docs/rate-limits>, read 2026-11-22). Refusals there say what is
            // left of a bucket: 2,542 used and 9,855 requested of 12,000 have room after 1.985 s
            // (<https://github.com/ago19800/HomeMind/issues/29>, read 2026-11-22).
            Self::Groq => {
                Limits { requests_per_day: Some(1_000), ..limited(Some(30), Some(12_000)) }
            }
            // <https://github.com/mistralai/client-ts/issues/169>, read 2026-11-22; one request a second. What is left is
            // told without a reset, and less what the request cost.
            Self::Mistral => Limits {
                charging: Charging::Later,
                slices: Slices::Requests,
                ..limited(Some(60), Some(50_000))
            },
            // Limits are measured per second and shown per minute, and resets are when they are back at their initial
            // state (<https://docs.together.ai/docs/rate-limits>, read 2026-11-22), in OpenAI's words: a bucket that a second
            // fills. These are tier 1's (<https://github.com/bespokelabsai/curator/issues/484>, read 2026-11-22). What is
            // charged when nobody tells. Bounds cannot be: the free tier's second has 1,000 tokens, less than most are, and
            // what came back of one would come when its second is over.
            Self::Together => Limits {
                slices: Slices::RequestsAndTokens,
                slice_counting: Counting::Bucket,
                charging: Charging::Later,
                ..limited(Some(600), Some(180_000))
            },
            // <https://inference-docs.cerebras.ai/support/rate-limits>; what a request may use is taken when it is
            // admitted, 16,384 where it does not say (<https://github.com/dcdpr/jp/pull/1085>); read 2026-11-22.
            Self::Cerebras => Limits {
                requests_per_day: Some(14_400),
                tokens_per_day: Some(1_000_000),
                charging: Charging::Max,
                absent_max: AbsentMax::Tokens(16_384),
                ..limited(Some(30), Some(60_000))
            },
            // <https://docs.sambanova.ai/docs/en/models/rate-limits>, read 2026-11-22.
            Self::SambaNova => Limits { requests_per_day: Some(12_000), ..limited(Some(60), None) },
            // <https://docs.fireworks.ai/guides/quotas_usage/rate-limits>, read 2026-11-21.
            Self::Fireworks => limited(Some(600), Some(3_600_000)),
            // Those of free models (<https://openrouter.ai/docs/api-reference/limits>, read 2026-11-21).
            Self::OpenRouter => Limits { requests_per_day: Some(1_000), ..limited(Some(20), None) },
            // Prompts alone are limited (<https://ai.google.dev/gemini-api/docs/rate-limits>, read 2026-11-22).
            Self::Gemini => Limits {
                requests_per_day: Some(10_000),
                input_per_minute: Some(1_000_000),
                charging: Charging::Split,
                ..limited(Some(1_000), None)
            },
            // As many at a time as there is room for (<https://api-docs.deepseek.com/quick_start/rate_limit>, read
            // 2026-11-21).
            Self::DeepSeek => at_a_time(60),
            // The usual `--max-num-seqs` (<https://docs.vllm.ai/en/latest/configuration/engine_args.html>, read 2026-11-22).
            Self::Vllm => at_a_time(256),
            // `OLLAMA_MAX_QUEUE` (<https://github.com/ollama/ollama/blob/main/docs/faq.mdx>, read 2026-11-22).
            Self::Ollama => at_a_time(512),
        }
    }
}

/// The estimate of all that a request may use is added to what a minute has, which begins anew with each; six requests
/// for each 1,000 tokens, judged in slices of ten seconds
/// (<https://learn.microsoft.com/azure/ai-foundry/openai/how-to/quota>, read 2026-11-21).
fn azure() -> Limits {
    Limits {
        counting: Counting::Calendar,
        charging: Charging::Max,
        slices: Slices::Requests,
        slices_per_minute: 6,
        ..limited(Some(1_200), Some(200_000))
    }
}

fn limited(requests: Option<u64>, tokens: Option<u64>) -> Limits {
    Limits { requests_per_minute: requests, tokens_per_minute: tokens, ..Limits::default() }
}

fn at_a_time(requests: u64) -> Limits {
    Limits { concurrency: Some(requests), ..Limits::default() }
}
