//! What is booked, in sum: read for reports, and for budgets that go on after a restart.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::fault::StoreError;
use super::rollup::{DAY, HOUR_MS};
use super::row::{LABEL_BREAK, Row, Value, millis};
use super::snapshot::Snapshot;
use super::store::Store;
use crate::report::{Facet, Line, Piece, Range, Sums};
use crate::units::{PicoUsd, Tokens, Usage};

/// Reads what is booked. It changes nothing, and sees what is booked meanwhile, unless it reads the
/// [whole](Self::whole).
#[derive(Debug)]
pub struct Reading {
    store: Store,
    /// Where all that is asked is asked of one moment.
    pub(super) snapshot: Option<Snapshot>,
    /// What is booked, or under way, and not in the store so at that moment.
    pub(super) beside: Vec<Row>,
    /// How many bytes beside the store cannot be read, and which files.
    pub(super) damaged: u64,
    pub(super) unread: Vec<String>,
    pub(super) facets: HashMap<i64, Arc<Facet>>,
    /// See [`Remarks`](crate::report::Remarks).
    whole_hours: u64,
}

impl Reading {
    /// Begins to read `store`.
    pub fn of(store: Store) -> Self {
        let (facets, beside, unread) = (HashMap::new(), Vec::new(), Vec::new());
        Self { store, snapshot: None, beside, damaged: 0, unread, facets, whole_hours: 0 }
    }

    /// Returns the time in which anything is booked, in whole hours; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read.
    pub async fn extent(&mut self) -> Result<Option<Range>, StoreError> {
        let sql = "SELECT MIN(hour), MAX(hour) FROM rollups WHERE span = 1";
        let rows = self.fetch(sql, []).await?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let hour = |at: usize| row.get(at).and_then(Value::as_number);
        let stored = hour(0).zip(hour(1));
        let stored = stored.map(|(first, last)| (moment(first), moment(last + 1)));
        let an_hour = Duration::from_secs(3_600);
        let beside = self.extent_beside().map(|(first, last)| (first, last + an_hour));
        let both = stored.into_iter().chain(beside);
        let both = both.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        Ok(both.map(|(begin, end)| Range { begin, end }))
    }

    /// Returns what is booked in `range`, by facet and ending. A line may come in several parts.
    ///
    /// What lies in a part of an hour is summed up entry by entry. Where those are no more kept, the hour
    /// counts as a whole in the range in which it begins, and is [told](Self::whole_hours).
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn lines(&mut self, range: Range) -> Result<Vec<Line>, StoreError> {
        let mut lines = Vec::new();
        for piece in range.pieces() {
            let rows = match piece {
                Piece::Days(first, next) => self.rolled(DAY, hours(first), hours(next)).await?,
                Piece::Hours(first, next) => self.rolled(1, signed(first), signed(next)).await?,
                Piece::Moments(first, next) => self.part(signed(first), signed(next)).await?,
            };
            for row in rows {
                let line = self.line(&row).await?;
                lines.extend(line);
            }
        }
        for row in self.sums_beside(range) {
            let line = self.line(&row).await?;
            lines.extend(line);
        }
        Ok(lines)
    }

    /// Returns how many hours were told as a whole where only a part of them was asked for.
    pub const fn whole_hours(&self) -> u64 {
        self.whole_hours
    }

    /// Returns how many answers went out in `range` that are booked nowhere, and how many bytes that told of entries
    /// could not be read, those that lie beside the store now included; its ends count by whole hours.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read.
    pub async fn missing(&mut self, range: Range) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT CAST(COALESCE(SUM(answers), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(damaged_bytes), 0) AS BIGINT) FROM unbooked \
                   WHERE hour >= $1 AND hour < $2";
        let hour = |at: Duration| signed(at.as_secs() / 3_600);
        let ends = [hour(range.begin).into(), (hour(range.end) + 1).into()];
        let rows = self.fetch(sql, ends).await?;
        let count =
            |at: usize| rows.first().and_then(|row| row.get(at)?.as_number()).map_or(0, unsigned);
        Ok((count(0), count(1).saturating_add(self.damaged)))
    }

    /// Returns what the attempts are expected to cost that were sent from `begin` to before `end` and are not
    /// booked.
    pub(super) async fn expected(
        &mut self,
        begin: Duration,
        end: Duration,
    ) -> Result<Vec<(Arc<Facet>, PicoUsd)>, StoreError> {
        let sql = "SELECT facet, cost_pico FROM entries WHERE booked_ms IS NULL AND cost_pico > 0 \
                   AND sent_ms >= $1 AND sent_ms < $2";
        let rows = self.fetch(sql, [millis(begin).into(), millis(end).into()]).await?;
        let mut expected = Vec::with_capacity(rows.len());
        for row in rows {
            let number = |at: usize| row.get(at).and_then(Value::as_number).unwrap_or_default();
            expected.push((self.facet(number(0)).await?, PicoUsd::new(unsigned(number(1)))));
        }
        Ok(expected)
    }

    async fn rolled(&mut self, span: i64, first: i64, next: i64) -> Result<Rows, StoreError> {
        self.fetch(&ROLLED, [span.into(), first.into(), next.into()]).await
    }

    /// Returns what is booked in a part of an hour.
    async fn part(&mut self, first_ms: i64, next_ms: i64) -> Result<Rows, StoreError> {
        let hour = first_ms.div_euclid(HOUR_MS);
        let whole = [(hour * HOUR_MS).into(), ((hour + 1) * HOUR_MS).into()];
        let kept = "SELECT COUNT(*) FROM entries WHERE booked_ms >= $1 AND booked_ms < $2";
        let booked = "SELECT CAST(COALESCE(SUM(attempts), 0) AS BIGINT) FROM rollups \
                      WHERE span = 1 AND hour = $1";
        // In this order: what is booked in between is in both, or among the entries only.
        let booked = number(&self.fetch(booked, [hour.into()]).await?);
        let kept = number(&self.fetch(kept, whole).await?);
        if kept >= booked {
            return self.fetch(&ENTERED, [first_ms.into(), next_ms.into()]).await;
        }
        if first_ms != hour * HOUR_MS {
            return Ok(Rows::new());
        }
        self.whole_hours += 1;
        self.rolled(1, hour, hour + 1).await
    }

    async fn line(&mut self, row: &[Value]) -> Result<Option<Line>, StoreError> {
        let Some((facet, ending)) = row.first().and_then(Value::as_number).zip(row.get(1)) else {
            return Ok(None);
        };
        let facet = self.facet(facet).await?;
        let ending: Arc<str> = ending.as_text().unwrap_or_default().into();
        let figure = |at: usize| row.get(at + 2).and_then(Value::as_number).map_or(0, unsigned);
        let tokens = |at: usize| Tokens::new(figure(at));
        let attempts = figure(0);
        let usage = Usage {
            input: tokens(2),
            cached: tokens(3),
            cache_write: tokens(4),
            output: tokens(5),
            reasoning: tokens(6),
            input_audio: tokens(7),
            input_image: tokens(8),
            output_audio: tokens(9),
            output_image: tokens(10),
            cached_audio: tokens(11),
            cached_image: tokens(12),
            cache_write_long: tokens(13),
            heard: Duration::from_millis(figure(14)),
            spoken: figure(15),
            images: figure(16),
            searches: figure(17),
        };
        let cost = figure(18).saturating_mul(MICRO).saturating_add(figure(19));
        let sums = Sums {
            attempts,
            requests: figure(1),
            usage,
            cost: PicoUsd::new(cost),
            unknown: figure(20),
            unknown_tokens: tokens(21),
            endings: [(Arc::clone(&ending), attempts)].into(),
        };
        Ok(Some(Line { facet, ending, sums }))
    }

    /// Returns a facet; all of them are read when one is not known.
    pub(super) async fn facet(&mut self, id: i64) -> Result<Arc<Facet>, StoreError> {
        if !self.facets.contains_key(&id) {
            let sql = "SELECT id, app, class, labels, upstream, account, account_key, endpoint, model, \
                       sent_model, served_model, tier FROM facets";
            for row in self.fetch(sql, []).await? {
                if let Some(id) = row.first().and_then(Value::as_number) {
                    self.facets.insert(id, Arc::new(facet(&row)));
                }
            }
        }
        Ok(self.facets.get(&id).cloned().unwrap_or_default())
    }

    /// Returns all rows that `sql` finds.
    pub(super) async fn fetch(
        &mut self,
        sql: &'static str,
        values: impl Into<Vec<Value>>,
    ) -> Result<Rows, StoreError> {
        match &mut self.snapshot {
            Some(snapshot) => snapshot.fetch(sql, values).await,
            None => self.store.fetch(sql, values).await,
        }
    }
}

type Rows = Vec<Vec<Value>>;

pub(super) fn facet(row: &[Value]) -> Facet {
    let text = |at: usize| row.get(at).and_then(Value::as_text).unwrap_or_default();
    let name = |at: usize| Arc::from(text(at));
    Facet {
        app: name(1),
        class: name(2),
        labels: text(3).split(LABEL_BREAK).filter(|it| !it.is_empty()).map(Arc::from).collect(),
        upstream: name(4),
        account: name(5),
        key: name(6),
        endpoint: name(7),
        model: name(8),
        sent_model: name(9),
        served_model: name(10),
        tier: name(11),
    }
}

fn number(rows: &Rows) -> i64 {
    rows.first().and_then(|row| row.first()?.as_number()).unwrap_or_default()
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the hour at which a day begins.
fn hours(day: u64) -> i64 {
    signed(day.saturating_mul(24))
}

/// Returns when an hour begins.
fn moment(hour: i64) -> Duration {
    Duration::from_secs(unsigned(hour).saturating_mul(3_600))
}

/// Columns that are summed up alike in entries and in rollups.
const USED: [&str; 16] = [
    "input",
    "cached",
    "cache_write",
    "output",
    "reasoning",
    "input_audio",
    "input_image",
    "output_audio",
    "output_image",
    "cached_audio",
    "cached_image",
    "cache_write_long",
    "heard_ms",
    "spoken",
    "images",
    "searches",
];

/// Sums of hours or of days.
static ROLLED: LazyLock<String> = LazyLock::new(|| {
    let figures = ["attempts", "requests"].into_iter().chain(USED);
    let unknown = ["unknown", "unknown_tokens"];
    select(figures, unknown)
        + " FROM rollups WHERE span = $1 AND hour >= $2 AND hour < $3 GROUP BY facet, ending"
});

/// Sums of entries.
static ENTERED: LazyLock<String> = LazyLock::new(|| {
    let first = "CASE WHEN attempt = 1 THEN 1 ELSE 0 END";
    let figures = ["1", first].into_iter().chain(USED);
    let unknown = [
        "CASE WHEN cost_pico IS NULL THEN 1 ELSE 0 END",
        "CASE WHEN cost_pico IS NULL THEN input + output ELSE 0 END",
    ];
    select(figures, unknown)
        + " FROM entries WHERE booked_ms >= $1 AND booked_ms < $2 GROUP BY facet, ending"
});

/// Returns what sums up these figures. Money is summed up in two parts, as its sum may not have room in one.
fn select<'a>(figures: impl Iterator<Item = &'a str>, unknown: [&'a str; 2]) -> String {
    let cost = ["cost_pico / 1000000", "cost_pico % 1000000"];
    let all = figures.chain(cost).chain(unknown);
    let sums: Vec<String> =
        all.map(|figure| format!("CAST(COALESCE(SUM({figure}), 0) AS BIGINT)")).collect();
    format!("SELECT facet, ending, {}", sums.join(", "))
}

/// A micro-dollar in pico-dollars.
pub(super) const MICRO: u64 = 1_000_000;
