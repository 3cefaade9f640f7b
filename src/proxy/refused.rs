//! Deals with answers that are errors: learns from them, and tries again or passes them on.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response};
use tokio::time::Instant;

use super::again::{after, is_over_limit, without_usage};
use super::answer::estimate;
use super::attempt::{Outcome, Retry, Sent, Try, unpack};
use super::errand::Errand;
use super::visit::Visit;
use super::{Failure, Proxy};
use crate::config::LineMode;
use crate::limit::QuotaLevel;
use crate::packing::Packing;
use crate::relay::{self, Body, Read, RelayError, is_event_stream};
use crate::upstream::{
    AccountId, Answer, Change, Finding, Inside, Reading, Shape, Verdict, classify,
};

/// An answer that is an error, by its status or inside.
pub(super) struct ErrorAnswer {
    pub(super) head: response::Parts,
    pub(super) body: Answer,
    /// What it says where its status says that all is well.
    pub(super) inside: Option<Inside>,
}

/// An error that was read.
struct Words {
    /// The head as the client gets it.
    head: response::Parts,
    /// What the error stands for.
    status: StatusCode,
    said: Bytes,
    /// What the client gets, or why it gets nothing.
    body: Result<Body, RelayError>,
}

/// Returns how to look for an error inside of an answer with a good status, where there may be one.
pub(super) fn suspected(sent: &Sent, errand: &Errand, headers: &HeaderMap) -> Option<Shape> {
    let is_plain = matches!(Packing::of(headers), Packing::Plain);
    if !sent.site.address.dialect().may_fail_inside() || !is_plain || errand.call().is_none() {
        return None;
    }
    if is_event_stream(headers) {
        return Some(Shape::Events);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json")).then_some(Shape::Whole)
}

impl Proxy {
    /// Deals with an answer that is an error: another try, or the provider's own words.
    pub(super) async fn refused(
        &self,
        visit: &Visit,
        mut sent: Sent,
        going: &mut Try,
        error: ErrorAnswer,
    ) -> Result<Outcome, Failure> {
        let Words { head, status, said, body } = self.words(error, sent.reading).await;
        let (finding, change, levels) = self.learn(&mut sent, (status, &head.headers), &said);
        let mode = self.terms().settings.line.mode;
        let again = without_usage(visit, (status, &said), going);
        let again = again.or_else(|| after(&finding, change, (sent.account, mode), going));
        if let Some((after, avoid)) = again {
            tracing::debug!(verdict = ?finding.verdict, %status, "trying again");
            let place = sent.place;
            sent.unsettled.give_back();
            return Ok(Outcome::Again(Retry { place, avoid, after }));
        }
        sent.site.misses.note(&visit.record.sent_model, finding.verdict, Instant::now());
        if visit.is_sent_away_with(finding.verdict) && going.errand.is_repeatable() {
            tracing::debug!(verdict = ?finding.verdict, %status, "trying elsewhere");
            sent.unsettled.give_back();
            return Ok(Outcome::Elsewhere);
        }
        let own = sent.key_refused(&finding).map_or(Ok(()), Err);
        let body = match own.and_then(|()| body.map_err(Failure::from)) {
            Ok(body) => body,
            Err(failure) => {
                sent.unsettled.set_status(failure.status().as_u16());
                // The answer is ours.
                let _booked = sent.unsettled.refused();
                return Err(failure);
            }
        };
        let mut head = self.head(head, &sent, &levels);
        if going.errand.call().is_some() {
            estimate(&mut head.headers, &sent.unsettled);
        }
        if finding.verdict == Verdict::TooLarge {
            head.headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        let place = sent.place;
        let booked = sent.unsettled.refused();
        let answer = Box::new(Response::from_parts(head, body.until(booked)));
        let is_told = status == answer.status();
        if is_told && is_over_limit(&finding) && mode == LineMode::Enforce {
            return Ok(Outcome::Limited(answer, place));
        }
        Ok(Outcome::Answered(answer))
    }

    /// Reads what an error says, and what the client gets of it.
    async fn words(&self, error: ErrorAnswer, reading: Reading) -> Words {
        let ErrorAnswer { mut head, body, inside } = error;
        let idle = self.terms().settings.timeouts.idle;
        let (said, body) = match relay::read(body, idle, MOST_OF_AN_ERROR).await {
            Ok(Read::Whole(bytes)) => {
                let plain = unpacked(&head.headers, &bytes);
                let body = match &plain {
                    Some(plain) if reading == Reading::Plain => {
                        unpack(&mut head.headers);
                        plain.clone()
                    }
                    _ => bytes.clone(),
                };
                (plain.unwrap_or(bytes), Ok(Body::full(body)))
            }
            Ok(Read::TooLarge(body)) => (Bytes::new(), Ok(body)),
            // The status was there before it broke off.
            Err(error) => (Bytes::new(), Err(error)),
        };
        let told = (head.status, said);
        let (status, said) = inside.map_or(told, |inside| (inside.status, inside.words.into()));
        Words { head, status, said, body }
    }

    /// Takes in what an answer that is an error says of limits, key and account.
    fn learn(
        &self,
        sent: &mut Sent,
        (status, headers): (StatusCode, &HeaderMap),
        said: &[u8],
    ) -> (Finding, Change, Vec<QuotaLevel>) {
        let now = Instant::now();
        let finding = classify(status, headers, said);
        let mut told = self.hint(headers, sent, now);
        told.refusal = finding.refusal;
        told.refused_by = finding.quota;
        told.is_error = true;
        told.retry_after = told.retry_after.or(finding.retry_after);
        let levels = sent.unsettled.observe(&told, now);
        let change = sent.unsettled.report(&finding, headers, now);
        match finding.verdict {
            Verdict::RateLimited => sent.unsettled.note_short_lane(),
            // Nobody else has to wait for what is too large, and a ramp is the account's.
            Verdict::SlowDown | Verdict::TooLarge => sent.unsettled.note_refusal(),
            _ => {}
        }
        (finding, change, levels)
    }
}

impl Sent {
    /// Returns what the client is told instead of the provider's words, if those are about a key of ours:
    /// it would take them to be about its own. The log is told as well.
    fn key_refused(&mut self, finding: &Finding) -> Option<Failure> {
        let is_ours = self.account.is_some_and(AccountId::is_ours);
        if finding.verdict != Verdict::KeyRejected || !is_ours {
            return None;
        }
        let said = self.unsettled.trouble(finding)?;
        self.unsettled.note_cause(said.to_string().into());
        let record = self.unsettled.record();
        let (account, key) = (record.account.clone()?, record.key.clone()?);
        Some(Failure::KeyRefused { upstream: self.site.name.clone(), account, key, said })
    }
}

/// Returns what a packed error says, if it can be read.
fn unpacked(headers: &HeaderMap, body: &[u8]) -> Option<Bytes> {
    match Packing::of(headers) {
        Packing::Packed(coding) => coding.unpack(body, MOST_OF_AN_ERROR).ok(),
        Packing::Plain | Packing::Unknown => None,
    }
}

/// The most of an error's body that is read to learn from it.
const MOST_OF_AN_ERROR: usize = 1 << 20;
