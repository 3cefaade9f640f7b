//! Decides whether a request is tried again, when, and where.
//!
//! # What this module does not do
//!
//! It sends nothing: [`super::attempt`] does, and the loop around it goes back into the line.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::Failure;
use super::attempt::{Outcome, Retry, Sent, Try};
use super::visit::Visit;
use crate::config::LineMode;
use crate::line::Place;
use crate::relay::RelayError;
use crate::settle::Ending;
use crate::upstream::{AccountId, Change, Finding, SendError, Verdict};

/// When to try again, and what account to try last.
pub(super) type Elsewhere = (Duration, Option<AccountId>);

/// Returns when and where to try again after an answer that is an error; `None` if its words are the
/// client's to read.
pub(super) fn after(
    finding: &Finding,
    change: Change,
    (account, mode): (Option<AccountId>, LineMode),
    going: &mut Try,
) -> Option<Elsewhere> {
    let Try { errand, backoff } = going;
    // Where nobody is held, the client hears of a limit itself.
    let is_heard = is_over_limit(finding) && mode == LineMode::Observe;
    if is_heard || !errand.is_repeatable() {
        return None;
    }
    let jitter = rand::random::<f64>();
    match finding.verdict {
        Verdict::RateLimited | Verdict::SlowDown => {
            backoff.after_refusal(jitter).map(|after| (after, None))
        }
        Verdict::KeyRejected | Verdict::OutOfQuota => match change {
            // Others are there: they are asked at once.
            Change::KeyOut(_) | Change::AccountOut(_) => {
                backoff.elsewhere().map(|after| (after, account))
            }
            _ => None,
        },
        Verdict::Overloaded | Verdict::ServerError if errand.may_fail_twice() => {
            backoff.after_failure(jitter).map(|after| (after, account))
        }
        Verdict::Overloaded
        | Verdict::ServerError
        | Verdict::Fine
        | Verdict::Accepted
        | Verdict::BadRequest
        | Verdict::NoSuchModel
        | Verdict::TooLarge
        | Verdict::Unreachable => None,
    }
}

/// Returns when to try again without asking for usage, if it is that which was refused; it is not asked for
/// any more then.
pub(super) fn without_usage(
    visit: &Visit,
    refusal: (StatusCode, &[u8]),
    going: &mut Try,
) -> Option<Elsewhere> {
    let is_given_up = going.errand.give_up_usage(refusal);
    is_given_up.then(|| {
        visit.site.misses.note_stream_options(&visit.record.sent_model, Instant::now());
        (Duration::ZERO, None)
    })
}

/// Returns what becomes of a request whose answer broke off before anything of it went to the client; `None` if
/// it is not tried again.
pub(super) fn after_cut(
    visit: &Visit,
    error: &RelayError,
    Try { errand, backoff }: &mut Try,
    (place, avoid): (Place, Option<AccountId>),
) -> Option<Outcome> {
    let may_repeat = match error {
        RelayError::Cut(_) => errand.is_repeatable() && errand.is_harmless_twice(),
        RelayError::Packed(_) | RelayError::Silent { .. } => false,
    };
    if !may_repeat {
        return None;
    }
    let outcome = match backoff.after_failure(rand::random()) {
        Some(after) => Some(Outcome::Again(Retry { place, avoid, after })),
        None => visit.has_others().then_some(Outcome::Elsewhere),
    };
    outcome.inspect(|_| tracing::debug!(%error, "trying again"))
}

/// Tells whether the same request will be served later.
pub(super) const fn is_over_limit(finding: &Finding) -> bool {
    matches!(finding.verdict, Verdict::RateLimited | Verdict::SlowDown)
}

/// Deals with a request that got no answer.
pub(super) fn unanswered(
    visit: &Visit,
    error: SendError,
    sent: Sent,
    going: &mut Try,
) -> Result<Outcome, Failure> {
    let Sent { mut unsettled, place, account, .. } = sent;
    if !matches!(error, SendError::Upload) {
        let cause = error.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
        let said = Some(format!("{error}{cause}").into());
        let finding = Finding { said, ..Finding::of(Verdict::Unreachable) };
        unsettled.report(&finding, &HeaderMap::new(), Instant::now());
    }
    let Try { errand, backoff } = going;
    let may_repeat = match error {
        SendError::NotSent(_) => errand.is_repeatable(),
        SendError::NoAnswer(_) => errand.is_repeatable() && errand.is_harmless_twice(),
        SendError::TimedOut | SendError::Upload => false,
    };
    let unsent = error.is_never_sent() || unsettled.is_unsent();
    let after = may_repeat.then(|| backoff.after_failure(rand::random())).flatten();
    if after.is_some() || may_repeat && visit.has_others() {
        tracing::debug!(%error, "trying again");
        if unsent {
            unsettled.unsent();
        } else {
            unsettled.abandon();
        }
        let again = |after| Outcome::Again(Retry { place, avoid: account, after });
        return Ok(after.map_or(Outcome::Elsewhere, again));
    }
    let ending = match error {
        SendError::TimedOut => Ending::TimedOut,
        SendError::Upload => Ending::ClientGone,
        SendError::NotSent(_) | SendError::NoAnswer(_) => Ending::Unreachable,
    };
    if let Some(cause) = error.cause() {
        unsettled.note_cause(cause.into());
    }
    let failure = Failure::Send { upstream: visit.site.name.clone(), error };
    unsettled.unanswered(failure.status().as_u16(), ending, unsent);
    Err(failure)
}
