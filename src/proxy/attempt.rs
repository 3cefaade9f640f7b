//! One try to have a request served by the provider.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode, header, response};
use tokio::time::Instant;

use super::again::{after_cut, unanswered};
use super::answer::{charge, describe, estimate, limits};
use super::errand::Errand;
use super::patience::Backoff;
use super::refused::{ErrorAnswer, suspected};
use super::socket::Socket;
use super::times::Until;
use super::visit::Visit;
use super::{Failure, Proxy, Site};
use crate::admit::Reservation;
use crate::call::{Call, Delivery, StreamUsage};
use crate::limit::{Hint, QuotaLevel};
use crate::line::Place;
use crate::packing::Packing;
use crate::relay::{
    self, Body, Metering, RelayError, Unpacking, Watched, is_binary, is_event_stream,
};
use crate::settle::Unsettled;
use crate::units::Choice;
use crate::upstream::{
    self, AccountId, Answer, Came, Departure, Finding, Reading, Verdict, hint, outgoing, returning,
};

/// What became of a try.
pub(super) enum Outcome {
    /// The client has its answer.
    Answered(Box<Response<Body>>),
    /// The provider refused it for a limit, and its time is up: what is missing in the refusal is when
    /// its turn would come.
    Limited(Box<Response<Body>>, Place),
    /// It goes back to its old place in the line.
    Again(Retry),
    /// It goes to the next of the places that it may go to.
    Elsewhere,
}

/// How to try once more.
pub(super) struct Retry {
    pub(super) place: Place,
    pub(super) avoid: Option<AccountId>,
    pub(super) after: Duration,
}

/// What a request has when it is tried, and gets back when it is to be tried again.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) errand: Errand,
    pub(super) backoff: Backoff,
}

/// A request that was sent, until its answer's head is there.
pub(super) struct Sent {
    pub(super) site: Arc<Site>,
    at: Instant,
    pub(super) unsettled: Unsettled,
    pub(super) place: Place,
    pub(super) account: Option<AccountId>,
    /// How its answer was asked for.
    pub(super) reading: Reading,
}

/// A request that counts as sent, and what is to be sent.
type SetOut = (Sent, Request<upstream::Body>);

impl Proxy {
    /// Sends the request with what was reserved, and relays the answer.
    ///
    /// With `on_disconnect = "drain"` it is served to its end although the client hangs up.
    pub(super) async fn attempt(
        &self,
        visit: &Visit,
        going: Try,
        reservation: Reservation,
    ) -> Result<(Outcome, Try), Failure> {
        if !self.drains() {
            return self.send(visit, going, reservation).await;
        }
        let (proxy, visit) = (self.clone(), visit.clone());
        let task = tokio::spawn(async move { proxy.send(&visit, going, reservation).await });
        task.await.map_err(|_| Failure::Dropped)?
    }

    async fn send(
        &self,
        visit: &Visit,
        mut going: Try,
        reservation: Reservation,
    ) -> Result<(Outcome, Try), Failure> {
        let (sent, request) = self.set_out(visit, &mut going, reservation)?;
        let outcome = match visit.site.client.send(request).await {
            Ok(answer) => self.answered(visit, sent, &mut going, answer).await?,
            Err(error) => unanswered(visit, error, sent, &mut going)?,
        };
        Ok((outcome, going))
    }

    /// Makes the request, which counts as sent from here on.
    fn set_out(
        &self,
        visit: &Visit,
        going: &mut Try,
        reservation: Reservation,
    ) -> Result<SetOut, Failure> {
        let Some(credential) = reservation.credential() else {
            return Err(Failure::Dropped);
        };
        if !self.inner.ledger.may_open() {
            return Err(Failure::Unbooked);
        }
        let target = visit.site.address.of(&visit.head.uri, visit.asked_as.as_deref())?;
        let (place, account) = (reservation.place(), reservation.account());
        let reading = going.errand.reading(visit.keep_alive.is_some());
        let rename = visit.rename.as_ref();
        let is_unpacked = going.errand.is_unpacked(rename);
        let body = going.errand.body(rename);
        let key = (credential, visit.site.address.key_header(visit.head.uri.path()));
        let mut request = outgoing(&visit.head, target, key, reading, body);
        if let Errand::Socket(_) = going.errand {
            Socket::ask(&mut request);
        }
        if is_unpacked {
            request.headers_mut().remove(header::CONTENT_ENCODING);
        }
        let mut record = Box::new(visit.record.clone());
        record.key = Some(credential.label.clone());
        record.upstream = Some(visit.site.name.clone());
        record.account = reservation.account_name();
        record.chosen = match visit.account {
            Some(_) => Choice { key: reservation.choice().key, ..Choice::BOUND },
            None => reservation.choice(),
        };
        let books = self.books(&record);
        let at = Instant::now();
        let mut unsettled = Unsettled::new(reservation.commit(at), record, books, at);
        unsettled.watch(Departure::of(&mut request));
        let site = Arc::clone(&visit.site);
        Ok((Sent { site, at, unsettled, place, account, reading }, request))
    }

    async fn answered(
        &self,
        visit: &Visit,
        mut sent: Sent,
        going: &mut Try,
        answer: Response<Answer>,
    ) -> Result<Outcome, Failure> {
        let (head, body) = answer.into_parts();
        sent.unsettled.set_status(head.status.as_u16());
        if head.status.is_client_error() || head.status.is_server_error() {
            let error = ErrorAnswer { head, body, inside: None };
            return Box::pin(self.refused(visit, sent, going, error)).await;
        }
        let mut body = body;
        if let Some(shape) = suspected(&sent, &going.errand, &head.headers)
            && let Some(inside) = body.glance(shape).await
        {
            let error = ErrorAnswer { head, body, inside: Some(inside) };
            return Box::pin(self.refused(visit, sent, going, error)).await;
        }
        let now = Instant::now();
        let told = self.hint(&head.headers, &sent, now);
        let levels = sent.unsettled.observe(&told, now);
        if let Errand::Socket(socket) = &going.errand
            && head.status == StatusCode::SWITCHING_PROTOCOLS
        {
            let head = self.head(head, &sent, &levels);
            sent.unsettled.report(&Finding::of(Verdict::Accepted), &head.headers, now);
            return Ok(Outcome::Answered(Box::new(self.joined(socket, sent.unsettled, head))));
        }
        let answer = match going.errand.call() {
            Some(call) => {
                sent.unsettled.report(&Finding::of(Verdict::Fine), &head.headers, now);
                let (place, avoid) = (sent.place, sent.account);
                let body = self.watched(visit, &sent, &going.errand, (&head, body));
                match self.metered(sent, call, (head, body), &levels).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        let outcome = after_cut(visit, &error, going, (place, avoid));
                        return outcome.ok_or_else(|| error.into());
                    }
                }
            }
            None => {
                sent.unsettled.report(&Finding::of(Verdict::Accepted), &head.headers, now);
                let body = self.watched(visit, &sent, &going.errand, (&head, body));
                let head = self.head(head, &sent, &levels);
                let mut answer = self.passed(visit, sent, (head, body));
                answer.body_mut().booked().await;
                answer
            }
        };
        Ok(Outcome::Answered(Box::new(answer)))
    }

    /// Passes an answer on that nobody reads.
    pub(super) fn unread(
        &self,
        mut sent: Sent,
        (head, body): (response::Parts, Watched),
    ) -> Response<Body> {
        let idle = self.terms().settings.timeouts.idle;
        sent.unsettled.head_leaves();
        Response::from_parts(head, relay::pass(body, sent.unsettled, idle))
    }

    async fn metered(
        &self,
        mut sent: Sent,
        call: &Call,
        (head, body): (response::Parts, Watched),
        levels: &[QuotaLevel],
    ) -> Result<Response<Body>, RelayError> {
        let unpacking = match (Packing::of(&head.headers), sent.reading) {
            (Packing::Plain, _) => Unpacking::Needless,
            (Packing::Packed(coding), Reading::AsAsked) => Unpacking::Beside(coding),
            (Packing::Packed(coding), Reading::Plain) => Unpacking::Through(coding),
            (Packing::Unknown, _) => {
                let head = self.head(head, &sent, levels);
                return Ok(self.unread(sent, (head, body)));
            }
        };
        let metering = Metering {
            run: call.run().cloned(),
            ..self.metering(call.endpoint, &sent.unsettled, unpacking)
        };
        let streams = is_event_stream(&head.headers);
        let mut head = self.head(head, &sent, levels);
        estimate(&mut head.headers, &sent.unsettled);
        if streams {
            let model = &sent.unsettled.record().sent_model;
            sent.site.times.note(model, Until::FirstByte, sent.at.elapsed());
            sent.unsettled.head_leaves();
            let usage = match call.delivery {
                Delivery::Stream { usage } => usage,
                Delivery::Whole => StreamUsage::Told,
            };
            if usage == StreamUsage::Spliced {
                // What is taken out of the stream makes it shorter.
                head.headers.remove(header::CONTENT_LENGTH);
            }
            if matches!(unpacking, Unpacking::Through(_)) {
                unpack(&mut head.headers);
            }
            let body = relay::stream(body, sent.unsettled, usage, metering);
            return Ok(Response::from_parts(head, body));
        }
        if is_binary(&head.headers) {
            // Sound is played while it comes; it does not tell what it cost.
            return Ok(self.unread(sent, (head, body)));
        }
        let model = sent.unsettled.record().sent_model.clone();
        let whole = relay::whole(body, sent.unsettled, metering, MOST_READ_AHEAD).await?;
        if whole.charged.is_some() {
            sent.site.times.note(&model, Until::End, sent.at.elapsed());
        }
        if whole.is_unpacked {
            unpack(&mut head.headers);
        }
        if let Some(settlement) = &whole.charged {
            charge(&mut head.headers, settlement);
        }
        Ok(Response::from_parts(head, whole.body))
    }

    pub(super) fn hint(&self, headers: &HeaderMap, sent: &Sent, now: Instant) -> Hint {
        let came = Came { at: self.inner.clock.since_epoch(now), after: now - sent.at };
        hint(headers, sent.site.address.dialect(), came)
    }

    /// Makes the head of the client's answer out of the provider's.
    pub(super) fn head(
        &self,
        mut head: response::Parts,
        sent: &Sent,
        levels: &[QuotaLevel],
    ) -> response::Parts {
        returning(&mut head);
        limits(&mut head.headers, levels);
        describe(&mut head.headers, sent.unsettled.record());
        head
    }
}

/// Makes the head of a packed answer that of what it unpacks to.
pub(super) fn unpack(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
}

/// The most of a JSON answer that is read before its head leaves: so large an answer only comes from
/// thousands of embeddings.
const MOST_READ_AHEAD: usize = 64 << 20;
