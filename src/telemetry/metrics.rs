//! Every metric, with its name, in one place.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::accounts::{Accounts, Diverted};
use super::bounds::Bounds;
use crate::units::{
    AccountName, AppName, Class, ModelName, Party, PicoUsd, Tokens, UpstreamName, Usage,
};

/// All counters of the program. Cloning it shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    families: Families,
    diverted: Diverted,
    accounts: Accounts,
    bounds: Bounds,
    /// Handles by app, model and class, so that a request pays one look-up.
    series: DashMap<SeriesKey, Arc<Series>>,
    totals: Series,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SeriesKey {
    app: AppName,
    model: ModelName,
    class: Class,
}

/// Sums over everything since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered, refusals included.
    pub requests: u64,
    /// Requests that sluicegate itself refused.
    pub refused: u64,
    /// Answers in which the provider refused a request for a limit.
    pub provider_refusals: u64,
    /// Input tokens by our own count, of all that was sent and settled.
    pub counted: Tokens,
    /// Settled debits: input and output together.
    pub settled: Tokens,
    /// Cost of what was settled, as far as it is known.
    pub cost: PicoUsd,
}

/// The counters of one app's requests of a class for a model.
#[derive(Debug, Default)]
pub struct Series {
    answered: [Counter; 5],
    refused: Counter,
    provider_refusals: Counter,
    counted: Counter,
    input: Counter,
    cached: Counter,
    output: Counter,
    cost: Counter,
    unpriced: Counter,
    would_hold: Counter,
    kept_alive: Counter,
    times: Times,
}

/// How long requests of a class took, whatever their app and model.
#[derive(Debug, Clone)]
struct Times {
    queued: Histogram,
    total: Histogram,
    would_wait: Histogram,
}

#[derive(Debug, Default)]
struct Families {
    answered: Family<StatusLabels, Counter>,
    refused: Family<Labels, Counter>,
    provider_refusals: Family<Labels, Counter>,
    counted: Family<Labels, Counter>,
    tokens: Family<KindLabels, Counter>,
    cost: Family<Labels, Counter>,
    unpriced: Family<Labels, Counter>,
    would_hold: Family<Labels, Counter>,
    kept_alive: Family<Labels, Counter>,
    times: ClassTimes,
}

/// Histograms in seconds, one for each class.
#[derive(Debug)]
struct ClassTimes {
    queued: Histograms,
    total: Histograms,
    would_wait: Histograms,
}

type Histograms = Family<ClassLabels, Histogram, fn() -> Histogram>;

impl Default for ClassTimes {
    fn default() -> Self {
        let family = || Family::new_with_constructor(seconds as fn() -> Histogram);
        Self { queued: family(), total: family(), would_wait: family() }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self { queued: seconds(), total: seconds(), would_wait: seconds() }
    }
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0])
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    app: String,
    model: String,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    app: String,
    model: String,
    class: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    app: String,
    model: String,
    class: &'static str,
    kind: &'static str,
}

const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Metrics {
    /// Creates the counters, all zero. `configured` apps have their own however many others come.
    pub fn new(configured: HashSet<AppName>) -> Self {
        let families = Families::default();
        let mut registry = Registry::with_prefix("sluicegate");
        let f = &families;
        registry.register("requests", "Requests answered, by class and status", f.answered.clone());
        registry.register("refused", "Requests that sluicegate refused itself", f.refused.clone());
        registry.register(
            "provider_refusals",
            "Answers in which the provider refused for a limit",
            f.provider_refusals.clone(),
        );
        registry.register(
            "counted_input_tokens",
            "Input tokens by our own count, of what was sent",
            f.counted.clone(),
        );
        let help = "Settled tokens, by kind; the cached are part of the input";
        registry.register("tokens", help, f.tokens.clone());
        let help = "Cost of what was settled, without the unpriced";
        registry.register("cost_picodollars", help, f.cost.clone());
        let help = "Settled requests whose cost nobody knows, as a price is missing";
        registry.register("unpriced", help, f.unpriced.clone());
        registry.register(
            "would_hold",
            "Requests that went at once and would have waited",
            f.would_hold.clone(),
        );
        registry.register(
            "kept_alive",
            "Streams that were told their place while they waited",
            f.kept_alive.clone(),
        );
        let times = &f.times;
        registry.register("queued_seconds", "Time in the waiting line", times.queued.clone());
        registry.register("request_seconds", "Time from arrival to end", times.total.clone());
        registry.register(
            "would_wait_seconds",
            "Time in line that was spared because nobody is held",
            times.would_wait.clone(),
        );
        let diverted = Diverted::default();
        let help = "Requests that went under another model's name, or elsewhere than at first";
        registry.register("diverted", help, diverted.requests.clone());
        let accounts = Accounts::default();
        let help = "Settled tokens of an account, by kind; the cached are part of the input";
        registry.register("account_tokens", help, accounts.tokens.clone());
        let (bounds, series, totals) = (Bounds::new(configured), DashMap::new(), Series::default());
        Self {
            inner: Arc::new(Inner {
                registry,
                families,
                diverted,
                accounts,
                bounds,
                series,
                totals,
            }),
        }
    }

    /// Lets the apps of another configuration have their own counters, too.
    pub fn renew(&self, configured: HashSet<AppName>) {
        self.inner.bounds.renew(configured);
    }

    /// Returns the counters of the requests of `party` for `model`, or of all who have none of their own.
    pub fn series(&self, party: &Party, model: &ModelName) -> Arc<Series> {
        let class = party.class;
        let key = SeriesKey { app: party.app.clone(), model: model.clone(), class };
        if let Some(series) = self.inner.series.get(&key) {
            return Arc::clone(&series);
        }
        let labels = self.inner.bounds.labels((&key.app, &key.model), self.inner.series.len());
        let key = SeriesKey { app: labels.0, model: labels.1, class };
        let families = &self.inner.families;
        let entry = self.inner.series.entry(key);
        let key = entry.key().clone();
        let series = entry.or_insert_with(|| Arc::new(families.series(&key)));
        Arc::clone(&series)
    }

    /// Counts an answer to a client: its status, its time in line, and its time in all.
    pub fn answered(&self, series: &Series, status: u16, queued: Duration, total: Duration) {
        for series in [series, &self.inner.totals] {
            if let Some(counter) = series.answered.get(usize::from(status / 100).wrapping_sub(1)) {
                counter.inc();
            }
        }
        series.times.queued.observe(queued.as_secs_f64());
        series.times.total.observe(total.as_secs_f64());
    }

    /// Counts a request that went at once and would have waited so long.
    pub fn would_have_held(&self, series: &Series, wait: Duration) {
        series.would_hold.inc();
        series.times.would_wait.observe(wait.as_secs_f64());
    }

    /// Counts a stream whose head leaves while its request waits.
    pub fn kept_alive(&self, series: &Series) {
        series.kept_alive.inc();
    }

    /// Counts a request that sluicegate refused itself.
    pub fn refused(&self, series: &Series) {
        series.refused.inc();
        self.inner.totals.refused.inc();
    }

    /// Counts an answer in which the provider refused for a limit.
    pub fn provider_refused(&self, series: &Series) {
        series.provider_refusals.inc();
        self.inner.totals.provider_refusals.inc();
    }

    /// Counts what a request was settled with, beside our own count of its input.
    pub fn settled(&self, series: &Series, counted: Tokens, usage: &Usage, cost: Option<PicoUsd>) {
        for series in [series, &self.inner.totals] {
            series.counted.inc_by(counted.count());
            series.input.inc_by(usage.input.count());
            series.cached.inc_by(usage.cached.count());
            series.output.inc_by(usage.output.count());
            match cost {
                Some(cost) => series.cost.inc_by(cost.pico()),
                None => series.unpriced.inc(),
            };
        }
    }

    /// Counts what a request of `account` at `upstream` was settled with.
    pub fn paid(&self, upstream: &UpstreamName, account: &AccountName, usage: &Usage) {
        self.inner.accounts.settled(upstream, account, usage);
    }

    /// Counts a request for `model` that went to `upstream` as one for `sent`, where else it would have
    /// gone elsewhere or under its own name.
    pub fn diverted(&self, model: &ModelName, upstream: &UpstreamName, sent: &ModelName) {
        let model = self.inner.bounds.model(model);
        self.inner.diverted.note(&model, upstream, &self.inner.bounds.model(sent));
    }

    /// Returns the sums over everything since the start.
    pub fn totals(&self) -> Totals {
        let totals = &self.inner.totals;
        Totals {
            requests: totals.answered.iter().map(Counter::get).sum(),
            refused: totals.refused.get(),
            provider_refusals: totals.provider_refusals.get(),
            counted: Tokens::new(totals.counted.get()),
            settled: Tokens::new(totals.input.get()) + Tokens::new(totals.output.get()),
            cost: PicoUsd::new(totals.cost.get()),
        }
    }

    /// Returns all metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _written = encode(&mut text, &self.inner.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(HashSet::new())
    }
}

impl Families {
    fn series(&self, SeriesKey { app, model, class }: &SeriesKey) -> Series {
        let class = class.label();
        let labels = Labels { app: app.to_string(), model: model.to_string(), class };
        let kind = |kind| {
            let Labels { app, model, class } = labels.clone();
            self.tokens.get_or_create(&KindLabels { app, model, class, kind }).clone()
        };
        let answered = STATUSES.map(|status| {
            let Labels { app, model, class } = labels.clone();
            self.answered.get_or_create(&StatusLabels { app, model, class, status }).clone()
        });
        Series {
            answered,
            refused: self.refused.get_or_create(&labels).clone(),
            provider_refusals: self.provider_refusals.get_or_create(&labels).clone(),
            counted: self.counted.get_or_create(&labels).clone(),
            input: kind("input"),
            cached: kind("cached"),
            output: kind("output"),
            cost: self.cost.get_or_create(&labels).clone(),
            unpriced: self.unpriced.get_or_create(&labels).clone(),
            would_hold: self.would_hold.get_or_create(&labels).clone(),
            kept_alive: self.kept_alive.get_or_create(&labels).clone(),
            times: self.times.of(class),
        }
    }
}

impl ClassTimes {
    fn of(&self, class: &'static str) -> Times {
        let labels = ClassLabels { class };
        Times {
            queued: self.queued.get_or_create(&labels).clone(),
            total: self.total.get_or_create(&labels).clone(),
            would_wait: self.would_wait.get_or_create(&labels).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_stands_in_the_series_and_in_the_totals() {
        let metrics = Metrics::default();
        let series = metrics.series(&party("a"), &ModelName::new("m"));
        let usage = Usage { input: Tokens::new(7), output: Tokens::new(5), ..Usage::default() };
        metrics.settled(&series, Tokens::new(6), &usage, Some(PicoUsd::new(9)));
        metrics.settled(&series, Tokens::ZERO, &Usage::NONE, None);
        metrics.paid(
            &"openai".into(),
            &AccountName::new("main"),
            &Usage { cached: Tokens::new(3), ..usage },
        );
        let totals = metrics.totals();
        assert_eq!((totals.counted.count(), totals.settled.count()), (6, 12));
        assert_eq!(totals.cost, PicoUsd::new(9));
        let text = metrics.render();
        let line = r#"sluicegate_unpriced_total{app="a",model="m",class="standard"} 1"#;
        assert!(text.contains(line), "{text}");
        let line = r#"sluicegate_tokens_total{app="a",model="m",class="standard",kind="output"} 5"#;
        assert!(text.contains(line), "{text}");
        let line =
            r#"sluicegate_account_tokens_total{upstream="openai",account="main",kind="cached"} 3"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn each_class_has_its_own_times() {
        let metrics = Metrics::default();
        let batch = Party { class: Class::Batch, ..party("a") };
        let (batch, usual) =
            (&metrics.series(&batch, &"m".into()), &metrics.series(&party("a"), &"m".into()));
        metrics.answered(batch, 200, Duration::from_secs(7), Duration::from_secs(9));
        metrics.answered(usual, 429, Duration::ZERO, Duration::ZERO);
        metrics.would_have_held(usual, Duration::from_secs(3));
        let text = metrics.render();
        for line in [
            r#"sluicegate_queued_seconds_sum{class="batch"} 7.0"#,
            r#"sluicegate_queued_seconds_count{class="standard"} 1"#,
            r#"sluicegate_requests_total{app="a",model="m",class="batch",status="2xx"} 1"#,
            r#"sluicegate_requests_total{app="a",model="m",class="standard",status="4xx"} 1"#,
            r#"sluicegate_would_wait_seconds_sum{class="standard"} 3.0"#,
            r#"sluicegate_would_hold_total{app="a",model="m",class="standard"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    fn party(app: &str) -> Party {
        Party::usual(AppName::new(app))
    }

    #[test]
    fn a_page_of_metrics_is_bounded_whatever_clients_call_themselves_and_their_models() {
        let metrics = Metrics::default();
        for n in 0..1_700 {
            for class in [Class::Interactive, Class::Standard, Class::Batch] {
                let party = Party { class, ..party(&format!("some-notebook-{n}")) };
                metrics.refused(&metrics.series(&party, &ModelName::new("gpt-4o-mini")));
                metrics.refused(&metrics.series(&party, &ModelName::new(format!("m{n}"))));
            }
        }
        let text = metrics.render();
        assert!(text.len() < 500_000, "{} bytes", text.len());
        let other =
            "sluicegate_refused_total{app=\"(other)\",model=\"(other)\",class=\"batch\"} 16";
        assert!(text.contains(other), "what has no series of its own is counted nowhere");
    }
}
