//! Who waits before one lane, in which order, and for whom it is saved up.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::flow::{FlowId, Tag};
use super::place::{Place, PoolId};
use super::recent::Recent;
use crate::units::Class;

/// The line as one lane sees it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// The pools that it belongs to.
    pub(super) pools: Vec<PoolId>,
    interactive: Rank,
    standard: Rank,
    batch: Rank,
    /// When to look at it again.
    pub(super) look_at: Option<Instant>,
    /// Whether it is to be looked at now.
    pub(super) is_due: bool,
    /// What people at a prompt took of it lately.
    pub(super) recent: Recent,
}

/// Those of one class who wait before one lane.
#[derive(Debug, Default)]
pub(super) struct Rank {
    /// The apps by their virtual times, each with its first request.
    pub(super) order: BTreeSet<(Tag, Place, FlowId)>,
    /// All requests by their sizes.
    pub(super) sizes: BTreeSet<(u64, Place)>,
    /// Apps with requests that wait or are away, and those that had some and may come again.
    pub(super) present: BTreeSet<FlowId>,
    /// The virtual time of the class: where newly active apps begin.
    pub(super) clock: Tag,
    /// What this class may take before higher ones.
    pub(super) credit: Tag,
    /// Those who came back when it was their turn, by what they were told.
    pub(super) due: BTreeSet<(Instant, Place)>,
    /// Whom the lane is saved up for: it keeps its turn within the class.
    pub(super) saved_for: Option<Place>,
    /// Requests of this size and more cannot go before the lane is looked at again.
    pub(super) shut_from: Option<u64>,
}

impl Gate {
    pub(super) const fn rank(&self, class: Class) -> &Rank {
        match class {
            Class::Interactive => &self.interactive,
            Class::Standard => &self.standard,
            Class::Batch => &self.batch,
        }
    }

    pub(super) const fn rank_mut(&mut self, class: Class) -> &mut Rank {
        match class {
            Class::Interactive => &mut self.interactive,
            Class::Standard => &mut self.standard,
            Class::Batch => &mut self.batch,
        }
    }

    /// Tells whether nobody waits before it.
    pub(super) fn is_clear(&self) -> bool {
        Class::ALL.iter().all(|class| self.rank(*class).order.is_empty())
    }

    /// Lets everybody be tried again.
    pub(super) fn unshut(&mut self) {
        for class in Class::ALL {
            self.rank_mut(class).shut_from = None;
        }
    }
}

impl Rank {
    /// Returns where an app begins that did not wait before this lane: not before those who do.
    pub(super) fn begin(&self) -> Tag {
        let first = self.order.first().map_or(Tag::default(), |(tag, ..)| *tag);
        self.clock.max(first)
    }

    /// Returns the smallest request that is not among `skip`.
    pub(super) fn smallest(&self, skip: &[Place]) -> Option<(u64, Place)> {
        self.sizes.iter().find(|(_, place)| !skip.contains(place)).copied()
    }
}
