//! Requests in the order of their places, with sums: what stands before a place costs a logarithm.
//!
//! A treap whose priorities are mixed from the places, so that the same requests make the same tree.

use super::place::{Backlog, Place};

/// Requests of one app that wait for one pool, in order.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    root: Link,
}

type Link = Option<Box<Node>>;

#[derive(Debug)]
struct Node {
    place: Place,
    cost: Backlog,
    /// Of this node and all below it.
    sum: Backlog,
    count: usize,
    left: Link,
    right: Link,
}

impl Ranked {
    /// Adds a request. Places are unique: one that is there already is replaced.
    pub(super) fn insert(&mut self, place: Place, cost: Backlog) {
        self.remove(place);
        let (left, right) = split(self.root.take(), place);
        let node = Node { place, cost, sum: cost, count: 1, left: None, right: None };
        self.root = merge(merge(left, Some(Box::new(node))), right);
    }

    /// Takes a request out, and returns its cost.
    pub(super) fn remove(&mut self, place: Place) -> Option<Backlog> {
        remove(&mut self.root, place)
    }

    /// Returns the place of the one before which `index` others stand.
    pub(super) fn nth(&self, mut index: usize) -> Option<Place> {
        let mut link = &self.root;
        while let Some(node) = link {
            let before = count(&node.left);
            if index < before {
                link = &node.left;
            } else if index == before {
                return Some(node.place);
            } else {
                index -= before + 1;
                link = &node.right;
            }
        }
        None
    }

    /// Returns the place of the last.
    pub(super) fn last(&self) -> Option<Place> {
        self.nth(self.len().checked_sub(1)?)
    }

    /// Returns what stands before `place`, which need not be taken.
    pub(super) fn before(&self, place: Place) -> Backlog {
        let (mut link, mut sum) = (&self.root, Backlog::NONE);
        while let Some(node) = link {
            if node.place < place {
                sum = sum.plus(sum_of(&node.left)).plus(node.cost);
                link = &node.right;
            } else {
                link = &node.left;
            }
        }
        sum
    }

    /// Returns what all of them cost.
    pub(super) fn total(&self) -> Backlog {
        sum_of(&self.root)
    }

    pub(super) fn len(&self) -> usize {
        count(&self.root)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

impl Node {
    fn sum_up(&mut self) {
        self.sum = self.cost.plus(sum_of(&self.left)).plus(sum_of(&self.right));
        self.count = 1 + count(&self.left) + count(&self.right);
    }
}

fn sum_of(link: &Link) -> Backlog {
    link.as_ref().map_or(Backlog::NONE, |node| node.sum)
}

fn count(link: &Link) -> usize {
    link.as_ref().map_or(0, |node| node.count)
}

/// Parts those before `place` from the others.
fn split(link: Link, place: Place) -> (Link, Link) {
    let Some(mut node) = link else { return (None, None) };
    if node.place < place {
        let (middle, right) = split(node.right.take(), place);
        node.right = middle;
        node.sum_up();
        (Some(node), right)
    } else {
        let (left, middle) = split(node.left.take(), place);
        node.left = middle;
        node.sum_up();
        (left, Some(node))
    }
}

/// Joins two, all of `left` before all of `right`.
fn merge(left: Link, right: Link) -> Link {
    match (left, right) {
        (None, other) | (other, None) => other,
        (Some(mut left), Some(mut right)) => {
            if left.place.mixed() >= right.place.mixed() {
                left.right = merge(left.right.take(), Some(right));
                left.sum_up();
                Some(left)
            } else {
                right.left = merge(Some(left), right.left.take());
                right.sum_up();
                Some(right)
            }
        }
    }
}

fn remove(link: &mut Link, place: Place) -> Option<Backlog> {
    let node = link.as_mut()?;
    if node.place == place {
        let cost = node.cost;
        let both = (node.left.take(), node.right.take());
        *link = merge(both.0, both.1);
        return Some(cost);
    }
    let below = if place < node.place { &mut node.left } else { &mut node.right };
    let cost = remove(below, place)?;
    node.sum_up();
    Some(cost)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::time::Instant;

    use super::*;

    fn cost(tokens: u64) -> Backlog {
        Backlog { requests: 1, tokens }
    }

    #[test]
    fn sums_and_order_are_those_of_a_plain_map() {
        let now = Instant::now();
        let (mut ranked, mut plain) = (Ranked::default(), BTreeMap::new());
        for step in 0..5_000_u64 {
            let place = Place::new(step.wrapping_mul(7919) % 1_000, now, None);
            if step % 3 == 0 {
                assert_eq!(ranked.remove(place), plain.remove(&place));
            } else {
                ranked.insert(place, cost(step));
                plain.insert(place, cost(step));
            }
            let before = plain.range(..place).fold(Backlog::NONE, |sum, (_, cost)| sum.plus(*cost));
            assert_eq!(ranked.before(place), before, "step {step}");
            assert_eq!(ranked.len(), plain.len());
            let index = usize::try_from(step).expect("small") % (plain.len() + 1);
            assert_eq!(ranked.nth(index), plain.keys().nth(index).copied(), "step {step}");
        }
        assert_eq!(ranked.nth(0), plain.keys().next().copied());
        assert_eq!(ranked.last(), plain.keys().next_back().copied());
        assert_eq!(ranked.total(), plain.values().fold(Backlog::NONE, |sum, cost| sum.plus(*cost)));
    }

    #[test]
    fn a_hundred_thousand_in_order_make_no_deep_tree() {
        fn depth(link: &Link) -> usize {
            link.as_ref().map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
        }
        let (mut ranked, now) = (Ranked::default(), Instant::now());
        for arrival in 0..100_000 {
            ranked.insert(Place::new(arrival, now, None), cost(1));
        }
        assert!(depth(&ranked.root) < 60, "{} deep", depth(&ranked.root));
    }
}
