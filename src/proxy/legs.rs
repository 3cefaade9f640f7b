//! The places that a request may go to, one after the other, and its turn at one of them.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::{Instant, timeout};

use super::Proxy;
use super::errand::{Errand, fit_to_keep};
use super::patience::Backoff;
use super::pulse::{Pulse, admitted, waited};
use super::vigil::Vigil;
use super::visit::Visit;
use crate::admit::{Ask, Entered, Refusal, Reservation, Waiting};
use crate::units::ModelName;
use crate::upstream::Verdict;

impl Visit {
    /// Tells whether there is another place to go to.
    pub(super) fn has_others(&self) -> bool {
        self.at + 1 < self.plan.legs.len()
    }

    /// Returns how often it is tried at the present place while that fails.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.deadline, if self.has_others() { TRIES_BEFORE_OTHERS } else { TRIES })
    }

    /// Tells whether a refusal of ours lets it go elsewhere: waiting would not help, or it is not to
    /// wait long.
    fn is_sent_away_by(&self, refusal: &Refusal) -> bool {
        let is_large = matches!(refusal, Refusal::TooLarge { .. });
        let is_full = matches!(refusal, Refusal::LineFull { .. });
        self.has_others() && (is_large || is_full && self.plan.fallback_on_wait.is_some())
    }

    /// Tells whether an answer of the provider's lets it go elsewhere.
    pub(super) fn is_sent_away_with(&self, verdict: Verdict) -> bool {
        let may_go = match verdict {
            Verdict::KeyRejected
            | Verdict::OutOfQuota
            | Verdict::NoSuchModel
            | Verdict::TooLarge
            | Verdict::Overloaded
            | Verdict::ServerError
            | Verdict::Unreachable => true,
            Verdict::RateLimited | Verdict::SlowDown => self.plan.fallback_on_wait.is_some(),
            Verdict::Fine | Verdict::Accepted | Verdict::BadRequest => false,
        };
        may_go && self.has_others()
    }
}

impl Proxy {
    /// Lets a request go to the place of that number from now on: it is counted as the model there counts.
    pub(super) async fn turn_to(&self, visit: &mut Visit, errand: &mut Errand, at: usize) {
        let Some(leg) = visit.plan.legs.get(at) else { return };
        visit.site = Arc::clone(self.inner.sites.named(&leg.upstream));
        if let Errand::Metered(call) = errand {
            call.ask_usage(visit.site.misses.knows_stream_options(&leg.model, Instant::now()));
        }
        let Some(call) = errand.call() else { return };
        let (address, path) = (&visit.site.address, visit.head.uri.path());
        let name = address.name_of(leg.model.as_str());
        let is_written = !address.names_in_path(path)
            && !call.is_model_learned()
            && (call.is_named_by_path || name != call.model.as_str());
        visit.rename = is_written.then(|| ModelName::new(name));
        visit.asked_as = Some(name.into());
        visit.at = at;
        visit.record.is_diverted = at > 0 || leg.model != call.model;
        visit.record.sent_model = fit_to_keep(&leg.model);
        visit.record.endpoint = Some(call.endpoint);
        visit.record.is_regional = visit.site.address.is_regional();
        visit.record.image_form = call.image_form();
        visit.record.facts = self.inner.catalog.facts(leg.model.as_str());
        (visit.record.demand, visit.prefix) =
            self.weigh(&visit.site, call, visit.record.facts).await;
    }

    /// Turns to the first place from `at` on that can serve now; to that one if none can.
    pub(super) async fn turn_to_open(&self, visit: &mut Visit, errand: &mut Errand, at: usize) {
        let count = visit.plan.legs.len();
        let open = (at..count).find(|at| count == 1 || self.is_open(visit, *at)).unwrap_or(at);
        if open != visit.at {
            self.turn_to(visit, errand, open).await;
        }
    }

    fn is_open(&self, visit: &Visit, at: usize) -> bool {
        let leg = visit.plan.legs.get(at);
        leg.is_some_and(|leg| self.inner.sites.named(&leg.upstream).is_open(&leg.model))
    }
}

/// Waits for the turn of a request where it is, or where it may go instead; `ask` is for the place that it
/// comes to.
pub(super) async fn turn(
    vigil: &mut Vigil,
    errand: &mut Errand,
    ask: &mut Ask,
    mut pulse: Option<&mut Pulse>,
) -> Result<Reservation, Refusal> {
    loop {
        let visit = &vigil.visit;
        let limit = visit.plan.fallback_on_wait.filter(|_| visit.has_others());
        match (visit.site.admission.enter(ask.clone()), limit) {
            (Err(refusal), _) if visit.is_sent_away_by(&refusal) => {
                let next = visit.at + 1;
                vigil.proxy.turn_to_open(&mut vigil.visit, errand, next).await;
                *ask = vigil.proxy.ask(&vigil.visit, errand);
            }
            (Ok(Entered::Waiting(waiting)), Some(limit)) => {
                return sooner(vigil, errand, ask, (waiting, limit, pulse.as_deref_mut())).await;
            }
            (entered, _) => return admitted(entered, pulse).await,
        }
    }
}

/// Who waits, how long it may before it looks elsewhere, and how its client is told.
type Impatient<'a> = (Waiting, Duration, Option<&'a mut Pulse>);

/// Waits so long, then looks where else its turn would come sooner; its place is kept meanwhile.
async fn sooner(
    vigil: &mut Vigil,
    errand: &mut Errand,
    ask: &mut Ask,
    (mut waiting, limit, mut pulse): Impatient<'_>,
) -> Result<Reservation, Refusal> {
    if expected(&waiting) <= limit {
        let waits = waited(&mut waiting, pulse.as_deref_mut());
        if let Ok(outcome) = timeout(limit, waits).await {
            return outcome;
        }
    }
    let mut best = vigil.visit.at;
    for at in best + 1..vigil.visit.plan.legs.len() {
        let proxy = vigil.proxy.clone();
        if !proxy.is_open(&vigil.visit, at) {
            continue;
        }
        proxy.turn_to(&mut vigil.visit, errand, at).await;
        *ask = proxy.ask(&vigil.visit, errand);
        match vigil.visit.site.admission.enter(ask.clone()) {
            Ok(Entered::Granted(reservation)) => return Ok(reservation),
            Ok(Entered::Waiting(other)) if expected(&other) < expected(&waiting) => {
                (waiting, best) = (other, at);
            }
            Ok(Entered::Waiting(_)) | Err(_) => {}
        }
    }
    let proxy = vigil.proxy.clone();
    proxy.turn_to(&mut vigil.visit, errand, best).await;
    *ask = proxy.ask(&vigil.visit, errand);
    waited(&mut waiting, pulse).await
}

fn expected(waiting: &Waiting) -> Duration {
    waiting.whereabouts().map_or(Duration::ZERO, |place| place.expected)
}

/// What an upstream said that it cannot do, for a while.
#[derive(Debug)]
pub(super) struct Misses {
    until: Mutex<Lacks>,
}

/// Until when something is missing for a model.
type Lacks = LruCache<(Lack, ModelName), Instant>;

/// What an upstream lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lack {
    /// An account that can pay; the model does not matter, and none is named. Only who can go elsewhere
    /// heeds it.
    Account,
    /// The model. Only who can go elsewhere heeds it.
    Model,
    /// An understanding of `stream_options` for the model.
    StreamOptions,
}

impl Misses {
    pub(super) fn new() -> Self {
        Self { until: Mutex::new(LruCache::new(MOST_MISSES)) }
    }

    /// Notes what an answer to a request for `model` says of the requests to come.
    pub(super) fn note(&self, model: &ModelName, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::NoSuchModel => self.lacks(Lack::Model, model, now + MODEL_MISSES),
            Verdict::KeyRejected | Verdict::OutOfQuota => {
                self.lacks(Lack::Account, &ModelName::new(""), now + ACCOUNT_MISSES);
            }
            _ => {}
        }
    }

    /// Notes that streams of `model` cannot be asked for their usage.
    pub(super) fn note_stream_options(&self, model: &ModelName, now: Instant) {
        self.lacks(Lack::StreamOptions, model, now + OPTIONS_MISSES);
    }

    /// Tells whether a request for `model` would be in vain.
    pub(super) fn has(&self, model: &ModelName, now: Instant) -> bool {
        self.is_missing(Lack::Account, &ModelName::new(""), now)
            || self.is_missing(Lack::Model, model, now)
    }

    /// Tells whether a stream of `model` can be asked for its usage.
    pub(super) fn knows_stream_options(&self, model: &ModelName, now: Instant) -> bool {
        !self.is_missing(Lack::StreamOptions, model, now)
    }

    fn lacks(&self, what: Lack, model: &ModelName, until: Instant) {
        let mut known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        known.put((what, model.clone()), until);
    }

    fn is_missing(&self, what: Lack, model: &ModelName, now: Instant) -> bool {
        let known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        !known.is_empty() && known.peek(&(what, model.clone())).is_some_and(|until| *until > now)
    }
}

/// How often a request is sent in all while the provider fails, where nobody else is left, and where
/// somebody is.
const TRIES: u32 = 4;
const TRIES_BEFORE_OTHERS: u32 = 2;
/// How long a model is taken to be unknown somewhere: somebody may deploy it.
const MODEL_MISSES: Duration = Duration::from_secs(300);
/// How long accounts are taken to be of no use.
const ACCOUNT_MISSES: Duration = Duration::from_secs(30);
/// How long streams are not asked for their usage after a server did not understand it: it may be updated.
const OPTIONS_MISSES: Duration = Duration::from_secs(86_400);
/// The names of models come from clients.
const MOST_MISSES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_missed_for_a_while() {
        let (misses, now) = (Misses::new(), Instant::now());
        let [x, y] = ["x", "y"].map(ModelName::new);
        misses.note(&x, Verdict::Overloaded, now);
        assert!(!misses.has(&x, now));
        misses.note(&x, Verdict::NoSuchModel, now);
        assert!(misses.has(&x, now) && !misses.has(&y, now));
        misses.note(&x, Verdict::OutOfQuota, now);
        assert!(misses.has(&y, now));
        assert!(!misses.has(&y, now + ACCOUNT_MISSES), "somebody may have paid");
        assert!(misses.has(&x, now + ACCOUNT_MISSES));
        assert!(!misses.has(&x, now + MODEL_MISSES));
        misses.note_stream_options(&x, now);
        assert!(!misses.knows_stream_options(&x, now) && misses.knows_stream_options(&y, now));
        assert!(!misses.has(&x, now + MODEL_MISSES), "it is served all the same");
    }
}
