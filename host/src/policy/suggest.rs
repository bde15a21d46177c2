//! "Did you mean …?": the nearest of the known names.

/// Below this Jaro-Winkler likeness a suggestion confuses more than it helps.
const ALIKE: f64 = 0.8;

/// The known name that is most like `name`.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean 'stalled'?`, or nothing.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known).map(|n| format!("; did you mean '{n}'?")).unwrap_or_default()
}
