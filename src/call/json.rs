//! Reads the few members that matter out of JSON of any size, in one pass and without recursion.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON string where it stands in the body, its escapes not undone.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    quoted: &'a str,
}

impl<'a> Text<'a> {
    /// Returns the string that `raw` is, or `None` where it is something else.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        raw.get().starts_with('"').then(|| Self { quoted: raw.get() })
    }

    /// Returns a text that a body means without saying it; `quoted` has its quotes.
    pub(crate) const fn implied(quoted: &'static str) -> Self {
        Self { quoted }
    }

    /// Returns what stands between the quotes, as the client wrote it.
    pub fn escaped(self) -> &'a str {
        self.quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default()
    }

    /// Returns the string that is meant. Half a surrogate pair, which no text can hold, becomes
    /// replacement characters.
    pub fn decode(self) -> Cow<'a, str> {
        let escaped = self.escaped();
        if memchr::memchr(b'\\', escaped.as_bytes()).is_none() {
            return Cow::Borrowed(escaped);
        }
        let mut json = serde_json::Deserializer::from_str(self.quoted);
        Cow::Owned(json.deserialize_bytes(Lossy).unwrap_or_else(|_| escaped.to_owned()))
    }
}

/// The values of some members of an object, in the order in which they were asked for.
pub(crate) type Found<'a, const N: usize> = [Option<&'a RawValue>; N];

/// Returns the last value of each of `names` in the object that `json` is.
pub(crate) fn members<'a, const N: usize>(
    json: &'a [u8],
    names: [&'static str; N],
) -> Result<Found<'a, N>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(json);
    let members = Members(names).deserialize(&mut json)?;
    json.end()?;
    Ok(members)
}

/// Calls `take` with the last value of each of `names`, for each object in the array that `json` is.
pub(crate) fn each_object<'a, const N: usize>(
    json: &'a [u8],
    names: [&'static str; N],
    take: impl FnMut(Found<'a, N>) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    serde_json::Deserializer::from_slice(json).deserialize_seq(Each { of: Members(names), take })
}

/// Calls `take` with each element of the array that `json` is.
pub(crate) fn each<'a>(
    json: &'a [u8],
    take: impl FnMut(&'a RawValue) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    serde_json::Deserializer::from_slice(json).deserialize_seq(Each { of: AnyValue, take })
}

/// Returns whether a value is `null` or not there: JSON knows both ways to say nothing.
pub(crate) fn is_given(value: Option<&RawValue>) -> bool {
    value.is_some_and(|raw| raw.get() != "null")
}

/// Picks the last value of each name out of an object, and skips the rest unread.
#[derive(Clone, Copy)]
struct Members<const N: usize>([&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Members<N> {
    type Value = Found<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = Found<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(place) = map.next_key_seed(PlaceIn(&self.0))? {
            match place.and_then(|place| found.get_mut(place)) {
                Some(value) => *value = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Finds a key among names. Keys are read as bytes, since one that we do not know may hold half a
/// surrogate pair.
struct PlaceIn<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for PlaceIn<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_bytes(self)
    }
}

impl Visitor<'_> for PlaceIn<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| name.as_bytes() == key))
    }
}

/// Reads any value as the text it stands as.
#[derive(Clone, Copy)]
struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = &'de RawValue;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        serde::Deserialize::deserialize(json)
    }
}

/// Hands the elements of an array on, one after the other.
struct Each<S, F> {
    of: S,
    take: F,
}

impl<'de, S, F> Visitor<'de> for Each<S, F>
where
    S: DeserializeSeed<'de> + Copy,
    F: FnMut(S::Value) -> Result<(), serde_json::Error>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element_seed(self.of)? {
            (self.take)(element).map_err(Error::custom)?;
        }
        Ok(())
    }
}

/// Makes a text of a JSON string's bytes, whatever they are.
struct Lossy;

impl Visitor<'_> for Lossy {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> String {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        Text::of(raw).unwrap().decode().into_owned()
    }

    #[test]
    fn a_string_is_decoded_as_json_means_it() {
        assert_eq!(decoded(r#""plain""#), "plain");
        assert_eq!(decoded(r#""a\n\"b\"\\ \u00e9 \ud83d\ude00""#), "a\n\"b\"\\ é 😀");
    }

    #[test]
    fn half_a_surrogate_pair_is_text_nonetheless() {
        assert!(decoded(r#""a\ud800b""#).starts_with('a'));
        assert!(decoded(r#""a\ud800b""#).ends_with('b'));
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let [a, b] = members(br#"{"a":1,"b":2,"\u0061":3}"#, ["a", "b"]).unwrap();
        assert_eq!(a.unwrap().get(), "3");
        assert_eq!(b.unwrap().get(), "2");
    }

    #[test]
    fn a_key_that_is_no_text_is_skipped() {
        let [a] = members(br#"{"\ud800":1,"a":2}"#, ["a"]).unwrap();
        assert_eq!(a.unwrap().get(), "2");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"x\":{}{},\"a\":1}}", "[".repeat(500_000), "]".repeat(500_000));
        let [x, a] = members(deep.as_bytes(), ["x", "a"]).unwrap();
        assert_eq!(x.unwrap().get().len(), 1_000_000);
        assert_eq!(a.unwrap().get(), "1");
        let [a] = members(deep.as_bytes(), ["a"]).unwrap();
        assert_eq!(a.unwrap().get(), "1");
    }
}
