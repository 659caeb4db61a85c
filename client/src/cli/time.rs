//! Ages, as kubectl prints them.

use std::time::{Duration, SystemTime};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// How long ago, or `-` when that is not known. A time in the future (the node's clock is ahead) is `0s`.
pub(crate) fn age(time: Option<SystemTime>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| short(SystemTime::now().duration_since(time).unwrap_or_default()),
    )
}

/// `5m ago`, or `-` when that is not known.
pub(crate) fn ago(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "-".to_owned(), |_| age(time) + " ago")
}

/// In UTC, as `2026-11-24T12:00:00Z`, or with so many digits of the second; `-` when the time is not known.
pub(crate) fn rfc3339(time: Option<SystemTime>, digits: usize) -> String {
    time.and_then(|time| jiff::Timestamp::try_from(time).ok())
        .map_or_else(|| "-".to_owned(), |time| format!("{time:.digits$}"))
}

/// Two units at most, and the smaller one only while it matters: `90s`, `5m10s`, `47m`, `3h5m`, `2d4h`, `40d`.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (large, unit, small, rest) = match seconds {
        0..120 => return format!("{seconds}s"),
        120..600 => (seconds / MINUTE, "m", "s", seconds % MINUTE),
        600..10_800 => return format!("{}m", seconds / MINUTE),
        10_800..28_800 => (seconds / HOUR, "h", "m", seconds % HOUR / MINUTE),
        28_800..172_800 => return format!("{}h", seconds / HOUR),
        172_800..691_200 => (seconds / DAY, "d", "h", seconds % DAY / HOUR),
        691_200..63_072_000 => return format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => (seconds / YEAR, "y", "d", seconds % YEAR / DAY),
        _ => return format!("{}y", seconds / YEAR),
    };
    if rest == 0 {
        format!("{large}{unit}")
    } else {
        format!("{large}{unit}{rest}{small}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_and_of_one_width() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_250);
        assert_eq!(rfc3339(Some(time), 0), "2026-09-21T14:13:20Z");
        assert_eq!(rfc3339(Some(time), 9), "2026-09-21T14:13:20.250000000Z");
        assert_eq!(rfc3339(None, 0), "-");
    }

    #[test]
    fn ages_read_like_those_of_kubectl() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (310, "5m10s"),
            (47 * MINUTE, "47m"),
            (3 * HOUR + 5 * MINUTE, "3h5m"),
            (30 * HOUR, "30h"),
            (2 * DAY + 4 * HOUR, "2d4h"),
            (40 * DAY, "40d"),
            (2 * YEAR + 3 * DAY, "2y3d"),
            (9 * YEAR, "9y"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
