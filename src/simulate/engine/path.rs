//! A history of debits in which any one can be changed, in time that grows with its logarithm.

use std::collections::VecDeque;

/// One debit: what was refilled since the one before, and what was then taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Refill since the step before.
    pub gain: i128,
    /// What is taken; negative for a credit.
    pub debit: i128,
    /// Whether the debit may still change.
    pub open: bool,
}

/// The steps since the oldest debit that may still change.
///
/// A segment tree over the steps: every node knows the sum of its steps and the highest point that
/// the running sum reaches in it. The root alone tells how far an unlimited bucket would have
/// risen above its start, which is what a limited one has lost at its brim.
#[derive(Debug, Clone, Default)]
pub(super) struct Path {
    nodes: Vec<Node>,
    steps: VecDeque<Step>,
    first: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    sum: i128,
    peak: i128,
}

impl Path {
    /// Returns the sum of all steps.
    pub(super) fn sum(&self) -> i128 {
        self.root().sum
    }

    /// Returns the highest point of the running sum, 0 at the start included.
    pub(super) fn peak(&self) -> i128 {
        self.root().peak
    }

    /// Tells whether no step is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds a step and returns its number. First hands the closed steps at the front to `fold`
    /// where the tree is full.
    pub(super) fn push(&mut self, step: Step, fold: impl FnMut(Step)) -> u64 {
        if self.steps.len() == self.width() {
            self.compact(fold);
        }
        let index = self.steps.len();
        self.steps.push_back(step);
        self.set(index, Node::of(step));
        self.first.saturating_add(index as u64)
    }

    /// Closes step `number` with a new debit; tells whether it was still kept.
    pub(super) fn close(&mut self, number: u64, debit: i128) -> bool {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(index) = index else { return false };
        let Some(step) = self.steps.get_mut(index) else { return false };
        step.debit = debit;
        step.open = false;
        let node = Node::of(*step);
        self.set(index, node);
        true
    }

    /// Hands all steps to `fold`, those that may still change too, and keeps none.
    pub(super) fn forget(&mut self, fold: impl FnMut(Step)) {
        self.first = self.next_number();
        self.steps.drain(..).for_each(fold);
        self.nodes.clear();
    }

    /// Returns the number which the next step would get.
    pub(super) fn next_number(&self) -> u64 {
        self.first.saturating_add(self.steps.len() as u64)
    }

    fn width(&self) -> usize {
        self.nodes.len() / 2
    }

    fn root(&self) -> Node {
        self.nodes.get(1).copied().unwrap_or_default()
    }

    fn compact(&mut self, mut fold: impl FnMut(Step)) {
        while let Some(step) = self.steps.pop_front_if(|step| !step.open) {
            fold(step);
            self.first = self.first.saturating_add(1);
        }
        let width = (self.steps.len() * 2).next_power_of_two().max(64);
        self.nodes = vec![Node::default(); width * 2];
        for (slot, step) in self.nodes.iter_mut().skip(width).zip(&self.steps) {
            *slot = Node::of(*step);
        }
        for index in (1..width).rev() {
            self.refresh(index);
        }
    }

    fn set(&mut self, index: usize, node: Node) {
        let mut at = self.width() + index;
        if let Some(slot) = self.nodes.get_mut(at) {
            *slot = node;
        }
        while at > 1 {
            at /= 2;
            self.refresh(at);
        }
    }

    fn refresh(&mut self, index: usize) {
        let left = self.nodes.get(index * 2).copied().unwrap_or_default();
        let right = self.nodes.get(index * 2 + 1).copied().unwrap_or_default();
        if let Some(node) = self.nodes.get_mut(index) {
            *node = Node { sum: left.sum + right.sum, peak: left.peak.max(left.sum + right.peak) };
        }
    }
}

impl Node {
    fn of(step: Step) -> Self {
        let sum = step.gain - step.debit;
        Self { sum, peak: step.gain.max(sum).max(0) }
    }
}
