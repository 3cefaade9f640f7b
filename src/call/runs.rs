//! Runs of threads: what their paths name, and what of a call lies at the provider.
//!
//! Paths and bodies: OpenAI's OpenAPI specification 2.3.0, <https://github.com/openai/openai-openapi>, read
//! 2026-08-21.

use std::borrow::Cow;
use std::sync::Arc;

use super::Call;
use super::json::{Text, members};
use crate::units::below_base;

/// What a path of runs names: `/threads/{thread}/runs`, `/threads/{thread}/runs/{run}` and parts of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunPath<'p> {
    /// The thread.
    pub thread: &'p str,
    /// The run; `None` where all of the thread are meant.
    pub run: Option<&'p str>,
    /// What of the run is meant, such as `cancel`; `None` where it is the run itself.
    pub part: Option<&'p str>,
}

impl<'p> RunPath<'p> {
    /// Reads a path, with or without a version in front; `None` where it is not one of runs.
    pub fn of(path: &'p str) -> Option<Self> {
        let mut segments = below_base(path).strip_prefix("/threads/")?.split('/');
        let thread = segments.next().filter(|thread| !thread.is_empty())?;
        if segments.next() != Some("runs") {
            return None;
        }
        let run = segments.next();
        let part = segments.next();
        let is_named = run.is_none_or(|run| !run.is_empty()) && segments.next().is_none();
        is_named.then_some(Self { thread, run, part })
    }
}

/// Where a call runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct InThread {
    thread: Option<Arc<str>>,
    run: Option<Arc<str>>,
    /// Whether its model was not said, but is known of its assistant.
    is_learned: bool,
}

impl Call {
    /// Notes what its path names.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        let Some(RunPath { thread, run, .. }) =
            RunPath::of(path).filter(|_| self.endpoint.is_of_thread())
        else {
            return self;
        };
        let (thread, run) = (Some(thread.into()), run.map(Into::into));
        Self { in_thread: Some(Box::new(InThread { thread, run, is_learned: false })), ..self }
    }

    /// Returns the run that it is a part of.
    pub fn run(&self) -> Option<&Arc<str>> {
        self.in_thread.as_ref()?.run.as_ref()
    }

    /// Returns by what others knew the model that it does not say: its run, its assistant or its thread.
    pub fn model_known_by(&self) -> Vec<Box<str>> {
        if !self.endpoint.is_of_thread() || !self.model.as_str().is_empty() {
            return Vec::new();
        }
        let assistant = members(&self.body, ["assistant_id"]).ok().and_then(|[id]| id);
        let assistant = assistant.and_then(Text::of).map(|id| Box::from(&*id.decode()));
        let at = self.in_thread.as_ref();
        let run = at.and_then(|at| at.run.as_deref()).map(Box::from);
        let thread = at.and_then(|at| at.thread.as_deref()).map(Box::from);
        // A thread may be run by one assistant after the other.
        [run, assistant, thread].into_iter().flatten().collect()
    }

    /// Takes `model` as the one that it is served by, though it does not say so.
    pub fn learn_model(&mut self, model: crate::units::ModelName) {
        self.model = model;
        self.in_thread.get_or_insert_default().is_learned = true;
    }

    /// Tells whether its model is one that it does not say.
    pub fn is_model_learned(&self) -> bool {
        self.in_thread.as_ref().is_some_and(|at| at.is_learned)
    }

    /// Returns the id of the answer, conversation or thread that it goes on with, which lies at the provider.
    pub fn goes_on_with(&self) -> Option<Cow<'_, str>> {
        let thread = self.in_thread.as_ref().and_then(|at| at.thread.as_deref());
        let before = || self.history().map(|id| Cow::Borrowed(id.escaped()));
        thread.map(Cow::Borrowed).or_else(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_thread_and_its_run() {
        let thread = "thread_1";
        let of = |run, part| Some(RunPath { thread, run, part });
        assert_eq!(RunPath::of("/v1/threads/thread_1/runs"), of(None, None));
        assert_eq!(RunPath::of("/threads/thread_1/runs/run_1"), of(Some("run_1"), None));
        let cancel = RunPath::of("/openai/v1/threads/thread_1/runs/run_1/cancel");
        assert_eq!(cancel, of(Some("run_1"), Some("cancel")));
        for path in [
            "/threads",
            "/threads/",
            "/threads//runs",
            "/threads/t/messages",
            "/threads/t",
            "/threads/t/runs/",
            "/threads/t/runs/r/steps/s",
            "/v1/chat/completions",
        ] {
            assert_eq!(RunPath::of(path), None, "{path}");
        }
    }
}
