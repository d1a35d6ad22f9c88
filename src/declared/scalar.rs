//! What an unquoted word in a YAML file means: text, number, boolean or null.
//!
//! Pure; knows no YAML crate. Follows kubectl's reader (go-yaml 2 and then JSON) to the letter but for one thing: YAML
//! 1.1's other booleans (`yes`, `on`, `y`) stay text, which `yaml` reports. `tests/it/scalars.rs` holds this
//! against the real kubectl. Called by `yaml`.

use serde_json::{Number, Value};

/// A word read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    /// As kubectl reads it.
    Same(Value),
    /// Text, which kubectl takes for a boolean.
    Boolean,
    /// Infinity or not-a-number, which JSON does not have and kubectl refuses.
    NotFinite,
}

/// Reads an unquoted word without a tag.
pub(super) fn plain(text: &str) -> Scalar {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off"
        | "OFF" => return Scalar::Boolean,
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Scalar::NotFinite,
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    };
    Scalar::Same(value)
}

/// What a word is as a number, if it is one.
pub(super) fn number(text: &str) -> Option<Number> {
    match text.bytes().next()? {
        b'.' => float(text),
        b'0'..=b'9' | b'+' | b'-' => {
            let plain = if text.contains('_') { text.replace('_', "") } else { text.to_owned() };
            integer(&plain).or_else(|| looks_like_a_float(&plain).then(|| float(&plain)).flatten())
        }
        _ => None,
    }
}

/// `0x`, `0o`, `0b`, a leading zero for octal, else decimal. What does not fit 64 bits is no integer.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // from_str_radix takes a sign, a number has had its own.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let size = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let signed = if negative { -size } else { size };
    if let Ok(fits) = i64::try_from(signed) {
        return Some(fits.into());
    }
    // Above i64 kubectl's JSON reader falls back to a float; a sign is refused there.
    if negative || text.starts_with('+') { None } else { Number::from_f64(size as f64) }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn looks_like_a_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && (!whole.is_empty() || !fraction.is_empty())
        && exponent.is_none_or(|part| !part.is_empty() && digits(part))
}

fn float(text: &str) -> Option<Number> {
    let value: f64 = text.parse().ok()?;
    value.is_finite().then(|| from_float(value)).flatten()
}

/// A float on its way through Go's JSON writer and kubectl's JSON reader: `1.0` and `1e3` become integers there.
pub(super) fn from_float(value: f64) -> Option<Number> {
    if value.fract() == 0.0
        && value.abs() < 1e21
        && let Ok(whole) = format!("{value}").parse::<i64>()
    {
        return Some(whole.into());
    }
    Number::from_f64(value)
}

/// An unquoted word as the key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// As kubectl reads it.
    Same(String),
    /// The word as it stands; kubectl makes another text of it.
    Differs,
    /// Null, which is no key.
    Null,
}

/// Reads an unquoted word as a key. Keys are always text; kubectl gets there by way of the number or boolean.
pub(super) fn key(text: &str) -> Key {
    match plain(text) {
        Scalar::Same(Value::Null) => Key::Null,
        Scalar::Same(Value::Bool(value)) => Key::Same(value.to_string()),
        Scalar::Same(Value::Number(value)) => match integer(&text.replace('_', "")) {
            Some(whole) if !whole.is_f64() => Key::Same(whole.to_string()),
            Some(_) => Key::Differs,
            None => {
                // Go writes such a key in its shortest 32-bit form, with an exponent outside this range.
                let same = value
                    .as_f64()
                    .is_some_and(|value| (1e-4..1e6).contains(&value.abs()) && format!("{}", value as f32) == text);
                if same { Key::Same(text.to_owned()) } else { Key::Differs }
            }
        },
        Scalar::Same(_) => Key::Same(text.to_owned()),
        Scalar::Boolean | Scalar::NotFinite => Key::Differs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        match plain(text) {
            Scalar::Same(value) => value,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn numbers_are_read_as_kubectl_reads_them() {
        for (text, want) in [
            ("0644", "420"),
            ("08", "8"),
            ("1_000", "1000"),
            ("1e3", "1000"),
            ("1.0", "1"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("0b11", "3"),
            ("-0", "0"),
            ("+1", "1"),
            (".5", "0.5"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9.223372036854776e+18"),
            ("99999999999999999999", "1e+20"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1e400", "\"1e400\""),
            ("1:30", "\"1:30\""),
            ("1.2.3", "\"1.2.3\""),
            ("0x", "\"0x\""),
            ("0x+1", "\"0x+1\""),
            ("--1", "\"--1\""),
            ("+-1", "\"+-1\""),
            ("1e", "\"1e\""),
            (".", "\".\""),
            ("-", "\"-\""),
            ("2001-12-14", "\"2001-12-14\""),
            ("=", "\"=\""),
            ("<<", "\"<<\""),
        ] {
            assert_eq!(read(text).to_string(), want, "{text}");
        }
    }

    #[test]
    fn keys_are_the_text_that_kubectl_makes_of_them() {
        for (text, want) in [("010", "8"), ("1_0", "10"), ("1.5", "1.5"), ("True", "true"), ("a", "a"), ("<<", "<<")] {
            assert_eq!(key(text), Key::Same(want.to_owned()), "{text}");
        }
        for text in ["y", "1.0", "1e7", ".inf", "18446744073709551615"] {
            assert_eq!(key(text), Key::Differs, "{text}");
        }
        assert_eq!(key("~"), Key::Null);
    }

    #[test]
    fn the_other_booleans_of_yaml_1_1_stay_text() {
        for word in ["y", "Yes", "on", "N", "no", "OFF"] {
            assert_eq!(plain(word), Scalar::Boolean, "{word}");
        }
        assert_eq!(read("yEs"), Value::from("yEs"));
        assert_eq!(read("True"), Value::Bool(true));
    }
}
