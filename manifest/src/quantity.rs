//! Kubernetes' quantities: `500m`, `1.5Gi`, `1e3`.

use std::cmp::Ordering;

/// A quantity: a decimal integer with a scale of two and one of ten.
///
/// Kept exact, so that `1Gi` and `1073741824` compare as equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quantity {
    negative: bool,
    /// Decimal digits, without leading zeros; empty for zero.
    digits: String,
    /// The power of ten that the digits are multiplied with.
    ten: i32,
    /// The power of two that the digits are multiplied with.
    two: u32,
}

/// Beyond these sizes the kubelet caps; nobody asks for so much.
const MAX_DIGITS: usize = 40;
const MAX_EXPONENT: i32 = 60;

impl Quantity {
    /// Reads a quantity; `None` when it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let (ten, two) = scale(suffix)?;
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let ten = ten.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let trimmed = digits.trim_end_matches('0');
        let zeros = i32::try_from(digits.len() - trimmed.len()).ok()?;
        let ten = if trimmed.is_empty() {
            0
        } else {
            ten.checked_add(zeros)?
        };
        Some(Self {
            negative: negative && !trimmed.is_empty(),
            digits: trimmed.to_owned(),
            ten,
            two,
        })
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it is a whole number, once it is rounded up to thousandths as the kubelet does.
    pub(crate) fn is_integer(&self) -> bool {
        match self.in_thousandths() {
            Some(thousandths) => thousandths % 1000 == 0,
            // What does not fit is huge, and so has no fraction that counts.
            None => true,
        }
    }

    /// Compares; `None` when the numbers are too large to be told apart.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(self.in_thousandths()?.cmp(&other.in_thousandths()?))
    }

    /// The value times 1000, rounded up.
    pub(crate) fn in_thousandths(&self) -> Option<i128> {
        if self.digits.len() > MAX_DIGITS || self.ten.abs() > MAX_EXPONENT {
            return None;
        }
        if self.digits.is_empty() {
            return Some(0);
        }
        let mut value = self
            .digits
            .parse::<i128>()
            .ok()?
            .checked_mul(1_i128.checked_shl(self.two)?)?;
        let ten = self.ten + 3;
        if ten >= 0 {
            value = value.checked_mul(10_i128.checked_pow(ten.unsigned_abs())?)?;
        } else {
            match 10_i128.checked_pow(ten.unsigned_abs()) {
                Some(divisor) => value = value / divisor + i128::from(value % divisor != 0),
                None => value = 1,
            }
        }
        Some(if self.negative { -value } else { value })
    }
}

/// The powers of ten and two of a suffix.
fn scale(suffix: &str) -> Option<(i32, u32)> {
    Some(match suffix {
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "" => (0, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            (exponent.parse().ok()?, 0)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for good in [
            "0", "1", "-1", "+1", "100m", "1.5Gi", ".5", "5.", "1e3", "1E-3", "12E", "1Ei", "0.1m",
            "1e+3", "00",
        ] {
            assert!(Quantity::parse(good).is_some(), "{good}");
        }
        for bad in [
            "", "m", "1 Gi", "1gi", "1GB", "1Mb", "1.2.3", ".", "1e", "e3", "1e3.5", "0x10", "1,5",
            "1K", "-",
        ] {
            assert!(Quantity::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn quantities_compare_across_suffixes() {
        for (a, b, expected) in [
            ("1Gi", "1073741824", Ordering::Equal),
            ("1", "1000m", Ordering::Equal),
            ("0.5", "500m", Ordering::Equal),
            ("1G", "1Gi", Ordering::Less),
            ("2", "1e1", Ordering::Less),
            ("-1", "0", Ordering::Less),
            ("0.1m", "1m", Ordering::Equal),
            ("1e-30", "1m", Ordering::Equal),
        ] {
            assert_eq!(
                Quantity::parse(a)
                    .unwrap()
                    .compare(&Quantity::parse(b).unwrap()),
                Some(expected),
                "{a} {b}"
            );
        }
        assert!(
            Quantity::parse("1.5")
                .unwrap()
                .compare(&Quantity::parse("1e300").unwrap())
                .is_none()
        );
    }

    #[test]
    fn whole_numbers_are_told_from_fractions() {
        assert!(Quantity::parse("2000m").unwrap().is_integer());
        assert!(!Quantity::parse("1500m").unwrap().is_integer());
        assert!(Quantity::parse("1.5k").unwrap().is_integer());
    }
}
