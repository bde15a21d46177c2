//! Prometheus' text form, as far as plugins read it: names and whole numbers.

/// The sum of all series of a metric, or `None` where it has none. Fractions are cut off; what is no number, or
/// negative, is left out.
pub fn sum(text: &str, name: &str) -> Option<u64> {
    sum_with(text, name, "")
}

/// [`sum`] of the series whose labels hold this text: `state="awake"`.
pub fn sum_with(text: &str, name: &str, label: &str) -> Option<u64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let (labels, value) = match rest.as_bytes().first() {
            Some(b' ' | b'\t') => ("", rest),
            // Labels may hold any text but end with the last brace.
            Some(b'{') => match rest.rfind('}') {
                Some(end) => rest.split_at(end + 1),
                None => continue,
            },
            _ => continue,
        };
        if !labels.contains(label) {
            continue;
        }
        let number = value.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        if let Some(number) = number.filter(|n| n.is_finite() && *n >= 0.0) {
            sum = Some(sum.unwrap_or(0u64).saturating_add(number as u64));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{sum, sum_with};

    #[test]
    fn series_of_one_name_are_added_and_others_left_alone() {
        let text = "# HELP a_total A\n# TYPE a_total counter\na_total 3\na_total_more 5\n\
                    b{engine=\"0\",note=\"} 9\"} 2.0\nb{engine=\"1\"} 1.5e1 1700000000\nc NaN\nd -1\n";
        assert_eq!(sum(text, "a_total"), Some(3));
        assert_eq!(sum(text, "b"), Some(17));
        assert_eq!(sum_with(text, "b", "engine=\"1\""), Some(15));
        assert_eq!(sum_with(text, "b", "engine=\"2\""), None);
        assert_eq!(sum(text, "c"), None);
        assert_eq!(sum(text, "d"), None);
        assert_eq!(sum(text, "absent"), None);
    }
}
