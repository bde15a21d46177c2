//! How long a model stays loaded after its last use: Ollama's `keep_alive`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Ollama's own default.
pub const DEFAULT: KeepAlive = KeepAlive::For(Duration::from_secs(5 * 60));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    For(Duration),
    /// Any negative number. Shown as the year 2319: the longest duration that Go has from now.
    Forever,
}

impl KeepAlive {
    /// Seconds as a number, or Go's form of a duration (`"30m"`, `"1h30m"`, `"-1s"`).
    pub fn from_json(value: &Value) -> Result<KeepAlive, String> {
        match value {
            Value::Number(n) => Ok(Self::from_seconds(n.as_f64().unwrap_or(0.0))),
            Value::String(text) => text.parse::<f64>().map(Self::from_seconds).or_else(|_| Self::from_go(text)),
            _ => Err(format!("time: invalid duration {value}")),
        }
    }

    fn from_seconds(seconds: f64) -> KeepAlive {
        if seconds < 0.0 {
            return KeepAlive::Forever;
        }
        KeepAlive::For(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    fn from_go(text: &str) -> Result<KeepAlive, String> {
        let wrong = || format!("time: invalid duration {text:?}");
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let (number, after) = rest.split_at(number_ends);
            let unit_ends = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_ends);
            let unit = match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(wrong()),
            };
            seconds += number.parse::<f64>().map_err(|_| wrong())? * unit;
            rest = after;
        }
        Ok(Self::from_seconds(if negative { -seconds } else { seconds }))
    }

    pub fn is_zero(self) -> bool {
        self == KeepAlive::For(Duration::ZERO)
    }

    /// When a model that is used now would be unloaded.
    pub fn expires(self, now: Timestamp) -> Timestamp {
        let longest = SignedDuration::from_nanos(i64::MAX);
        let length = match self {
            KeepAlive::For(length) => SignedDuration::try_from(length).unwrap_or(longest).min(longest),
            KeepAlive::Forever => longest,
        };
        now.saturating_add(length).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_seconds_and_texts_are_gos_durations() {
        let seconds = |s| Ok(KeepAlive::For(Duration::from_secs(s)));
        assert_eq!(KeepAlive::from_json(&json!(1797)), seconds(1797));
        assert_eq!(KeepAlive::from_json(&json!("30m")), seconds(1800));
        assert_eq!(KeepAlive::from_json(&json!("1h30m10s")), seconds(5410));
        assert_eq!(KeepAlive::from_json(&json!("250ms")), Ok(KeepAlive::For(Duration::from_millis(250))));
        assert_eq!(KeepAlive::from_json(&json!(-1)), Ok(KeepAlive::Forever));
        assert_eq!(KeepAlive::from_json(&json!("-1m")), Ok(KeepAlive::Forever));
        assert!(KeepAlive::from_json(&json!(0)).unwrap().is_zero());
        assert!(KeepAlive::from_json(&json!("soon")).is_err());
        assert!(KeepAlive::from_json(&json!(true)).is_err());
    }

    #[test]
    fn for_ever_is_the_year_2319() {
        let now: Timestamp = "2026-11-24T04:01:46Z".parse().unwrap();
        assert!(KeepAlive::Forever.expires(now).to_string().starts_with("2319-03-06T"));
    }
}
