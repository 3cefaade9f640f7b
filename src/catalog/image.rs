//! What an image costs, by its size.
//!
//! Rules, multipliers and limits: OpenAI's guide "Images and vision"
//! (<https://developers.openai.com/api/docs/guides/images-vision>), read 2026-11-21.

use serde::Deserialize;

/// How a model counts images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageRule {
    /// A base, and as much again for each tile of 512 pixels.
    Tiles {
        /// Tokens of any image.
        base: u32,
        /// Tokens of each tile.
        tile: u32,
    },
    /// So many hundredths of a token for each patch of 32 pixels.
    Patches {
        /// Hundredths of a token for a patch.
        hundredths: u32,
        /// To what an image is shrunk first.
        limits: PatchLimits,
    },
}

/// The limits of an image counted in patches, by the detail asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchLimits {
    /// With `low`.
    pub low: Limit,
    /// With `high`.
    pub high: Limit,
    /// With `original`.
    pub original: Limit,
    /// What `auto`, or no word at all, stands for.
    pub auto: Detail,
}

/// How large an image may be; a larger one is shrunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The longer side, in pixels.
    pub side: Option<u32>,
    /// The patches.
    pub patches: Option<u32>,
}

/// How closely the model is asked to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Roughly.
    Low,
    /// Closely.
    High,
    /// At the image's own size, where the model can.
    Original,
    /// As the model's maker thinks best.
    Auto,
}

impl Detail {
    /// Returns what a client's word means; any unknown one is `Auto`.
    pub fn of(word: &str) -> Self {
        match word {
            "low" => Self::Low,
            "high" => Self::High,
            "original" => Self::Original,
            _ => Self::Auto,
        }
    }
}

impl ImageRule {
    /// Returns the tokens of an image of `width` x `height` pixels.
    pub fn tokens(&self, width: u32, height: u32, detail: Detail) -> u64 {
        let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
        match *self {
            Self::Tiles { base, .. } if detail == Detail::Low => u64::from(base),
            Self::Tiles { base, tile } => {
                let (width, height) = fit_tiles(width, height);
                u64::from(base) + u64::from(tile) * cells(width, height, 512.0)
            }
            Self::Patches { hundredths, limits } => {
                let patches = patches(width, height, limits.of(detail));
                (patches * u64::from(hundredths)).div_ceil(100)
            }
        }
    }

    /// Returns the tokens of an image whose size is not known: as if it were a square of 1024
    /// pixels, which is what most generated and scaled images are.
    pub fn assumed_tokens(&self, detail: Detail) -> u64 {
        self.tokens(1024, 1024, detail)
    }
}

impl PatchLimits {
    fn of(&self, detail: Detail) -> Limit {
        match if detail == Detail::Auto { self.auto } else { detail } {
            Detail::Low => self.low,
            Detail::High | Detail::Auto => self.high,
            Detail::Original => self.original,
        }
    }
}

/// Shrinks an image into a square of 2048 pixels, then to a shorter side of 768.
fn fit_tiles(width: f64, height: f64) -> (f64, f64) {
    let factor = (2048.0 / width.max(height)).min(1.0);
    let (width, height) = (width * factor, height * factor);
    let factor = (768.0 / width.min(height)).min(1.0);
    (width * factor, height * factor)
}

fn patches(width: f64, height: f64, limit: Limit) -> u64 {
    let (mut width, mut height) = (width, height);
    if let Some(side) = limit.side {
        let factor = (f64::from(side) / width.max(height)).min(1.0);
        (width, height) = (whole(width * factor), whole(height * factor));
    }
    let patches = cells(width, height, PATCH);
    let Some(most) = limit.patches.filter(|most| patches > u64::from(*most)) else {
        return patches;
    };
    let mut factor = (PATCH * PATCH * f64::from(most) / (width * height)).sqrt();
    let (across, down) = (width * factor / PATCH, height * factor / PATCH);
    factor *= (whole(across) / across).min(whole(down) / down);
    cells(whole(width * factor), whole(height * factor), PATCH)
}

/// Returns how many squares of `side` pixels cover an image.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number of squares; `as` saturates"
)]
fn cells(width: f64, height: f64, side: f64) -> u64 {
    // A hair less, so that 768.0000001 pixels, an error of rounding, do not open another row.
    let count = |length: f64| ((length - SLACK) / side).ceil().max(1.0) as u64;
    count(width).saturating_mul(count(height))
}

/// Rounds down to whole pixels or patches, at least one.
fn whole(length: f64) -> f64 {
    (length + SLACK).floor().max(1.0)
}

/// The pixels of a patch's side.
const PATCH: f64 = 32.0;

/// What floating point may be off by.
const SLACK: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn the_published_examples_hold() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("gpt-4o",      1024, 1024, Detail::High, 765),
            ("gpt-4o",      2048, 4096, Detail::Auto, 1105),
            ("gpt-4o",      4096, 4096, Detail::Low,  85),
            ("gpt-4o-mini", 512,  512,  Detail::High, 8500),
            ("gpt-5.4",     1024, 1024, Detail::High, 1229),
            ("gpt-5.4",     2048, 2048, Detail::Auto, 3000),
            ("gpt-5.5",     8000, 8000, Detail::Auto, 12000),
            ("gpt-6-astra", 1024, 1024, Detail::Auto, 1229),
            ("gpt-6-astra", 4096, 512,  Detail::Auto, 2458),
        ];
        let catalog = Catalog::embedded();
        for (model, width, height, detail, tokens) in cases {
            let rule = catalog.facts(model).image.unwrap();
            let counted = rule.tokens(width, height, detail);
            assert_eq!(counted, tokens, "{model} {width}x{height} {detail:?}");
        }
    }

    #[test]
    fn no_size_is_too_odd() {
        let catalog = Catalog::embedded();
        for model in ["gpt-4o", "gpt-5.6", "gpt-5.4", "gpt-4.1-nano"] {
            let rule = catalog.facts(model).image.unwrap();
            for size in [(0, 0), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX)] {
                assert!(rule.tokens(size.0, size.1, Detail::Original) > 0, "{model} {size:?}");
            }
        }
    }
}
