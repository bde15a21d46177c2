//! When a model leaves memory: Ollama's `expires_at`, the border's, and `keep_alive`.

/// Ollama writes "for ever" as a time some 292 years ahead (2319 and later).
const FOR_EVER_YEAR: i64 = 2200;

/// The shortest `keep_alive` of a load, in seconds: what had expired meanwhile stays for the look that checks it.
const SHORTEST_S: i64 = 60;

/// `expires_at` as the border has it: the same time, or `never`; `None` where it is no time.
pub fn reported(expires_at: &str) -> Option<String> {
    seconds(expires_at)?;
    match year(expires_at) {
        Some(year) if year >= FOR_EVER_YEAR => Some("never".into()),
        _ => Some(expires_at.to_owned()),
    }
}

/// Whether a time has passed; `None` where one of them is no time.
pub fn is_past(expires_at: &str, now: &str) -> Option<bool> {
    Some(seconds(expires_at)? < seconds(now)?)
}

/// The `keep_alive` that gives a model the expiry that it had: seconds from `now`, -1 for `never`.
pub fn keep_alive(expires_at: &str, now: &str) -> Option<i64> {
    if expires_at == "never" {
        return Some(-1);
    }
    Some((seconds(expires_at)? - seconds(now)?).max(SHORTEST_S))
}

fn year(time: &str) -> Option<i64> {
    time.split_once('-')?.0.parse().ok()
}

/// Seconds since 1970 of an RFC 3339 time, fractions cut off.
fn seconds(time: &str) -> Option<i64> {
    let (date, rest) = time.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], offset(&rest[at..])?),
        None => return None,
    };
    let [hour, minute, second] = numbers(clock.split('.').next()?, ':')?;
    let inside = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    inside.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

/// `Z`, `+02:00`, `-05:30`: seconds east of UTC.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'Z' | b'z' => return (text.len() == 1).then_some(0),
        b'+' => 1,
        _ => -1,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    Some(sign * (digits(hours)? * 3_600 + digits(minutes)? * 60))
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(digits);
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<i64> {
    let right = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    right.then(|| text.parse().ok())?
}

/// Days since 1970 in the Gregorian calendar, by eras of 400 years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_seconds_whatever_their_zone() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(seconds("2026-11-24T04:06:14.123456789Z"), Some(1_795_493_174));
        assert_eq!(seconds("2026-11-24T06:06:14.5+02:00"), Some(1_795_493_174));
        assert_eq!(seconds("2026-11-23T22:36:14-05:30"), Some(1_795_493_174));
        for wrong in [
            "",
            "never",
            "2026-11-24",
            "2026-11-24T04:06:14",
            "2026-13-24T04:06:14Z",
            "2026-11-24T4:6Z",
            "2026-11-24T04:06:14+2",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_load_gives_back_the_expiry_that_was_left() {
        let now = "2026-11-24T04:00:00Z";
        assert_eq!(keep_alive("2026-11-24T04:29:57.9Z", now), Some(1_797));
        assert_eq!(keep_alive("never", now), Some(-1));
        assert_eq!(keep_alive("2026-11-24T03:00:00Z", now), Some(SHORTEST_S));
        assert_eq!(keep_alive("soon", now), None);
        assert_eq!(reported("2319-03-06T03:49:02.860380731Z").as_deref(), Some("never"));
        assert_eq!(reported("2026-11-24T04:06:14Z").as_deref(), Some("2026-11-24T04:06:14Z"));
        assert_eq!(reported("soon"), None);
        assert_eq!(is_past("2026-11-24T03:59:59Z", now), Some(true));
        assert_eq!(is_past("2026-11-24T04:00:00Z", now), Some(false));
    }
}
