//! A place in the line, as its owner holds it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::refusal::Refusal;
use super::reservation::Reservation;
use super::state::Grant;
use crate::line::Place;

/// What became of a request at once.
#[derive(Debug)]
#[must_use = "dropping it leaves the line, or gives everything back"]
pub enum Entered {
    /// It may go.
    Granted(Reservation),
    /// It has a place in the line.
    Waiting(Waiting),
}

/// A place in a line, left when dropped.
#[derive(Debug)]
#[must_use = "dropping it leaves the line"]
pub struct Waiting {
    shared: Arc<Shared>,
    place: Place,
    since: Instant,
    deadline: Instant,
    outcome: oneshot::Receiver<Result<Grant, Refusal>>,
    /// Whether it is in the line no more, or somebody else may have its place.
    left: bool,
}

/// Where one who waits stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whereabouts {
    /// How many stand before it.
    pub ahead: u64,
    /// When its turn is expected, from now.
    pub expected: Duration,
}

impl Waiting {
    pub(super) const fn new(
        shared: Arc<Shared>,
        (place, since): (Place, Instant),
        deadline: Instant,
        outcome: oneshot::Receiver<Result<Grant, Refusal>>,
    ) -> Self {
        Self { shared, place, since, deadline, outcome, left: false }
    }

    /// Takes the grant if it came with the joining. Must be called under the lock or before
    /// anything else can happen.
    pub(super) fn at_once(mut self) -> Entered {
        match self.outcome.try_recv() {
            Ok(Ok(grant)) => {
                self.left = true;
                let reservation = Reservation::new(Arc::clone(&self.shared), grant);
                Entered::Granted(reservation)
            }
            Ok(Err(refusal)) => {
                self.left = true;
                self.outcome = refused(refusal);
                Entered::Waiting(self)
            }
            Err(_) => Entered::Waiting(self),
        }
    }

    /// Waits for the turn, at most until the deadline of the request.
    ///
    /// # Errors
    ///
    /// Returns the [`Refusal`] at the deadline, or when the program stops. Nothing is debited then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future keeps the place; dropping the `Waiting` leaves it.
    pub async fn outcome(&mut self) -> Result<Reservation, Refusal> {
        match timeout_at(self.deadline, &mut self.outcome).await {
            Ok(Ok(outcome)) => {
                self.left = true;
                outcome.map(|grant| Reservation::new(Arc::clone(&self.shared), grant))
            }
            Ok(Err(_)) => Err(Refusal::Stopping),
            Err(_) => self.give_up(),
        }
    }

    /// Tells where it stands now; `None` once its turn has come.
    pub fn whereabouts(&self) -> Option<Whereabouts> {
        self.shared.with(|state| state.whereabouts(self.place, Instant::now()))
    }

    /// Leaves the line because the time is up; takes the grant if it came at this very moment.
    fn give_up(&mut self) -> Result<Reservation, Refusal> {
        let now = Instant::now();
        let shared = Arc::clone(&self.shared);
        let outcome = shared.with(|state| match self.outcome.try_recv() {
            Ok(outcome) => outcome,
            Err(_) => Err(state.refuse_late(self.place, self.since, now)),
        });
        self.left = true;
        outcome.map(|grant| Reservation::new(shared, grant))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        self.outcome.close();
        let outcome = self.outcome.try_recv();
        let place = self.place;
        self.shared.with(|state| {
            let now = Instant::now();
            match outcome {
                Ok(Ok(grant)) => state.cancel(grant, now),
                Ok(Err(_)) => {}
                Err(_) => state.hang_up(place, now),
            }
        });
    }
}

/// Returns an outcome that is there already.
fn refused(refusal: Refusal) -> oneshot::Receiver<Result<Grant, Refusal>> {
    let (sender, receiver) = oneshot::channel();
    // The receiver is here: it cannot be gone.
    let _sent = sender.send(Err(refusal));
    receiver
}
