//! What a simulated provider enforces: the settings of the engine.

use std::sync::Arc;
use std::time::Duration;

/// How a window is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counting {
    /// A level that refills continuously and holds at most one window's limit.
    #[default]
    Bucket,
    /// The sum over the window that ends now.
    Sliding,
    /// Windows that lie on the calendar: minutes and days since 1970-01-01 UTC.
    Calendar,
    /// Windows that begin with the first request after the last one has ended.
    FirstRequest,
}

/// What a request is charged, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charging {
    /// The larger of the output bound and the estimate of the prompt; never corrected.
    Max,
    /// Estimate and output bound at admission, corrected to the actual use at the end.
    #[default]
    Refund,
    /// The estimate at admission, the output when it is known.
    Later,
    /// Input and output against limits of their own: the input at admission, corrected at the end,
    /// the output when it is known.
    Split,
}

/// How the tokens of a prompt are estimated at admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Estimator {
    /// By the tokenizer.
    #[default]
    Tokens,
    /// A quarter of its characters, rounded up.
    Chars4,
    /// The larger of both.
    Max,
}

/// What an absent output bound counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AbsentMax {
    /// So many tokens a generation.
    Tokens(u64),
    /// The most that the model can write.
    #[default]
    Model,
}

/// When a refund of a bucket takes effect. Windows correct the window that was debited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefundAt {
    /// At present: what lies above the capacity is lost.
    #[default]
    Now,
    /// At the debit: the level becomes what it would be, had the debit been right from the start.
    Debit,
}

/// Limits for slices of the minute, on top of the minute's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slices {
    /// None.
    #[default]
    Off,
    /// Each part of the minute takes its part of the requests (rounded up).
    Requests,
    /// The same for tokens; an untouched slice takes one request of any size.
    RequestsAndTokens,
}

/// Whether a request that is refused for its tokens counts against the request limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refusals {
    /// It does where there is room ("unsuccessful requests contribute to your per-minute limit",
    /// OpenAI's rate-limit guide, 2026-11).
    #[default]
    Counted,
    /// It leaves everything untouched.
    Free,
}

/// Whether limits are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enforcement {
    /// What has no room is refused.
    #[default]
    On,
    /// Everything is admitted and counted, with headers as if it were enforced.
    Off,
}

/// The limits of a lane; `None` is unlimited.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Requests per minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens per minute; not used by [`Charging::Split`].
    pub tokens_per_minute: Option<u64>,
    /// Requests per day.
    pub requests_per_day: Option<u64>,
    /// Tokens per day, charged as the minute is.
    pub tokens_per_day: Option<u64>,
    /// Input tokens per minute; used by [`Charging::Split`] only.
    pub input_per_minute: Option<u64>,
    /// Output tokens per minute; used by [`Charging::Split`] only.
    pub output_per_minute: Option<u64>,
    /// Requests under way at one time.
    pub concurrency: Option<u64>,
    /// The length of a "minute"; shorter in tests.
    pub minute: Duration,
    /// The length of a "day"; shorter in tests.
    pub day: Duration,
    /// How windows are counted.
    pub counting: Counting,
    /// What is charged.
    pub charging: Charging,
    /// How prompts are estimated.
    pub estimator: Estimator,
    /// What an absent output bound counts as.
    pub absent_max: AbsentMax,
    /// When refunds of a bucket take effect.
    pub refund_at: RefundAt,
    /// Limits for slices of the minute.
    pub slices: Slices,
    /// Into how many slices the minute is cut.
    pub slices_per_minute: u32,
    /// How slices are counted.
    pub slice_counting: Counting,
    /// Whether refused requests count.
    pub refusals: Refusals,
    /// The share of every window that is used when the simulation starts, 0 to 1.
    pub used_at_start: f64,
    /// Traffic of others on the same quota.
    pub foreign: ForeignFlow,
    /// When the limits change, in order of time.
    pub changes: Vec<LimitChange>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            requests_per_day: None,
            tokens_per_day: None,
            input_per_minute: None,
            output_per_minute: None,
            concurrency: None,
            minute: Duration::from_secs(60),
            day: Duration::from_secs(86_400),
            counting: Counting::default(),
            charging: Charging::default(),
            estimator: Estimator::default(),
            absent_max: AbsentMax::default(),
            refund_at: RefundAt::default(),
            slices: Slices::default(),
            slices_per_minute: 60,
            slice_counting: Counting::Calendar,
            refusals: Refusals::default(),
            used_at_start: 0.0,
            foreign: ForeignFlow::default(),
            changes: Vec::new(),
        }
    }
}

/// A change of all limits of a lane over time: another tier, or less for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitChange {
    /// When, counted from the start.
    pub at: Duration,
    /// By what the limits of the start are multiplied from then on.
    pub factor: f64,
}

/// Traffic of others on the same quota: a Poisson flow of requests with exponential sizes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ForeignFlow {
    /// Requests per minute on average; 0: one for each 500 tokens.
    pub requests_per_minute: f64,
    /// Tokens per minute on average.
    pub tokens_per_minute: f64,
}

/// The limits of the models that a pattern names.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitRule {
    /// Which models: `*` stands for any text.
    pub models: String,
    /// Whether all these models draw from one lane; else each has a lane of its own.
    pub shared: bool,
    /// The limits.
    pub limits: Limits,
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyState {
    /// It works.
    #[default]
    Valid,
    /// It is answered with 401 `invalid_api_key`.
    Invalid,
    /// It is answered with 429 `insufficient_quota`.
    OutOfQuota,
}

/// A key of an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What the client sends.
    pub secret: Arc<str>,
    /// What it is good for at the start.
    pub state: KeyState,
    /// When it dies, counted from the start.
    pub dies_at: Option<Duration>,
    /// After how many admitted requests it dies.
    pub dies_after: Option<u64>,
    /// What it becomes when it dies.
    pub dies_as: KeyState,
}

impl Key {
    /// Creates a key that works for ever.
    pub fn valid(secret: &str) -> Self {
        Self {
            secret: secret.into(),
            state: KeyState::Valid,
            dies_at: None,
            dies_after: None,
            dies_as: KeyState::Invalid,
        }
    }
}

/// An owner of quotas.
#[derive(Debug, Clone, PartialEq)]
pub struct Organisation {
    /// Its name, as `openai-organization` and error messages show it.
    pub name: Arc<str>,
    /// Its keys.
    pub keys: Vec<Key>,
    /// Its limits; the first rule that matches a model counts, and a model that none matches is
    /// not limited.
    pub rules: Vec<LimitRule>,
}

/// The settings of the engine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// Who may ask.
    pub organisations: Vec<Organisation>,
    /// A key whose requests wait inside the simulator instead of being refused.
    pub oracle_key: Option<Arc<str>>,
    /// Whether limits are enforced.
    pub enforcement: Enforcement,
    /// The models that exist, by name or by pattern (`*` stands for any text); empty: any.
    pub models: Vec<String>,
    /// Seeds the traffic of others.
    pub seed: u64,
    /// The time from 1970-01-01 UTC to the start, which places calendar windows.
    pub epoch: Duration,
}

impl Rules {
    /// Tells whether there is a model of this name.
    pub fn has_model(&self, name: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| matches(pattern, name))
    }
}

/// Tells whether `pattern`, in which `*` stands for any text, matches the whole of `text`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else {
            return false;
        };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    true
}
