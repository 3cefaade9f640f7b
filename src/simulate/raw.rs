//! The settings as a TOML file writes them, and how they become a [`Config`].

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::config::{Config, Faults, Frames, Language, Latency, Outputs, RateHeaders};
use super::dialect::Dialect;
use super::engine::{Enforcement, Key, KeyState, LimitRule, Limits, Organisation, Rules};
use super::raw_limits::RawLimits;

/// A file of settings; see [`Config`] for what they mean.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub listen: Option<SocketAddr>,
    pub dialect: Option<Dialect>,
    pub seed: Option<u64>,
    pub models: Option<Vec<String>>,
    pub oracle_key: Option<String>,
    pub enforce: Option<Switch>,
    pub headers: Option<Switch>,
    /// Limits of organisations that have none of their own, and defaults of those that have.
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub organisations: Vec<RawOrganisation>,
    #[serde(default)]
    pub latency: RawLatency,
    #[serde(default)]
    pub output: RawOutput,
    #[serde(default)]
    pub faults: RawFaults,
}

/// Either of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// An organisation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOrganisation {
    pub name: String,
    pub keys: Vec<RawKey>,
    #[serde(default)]
    pub limits: Vec<RawLimits>,
}

/// A key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKey {
    pub key: String,
    pub state: Option<RawKeyState>,
    pub dies_at: Option<Time>,
    pub dies_after: Option<u64>,
    pub dies_as: Option<RawKeyState>,
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawKeyState {
    Valid,
    Invalid,
    OutOfQuota,
}

/// How fast answers come.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLatency {
    pub first_token: Option<Time>,
    pub per_token: Option<Time>,
    pub jitter: Option<f64>,
}

/// How long answers are, and what they look like.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutput {
    pub mean: Option<f64>,
    pub sigma: Option<f64>,
    pub language: Option<Language>,
    pub frame_bytes: Option<NonZeroUsize>,
}

/// What goes wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFaults {
    pub server_error: Option<f64>,
    pub reset: Option<f64>,
    pub stall: Option<f64>,
    pub cut: Option<f64>,
    pub hang: Option<f64>,
    pub share: Option<f64>,
}

/// Which value makes no sense, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {found}, but {rule}")]
pub struct BadSetting {
    /// The dotted path of the setting, or the flag.
    pub key: String,
    /// What was given.
    pub found: String,
    /// What would be right.
    pub rule: &'static str,
}

impl BadSetting {
    /// Names the flag that gave the value: settings of a file are called the same, below a table.
    pub(super) fn of_flag(self) -> Self {
        let key = match self.key.as_str() {
            "faults" => "fault-*",
            key => key.trim_start_matches("limits.").trim_start_matches("latency."),
        };
        Self { key: format!("--{}", key.replace(['.', '_'], "-")), ..self }
    }
}

impl Raw {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first value that makes no sense.
    pub(super) fn check(self) -> Result<Config, BadSetting> {
        let defaults = Config::default();
        let dialect = self.dialect.unwrap_or_default();
        let limits = self.limits.check("limits", &dialect.usual_limits())?;
        let organisations = organisations(&self.organisations, &limits, &self.limits)?;
        let rules = Rules {
            organisations,
            oracle_key: self.oracle_key.map(Into::into),
            enforcement: match self.enforce {
                Some(Switch::Off) => Enforcement::Off,
                _ => Enforcement::On,
            },
            models: self.models.unwrap_or_else(|| {
                dialect.usual_models().iter().map(|&name| name.into()).collect()
            }),
            ..Rules::default()
        };
        Ok(Config {
            listen: self.listen.unwrap_or(defaults.listen),
            dialect,
            rules,
            outputs: outputs(&self.output, defaults.outputs)?,
            language: self.output.language.unwrap_or_default(),
            frames: match self.output.frame_bytes {
                Some(size) => Frames::Torn(size),
                None => Frames::Whole,
            },
            latency: latency(&self.latency, defaults.latency)?,
            faults: faults(&self.faults)?,
            headers: match self.headers {
                Some(Switch::Off) => RateHeaders::Hidden,
                _ => RateHeaders::Shown,
            },
            seed: self.seed.unwrap_or(defaults.seed),
        })
    }
}

fn organisations(
    raw: &[RawOrganisation],
    limits: &Limits,
    shared: &RawLimits,
) -> Result<Vec<Organisation>, BadSetting> {
    let everything = LimitRule {
        models: shared.models.clone().unwrap_or_else(|| "*".to_owned()),
        shared: shared.shared.unwrap_or(false),
        limits: limits.clone(),
    };
    if raw.is_empty() {
        let keys = vec![Key::valid(USUAL_KEY)];
        return Ok(vec![Organisation { name: "org-sim".into(), keys, rules: vec![everything] }]);
    }
    let mut seen = std::collections::HashSet::new();
    let mut organisations = Vec::new();
    for owner in raw {
        let at = format!("organisations.{}", owner.name);
        if !seen.insert(owner.name.clone()) {
            return Err(bad(&at, "given twice", "a name stands for one organisation"));
        }
        let mut rules = Vec::new();
        for rule in &owner.limits {
            rules.push(LimitRule {
                models: rule.models.clone().unwrap_or_else(|| "*".to_owned()),
                shared: rule.shared.unwrap_or(false),
                limits: rule.check(&format!("{at}.limits"), limits)?,
            });
        }
        if rules.is_empty() {
            rules.push(everything.clone());
        }
        let keys = owner.keys.iter().map(RawKey::check).collect();
        organisations.push(Organisation { name: owner.name.as_str().into(), keys, rules });
    }
    Ok(organisations)
}

/// The key that works where no organisation is configured.
pub(super) const USUAL_KEY: &str = "sk-sim-1";

impl RawKey {
    fn check(&self) -> Key {
        Key {
            secret: self.key.as_str().into(),
            state: self.state.map_or(KeyState::Valid, RawKeyState::check),
            dies_at: self.dies_at.map(|time| time.0),
            dies_after: self.dies_after,
            dies_as: self.dies_as.map_or(KeyState::Invalid, RawKeyState::check),
        }
    }
}

impl RawKeyState {
    fn check(self) -> KeyState {
        match self {
            Self::Valid => KeyState::Valid,
            Self::Invalid => KeyState::Invalid,
            Self::OutOfQuota => KeyState::OutOfQuota,
        }
    }
}

fn outputs(raw: &RawOutput, defaults: Outputs) -> Result<Outputs, BadSetting> {
    let outputs = Outputs {
        mean: raw.mean.unwrap_or(defaults.mean),
        sigma: raw.sigma.unwrap_or(defaults.sigma),
    };
    if !outputs.mean.is_finite() || outputs.mean < 1.0 {
        return Err(bad("output.mean", outputs.mean, "it must be at least 1 token"));
    }
    if !(0.0..=4.0).contains(&outputs.sigma) {
        return Err(bad("output.sigma", outputs.sigma, "it must be 0 to 4"));
    }
    Ok(outputs)
}

fn latency(raw: &RawLatency, defaults: Latency) -> Result<Latency, BadSetting> {
    let jitter = raw.jitter.unwrap_or(defaults.jitter);
    if !(0.0..=1.0).contains(&jitter) {
        return Err(bad("latency.jitter", jitter, "it must be 0 to 1"));
    }
    Ok(Latency {
        first_token: raw.first_token.map_or(defaults.first_token, |time| time.0),
        per_token: raw.per_token.map_or(defaults.per_token, |time| time.0),
        jitter,
    })
}

fn faults(raw: &RawFaults) -> Result<Faults, BadSetting> {
    let given = [raw.server_error, raw.reset, raw.stall, raw.cut, raw.hang];
    let given = given.map(Option::unwrap_or_default);
    let sum: f64 = given.iter().sum();
    if given.iter().any(|share| !(0.0..=1.0).contains(share)) || sum > 1.0 {
        return Err(bad("faults", sum, "probabilities are 0 to 1, and at most 1 in sum"));
    }
    if let Some(share) = raw.share.filter(|share| !(0.0..=1.0).contains(share)) {
        return Err(bad("faults.share", share, "a share of an answer is 0 to 1"));
    }
    let [server_error, reset, stall, cut, hang] = given;
    Ok(Faults { server_error, reset, stall, cut, hang, share: raw.share })
}

/// Creates the error of a value that makes no sense.
pub(super) fn bad(key: &str, found: impl fmt::Display, rule: &'static str) -> BadSetting {
    BadSetting { key: key.to_owned(), found: found.to_string(), rule }
}

/// A duration written as `200ms`, `1.5s`, `2m`, `24h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl std::str::FromStr for Time {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(BadTime)?;
        let (number, unit) = text.split_at(unit_at);
        let number: f64 = number.parse().map_err(|_| BadTime)?;
        let seconds = match unit.trim() {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(BadTime),
        };
        Duration::try_from_secs_f64(number * seconds).map(Self).map_err(|_| BadTime)
    }
}

/// A text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a duration such as `200ms`, `1.5s`, `2m` or `24h`")]
pub(super) struct BadTime;

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"200ms\", \"1.5s\", \"2m\" or \"24h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Charging, Counting, RefundAt};
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let raw: Raw = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        raw.check().map_err(|error| error.to_string())
    }

    #[test]
    fn an_organisation_takes_from_the_common_limits_what_it_does_not_say() {
        let text = r#"
            seed = 3
            enforce = "off"
            [limits]
            rpm = 10
            window = "1.5s"
            counting = "fixed-first"
            refund_at = "debit"
            [[organisations]]
            name = "org-a"
            keys = [{ key = "sk-a", dies_at = "2m", dies_as = "out-of-quota" }]
            [[organisations.limits]]
            models = "gpt-4o*"
            shared = true
            tpm = 1000
            charging = "split"
        "#;
        let config = parse(text).expect("valid");
        assert_eq!(config.rules.enforcement, Enforcement::Off);
        let owner = &config.rules.organisations[0];
        assert_eq!(owner.keys[0].dies_at, Some(Duration::from_secs(120)));
        assert_eq!(owner.keys[0].dies_as, KeyState::OutOfQuota);
        let rule = &owner.rules[0];
        assert!(rule.shared);
        let limits = &rule.limits;
        assert_eq!((limits.requests_per_minute, limits.input_per_minute), (Some(10), Some(1000)));
        assert_eq!(limits.output_per_minute, Some(200), "a fifth");
        assert_eq!(limits.minute, Duration::from_millis(1500));
        assert_eq!(limits.counting, Counting::FirstRequest);
        assert_eq!((limits.charging, limits.refund_at), (Charging::Split, RefundAt::Debit));
    }

    #[test]
    fn nothing_at_all_is_one_organisation_with_one_key() {
        let config = parse("").expect("valid");
        let owner = &config.rules.organisations[0];
        assert_eq!((&*owner.name, &*owner.keys[0].secret), ("org-sim", USUAL_KEY));
        assert!(config.rules.has_model("gpt-4o-mini") && !config.rules.has_model("no-such-model"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("rmp = 3",                              "unknown field `rmp`"),
            ("[limits]\nrpm = 0",                    "`limits.rpm` is 0, but a limit must be at least 1"),
            ("[limits]\nused_at_start = 2.0",        "`limits.used_at_start` is 2, but it must be 0 to 1"),
            ("[limits]\nwindow = \"2 parsecs\"",     "invalid value"),
            ("[limits]\nabsent_max = \"some\"",      "it must be `model` or a number of tokens"),
            ("[faults]\nreset = 0.6\ncut = 0.6",     "at most 1 in sum"),
            ("[output]\nmean = 0.0",                 "it must be at least 1 token"),
        ];
        for (text, expected) in cases {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit_only() {
        let millis = |text: &str| text.parse::<Time>().map(|time| time.0.as_millis());
        assert_eq!(millis("200ms"), Ok(200));
        assert_eq!(millis("1.5s"), Ok(1_500));
        assert_eq!(millis("24h"), Ok(86_400_000));
        for text in ["", "5", "s", "-1s", "1 2s", "1e400s", "5 y"] {
            assert_eq!(millis(text), Err(BadTime), "{text}");
        }
    }
}
