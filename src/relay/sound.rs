//! Counts sound by how long it lasts.
//!
//! What assistants say has a token each 50 ms (OpenAI's guide to the costs of realtime conversations,
//! <https://developers.openai.com/api/docs/guides/realtime-costs>, read 2026-11-22).

use crate::units::Tokens;

/// Sound that was heard, in pieces of base64.
#[derive(Debug, Default)]
pub(super) struct Sound {
    bytes: u64,
    is_packed: bool,
}

/// Bytes of 50 ms of samples: 24,000 a second, of two bytes (OpenAI's guide to speech,
/// <https://developers.openai.com/api/docs/guides/text-to-speech>, read 2026-11-22). FLAC may have half of
/// them.
const RAW_BYTES_A_TOKEN: u64 = 2_400;

/// Bytes of 50 ms at 128 kbit a second, the rate of 4.3 MB of MP3 for 268 seconds
/// (<https://github.com/sanand0/blog>, "OpenAI TTS cost", 2025-11-02).
const PACKED_BYTES_A_TOKEN: u64 = 800;

/// How packed sound begins, in base64: an ID3 tag, a frame of MPEG or AAC, and Ogg.
const PACKED: [&str; 3] = ["SUQz", "//", "T2dn"];

impl Sound {
    /// Takes the next piece.
    pub(super) fn hear(&mut self, base64: &str) {
        if self.bytes == 0 {
            self.is_packed = PACKED.iter().any(|begin| base64.starts_with(begin));
        }
        let digits = base64.trim_end_matches('=').len();
        self.bytes += u64::try_from(digits).unwrap_or(u64::MAX).saturating_mul(3) / 4;
    }

    /// Tells whether nothing was heard.
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Returns the tokens of what was heard so far.
    pub(super) const fn tokens(&self) -> Tokens {
        let each = if self.is_packed { PACKED_BYTES_A_TOKEN } else { RAW_BYTES_A_TOKEN };
        Tokens::new(self.bytes.div_ceil(each))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_second_of_sound_has_twenty_tokens_packed_or_not() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (&b"ID3\x04"[..], 16_000),
            (b"\xff\xfb",    16_000),
            (b"RIFF",        48_000),
            (b"\x00\x01",    48_000),
        ];
        for (begin, size) in cases {
            let mut bytes = begin.to_vec();
            bytes.resize(size, 7);
            let mut sound = Sound::default();
            bytes.chunks(1_000).for_each(|piece| sound.hear(&STANDARD.encode(piece)));
            assert_eq!(sound.tokens(), Tokens::new(20), "{begin:?}");
        }
    }
}
