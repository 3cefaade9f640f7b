//! Remembers the counts of texts, so that the old part of a conversation is hashed, not counted.
//!
//! A table of fixed size without a lock. Each slot is two words, the count and the hash mixed with
//! it; a reader that meets a slot half written finds that they do not belong together, and counts
//! anew. The hash has a secret that is new in each process, so nobody can make two texts meet.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::catalog::Encoding;

/// What a text counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// Its tokens.
    pub(super) tokens: u32,
    /// Its characters.
    pub(super) characters: u32,
}

/// How the bytes that are looked up become a text: the same bytes may count differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As JSON means the inside of a string.
    Quoted,
    /// As they stand.
    Plain,
    /// As a list of tools is shown to the model.
    Tools,
    /// As a list of functions is shown to the model.
    Functions,
    /// As JSON without white space.
    Schema,
    /// As the id of an answer or a conversation, for all that came before it.
    History,
}

/// Counts by hash of the text.
pub(super) struct Memory {
    secret: [u8; 192],
    slots: OnceLock<Box<[Slot]>>,
}

/// The name of a text in the memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    place: usize,
    check: u64,
}

#[derive(Default)]
struct Slot {
    /// The key's check, mixed with `count`.
    check: AtomicU64,
    /// Tokens above, characters below; 0 where the slot is free.
    count: AtomicU64,
}

impl Key {
    /// Returns a hash of the text alone.
    pub(super) const fn digest(self) -> u64 {
        self.check
    }
}

impl Memory {
    /// Creates an empty memory; its table is made when it is first needed.
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        let mut secret = [0; 192];
        for (number, bytes) in secret.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&random.hash_one(number).to_ne_bytes());
        }
        Self { secret, slots: OnceLock::new() }
    }

    /// Makes the table, which takes part of a millisecond.
    pub(super) fn prepare(&self) {
        self.slots.get_or_init(|| (0..SETS_USIZE * WAYS).map(|_| Slot::default()).collect());
    }

    /// Returns the key of `bytes`.
    pub(super) fn key(&self, bytes: &[u8], form: Form, encoding: Encoding) -> Key {
        let kind = match form {
            Form::Quoted => 0,
            Form::Plain => 2,
            Form::Tools => 4,
            Form::Functions => 6,
            Form::Schema => 8,
            Form::History => 10,
        } + u64::from(encoding == Encoding::O200k);
        let hash = xxh3_128_with_secret(bytes, &self.secret);
        let [high, low] = halves(hash);
        // Kinds are spread over the whole word, or they would differ in a bit or two only.
        let check = high ^ kind.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = usize::try_from(low % SETS).unwrap_or(0) * WAYS;
        Key { place, check }
    }

    /// Returns what was remembered under `key`.
    pub(super) fn recall(&self, key: Key) -> Option<Count> {
        self.set(key)?.iter().find_map(|slot| {
            let count = slot.count.load(Ordering::Relaxed);
            let check = slot.check.load(Ordering::Relaxed) ^ count;
            (count != 0 && check == key.check).then(|| Count::unpack(count))
        })
    }

    /// Remembers `count` under `key`, in place of what was remembered there, or of another where there is no room.
    pub(super) fn remember(&self, key: Key, count: Count) {
        self.prepare();
        let Some(set) = self.set(key) else { return };
        let is_own = |slot: &&Slot| {
            let count = slot.count.load(Ordering::Relaxed);
            count == 0 || slot.check.load(Ordering::Relaxed) ^ count == key.check
        };
        // Slots are taken in their order, so that none of the same key is behind a free one.
        let free = set.iter().find(is_own);
        let victim = set.get(usize::try_from(key.check % WAYS as u64).unwrap_or(0));
        let Some(slot) = free.or(victim) else { return };
        let packed = count.pack();
        slot.count.store(packed, Ordering::Relaxed);
        slot.check.store(key.check ^ packed, Ordering::Relaxed);
    }

    fn set(&self, key: Key) -> Option<&[Slot]> {
        self.slots.get()?.get(key.place..key.place + WAYS)
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Count {
    fn pack(self) -> u64 {
        u64::from(self.tokens) << 32 | u64::from(self.characters)
    }

    fn unpack(packed: u64) -> Self {
        let [tokens, characters] = [packed >> 32, packed & 0xFFFF_FFFF];
        let narrow = |word: u64| u32::try_from(word).unwrap_or(u32::MAX);
        Self { tokens: narrow(tokens), characters: narrow(characters) }
    }
}

/// Returns the upper and the lower half of a hash.
fn halves(hash: u128) -> [u64; 2] {
    let narrow = |word: u128| u64::try_from(word & u128::from(u64::MAX)).unwrap_or(0);
    [narrow(hash >> 64), narrow(hash)]
}

/// Slots among which a key may lie.
const WAYS: usize = 4;
/// Groups of slots: with four slots of 16 bytes each, the table takes 1 MB.
const SETS: u64 = 1 << 14;
/// [`SETS`], as the number of an array's elements.
const SETS_USIZE: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: Count = Count { tokens: 7, characters: 21 };

    #[test]
    fn what_is_remembered_is_recalled_under_its_own_key_only() {
        let memory = Memory::new();
        let key = memory.key(b"text", Form::Quoted, Encoding::O200k);
        assert_eq!(memory.recall(key), None);
        memory.remember(key, COUNT);
        assert_eq!(memory.recall(key), Some(COUNT));
        let more = Count { tokens: 9, characters: 30 };
        memory.remember(key, more);
        assert_eq!(memory.recall(key), Some(more), "a conversation has grown");
        for (bytes, form, encoding) in [
            (b"text", Form::Quoted, Encoding::Cl100k),
            (b"text", Form::Plain, Encoding::O200k),
            (b"text", Form::Tools, Encoding::O200k),
            (b"texs", Form::Quoted, Encoding::O200k),
        ] {
            assert_eq!(memory.recall(memory.key(bytes, form, encoding)), None);
        }
    }

    #[test]
    fn a_memory_that_is_full_forgets_and_never_lies() {
        let memory = Memory::new();
        let key = |number: u32| memory.key(&number.to_ne_bytes(), Form::Plain, Encoding::O200k);
        for number in 1..200_000 {
            memory.remember(key(number), Count { tokens: number, characters: number });
        }
        let mut kept = 0;
        for number in 1..200_000 {
            if let Some(count) = memory.recall(key(number)) {
                assert_eq!(count.tokens, number);
                kept += 1;
            }
        }
        assert!((50_000..=65_536).contains(&kept), "{kept} of 65,536 slots are used");
    }

    #[test]
    fn secrets_differ() {
        let keys = [Memory::new(), Memory::new()]
            .map(|memory| memory.key(b"text", Form::Plain, Encoding::O200k).check);
        assert_ne!(keys[0], keys[1]);
    }
}
