//! Remembers which model serves a run, its thread and its assistant: requests for runs need not say.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::units::ModelName;

/// Models by what they served. Cloning it shares them.
#[derive(Debug, Clone)]
pub struct KnownModels {
    by_id: Arc<Mutex<ById>>,
}

type ById = LruCache<Box<str>, ModelName>;

/// So many are remembered; of more, those go that were not asked for longest.
const MOST: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

impl KnownModels {
    /// Creates an empty memory.
    pub fn new() -> Self {
        Self { by_id: Arc::new(Mutex::new(LruCache::new(MOST))) }
    }

    /// Notes that `model` served what is called so.
    pub(super) fn note(&self, ids: &[Box<str>], model: &ModelName) {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            by_id.put(id.clone(), model.clone());
        }
    }

    /// Returns the model of the first of `ids` that is known.
    pub fn find(&self, ids: &[Box<str>]) -> Option<ModelName> {
        if ids.is_empty() {
            // So are all calls but runs: they do not meet at a lock.
            return None;
        }
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().find_map(|id| by_id.get(id).cloned())
    }
}

impl Default for KnownModels {
    fn default() -> Self {
        Self::new()
    }
}
