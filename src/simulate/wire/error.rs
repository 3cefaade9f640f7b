//! What goes wrong, in OpenAI's words; other providers' words for it are in [`super::told`].

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::simulate::engine::{Metric, Refusal, Refused429, Shown};

use super::headers::{go_duration, whole_millis_up};

/// An error as OpenAI tells it.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct WireError {
    pub status: StatusCode,
    pub message: String,
    pub kind: &'static str,
    pub param: Option<&'static str>,
    pub code: Option<&'static str>,
    /// What happened, for those who tell it otherwise.
    pub cause: Box<Cause>,
    /// The quotas to show in the headers.
    pub shown: Box<[Shown]>,
    /// When to try again.
    pub wait: Option<Duration>,
}

/// What happened.
#[derive(Debug, Clone)]
pub(in crate::simulate) enum Cause {
    /// The request is at fault, or what it asks for is not there.
    Request,
    /// The key is none.
    Key,
    /// The account has no money left.
    Money,
    /// There is no such model.
    Model(String),
    /// A limit has no room.
    Limit(Limited),
    /// The request is larger than a limit.
    Large(Limited),
    /// Too many requests are under way.
    Slots,
    /// The provider failed.
    Failure,
    /// It has too much to do.
    Overload,
}

/// Which limit of whom has no room for what.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Limited {
    pub organisation: Arc<str>,
    pub model: String,
    pub metric: Metric,
    pub limit: u64,
    /// What is used of it; of what can never fit nobody asks.
    pub used: Option<u64>,
    pub requested: u64,
}

impl WireError {
    /// Creates a 400 `invalid_request_error`.
    pub(in crate::simulate) fn bad_request(
        message: impl Into<String>,
        param: Option<&'static str>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, message.into(), param)
    }

    /// Creates the 400 of a prompt that does not fit the model.
    pub(in crate::simulate) fn too_long(message: String) -> Self {
        let code = Some("context_length_exceeded");
        let status = StatusCode::BAD_REQUEST;
        Self::new(status, "invalid_request_error", code, message, Some("messages"))
    }

    /// Creates the 404 of a path or object that does not exist.
    pub(in crate::simulate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", None, message.into(), None)
    }

    /// Creates the 400 of a response that goes on with one that does not exist.
    pub(in crate::simulate) fn no_response(id: &str) -> Self {
        let message = format!("Previous response with id '{id}' not found.");
        Self {
            code: Some("previous_response_not_found"),
            ..Self::bad_request(message, Some("previous_response_id"))
        }
    }

    /// Creates an injected server error; `overloaded` makes it a 503.
    pub(in crate::simulate) fn server_error(overloaded: bool) -> Self {
        if overloaded {
            let message = "The server is overloaded or not ready yet.".to_owned();
            let code = Some("server_is_overloaded");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let error = Self::new(status, "service_unavailable_error", code, message, None);
            return Self { cause: Cause::Overload.into(), ..error };
        }
        let message =
            "The server had an error while processing your request. Sorry about that!".to_owned();
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let error = Self::new(status, "server_error", None, message, None);
        Self { cause: Cause::Failure.into(), ..error }
    }

    /// Puts a refusal of the engine into words.
    pub(in crate::simulate) fn refusal(refusal: Refusal, key: &str, model: &str) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        match refusal {
            Refusal::InvalidKey => Self::invalid_key(key),
            Refusal::OutOfQuota { .. } => {
                let message = "You exceeded your current quota, please check your plan and billing \
                     details. For more information on this error, read the docs: \
                     https://platform.openai.com/docs/guides/error-codes/api-errors.";
                let kind = "insufficient_quota";
                let error = Self::new(status, kind, Some(kind), message.to_owned(), None);
                Self { cause: Cause::Money.into(), ..error }
            }
            Refusal::NoModel => Self::no_model(model),
            Refusal::RateLimited { lane, used, wait } => rate_limited(lane, used, wait, model),
            Refusal::TooLarge { lane } => {
                let message = format!(
                    "Request too large for {model} in organization {} on {}: Limit {}, Requested \
                     {}. The input or output tokens must be reduced in order to run successfully. \
                     Visit https://platform.openai.com/account/rate-limits to learn more.",
                    lane.organisation,
                    words(lane.metric),
                    lane.limit,
                    lane.requested
                );
                let cause = Cause::Large(limited(&lane, None, model)).into();
                Self { cause, ..limit_error(lane.metric, message, lane.shown, None) }
            }
            Refusal::Concurrency { organisation, limit, shown } => {
                let message = format!(
                    "Rate limit reached for {model} in organization {organisation} on concurrent \
                     requests: Limit {limit}, Used {limit}, Requested 1."
                );
                let error = limit_error(Metric::RequestsPerMinute, message, shown, None);
                Self { cause: Cause::Slots.into(), ..error }
            }
        }
    }

    /// Creates the 404 of a model that does not exist.
    pub(in crate::simulate) fn no_model(model: &str) -> Self {
        let message =
            format!("The model `{model}` does not exist or you do not have access to it.");
        let code = Some("model_not_found");
        let error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", code, message, None);
        Self { cause: Cause::Model(model.to_owned()).into(), ..error }
    }

    fn invalid_key(key: &str) -> Self {
        let start: String = key.chars().take(3).collect();
        let end: Vec<char> = key.chars().rev().take(4).collect();
        let end: String = end.into_iter().rev().collect();
        let shown =
            if key.chars().count() > 10 { format!("{start}****{end}") } else { "***".into() };
        let message = if key.is_empty() {
            "You didn't provide an API key. You need to provide your API key in an Authorization \
             header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
                .to_owned()
        } else {
            format!(
                "Incorrect API key provided: {shown}. You can find your API key at \
                 https://platform.openai.com/account/api-keys."
            )
        };
        let code = if key.is_empty() { None } else { Some("invalid_api_key") };
        let error =
            Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", code, message, None);
        Self { cause: Cause::Key.into(), ..error }
    }

    fn new(
        status: StatusCode,
        kind: &'static str,
        code: Option<&'static str>,
        message: String,
        param: Option<&'static str>,
    ) -> Self {
        let (cause, shown) = (Box::new(Cause::Request), Box::default());
        Self { status, message, kind, param, code, cause, shown, wait: None }
    }
}

fn rate_limited(lane: Refused429, used: u64, wait: Duration, model: &str) -> WireError {
    let rounded = Duration::from_millis(u64::try_from(whole_millis_up(wait)).unwrap_or(u64::MAX));
    let message = format!(
        "Rate limit reached for {model} in organization {} on {}: Limit {}, Used {used}, Requested \
         {}. Please try again in {}. Visit https://platform.openai.com/account/rate-limits to \
         learn more.",
        lane.organisation,
        words(lane.metric),
        lane.limit,
        lane.requested,
        go_duration(rounded)
    );
    let cause = Cause::Limit(limited(&lane, Some(used), model)).into();
    WireError { cause, ..limit_error(lane.metric, message, lane.shown, Some(wait)) }
}

fn limited(lane: &Refused429, used: Option<u64>, model: &str) -> Limited {
    Limited {
        organisation: Arc::clone(&lane.organisation),
        model: model.to_owned(),
        metric: lane.metric,
        limit: lane.limit,
        used,
        requested: lane.requested,
    }
}

fn limit_error(
    metric: Metric,
    message: String,
    shown: Vec<Shown>,
    wait: Option<Duration>,
) -> WireError {
    let kind = if metric.counts_requests() { "requests" } else { "tokens" };
    let status = StatusCode::TOO_MANY_REQUESTS;
    let error = WireError::new(status, kind, Some("rate_limit_exceeded"), message, None);
    WireError { shown: shown.into(), wait, ..error }
}

/// Returns OpenAI's words for what a limit counts.
pub(super) fn words(metric: Metric) -> &'static str {
    match metric {
        Metric::RequestsPerMinute | Metric::RequestsPerSlice => "requests per min (RPM)",
        Metric::RequestsPerDay => "requests per day (RPD)",
        Metric::TokensPerMinute | Metric::TokensPerSlice => "tokens per min (TPM)",
        Metric::TokensPerDay => "tokens per day (TPD)",
        Metric::InputPerMinute => "input tokens per min (ITPM)",
        Metric::OutputPerMinute => "output tokens per min (OTPM)",
    }
}
