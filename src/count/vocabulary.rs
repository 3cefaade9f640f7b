//! Loads the vocabularies when they are first asked for.
//!
//! `bpe-openai` on the hot path: every count equals `tiktoken-rs`, which the tests hold it to, its
//! time is linear on any input, and it does not overflow the stack as `tiktoken-rs` does on a
//! megabyte of spaces. `benches/count.rs` prints what each costs.

use std::sync::OnceLock;

use bpe_openai::Tokenizer;

use crate::catalog::Encoding;

/// The vocabularies of this process. They take some 10 MB each and are shared by all counters.
#[derive(Default)]
pub(super) struct Vocabularies {
    cl100k: OnceLock<&'static Tokenizer>,
    o200k: OnceLock<&'static Tokenizer>,
}

impl Vocabularies {
    /// Returns a vocabulary if it is there.
    pub(super) fn loaded(&self, encoding: Encoding) -> Option<&'static Tokenizer> {
        self.cell(encoding).get().copied()
    }

    /// Returns a vocabulary, which takes about 100 ms for the first time.
    pub(super) fn load(&self, encoding: Encoding) -> &'static Tokenizer {
        self.cell(encoding).get_or_init(|| match encoding {
            Encoding::Cl100k => bpe_openai::cl100k_base(),
            Encoding::O200k => bpe_openai::o200k_base(),
        })
    }

    fn cell(&self, encoding: Encoding) -> &OnceLock<&'static Tokenizer> {
        match encoding {
            Encoding::Cl100k => &self.cl100k,
            Encoding::O200k => &self.o200k,
        }
    }
}

impl std::fmt::Debug for Vocabularies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabularies")
            .field("cl100k", &self.cl100k.get().is_some())
            .field("o200k", &self.o200k.get().is_some())
            .finish()
    }
}
