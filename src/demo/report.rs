//! How it went, in numbers.

use serde::Serialize;

use super::Options;
use super::numbers::ratio;
use super::quota::Span;
use super::stage::Accounts;
use super::tally::Tally;
use super::watch::Watch;
use super::worker::Crew;
use super::workload::App;

/// How it went. As JSON, its fields are fixed: other programs read them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// How long the apps went on asking.
    pub(super) seconds: u64,
    /// Until the last answer.
    pub(super) seconds_to_last_answer: f64,
    /// The seed.
    pub(super) seed: u64,
    /// Answered requests.
    pub(super) requests: u64,
    /// 429s that reached an app.
    pub(super) refusals_seen_by_apps: u64,
    /// Requests of apps that failed in another way.
    pub(super) failures_seen_by_apps: u64,
    /// 429s of the provider.
    pub(super) refusals_at_provider: u64,
    /// The same for 1,000 requests that reached it.
    pub(super) refusals_at_provider_per_1000: f64,
    /// How much of the quota was used while somebody waited, 0 to 1; null where nobody waited.
    pub(super) quota_used: Option<f64>,
    /// What the apps would have used unhindered, in multiples of what the quotas granted.
    pub(super) wanted: f64,
    /// Tokens by the proxy's count: the sum of settled debits.
    pub(super) tokens_proxy: u64,
    /// Tokens by the provider's count, from `/sim/stats`.
    pub(super) tokens_provider: u64,
    /// Tokens by the answers that the apps got.
    pub(super) tokens_apps: u64,
    /// Input tokens as the proxy counted them before sending.
    pub(super) input_counted_before_sending: u64,
    /// Input tokens by the provider's count.
    pub(super) input_provider: u64,
    /// What it would have cost.
    pub(super) cost_usd: String,
    /// Each app.
    pub(super) apps: Vec<AppReport>,
    /// Each organisation's quota of tokens for each model.
    pub(super) lanes: Vec<LaneReport>,
}

/// How one app fared.
#[derive(Debug, Serialize)]
pub(super) struct AppReport {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    #[serde(skip)]
    pub(super) does: &'static str,
    pub(super) model: &'static str,
    pub(super) workers: usize,
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) waited_p50_ms: u64,
    pub(super) waited_p99_ms: u64,
    pub(super) tokens: u64,
}

/// How much of one quota was used while somebody waited.
#[derive(Debug, Serialize)]
pub(super) struct LaneReport {
    pub(super) organisation: String,
    pub(super) model: String,
    /// Tokens per window.
    pub(super) limit: u64,
    /// The length of the window.
    pub(super) window_seconds: u64,
    /// Tokens that were there to be used while somebody waited.
    pub(super) tokens_there: f64,
    /// Tokens charged meanwhile.
    pub(super) tokens_charged: f64,
    /// The second by the first; null where nobody waited.
    pub(super) quota_used: Option<f64>,
}

impl Report {
    /// Draws up the report; the apps are done.
    pub(super) fn new(options: Options, crew: &Crew, watch: &Watch, accounts: &Accounts) -> Self {
        let tallies = crew.tallies();
        let sum = |count: fn(&Tally) -> u64| tallies.iter().map(|(_, tally)| count(tally)).sum();
        let (admitted, refused) = (accounts.provider.admitted, accounts.provider.refused);
        Self {
            seconds: options.seconds,
            seconds_to_last_answer: (watch.elapsed().as_secs_f64() * 100.0).round() / 100.0,
            seed: options.seed,
            requests: sum(|tally| tally.done),
            refusals_seen_by_apps: sum(|tally| tally.refused),
            failures_seen_by_apps: sum(|tally| tally.failed),
            refusals_at_provider: refused,
            refusals_at_provider_per_1000: 1000.0 * ratio(refused, admitted + refused),
            quota_used: watch.spans().used(),
            wanted: wanted(&tallies, watch, options.seconds),
            tokens_proxy: accounts.settled,
            tokens_provider: accounts.provider.tokens(),
            tokens_apps: sum(|tally| tally.tokens),
            input_counted_before_sending: accounts.counted,
            input_provider: accounts.provider.input(),
            cost_usd: accounts.cost.clone(),
            apps: tallies.iter().map(AppReport::of).collect(),
            lanes: watch.spans().lanes().iter().map(LaneReport::of).collect(),
        }
    }

    /// Writes it as one line of JSON.
    pub(super) fn json(&self) -> String {
        // Plain numbers and texts cannot fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl AppReport {
    fn of((app, tally): &(App, Tally)) -> Self {
        let (p50, p99) = tally.waited();
        Self {
            name: app.name,
            class: app.class,
            does: app.does,
            model: app.model,
            workers: app.workers,
            requests: tally.done,
            refused: tally.refused,
            failed: tally.failed,
            waited_p50_ms: p50,
            waited_p99_ms: p99,
            tokens: tally.tokens,
        }
    }
}

impl LaneReport {
    fn of(span: &Span) -> Self {
        let usage = span.usage();
        let (organisation, model) = span.lane.clone();
        let there = usage.unwrap_or_default();
        Self {
            organisation,
            model,
            limit: span.limit,
            window_seconds: span.window.as_secs(),
            tokens_there: there.there.round(),
            tokens_charged: there.charged,
            quota_used: usage.and_then(super::quota::Use::share),
        }
    }
}

/// Returns what all workers would have used had nobody waited (their time by the mean time of an
/// answer without waiting, times its mean tokens), in multiples of what full meters and their refill
/// grant in the same time.
fn wanted(tallies: &[(App, Tally)], watch: &Watch, seconds: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let unhindered: f64 = tallies
        .iter()
        .filter(|(_, tally)| !tally.served.is_zero())
        .map(|(app, tally)| {
            let pace = tally.tokens as f64 / tally.served.as_secs_f64();
            pace * app.workers as f64 * seconds as f64
        })
        .sum();
    let granted = watch.granted(seconds);
    if granted > 0.0 { (100.0 * unhindered / granted).round() / 100.0 } else { 0.0 }
}
