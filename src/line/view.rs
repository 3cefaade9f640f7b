//! What people may see of the line: apps and those who wait, in bounded lists.

use super::Line;
use super::flow::FlowId;
use super::gate::Gate;
use super::place::{Backlog, Place, PoolId};
use crate::units::{AppName, Class};

/// What one app has in line in one class.
#[derive(Debug, Clone)]
pub struct AppView {
    /// The app.
    pub app: AppName,
    /// The class.
    pub class: Class,
    /// Its part of what apps of the class share, in proportion to the others'.
    pub weight: u32,
    /// How many of its requests wait.
    pub waiting: usize,
    /// What it will be charged for them, and for those that are away.
    pub backlog: Backlog,
    /// How far it is ahead of its class, in parts of a window: what it had more than the others.
    pub lead: f64,
}

/// One who waits.
#[derive(Debug, Clone, Copy)]
pub struct WaiterView {
    /// Its place.
    pub place: Place,
    /// Whether a lane is being saved up for it.
    pub is_saved_for: bool,
}

impl<T> Line<T> {
    /// Returns the apps that have somebody in line for a lane of `pool`: at most `most`, the most
    /// urgent class first, and in it whose turn is next.
    pub fn apps(&self, pool: PoolId, most: usize) -> Vec<AppView> {
        let Some(lane) = self.lanes(pool).first() else { return Vec::new() };
        let Some(gate) = self.gates.get(lane) else { return Vec::new() };
        let flows = Class::ALL.into_iter().flat_map(|class| {
            let clock = gate.rank(class).clock.share();
            self.in_view(gate, class, most).into_iter().map(move |flow| (flow, clock))
        });
        let views = flows.filter_map(|(flow, clock)| {
            let flow = self.flows.get(&flow)?;
            let tag = flow.tags.get(lane).copied().unwrap_or_default();
            // Whoever is held back begins where the others are when it comes back.
            let lead = if flow.is_held { 0.0 } else { tag.share() - clock };
            Some(AppView {
                app: flow.app.clone(),
                class: flow.class,
                weight: flow.weight,
                waiting: flow.waiting(),
                backlog: flow.backlog(&gate.pools),
                lead,
            })
        });
        views.take(most).collect()
    }

    /// Returns who waits for `pool`: at most `most`, by class, then app by app in turn.
    pub fn waiters(&self, pool: PoolId, most: usize) -> Vec<WaiterView> {
        let mut views = Vec::new();
        let Some(gate) = self.lanes(pool).first().and_then(|lane| self.gates.get(lane)) else {
            return views;
        };
        for class in Class::ALL {
            let flows = self.in_view(gate, class, most);
            for round in 0..most {
                let had = views.len();
                for flow in &flows {
                    let queue = self.flows.get(flow).and_then(|flow| flow.queues.get(&pool));
                    let Some(place) = queue.and_then(|queue| queue.waiting.nth(round)) else {
                        continue;
                    };
                    if views.len() >= most {
                        return views;
                    }
                    let waiter = self.waiters.get(&place);
                    let is_saved_for = waiter.is_some_and(|waiter| waiter.saved.is_some());
                    views.push(WaiterView { place, is_saved_for });
                }
                if views.len() == had {
                    break;
                }
            }
        }
        views
    }

    /// Returns the apps of a class before one lane: by their turns, then those that are held back.
    fn in_view(&self, gate: &Gate, class: Class, most: usize) -> Vec<FlowId> {
        let eligible = gate.rank(class).order.iter().map(|(.., flow)| *flow);
        eligible.chain(self.held_flows(class, &gate.pools)).take(most).collect()
    }

    /// Returns how many wait for `pool` whose apps are held back, and what they will be charged.
    pub fn held_for(&self, pool: PoolId) -> (usize, Backlog) {
        let flows = Class::ALL.into_iter().flat_map(|class| self.held_flows(class, &[pool]));
        let queues = flows.filter_map(|flow| self.flows.get(&flow)?.queues.get(&pool));
        queues.fold((0, Backlog::NONE), |(count, sum), queue| {
            (count + queue.waiting.len(), sum.plus(queue.waiting.total()))
        })
    }

    /// Returns how many wait for `pool` and may go, and what they will be charged.
    pub fn waiting_for(&self, pool: PoolId) -> (usize, Backlog) {
        let Some(gate) = self.lanes(pool).first().and_then(|lane| self.gates.get(lane)) else {
            return (0, Backlog::NONE);
        };
        let flows = Class::ALL.into_iter().flat_map(|class| gate.rank(class).order.iter());
        let queues = flows.filter_map(|(.., flow)| self.flows.get(flow)?.queues.get(&pool));
        queues.fold((0, Backlog::NONE), |(count, sum), queue| {
            (count + queue.waiting.len(), sum.plus(queue.waiting.total()))
        })
    }
}
