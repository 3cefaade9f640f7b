//! Tells limits, metrics and ledger the same number: the only place where a request under way is closed.
//!
//! # What this module owns
//!
//! [`Unsettled`], the obligation to say how a request ended. It carries the debit and all that the
//! log line needs, from the moment the request is sent until its answer is over. [`UnderWay`] knows
//! when there is none left.
//!
//! # What this module does not do
//!
//! It reads no answers: [`crate::relay`] does, and tells the usage here.
//!
//! # Invariants
//!
//! 1. Every request that was sent is settled once, and leaves one log line.
//! 2. What the buckets are told is what is counted and booked, and what the budgets are told is what that costs.
//! 3. Every try has an entry in the ledger, which is closed with it.

mod deferred;
mod ending;
mod purse;
mod record;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

pub use self::ending::Ending;
pub use self::purse::{Afforded, Allowance, Purse, Unaffordable};
pub use self::record::{Known, NOTHING, Record, Settlement};
pub use self::under_way::{Pass, UnderWay};
use crate::admit::InFlight;
use crate::catalog::{ModelFacts, PriceList};
use crate::count::{Demand, Method};
use crate::ledger::{Booked, Closing, Fate, Ledger, Opened};
use crate::limit::{Hint, QuotaLevel};
use crate::telemetry::{Metrics, Series};
use crate::units::{Choice, ModelName, PicoUsd, Receipt, Usage};
use crate::upstream::{Change, Departure, Finding, Trouble};

/// A request under way whose true cost is not yet known.
///
/// Dropping it keeps the estimate debited, unless the provider cannot have seen it, and logs that the client has
/// gone or, once its answer has begun, the ending `lost`.
#[derive(Debug)]
#[must_use = "an unsettled request stays debited at its estimate"]
pub struct Unsettled {
    /// Empty once it was settled.
    in_flight: Option<InFlight>,
    /// Whether the provider refused it because its lane is short.
    over_limit: bool,
    /// Boxed, for it is large and moves with the answer.
    record: Box<Record>,
    books: Books,
    /// What it costs by its count, with all of its output bound; `None` where a price is missing.
    expected: Option<PicoUsd>,
    /// Its entry; empty once it was closed.
    entry: Option<Opened>,
    /// When the head of its answer came, and the id that the provider gave it.
    answered: (Option<Instant>, Option<HeaderValue>),
    /// Whether the client has not got the head of its answer.
    head_waits: bool,
    /// Whether it has got a connection; empty where that is not asked.
    departure: Option<Departure>,
}

/// Where settled requests are counted.
#[derive(Debug, Clone)]
pub struct Books {
    /// All metrics.
    pub metrics: Metrics,
    /// Those of the request's party and model.
    pub series: Arc<Series>,
    /// What things cost.
    pub prices: Arc<PriceList>,
    /// Held until the request is settled.
    pub pass: Pass,
    /// Where each try is booked.
    pub ledger: Ledger,
}

impl Unsettled {
    /// Takes over the debit of a request whose answer is about to be relayed.
    /// It was sent at `now`.
    pub fn new(in_flight: InFlight, record: Box<Record>, books: Books, now: Instant) -> Self {
        let bound = record.demand.output_bound.unwrap_or_default();
        let expected = record.cost(&books.prices, &record.counted(bound)).known();
        Self {
            in_flight: Some(in_flight),
            over_limit: false,
            entry: Some(books.ledger.open(record.opening(expected, now))),
            record,
            books,
            expected,
            answered: (None, None),
            head_waits: true,
            departure: None,
        }
    }

    /// Debits another request for `model`, which goes along with this one at once; it has a log line and a
    /// settlement of its own.
    pub fn also(
        &self,
        (model, facts): (ModelName, ModelFacts),
        demand: Demand,
        now: Instant,
    ) -> Option<Self> {
        let party = &self.record.party;
        let in_flight = self.in_flight.as_ref()?.also((party, &model), &demand, now)?;
        let series = self.books.metrics.series(party, &model);
        let books = Books { series, ..self.books.clone() };
        let record = Record {
            sent_model: model.clone(),
            model,
            facts,
            demand,
            arrived: now,
            queued: Duration::ZERO,
            waited_for: None,
            chosen: Choice::BOUND,
            would_wait: None,
            ..(*self.record).clone()
        };
        let mut also = Self::new(in_flight, Box::new(record), books, now);
        also.head_leaves();
        Some(also)
    }

    /// Watches whether the request gets a connection.
    pub fn watch(&mut self, departure: Departure) {
        self.departure = Some(departure);
    }

    /// Tells whether the provider cannot have seen the request.
    pub fn is_unsent(&self) -> bool {
        self.departure.as_ref().is_some_and(|departure| !departure.has_begun())
    }

    /// Returns what the request was expected to cost.
    pub const fn demand(&self) -> &Demand {
        &self.record.demand
    }

    /// Returns the most that the request may cost by its count; `None` where its output has no bound, or a price
    /// is missing.
    pub fn projected(&self) -> Option<PicoUsd> {
        self.record.demand.output_bound.and(self.expected)
    }

    /// Returns what is known of the request.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Returns what tells when the program stops.
    pub const fn pass(&self) -> &Pass {
        &self.books.pass
    }

    /// Notes the status that the client gets.
    pub const fn set_status(&mut self, status: u16) {
        self.record.status = status;
    }

    /// Notes why the provider gave no answer.
    pub fn note_cause(&mut self, cause: Box<str>) {
        self.record.cause = Some(cause);
    }

    /// Notes that the client gets the head of its answer now, before the rest is there.
    pub const fn head_leaves(&mut self) {
        self.head_waits = false;
    }

    /// Compares what the answer says with what was predicted; returns the lane's levels after that.
    /// `now` is when the answer's headers came.
    pub fn observe(&mut self, hint: &Hint, now: Instant) -> Vec<QuotaLevel> {
        self.answered.0 = Some(now);
        self.in_flight.as_mut().map(|flight| flight.observe(hint, now)).unwrap_or_default()
    }

    /// Tells the fleet how the key fared, and what the answer's head says of its owner.
    pub fn report(&mut self, finding: &Finding, headers: &HeaderMap, now: Instant) -> Change {
        let id = PROVIDER_IDS.into_iter().find_map(|name| headers.get(name));
        self.answered.1 = id.cloned();
        let report = |flight: &InFlight| flight.report(finding, headers, now);
        self.in_flight.as_ref().map_or(Change::Unchanged, report)
    }

    /// Returns what `finding` says of the key that the request was sent with, without the key; `None` where
    /// the request is closed.
    pub fn trouble(&self, finding: &Finding) -> Option<Trouble> {
        self.in_flight.as_ref()?.trouble(finding)
    }

    /// Notes that the provider refused the request because its lane is short: that rests when the
    /// request is closed.
    pub fn note_short_lane(&mut self) {
        self.over_limit = true;
        self.note_refusal();
    }

    /// Notes that the provider refused the request for a limit that no other request has to wait
    /// for.
    pub fn note_refusal(&self) {
        self.books.metrics.provider_refused(&self.books.series);
    }

    /// Closes a try that the provider refused or failed, and that is made again: its tokens are
    /// credited, its request stays debited. The log line is the last try's.
    pub fn give_back(mut self) {
        let now = Instant::now();
        self.credit_tokens(now);
        let _booked = self.enter(NOTHING, Fate::Refused, now);
    }

    /// Closes a try that the provider never saw, as if it had not been made.
    pub fn unsent(mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.unsent();
        }
        let _booked = self.enter(NOTHING, Fate::Unsent, Instant::now());
    }

    /// Closes a try of which nothing will be known and that is made again: its estimate stays
    /// debited and booked. The log line is the last try's.
    pub fn abandon(mut self) {
        if let Some(settlement) = self.book_estimate() {
            let _booked = self.enter((&settlement, Method::Assumed), Fate::Failed, Instant::now());
        }
    }

    /// Closes a request that got no answer; the client gets `status`. What the provider never saw
    /// (`unsent`) costs nothing, else the estimate stays debited and booked.
    pub fn unanswered(mut self, status: u16, ending: Ending, unsent: bool) {
        self.record.status = status;
        if unsent {
            self.take_back(ending);
        } else {
            let _booked = self.keep_estimate(ending);
        }
    }

    /// Closes what the provider cannot have seen; nothing where it was closed before.
    fn take_back(&mut self, ending: Ending) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.unsent();
            let now = Instant::now();
            let _booked = self.enter(NOTHING, Fate::Unsent, now);
            self.close(NOTHING, ending, now);
        }
    }

    /// Replaces the estimate by what `receipt` says, everywhere: as the answer reported it, or as it was
    /// counted. Returns what it was settled with, and what the end of the answer waits for.
    pub fn settle(
        mut self,
        receipt: &Receipt,
        method: Method,
        ending: Ending,
    ) -> (Settlement, Booked) {
        let now = Instant::now();
        let usage = self.record.completed(receipt.usage);
        self.note_break(ending);
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.settle(&usage, now);
        }
        self.record.served = receipt.served.clone();
        let settlement = self.book(usage);
        let booked = self.enter((&settlement, method), ending.fate(), now);
        self.close((&settlement, method), ending, now);
        (settlement, booked)
    }

    /// Leaves the estimate debited, because what was used will never be known or is the estimate
    /// itself, and books `ending`. Returns what the end of the answer waits for.
    pub fn keep(mut self, ending: Ending) -> Booked {
        self.keep_estimate(ending)
    }

    /// Closes a request which the provider refused or failed: its tokens are credited, its request
    /// stays debited. Returns what the end of the answer waits for.
    pub fn refused(mut self) -> Booked {
        let now = Instant::now();
        self.credit_tokens(now);
        let booked = self.enter(NOTHING, Fate::Refused, now);
        self.close(NOTHING, Ending::Refused, now);
        booked
    }

    fn credit_tokens(&mut self, now: Instant) {
        match self.in_flight.take() {
            Some(in_flight) if self.over_limit => in_flight.refused(now),
            Some(in_flight) => in_flight.failed(now),
            None => {}
        }
    }

    /// Closes what is still in flight at its estimate; nothing where it was closed before.
    fn keep_estimate(&mut self, ending: Ending) -> Booked {
        self.note_break(ending);
        let Some(settlement) = self.book_estimate() else { return Booked::there() };
        let (known, now) = ((&settlement, Method::Assumed), Instant::now());
        let booked = self.enter(known, ending.fate(), now);
        self.close(known, ending, now);
        booked
    }

    fn note_break(&mut self, ending: Ending) {
        if let Some(in_flight) = self.in_flight.as_mut().filter(|_| ending.is_from_here()) {
            in_flight.break_off();
        }
    }

    /// Books the estimate as used, once; the debit keeps it.
    fn book_estimate(&mut self) -> Option<Settlement> {
        // What is dropped in flight keeps its whole debit.
        drop(self.in_flight.take()?);
        let output = self.record.demand.output_bound.unwrap_or_default();
        Some(self.book(self.record.counted(output)))
    }

    /// Closes its entry.
    fn enter(&mut self, (settlement, method): Known<'_>, fate: Fate, at: Instant) -> Booked {
        let Some(entry) = self.entry.take() else { return Booked::there() };
        let (head_at, provider_id) = std::mem::take(&mut self.answered);
        entry.close(Closing {
            at,
            head_at,
            status: self.record.status,
            fate,
            usage: settlement.usage,
            method,
            cost: settlement.cost.known(),
            served: self.record.served.clone(),
            provider_id,
        })
    }

    fn book(&self, usage: Usage) -> Settlement {
        let cost = self.record.cost(&self.books.prices, &usage);
        let settlement = Settlement { usage, cost };
        if let Some(allowance) = &self.record.allowance {
            allowance.spend(cost.known());
            if let Some(bound) = self.record.demand.output_bound {
                allowance.learn(&self.record.sent_model, bound, settlement.usage.output);
            }
        }
        let (series, counted) = (&self.books.series, self.record.demand.input);
        self.books.metrics.settled(series, counted, &usage, cost.known());
        if let (Some(upstream), Some(account)) = (&self.record.upstream, &self.record.account) {
            self.books.metrics.paid(upstream, account, &usage);
            if self.record.is_diverted {
                self.books.metrics.diverted(&self.record.model, upstream, &self.record.sent_model);
            }
        }
        settlement
    }

    fn close(&self, used: Known<'_>, ending: Ending, now: Instant) {
        let record = &self.record;
        let status = match ending {
            Ending::ClientGone if self.head_waits => CLIENT_GONE,
            Ending::UpstreamCut if self.head_waits => BAD_GATEWAY,
            _ => record.status,
        };
        record.log(status, used, ending.label(), now);
        let total = now.saturating_duration_since(record.arrived);
        let series = &self.books.series;
        self.books.metrics.answered(series, status, record.queued, total);
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        // Before the head is there, only a client that hangs up makes its request be dropped.
        let ending = if self.head_waits { Ending::ClientGone } else { Ending::Lost };
        if self.is_unsent() {
            self.take_back(ending);
        } else {
            let _booked = self.keep_estimate(ending);
        }
    }
}

/// Stands in the log for the status of an answer that nobody waits for, as nginx writes it.
pub const CLIENT_GONE: u16 = 499;
const BAD_GATEWAY: u16 = 502;
/// Under which header providers tell their id of a request: OpenAI and those like it, Anthropic.
const PROVIDER_IDS: [&str; 2] = ["x-request-id", "request-id"];
