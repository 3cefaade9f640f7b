//! Those who wait, and the provider they wait for.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sluicegate::admit::{Admission, Ask, InFlight, Refusal, Reservation};
use sluicegate::config::Dialect;
use sluicegate::limit::Hint;
use sluicegate::simulate::engine::{Cost, Engine, Outcome};
use sluicegate::simulate::{Head, HeadStyle};
use sluicegate::units::Party;
use sluicegate::upstream::{Came, classify, hint};
use tokio::time::{Instant, sleep};

use crate::laws::world::{ask, usage};

use super::WAY;
use super::case::Size;

/// The simulated provider at the other end of a network.
#[derive(Debug)]
pub(super) struct Provider {
    engine: RefCell<Engine>,
    style: HeadStyle,
    begin: Instant,
}

impl Provider {
    pub(super) fn new(engine: Engine, style: HeadStyle) -> Self {
        Self { engine: RefCell::new(engine), style, begin: Instant::now() }
    }

    /// Reads what the head of an answer says of limits that came to a request of `sent`.
    fn hint(&self, head: &Head, sent: Instant) -> Hint {
        let at = self.engine.borrow().rules().epoch + self.begin.elapsed();
        hint(&head.headers, Dialect::OpenAi, Came { at, after: sent.elapsed() })
    }
}

/// One who asks, is held, and comes back when told.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) admission: Admission,
    pub(super) provider: Rc<Provider>,
    pub(super) party: Party,
    pub(super) size: Size,
    pub(super) likeness: u64,
}

impl Client {
    pub(super) fn ask(&self, held: Option<Duration>) -> Ask {
        let Size { input, bound, .. } = self.size;
        Ask { likeness: Some(self.likeness), ..ask(&self.party, 0, (input, bound), held) }
    }

    /// Comes back as often as it is told to.
    pub(super) async fn lives(self, held: Option<Duration>) {
        loop {
            match self.admission.acquire(self.ask(held)).await {
                Ok(reservation) => return self.sends(reservation).await,
                Err(refusal) => sleep(told(&refusal)).await,
            }
        }
    }

    /// Sends the request, again where the provider refuses it.
    async fn sends(&self, mut reservation: Reservation) {
        loop {
            let place = reservation.place();
            if self.is_answered(reservation).await {
                return;
            }
            let again = Ask { place: Some(place), ..self.ask(None) };
            reservation = self.admission.acquire(again).await.expect("it waits for ever");
        }
    }

    async fn is_answered(&self, reservation: Reservation) -> bool {
        let label = reservation.credential().expect("a key").label.clone();
        let Size { input, output, takes, .. } = self.size;
        let Provider { engine, style, begin } = &*self.provider;
        let sent = Instant::now();
        let mut flight = reservation.commit(sent);
        sleep(WAY).await;
        let key = format!("sk-{label}");
        let admitted = engine.borrow_mut().admit(&key, "m0", &self.cost(), begin.elapsed());
        let admission = match admitted {
            Ok(admission) => admission,
            Err(refusal) => {
                let head = style.refused(refusal, &key, "m0");
                sleep(WAY).await;
                let told = self.provider.hint(&head, sent);
                is_refused(flight, &head, told);
                return false;
            }
        };
        let head = style.answered(&admission.organisation, &admission.shown, takes / 4);
        sleep(takes / 4 + WAY).await;
        flight.observe(&self.provider.hint(&head, sent), Instant::now());
        sleep(takes - takes / 4 - WAY).await;
        let outcome = Outcome::Answered { output };
        engine.borrow_mut().finish(admission.ticket, outcome, begin.elapsed());
        sleep(WAY).await;
        flight.settle(&usage(input, output), Instant::now());
        true
    }

    fn cost(&self) -> Cost {
        let Size { input, bound, output, .. } = self.size;
        Cost {
            prompt: input,
            characters: 4 * input,
            bound: Some(bound),
            generations: 1,
            model_max: bound,
            output,
        }
    }
}

/// Learns from a refusal of the provider.
fn is_refused(mut flight: InFlight, head: &Head, mut told: Hint) {
    let finding = classify(head.status, &head.headers, &head.error);
    told.refusal = finding.refusal;
    told.is_error = true;
    told.retry_after = told.retry_after.or(finding.retry_after);
    flight.observe(&told, Instant::now());
    flight.refused(Instant::now());
}

/// Returns what `retry-after-ms` says.
pub(super) fn told(refusal: &Refusal) -> Duration {
    let ms = refusal.retry_after().as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(ms).expect("less than a minute"))
}
