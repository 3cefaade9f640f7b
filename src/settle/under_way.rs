//! Knows what is not settled yet, and tells it when the program stops.

use std::sync::Arc;

use tokio::sync::watch;

use super::deferred::Deferred;

/// All requests that were sent and are not settled. Cloning it shares them.
#[derive(Debug, Clone)]
pub struct UnderWay {
    stage: Arc<watch::Sender<Stage>>,
    deferred: Deferred,
}

/// Shows that a request is under way: while one is held, [`UnderWay::over`] waits. Cloning it makes one more.
#[derive(Debug, Clone)]
pub struct Pass {
    stage: watch::Receiver<Stage>,
    pub(super) deferred: Deferred,
}

/// How far the program has come towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Draining,
    Cut,
}

impl UnderWay {
    /// Creates an empty one.
    pub fn new() -> Self {
        let stage = Arc::new(watch::Sender::new(Stage::Serving));
        Self { stage, deferred: Deferred::new() }
    }

    /// Returns a pass for one more request.
    pub fn pass(&self) -> Pass {
        Pass { stage: self.stage.subscribe(), deferred: self.deferred.clone() }
    }

    /// Tells all that the program stops: what only waits for more to be asked ends now.
    pub fn drain(&self) {
        self.stage.send_replace(Stage::Draining);
    }

    /// Tells all that the time is up: what goes on without a client's connection ends now.
    pub fn cut(&self) {
        self.stage.send_replace(Stage::Cut);
    }

    /// Waits until all is settled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn over(&self) {
        self.stage.closed().await;
    }
}

impl Default for UnderWay {
    fn default() -> Self {
        Self::new()
    }
}

impl Pass {
    /// Waits until the program stops.
    pub async fn draining(&mut self) {
        self.reaches(Stage::Draining).await;
    }

    /// Waits until the time of what is under way is up.
    pub async fn cut(&mut self) {
        self.reaches(Stage::Cut).await;
    }

    /// Tells whether the time of what is under way is up.
    pub fn is_cut(&self) -> bool {
        *self.stage.borrow() == Stage::Cut
    }

    async fn reaches(&mut self, wanted: Stage) {
        // Who tells is gone only when nobody serves any more.
        let _stage = self.stage.wait_for(|stage| *stage >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn it_is_over_when_the_last_pass_is_gone() {
        let under_way = UnderWay::new();
        let pass = under_way.pass();
        let second = pass.clone();
        drop(pass);
        assert!(under_way.over().now_or_never().is_none());
        drop(second);
        assert!(under_way.over().now_or_never().is_some());
    }

    #[test]
    fn a_pass_is_told_of_each_stage_also_if_it_asks_late() {
        let under_way = UnderWay::new();
        let mut pass = under_way.pass();
        assert!(pass.draining().now_or_never().is_none());
        under_way.drain();
        assert!(pass.draining().now_or_never().is_some());
        assert!(pass.cut().now_or_never().is_none());
        under_way.cut();
        let mut late = under_way.pass();
        assert!(late.draining().now_or_never().is_some() && late.is_cut());
        assert!(late.cut().now_or_never().is_some());
    }
}
