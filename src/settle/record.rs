//! What is known of a request besides its debit, and what it was settled with.

use std::time::Duration;

use http::Uri;
use tokio::time::Instant;

use super::Allowance;
use crate::call::Endpoint;
use crate::catalog::{Bought, Cost, Kind, Missing, ModelFacts, PriceList, Tier};
use crate::count::{Demand, Method};
use crate::ledger::Opening;
use crate::limit::QuotaKind;
use crate::telemetry::RequestLine;
use crate::units::{
    AccountName, Choice, KeyLabel, ModelName, Party, PicoUsd, RequestId, Served, Tokens,
    UpstreamName, Usage,
};

/// What is known of a request besides its debit.
#[derive(Debug, Clone)]
pub struct Record {
    /// The id under which the client is answered.
    pub id: RequestId,
    /// How often it was tried, this try included.
    pub attempt: u32,
    /// On whose behalf it was sent.
    pub party: Party,
    /// What was asked for.
    pub uri: Uri,
    /// How many bytes of its path lead to the upstream, and are not sent there.
    pub led: usize,
    /// The model as the client names it; empty for paths that have none.
    pub model: ModelName,
    /// The model as the upstream is asked for it.
    pub sent_model: ModelName,
    /// Whether it goes under another name, or elsewhere because it could not be served where it would
    /// have gone.
    pub is_diverted: bool,
    /// What is known of the model that is sent.
    pub facts: ModelFacts,
    /// As what its answer says that it was served; empty until it is settled.
    pub served: Served,
    /// Whether it goes to where requests are bound to one region.
    pub is_regional: bool,
    /// The form of the images that it is to make, such as `high/1024x1024`.
    pub image_form: Option<Box<str>>,
    /// The endpoint; `None` for paths that pass through and for websockets.
    pub endpoint: Option<Endpoint>,
    /// What the request was expected to cost.
    pub demand: Demand,
    /// What it has reserved of budgets.
    pub allowance: Option<Allowance>,
    /// When it arrived.
    pub arrived: Instant,
    /// How long it waited in line.
    pub queued: Duration,
    /// The quota that it waited for.
    pub waited_for: Option<QuotaKind>,
    /// Why its account and its key were taken.
    pub chosen: Choice,
    /// How long it would have waited, where nobody is held.
    pub would_wait: Option<Duration>,
    /// The upstream that it was sent to.
    pub upstream: Option<UpstreamName>,
    /// The account that it was sent for.
    pub account: Option<AccountName>,
    /// The label of the key that it was sent with.
    pub key: Option<KeyLabel>,
    /// The status that the client gets.
    pub status: u16,
    /// Why the provider gave no answer, where that is known.
    pub cause: Option<Box<str>>,
}

impl Record {
    /// Returns what is booked when a try is sent at `now`, which is expected to cost so much.
    pub(super) fn opening(&self, expected: Option<PicoUsd>, now: Instant) -> Opening {
        Opening {
            request: self.id.clone(),
            attempt: self.attempt,
            sent: now,
            arrived: self.arrived,
            queued: self.queued,
            waited_for: self.waited_for,
            chosen: self.chosen,
            party: self.party.clone(),
            uri: self.uri.clone(),
            led: self.led,
            endpoint: self.endpoint.map(Endpoint::path),
            model: self.model.clone(),
            sent_model: self.sent_model.clone(),
            upstream: self.upstream.clone(),
            account: self.account.clone(),
            key: self.key.clone(),
            demand: self.demand,
            expected,
        }
    }

    /// Adds to what an answer tells what is known from its request: what was to be read aloud, how many
    /// images were to be made, and of what the output is where the answer does not tell.
    pub(super) fn completed(&self, usage: Usage) -> Usage {
        let usage = Usage { images: self.demand.images, ..usage };
        let output = usage.output;
        match self.endpoint {
            Some(Endpoint::Speech) => {
                Usage { spoken: self.demand.characters, output_audio: output, ..usage }
            }
            Some(Endpoint::ImageGenerations | Endpoint::ImageEdits)
                if usage.output_image == Tokens::ZERO =>
            {
                Usage { output_image: output, ..usage }
            }
            _ => usage,
        }
    }

    /// Returns what the request uses by its count if its output has so many tokens.
    pub fn counted(&self, output: Tokens) -> Usage {
        self.completed(Usage { input: self.demand.input, output, ..Usage::default() })
    }

    /// Returns what `usage` costs.
    pub fn cost(&self, prices: &PriceList, usage: &Usage) -> Cost {
        match self.endpoint {
            // It is paid by the second, and nobody tells how many it has.
            Some(Endpoint::Videos) => Cost::Unknown(Missing::Count(Kind::Second)),
            _ => prices.cost(&self.bought(usage)),
        }
    }

    /// Returns what is bought by `usage`, to be charged for.
    fn bought<'a>(&'a self, usage: &'a Usage) -> Bought<'a> {
        let tier = match self.endpoint {
            Some(Endpoint::Decisions) => Tier::Decisions,
            _ => Tier::Standard,
        };
        let (model, form) = (self.sent_model.as_str(), self.image_form.as_deref());
        let upstream = self.upstream.as_ref().map(|upstream| upstream.as_str());
        let (served, is_regional) = (&self.served, self.is_regional);
        Bought { upstream, model, served, tier, is_regional, usage, form }
    }

    /// Writes the log line of the request, which is answered with `status`.
    pub fn log(
        &self,
        status: u16,
        (settlement, method): Known<'_>,
        ending: &'static str,
        now: Instant,
    ) {
        let Settlement { usage, cost } = settlement;
        let served = self.served.model.as_ref().filter(|served| **served != self.sent_model);
        RequestLine {
            id: &self.id,
            app: &self.party.app,
            class: self.party.class,
            path: self.uri.path(),
            model: &self.model,
            sent_model: Some(&self.sent_model).filter(|_| self.is_diverted),
            status,
            queued: self.queued,
            waited_for: self.waited_for,
            would_wait: self.would_wait,
            input: usage.input,
            cached: usage.cached,
            output: usage.output,
            // Where nothing was used nothing was counted.
            counted: if usage.is_none() { "" } else { method.label() },
            served_model: served,
            tier: self.served.tier.as_ref(),
            cost: cost.known(),
            upstream: self.upstream.as_ref(),
            account: self.account.as_ref(),
            key: self.key.as_ref(),
            ending,
            cause: self.cause.as_deref(),
            total: now.saturating_duration_since(self.arrived),
        }
        .write();
    }
}

/// What a request was settled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// What it used.
    pub usage: Usage,
    /// What that costs.
    pub cost: Cost,
}

/// What was settled, and how that is known.
pub type Known<'u> = (&'u Settlement, Method);

/// What was used of what was not served.
pub const NOTHING: Known<'static> =
    (&Settlement { usage: Usage::NONE, cost: Cost::Known(PicoUsd::ZERO) }, Method::Exact);
