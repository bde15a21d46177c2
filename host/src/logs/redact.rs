//! Secrets out of text that is kept or shown: keys in headers, settings and command lines.

use std::sync::LazyLock;

use regex::Regex;

const HIDDEN: &str = "***";

/// What follows `bearer`; what a name that sounds like a key is set to; what looks like a key by itself.
static SECRETS: LazyLock<Option<[Regex; 3]>> = LazyLock::new(|| {
    let compile = |pattern: &str| Regex::new(pattern).ok();
    Some([
        compile(r"(?i)(\bbearer\s+)[^\s\x22'<>]+")?,
        compile(
            r"(?i)(\b[\w-]*(?:api[_-]?key|token|secret|password|passwd|authorization)\b[\x22']?\s*[:=]\s*[\x22']?)[^\s\x22',;&}]+",
        )?,
        compile(r"()\b(?:sk|hf|ghp|xox[a-z])[-_][A-Za-z0-9_:-]{12,}")?,
    ])
});

/// The text with what looks like a secret hidden.
pub fn redact(text: &str) -> String {
    let Some(secrets) = SECRETS.as_ref() else { return HIDDEN.to_owned() };
    // The word "bearer" itself may stand where a value does, so it goes first.
    secrets.iter().fold(text.to_owned(), |text, secret| {
        match secret.replace_all(&text, |found: &regex::Captures<'_>| {
            let whole = found.get(0).map_or("", |m| m.as_str());
            let name = found.get(1).map_or("", |m| m.as_str());
            let value = whole.get(name.len()..).unwrap_or_default();
            if value.eq_ignore_ascii_case("bearer") { whole.to_owned() } else { format!("{name}{HIDDEN}") }
        }) {
            std::borrow::Cow::Borrowed(_) => text,
            std::borrow::Cow::Owned(hidden) => hidden,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn keys_are_hidden_and_their_names_and_the_rest_are_not() {
        for (text, hidden) in [
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            (r#"{"api_key":"abc123","model":"tiny"}"#, r#"{"api_key":"***","model":"tiny"}"#),
            ("LM_API_TOKEN=abc serve --port 80", "LM_API_TOKEN=*** serve --port 80"),
            ("key sk-lm-J9Fa6fbC:jkFcl7oqhmx5GB1eM5fL was refused", "key *** was refused"),
            ("password: 'a b'", "password: '*** b'"),
            ("12 tokens in 3 s, token 7 of 9", "12 tokens in 3 s, token 7 of 9"),
            ("num_tokens=5 tokens_per_second: 8", "num_tokens=5 tokens_per_second: 8"),
        ] {
            assert_eq!(redact(text), hidden);
        }
    }
}
