//! What becomes of a granted request: sent, answered, and closed in one of five ways.

use http::HeaderMap;
use tokio::time::Instant;

use super::allotments::End;
use super::refusal::Refusal;
use super::state::{Grant, State};
use crate::limit::{Cost, Debit, Hint, Lane, QuotaLevel};
use crate::line::LaneId;
use crate::units::Usage;
use crate::upstream::{AccountId, Change, ClientKey, Finding};

impl State {
    pub(super) fn sent(&mut self, grant: &mut Grant, now: Instant) {
        if let Some(entry) = self.lanes.get_mut(&grant.lane) {
            entry.lane.sent(&mut grant.debit, now);
        }
        if let Some(own) = &mut grant.own {
            self.allotments.sent(own, now);
        }
    }

    pub(super) fn observe(
        &mut self,
        grant: &mut Grant,
        hint: &Hint,
        now: Instant,
    ) -> Vec<QuotaLevel> {
        let Some(entry) = self.lanes.get_mut(&grant.lane) else { return Vec::new() };
        entry.lane.observe(&mut grant.debit, hint, now);
        self.memories.note(entry, now);
        let levels = entry.lane.levels(now);
        self.ring(grant.lane, now);
        levels
    }

    pub(super) fn report(
        &mut self,
        grant: &Grant,
        (finding, headers): (&Finding, &HeaderMap),
        now: Instant,
    ) -> Change {
        let change = self.fleet.report(&grant.lent, finding, now, rand::random());
        let merged = self.fleet.observe(grant.lent.key(), headers);
        if let Change::Merged { .. } = merged {
            self.route_bound(now);
        }
        if change.opens_or_closes() || merged.opens_or_closes() {
            self.serve_all(now);
        }
        change
    }

    /// Finds or makes the account of a client's own key, and holds it.
    pub(super) fn adopt(&mut self, key: &ClientKey) -> Result<AccountId, Refusal> {
        let adopted = self.fleet.adopt(key).map_err(Refusal::OwnKey)?;
        if let Some(evicted) = adopted.evicted {
            self.forget_account(evicted);
        }
        Ok(adopted.account)
    }

    pub(super) fn cancel(&mut self, grant: Grant, now: Instant) {
        self.close(grant, End::Unsent, now, |lane, debit| {
            lane.cancel(debit);
            None
        });
    }

    pub(super) fn keep(&mut self, mut grant: Grant, now: Instant) {
        // What it took stays what was expected.
        grant.turn = None;
        self.close(grant, End::Unknown, now, |lane, debit| {
            lane.keep(debit, now);
            None
        });
    }

    pub(super) fn refused(&mut self, grant: Grant, now: Instant) {
        self.close(grant, End::Used(0), now, |lane, debit| {
            lane.refused(debit, now);
            None
        });
    }

    pub(super) fn failed(&mut self, grant: Grant, now: Instant) {
        self.close(grant, End::Used(0), now, |lane, debit| {
            lane.failed(debit, now);
            None
        });
    }

    pub(super) fn settle(&mut self, grant: Grant, usage: &Usage, now: Instant) {
        let counted = self.upstream.dialect.counted(usage);
        let (prefix, expected) = &grant.cached;
        self.fleet.warmed((grant.lent.account(), prefix), *expected, usage, now);
        let used = (usage.input + usage.output).count();
        self.close(grant, End::Used(used), now, |lane, debit| {
            Some(lane.settle(debit, &counted, now))
        });
    }

    fn close(
        &mut self,
        grant: Grant,
        own: End,
        now: Instant,
        end: impl FnOnce(&mut Lane, Debit) -> Option<Cost>,
    ) {
        let account = grant.lent.account();
        let before = self.fleet.standing(account, now);
        let lane = self.undo(grant, own, now, end);
        if self.lanes.get(&lane).is_some_and(|entry| entry.is_retired && entry.open == 0) {
            self.clear_away(now);
        }
        if self.fleet.standing(account, now) == before {
            self.ring(lane, now);
        } else {
            // A trial ended without telling: whoever waits for the account may be the next.
            self.serve_all(now);
        }
    }

    /// Closes a debit without serving anybody, and returns its lane. `end` returns what the request
    /// was charged, if it was.
    pub(super) fn undo(
        &mut self,
        grant: Grant,
        own: End,
        now: Instant,
        end: impl FnOnce(&mut Lane, Debit) -> Option<Cost>,
    ) -> LaneId {
        self.close_own(grant.own.as_ref(), own, now);
        let account = grant.lent.account();
        self.fleet.release(grant.lent, now);
        self.fleet.leave(account);
        if let Some(entry) = self.lanes.get_mut(&grant.lane) {
            entry.open = entry.open.saturating_sub(1);
            let charged = end(&mut entry.lane, grant.debit);
            let share = charged.map(|cost| entry.lane.share(&cost));
            self.memories.note(entry, now);
            self.put_right(grant.turn, share);
        }
        grant.lane
    }
}
