//! Every metric, with its name, in one place.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::units::{AppName, ModelName, PicoUsd, Tokens, Usage};

/// All counters of the program. Cloning it shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    families: Families,
    /// Handles by app and model, so that a request pays one look-up.
    series: DashMap<SeriesKey, Arc<Series>>,
    totals: Series,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SeriesKey {
    app: AppName,
    model: ModelName,
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
    /// Cost of what was settled, at the catalog's prices.
    pub cost: PicoUsd,
}

/// The counters of one app and model.
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
}

#[derive(Debug, Default)]
struct Families {
    answered: Family<StatusLabels, Counter>,
    refused: Family<Labels, Counter>,
    provider_refusals: Family<Labels, Counter>,
    counted: Family<Labels, Counter>,
    tokens: Family<KindLabels, Counter>,
    cost: Family<Labels, Counter>,
    queued: Histogram2,
    total: Histogram2,
}

/// A histogram with a `Default`, in seconds.
#[derive(Debug, Clone)]
struct Histogram2(Histogram);

impl Default for Histogram2 {
    fn default() -> Self {
        Self(Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0]))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    app: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    app: String,
    model: String,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    app: String,
    model: String,
    kind: &'static str,
}

/// How many apps times models get a series of their own; the names come from clients.
const MOST_SERIES: usize = 1000;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Metrics {
    /// Creates the counters, all zero.
    pub fn new() -> Self {
        let families = Families::default();
        let mut registry = Registry::with_prefix("sluicegate");
        let f = &families;
        registry.register("requests", "Requests answered, by status class", f.answered.clone());
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
        registry.register("tokens", "Settled tokens, by kind", f.tokens.clone());
        registry.register("cost_picodollars", "Cost of what was settled", f.cost.clone());
        registry.register("queued_seconds", "Time in the waiting line", f.queued.0.clone());
        registry.register("request_seconds", "Time from arrival to end", f.total.0.clone());
        let (series, totals) = (DashMap::new(), Series::default());
        Self { inner: Arc::new(Inner { registry, families, series, totals }) }
    }

    /// Returns the counters of `app` and `model`; when too many are known, those of all others.
    pub fn series(&self, app: &AppName, model: &ModelName) -> Arc<Series> {
        let key = SeriesKey { app: app.clone(), model: model.clone() };
        if let Some(series) = self.inner.series.get(&key) {
            return Arc::clone(&series);
        }
        let key = if self.inner.series.len() < MOST_SERIES {
            key
        } else {
            SeriesKey { app: AppName::new("(other)"), model: ModelName::new("(other)") }
        };
        let families = &self.inner.families;
        let entry = self.inner.series.entry(key);
        let SeriesKey { app, model } = entry.key().clone();
        let series = entry.or_insert_with(|| Arc::new(families.series(&app, &model)));
        Arc::clone(&series)
    }

    /// Counts an answer to a client: its status, its time in line, and its time in all.
    pub fn answered(&self, series: &Series, status: u16, queued: Duration, total: Duration) {
        for series in [series, &self.inner.totals] {
            if let Some(counter) = series.answered.get(usize::from(status / 100).wrapping_sub(1)) {
                counter.inc();
            }
        }
        self.inner.families.queued.0.observe(queued.as_secs_f64());
        self.inner.families.total.0.observe(total.as_secs_f64());
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
    pub fn settled(&self, series: &Series, counted: Tokens, usage: &Usage, cost: PicoUsd) {
        for series in [series, &self.inner.totals] {
            series.counted.inc_by(counted.count());
            series.input.inc_by(usage.input.count());
            series.cached.inc_by(usage.cached.count());
            series.output.inc_by(usage.output.count());
            series.cost.inc_by(cost.pico());
        }
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
        Self::new()
    }
}

impl Families {
    fn series(&self, app: &AppName, model: &ModelName) -> Series {
        let labels = Labels { app: app.to_string(), model: model.to_string() };
        let kind = |kind| {
            let Labels { app, model } = labels.clone();
            self.tokens.get_or_create(&KindLabels { app, model, kind }).clone()
        };
        let answered = CLASSES.map(|class| {
            let Labels { app, model } = labels.clone();
            self.answered.get_or_create(&StatusLabels { app, model, class }).clone()
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_stands_in_the_series_and_in_the_totals() {
        let metrics = Metrics::new();
        let series = metrics.series(&AppName::new("a"), &ModelName::new("m"));
        let usage = Usage { input: Tokens::new(7), output: Tokens::new(5), ..Usage::default() };
        metrics.settled(&series, Tokens::new(6), &usage, PicoUsd::new(9));
        let totals = metrics.totals();
        assert_eq!((totals.counted.count(), totals.settled.count()), (6, 12));
        let text = metrics.render();
        let line = r#"sluicegate_tokens_total{app="a",model="m",kind="output"} 5"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn series_are_bounded_whatever_clients_call_their_models() {
        let metrics = Metrics::new();
        for n in 0..2 * MOST_SERIES {
            let _series = metrics.series(&AppName::new("a"), &ModelName::new(format!("m{n}")));
        }
        assert!(metrics.inner.series.len() <= MOST_SERIES + 1, "the series grew without bound");
    }
}
