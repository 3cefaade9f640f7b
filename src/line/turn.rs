//! What a turn costs the app that had it, and how that is put right when the true cost is known.

use tokio::time::Instant;

use super::Line;
use super::flow::{FlowId, Tag};
use super::place::{Backlog, LaneId, PoolId};
use super::recent::Spared;
use crate::units::Class;

/// A turn that an app had: what it moved on by. It is given back when nothing was sent, and put
/// right when the true cost is known; without that it stands as it was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    flow: FlowId,
    pool: PoolId,
    advance: Tag,
}

impl<T> Line<T> {
    /// Puts a turn right: it took `share` of a window.
    pub fn correct(&mut self, turn: Turn, share: f64) {
        let Some(flow) = self.flows.get(&turn.flow) else { return };
        let after = flow.advance_of(share);
        if after != turn.advance {
            self.shift(turn.flow, turn.pool, |tag| tag.plus(after).minus(turn.advance));
        }
    }

    /// Gives a turn back: it took nothing.
    pub fn give_back(&mut self, turn: Turn) {
        self.shift(turn.flow, turn.pool, |tag| tag.minus(turn.advance));
    }

    /// Notes that somebody of `class` took `cost` of `lane`, for which `reserve` had to be free,
    /// waiting or not: batch work leaves as much as people at a prompt take.
    pub fn took(
        &mut self,
        lane: LaneId,
        class: Class,
        (cost, reserve): (Backlog, Backlog),
        now: Instant,
    ) {
        if class == Class::Interactive
            && let Some(gate) = self.gates.get_mut(&lane)
        {
            gate.recent.took(cost, reserve, now);
        }
    }

    /// Returns what a request of `class` has to leave free on `lane`.
    pub fn spare(&mut self, lane: LaneId, class: Class, now: Instant) -> Spared {
        match self.gates.get_mut(&lane) {
            Some(gate) if class == Class::Batch => gate.recent.spare(now),
            _ => Spared::default(),
        }
    }

    /// Charges `flow` for a turn on `lane` that took `share` of a window: its app moves on, and so
    /// does the clock of its class.
    pub(super) fn charge(
        &mut self,
        flow: FlowId,
        (pool, lane): (PoolId, LaneId),
        share: f64,
    ) -> Option<Turn> {
        let entry = self.flows.get(&flow)?;
        let advance = entry.advance_of(share);
        let (class, begun) = (entry.class, entry.tags.get(&lane).copied().unwrap_or_default());
        if let Some(gate) = self.gates.get_mut(&lane) {
            let rank = gate.rank_mut(class);
            rank.clock = rank.clock.max(begun);
        }
        self.shift(flow, pool, |tag| tag.plus(advance));
        Some(Turn { flow, pool, advance })
    }

    /// Lets the lower classes that wait for `lane` keep their small part of what passes them, up to
    /// what their first requests need; `class` pays if its turn came by its own credit.
    pub(super) fn accrue(&mut self, lane: LaneId, class: Class, share: f64) {
        for lower in Class::ALL.into_iter().filter(|other| *other < class) {
            let Some(first) = self.leader(lane, lower, &[]) else { continue };
            let needed = self.waiters.get(&first).map_or(0.0, |waiter| waiter.request.share);
            let Some(gate) = self.gates.get_mut(&lane) else { return };
            let rank = gate.rank_mut(lower);
            rank.credit = rank.credit.plus(Tag::of(share * KEPT_PART)).min(Tag::of(needed));
        }
        if let Some(gate) = self.gates.get_mut(&lane) {
            let rank = gate.rank_mut(class);
            rank.credit = rank.credit.minus(Tag::of(share));
        }
    }
}

/// What a lower class keeps of what passes it.
pub(super) const KEPT_PART: f64 = 0.05;
