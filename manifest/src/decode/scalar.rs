//! How a YAML scalar without quotes is read.
//!
//! The kubelet reads YAML 1.1, as most of Kubernetes' tools do: `on` is a boolean and `0644` is octal. Reading it by
//! the rules of YAML 1.2 would give a pod that differs from what the same file gives with `kubectl`.

use serde_json::Number;

/// What a scalar without quotes is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    /// Infinity or not a number: nothing that JSON can hold.
    NotFinite,
    Text,
}

/// Reads a scalar without quotes and without a tag.
pub(crate) fn resolve(text: &str) -> Scalar {
    let Some(first) = text.bytes().next() else {
        return Scalar::Null;
    };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
        _ => match text {
            "~" | "null" | "Null" | "NULL" => Scalar::Null,
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                Scalar::Bool(true)
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off"
            | "OFF" => Scalar::Bool(false),
            _ => Scalar::Text,
        },
    }
}

fn number(text: &str) -> Scalar {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Scalar::NotFinite;
    }
    let digits = text.replace('_', "");
    if !text.starts_with('.')
        && let Some(number) = integer(&digits)
    {
        return Scalar::Number(number);
    }
    // A number too large for a float stays text, as it does for the kubelet.
    match is_float(&digits).then(|| digits.parse::<f64>()) {
        Some(Ok(float)) if float.is_finite() => Scalar::Number(of_float(float)),
        _ => Scalar::Text,
    }
}

/// An integer with an optional sign: decimal, or by its prefix binary, octal or hexadecimal. `017` is octal too.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        0_i64.checked_sub_unsigned(magnitude).map(Number::from)
    } else {
        Some(Number::from(magnitude))
    }
}

/// Digits with an optional sign, point and exponent, and at least one digit before the exponent.
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mantissa_is_good =
        all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    mantissa_is_good
        && exponent.is_none_or(|exponent| {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !digits.is_empty() && all_digits(digits)
        })
}

/// A float as the number that the kubelet makes of it: `1e3` is the integer 1000.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before"
)]
fn of_float(float: f64) -> Number {
    const I64_END: f64 = 9_223_372_036_854_775_808.0;
    const U64_END: f64 = 18_446_744_073_709_551_616.0;
    if float.fract() == 0.0 && (-I64_END..I64_END).contains(&float) {
        Number::from(float as i64)
    } else if float.fract() == 0.0 && (0.0..U64_END).contains(&float) {
        Number::from(float as u64)
    } else {
        Number::from_f64(float).unwrap_or_else(|| Number::from(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Scalar {
        Scalar::Number(Number::from(value))
    }

    fn float(value: f64) -> Scalar {
        Scalar::Number(Number::from_f64(value).unwrap())
    }

    #[test]
    fn scalars_are_read_as_yaml_1_1() {
        for (text, expected) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("Null", Scalar::Null),
            ("nUll", Scalar::Text),
            ("on", Scalar::Bool(true)),
            ("y", Scalar::Bool(true)),
            ("Off", Scalar::Bool(false)),
            ("oN", Scalar::Text),
            ("0", int(0)),
            ("-0", int(0)),
            ("00", int(0)),
            ("0644", int(420)),
            ("0o644", int(420)),
            ("0x1F", int(31)),
            ("0b101", int(5)),
            ("-0b101", int(-5)),
            ("+12", int(12)),
            ("1_000", int(1000)),
            ("08", int(8)),
            ("0.5", float(0.5)),
            (".5", float(0.5)),
            ("-.5", float(-0.5)),
            ("1.", int(1)),
            ("1e3", int(1000)),
            ("1.5e3", int(1500)),
            ("1e-3", float(0.001)),
            ("1e999", Scalar::Text),
            (
                "9223372036854775808",
                Scalar::Number(Number::from(9_223_372_036_854_775_808_u64)),
            ),
            ("-9223372036854775808", int(i64::MIN)),
            ("1e21", float(1e21)),
            (".inf", Scalar::NotFinite),
            ("-.Inf", Scalar::NotFinite),
            (".nan", Scalar::NotFinite),
            ("-.nan", Scalar::Text),
            ("2001-01-01", Scalar::Text),
            ("1:30", Scalar::Text),
            ("1.2.3", Scalar::Text),
            ("100m", Scalar::Text),
            ("-", Scalar::Text),
            (".", Scalar::Text),
            ("+", Scalar::Text),
            ("e3", Scalar::Text),
            ("0x", Scalar::Text),
            ("1e", Scalar::Text),
            ("<<", Scalar::Text),
        ] {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
    }
}
