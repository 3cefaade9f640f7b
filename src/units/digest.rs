//! What is kept of a key by whose holder its owner is known.

use std::fmt;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// The SHA-256 of an app's key.
///
/// A slow hash would add nothing: it is for passwords that people think of, and the keys that are made here have
/// 256 random bits, which nobody tries out. So a digest can be looked up like a name: how long that takes tells
/// something of digests, and who could make use of that would have to know keys whose digests begin alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest([u8; SHA256_OUTPUT_LEN]);

impl KeyDigest {
    /// Returns the digest of `key`.
    pub fn of(key: &str) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        let whole = digest(&SHA256, key.as_bytes());
        bytes.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// Reads what [`to_hex`](Self::to_hex) wrote; `None` if it did not.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        if text.len() != 2 * SHA256_OUTPUT_LEN || !text.is_ascii() {
            return None;
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Returns it as 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().copied().flat_map(digits).collect()
    }

    /// Returns its first 8 hexadecimal digits, by which people may tell keys apart.
    pub fn short(self) -> String {
        self.0.iter().copied().take(4).flat_map(digits).collect()
    }
}

/// Returns a byte as two hexadecimal digits.
fn digits(byte: u8) -> [char; 2] {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    [digit(byte >> 4), digit(byte & 0xf)]
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({}..)", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_was_written_and_does_not_show_itself() {
        let digest = KeyDigest::of("sg-key");
        assert_eq!(KeyDigest::from_hex(&digest.to_hex()), Some(digest));
        assert_eq!(digest.short(), digest.to_hex()[..8]);
        for broken in ["", "ab", &"x".repeat(64), &"é".repeat(32)] {
            assert_eq!(KeyDigest::from_hex(broken), None, "{broken}");
        }
        assert!(!format!("{digest:?}").contains(&digest.to_hex()));
    }
}
