//! Reads `[[prices]]`: what the user knows of prices, which counts before every list.

use std::collections::HashMap;

use super::problem::Problem;
use super::raw::RawValue;
use super::section::{Check, FromRaw, Section};
use super::upstreams::{sections, value};
use crate::catalog::{Kind, Place, Prices, Rate, Tier};

impl FromRaw for Rate {
    const RULE: &'static str = "must be a number of dollars for a million units, such as 2.5, with at most \
                                nine digits behind the point";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value {
            RawValue::Integer(dollars) => Self::per_million(&dollars.to_string()),
            RawValue::Decimal(dollars) => Self::per_million(&dollars.replace('_', "")),
            _ => None,
        }
    }
}

/// Percent on top of something.
struct Percent(u32);

impl FromRaw for Percent {
    const RULE: &'static str = "must be a whole number of percent from 0 to 1000";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let percent = u32::try_from(u64::from_raw(value)?).ok()?;
        (percent <= 1_000).then_some(Self(percent))
    }
}

/// Reads `[[prices]]`, by the name of the model.
pub(super) fn prices(root: &mut Section, check: &mut Check<'_>) -> HashMap<String, Prices> {
    let mut all: HashMap<String, Prices> = HashMap::new();
    for mut section in sections(root, "prices", check) {
        let key = section.path_of("model");
        let model = section.require::<String>("model", check);
        let mut prices = Prices::default();
        read(&mut section, (Tier::Standard, 0), &mut prices, check);
        if let Some(percent) = section.take::<Percent>("regional_percent", check) {
            prices.set_regional_percent(percent.value.0);
        }
        let images = section.table("images", check);
        read_images(images, &mut prices, check);
        let origin = section.origin().clone();
        section.finish(check);
        let Some(model) = model else { continue };
        if prices.is_empty() {
            let rule = "a model has at least one price, such as `input`".into();
            check.problem(Problem::Missing { origin, key: key.replace(".model", ".input"), rule });
        }
        if all.contains_key(&model.value) {
            let rule = "an entry above has the prices of this model";
            check.problem(value(&model.origin, key, format!("{:?}", model.value), rule));
        }
        all.insert(model.value, prices);
    }
    all
}

/// Reads the prices of a tier and threshold, and the tables below.
fn read(
    section: &mut Section,
    (tier, above): (Tier, u64),
    prices: &mut Prices,
    check: &mut Check<'_>,
) {
    let is_top = tier == Tier::Standard && above == 0;
    // Below, what is not there is not looked for, so that the reference need not repeat it.
    for kind in Kind::ALL {
        if !is_top && !section.has(kind.label()) {
            continue;
        }
        if let Some(rate) = section.take::<Rate>(kind.label(), check) {
            prices.set((kind, tier, above), rate.value);
        }
    }
    for key in section.keys() {
        let Some(Place::Below(tier, above)) = Place::of(&key, tier, above) else { continue };
        let mut below = section.table(&key, check);
        read(&mut below, (tier, above), prices, check);
        below.finish(check);
    }
}

/// Reads prices of images by their form, such as `"high/1024x1024"`.
fn read_images(mut images: Section, prices: &mut Prices, check: &mut Check<'_>) {
    for form in images.keys() {
        if let Some(rate) = images.take::<Rate>(&form, check) {
            prices.set_image(&form, rate.value);
        }
    }
    images.finish(check);
}
