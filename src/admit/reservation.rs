//! What a granted request holds: first a reservation, then a place in flight.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::Shared;
use super::state::Grant;
use crate::count::Demand;
use crate::limit::{Hint, QuotaKind, QuotaLevel};
use crate::line::Place;
use crate::units::{AccountName, Choice, ModelName, Party, Pick, Usage, Why};
use crate::upstream::{AccountId, Change, Credential, Finding, Trouble};

/// A debit whose request has not been sent yet.
///
/// Dropping it credits everything back, so a client that hangs up, an early return and a panic
/// cost nothing. Call [`commit`](Self::commit) when the provider may have seen the request.
#[derive(Debug)]
#[must_use = "dropping a reservation gives everything back at once"]
pub struct Reservation {
    open: Open,
    place: Place,
    waited_for: Option<QuotaKind>,
    would_wait: Option<Duration>,
    choice: Choice,
}

impl Reservation {
    pub(super) fn new(shared: Arc<Shared>, grant: Grant) -> Self {
        let Grant { place, waited_for, would_wait, chosen, .. } = grant;
        let own = Pick { why: Why::Own, ..Pick::ONLY };
        let account = if grant.lent.account().is_ours() { chosen } else { own };
        let choice = Choice { account, key: grant.lent.pick() };
        let open = Open { shared, grant: Some(Box::new(grant)), unsent: true };
        Self { open, place, waited_for, would_wait, choice }
    }

    /// Returns the key to send the request with; `None` only after a bug that was logged.
    pub fn credential(&self) -> Option<&Credential> {
        self.open.grant.as_ref().map(|grant| grant.lent.credential())
    }

    /// Returns the account that is debited.
    pub fn account(&self) -> Option<AccountId> {
        self.open.grant.as_ref().map(|grant| grant.lent.account())
    }

    /// Returns the name of the account that is debited.
    pub fn account_name(&self) -> Option<AccountName> {
        let account = self.account()?;
        self.open.shared.with(|state| state.fleet.name(account))
    }

    /// Returns the place of the request, which a retry takes again.
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Returns the quota that the request waited for; `None` if it did not wait.
    pub const fn waited_for(&self) -> Option<QuotaKind> {
        self.waited_for
    }

    /// Returns how long the request would have waited if it had been held, for what
    /// [`waited_for`](Self::waited_for) tells; `None` if it went as it would have gone anyhow.
    pub const fn would_wait(&self) -> Option<Duration> {
        self.would_wait
    }

    /// Returns why its account and its key were taken.
    pub const fn choice(&self) -> Choice {
        self.choice
    }

    /// Marks the request as sent at `now`, after which a drop credits nothing.
    pub fn commit(mut self, now: Instant) -> InFlight {
        self.open.unsent = false;
        if let Some(grant) = &mut self.open.grant {
            self.open.shared.with(|state| state.sent(grant, now));
        }
        InFlight { open: self.open }
    }
}

/// A debit whose request is under way, so that its true cost is not yet known.
///
/// Dropping it keeps the whole debit: the provider may have counted a request whose answer was
/// lost, and guessing low is how a shared quota is overrun.
#[derive(Debug)]
#[must_use = "an unsettled request stays debited at its estimate"]
pub struct InFlight {
    open: Open,
}

impl InFlight {
    /// Compares what the answer says with what was predicted, and returns the state of the lane's
    /// quotas after that. `now` is when the answer's headers came.
    pub fn observe(&mut self, hint: &Hint, now: Instant) -> Vec<QuotaLevel> {
        let Some(grant) = &mut self.open.grant else { return Vec::new() };
        self.open.shared.with(|state| state.observe(grant, hint, now))
    }

    /// Tells the fleet how the key fared, and what the answer's head says of its owner.
    pub fn report(&self, finding: &Finding, headers: &HeaderMap, now: Instant) -> Change {
        let Some(grant) = &self.open.grant else { return Change::Unchanged };
        self.open.shared.with(|state| state.report(grant, (finding, headers), now))
    }

    /// Returns what `finding` says of the key, without the key; `None` where the debit is closed.
    pub fn trouble(&self, finding: &Finding) -> Option<Trouble> {
        self.open.grant.as_ref().map(|grant| grant.lent.trouble(finding))
    }

    /// Debits another request of `party` for `model`, which goes along with this one at once, with its account.
    /// Where there is no room, that is a debt.
    pub fn also(
        &self,
        (party, model): (&Party, &ModelName),
        demand: &Demand,
        now: Instant,
    ) -> Option<Self> {
        let (first, shared) = (self.open.grant.as_ref()?, &self.open.shared);
        let grant = shared.with(|state| state.go_along(first, (party, model, demand), now))?;
        let shared = Arc::clone(shared);
        Some(Self { open: Open { shared, grant: Some(Box::new(grant)), unsent: false } })
    }

    /// Notes that the request is broken off from here, before it is closed: its slot at the provider is taken for a
    /// moment more.
    pub fn break_off(&mut self) {
        if let Some(grant) = &mut self.open.grant {
            grant.debit.break_off();
        }
    }

    /// Closes the request as never sent: the connection failed before the provider saw it.
    pub fn unsent(mut self) {
        self.open.unsent = true;
    }

    /// Closes the request as refused by the provider for a limit: its tokens are credited, its
    /// request stays debited, and the lane rests.
    pub fn refused(mut self, now: Instant) {
        if let Some(grant) = self.open.grant.take() {
            self.open.shared.with(|state| state.refused(*grant, now));
        }
    }

    /// Closes the request as failed for another reason than a limit: as [`refused`](Self::refused),
    /// but nobody else has to wait.
    pub fn failed(mut self, now: Instant) {
        if let Some(grant) = self.open.grant.take() {
            self.open.shared.with(|state| state.failed(*grant, now));
        }
    }

    /// Replaces the estimate by the usage which the answer reported.
    pub fn settle(mut self, usage: &Usage, now: Instant) {
        if let Some(grant) = self.open.grant.take() {
            self.open.shared.with(|state| state.settle(*grant, usage, now));
        }
    }
}

/// The one place where a debit is closed, however its owner ends.
#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    /// Empty once it was closed; boxed, for it is large and moves with its request.
    grant: Option<Box<Grant>>,
    /// Whether the provider cannot have seen the request.
    unsent: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(grant) = self.grant.take() else { return };
        let unsent = self.unsent;
        self.shared.with(|state| {
            let now = Instant::now();
            if unsent { state.cancel(*grant, now) } else { state.keep(*grant, now) }
        });
    }
}
