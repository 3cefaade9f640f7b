//! Binds requests to one account: a client's own, or the one that has what the request names.

use tokio::time::Instant;

use super::refusal::Refusal;
use super::state::State;
use super::{Admission, Ask};
use crate::line::Place;
use crate::units::AccountName;
use crate::upstream::{AccountId, Standing};

impl Admission {
    /// Returns the names of the configured accounts, in the order of the configuration; of those that
    /// turned out to be one, the first.
    pub fn account_names(&self) -> Vec<AccountName> {
        self.shared.with(|state| state.account_names().map(|(_, name)| name).collect())
    }

    /// Returns the first account that can be used; where none can, the first. `None` where each client
    /// brings its own key.
    pub fn home(&self) -> Option<AccountName> {
        let now = Instant::now();
        self.shared.with(|state| {
            let mut accounts = state.account_names();
            let first = accounts.next();
            let is_fit = |(account, _): &(AccountId, AccountName)| state.is_usable(*account, now);
            let fit = first.iter().cloned().chain(accounts).find(is_fit);
            fit.or(first).map(|(_, name)| name)
        })
    }

    /// Tells whether an account of that name is configured.
    pub fn has_account(&self, name: &AccountName) -> bool {
        self.shared.with(|state| state.fleet.named(name).is_some())
    }

    /// Tells whether two names are those of one account: its keys may be configured under several.
    pub fn is_one(&self, one: &AccountName, other: &AccountName) -> bool {
        one == other
            || self.shared.with(|state| {
                let known = state.fleet.named(one);
                known.is_some() && known == state.fleet.named(other)
            })
    }
}

impl State {
    /// Returns the account that a request is bound to. A client's own is held for it.
    pub(super) fn owner(&mut self, ask: &Ask, now: Instant) -> Result<Option<AccountId>, Refusal> {
        if let Some(key) = &ask.own_key {
            return self.adopt(key).map(Some);
        }
        let Some(name) = &ask.account else { return Ok(None) };
        let account = self.fleet.named(name);
        let account = account.ok_or_else(|| Refusal::AccountGone { account: name.clone() })?;
        match self.fleet.standing(account, now) {
            Standing::Resting(until) if until > ask.deadline => {}
            Standing::Out => {}
            _ => return Ok(Some(account)),
        }
        Err(self.down(account, now).unwrap_or(Refusal::Stopping))
    }

    /// Returns why nothing goes through `account` at `now`; `None` where it can be used.
    pub(super) fn down(&self, account: AccountId, now: Instant) -> Option<Refusal> {
        let back_in = match self.fleet.standing(account, now) {
            Standing::Ready | Standing::Doubtful | Standing::Trial => return None,
            Standing::Resting(until) => Some(until.saturating_duration_since(now)),
            Standing::Out => None,
        };
        let name = self.fleet.name(account).unwrap_or_else(|| AccountName::new("(unknown)"));
        let trouble = self.fleet.trouble(account);
        Some(Refusal::AccountDown { account: name, trouble, back_in })
    }

    /// Lets those who are bound to an account that turned out to be another wait for that one.
    pub(super) fn route_bound(&mut self, now: Instant) {
        let is_bound =
            |place: &Place| self.line.ticket(*place).is_some_and(|ticket| ticket.owner.is_some());
        let bound: Vec<Place> = self.line.places().into_iter().filter(is_bound).collect();
        for place in bound {
            self.route_anew(place, now);
        }
    }

    fn account_names(&self) -> impl Iterator<Item = (AccountId, AccountName)> + '_ {
        let accounts = self.fleet.accounts().into_iter();
        let own = accounts.filter(|account| self.fleet.payer(*account) == *account);
        own.filter_map(|account| Some((account, self.fleet.name(account)?)))
    }

    fn is_usable(&self, account: AccountId, now: Instant) -> bool {
        matches!(self.fleet.standing(account, now), Standing::Ready | Standing::Doubtful)
    }
}
