//! Secrets out of what is kept or shown: by the names that they stand under, and by what looks like a key by itself.
//!
//! One list of names serves text, JSON and command lines. Text is judged with care, for prose is full of tokens and
//! keys; the name of an argument or of a JSON member stands for its value, so a part of it is enough there.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What stands in a secret's place.
pub const HIDDEN: &str = "***";

/// A name that ends so is a secret's, whatever stands before it.
const ENDINGS: &[&str] = &["token", "secret", "password", "passwd", "passphrase", "credential", "credentials"];
/// A name is a secret's where one of these is a word of its own, or follows one of [`BEFORE_WORDS`].
const WORDS: &[&str] = &["key", "auth", "pwd", "sig", "signature"];
const BEFORE_WORDS: &[&str] = &["api", "access", "private", "secret"];
/// The same, and their value goes to the end of the line: it has spaces in it.
const HEADERS: &[&str] = &["authorization", "cookie", "cookies"];
/// What stands before the secret in an authorisation, and may be shown.
const SCHEMES: &[&str] =
    &["basic", "bearer", "digest", "negotiate", "ntlm", "hoba", "mutual", "hawk", "token", "aws4-hmac-sha256"];

/// Does a setting, an argument, a header or a JSON member of this name hold a secret?
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut parts = ENDINGS.iter().chain(HEADERS).chain(WORDS).copied();
    // Half of a `design` is no signature.
    parts.any(|part| if part == "sig" { name == part } else { name.contains(part) })
}

/// The value with its secrets hidden: all that stands under a secret's name, and what [`redact`] finds in its texts.
pub fn redact_json(value: &Value) -> Value {
    match value {
        Value::String(text) => redact(text).into(),
        Value::Array(all) => all.iter().map(redact_json).collect(),
        Value::Object(members) => {
            let hidden = members.iter().map(|(name, value)| {
                let value = if is_secret_name(name) { hide(name, value) } else { redact_json(value) };
                (name.clone(), value)
            });
            Value::Object(hidden.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Whether there is one at all may be seen; a number of `tokens` is none.
fn hide(name: &str, value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(_) if name.to_ascii_lowercase().contains("tokens") => value.clone(),
        _ => HIDDEN.into(),
    }
}

/// The text with what looks like a secret hidden. Where this cannot be judged, all of it is.
pub fn redact(text: &str) -> String {
    let Some(secrets) = SECRETS.as_ref() else { return HIDDEN.to_owned() };
    secrets.iter().fold(text.to_owned(), |text, secret| match secret.replace_all(&text, "${kept}***${after}") {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(hidden) => hidden,
    })
}

/// Each hides what follows its group `kept` (up to its group `after`, if it has one). In this order: whole headers, then
/// what would be a part of one.
static SECRETS: LazyLock<Option<Vec<Regex>>> = LazyLock::new(|| {
    let any = |words: &[&str]| words.join("|");
    let header = format!(r"[a-z0-9_.-]*(?:{})", any(HEADERS));
    let scheme = format!(r"(?:(?:{})[ \t]+)?", any(SCHEMES));
    let name = format!(
        r"(?:[a-z0-9_.-]*(?:{})|(?:[a-z0-9_.-]*[_.-]|[a-z0-9_.-]*(?:{}))?(?:{}))",
        any(ENDINGS),
        any(BEFORE_WORDS),
        any(WORDS)
    );
    // `name: `, `"name": b"`, `('name', '`, `"name" => "`, and the same within a text of JSON, where quotes are escaped.
    let is = r"[ \t]*(?:[:=]|=>)[ \t]*";
    let quoted_is = r"[ \t]*(?:[:=,]|=>)[ \t]*b?";
    let mut patterns = Vec::new();
    for (what, rest) in [(&header, true), (&name, false)] {
        for (quote, inside) in [(r"\x22", r"(?:[^\x22\\]|\\.)+"), ("'", r"(?:[^'\\]|\\.)+")] {
            // The value in quotes, the name in quotes or not.
            patterns.push(format!(r"(?P<kept>(?-u:\b){what}{is}b?{quote}{scheme}){inside}"));
            patterns.push(format!(r"(?P<kept>(?-u:\b){what}[\x22']{quoted_is}{quote}{scheme}){inside}"));
            // Both in one pair of quotes: an argument of `curl -H`.
            if rest {
                patterns.push(format!(r"(?P<kept>{quote}{what}{is}{scheme})[^{quote}\r\n]+"));
            }
        }
        patterns.push(format!(r"(?P<kept>(?-u:\b){what}\\+[\x22']{quoted_is}\\+[\x22']{scheme})[^\x22'\\]+"));
        // No quotes at all, but a name in them perhaps (`{{'key': 5}}`).
        patterns.push(match rest {
            true => format!(r"(?P<kept>(?:^|[^a-z0-9_.\x22'-]){what}{is}{scheme})[^\s\x22'][^\r\n]*"),
            false => format!(r"(?P<kept>(?-u:\b){what}[\x22']?{is}{scheme})[^\s\x22',;&\}}\])]+"),
        });
    }
    // An argument, and its value in the next.
    patterns.push(format!(r"(?P<kept>(?:^|[\s\x22'])--?{name}[\x22']?,?[ \t]+[\x22']?)[^\s\x22',-][^\s\x22',]*"));
    patterns.push(r"(?P<kept>(?-u:\b)bearer\s+)[^\s\x22'<>]+".into());
    // The password of an URL.
    patterns.push(r"(?P<kept>(?-u:\b)[a-z][a-z0-9+.-]*://[^\s/@:]*:)[^\s/@]+(?P<after>@)".into());
    patterns.push(r"(?P<kept>)(?-u:\b)(?:sk|hf|gh[opsur]|github_pat|glpat|nvapi|xox[a-z])[-_][a-z0-9_:-]{12,}".into());
    patterns.push(r"(?P<kept>)(?-u:\b)(?-i:AIza)[a-z0-9_-]{30,}".into());
    // A signed token (JWT).
    patterns.push(r"(?P<kept>)(?-u:\b)(?-i:eyJ)[a-z0-9_-]{8,}\.[a-z0-9_-]{8,}\.[a-z0-9_-]*".into());
    patterns.into_iter().map(|pattern| Regex::new(&format!("(?i){pattern}")).ok()).collect()
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_hidden_and_their_names_and_the_rest_are_not() {
        for (text, hidden) in [
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            (r#"{"api_key":"abc123","model":"tiny"}"#, r#"{"api_key":"***","model":"tiny"}"#),
            ("LM_API_TOKEN=abc serve --port 80", "LM_API_TOKEN=*** serve --port 80"),
            ("key sk-lm-J9Fa6fbC:jkFcl7oqhmx5GB1eM5fL was refused", "key *** was refused"),
            ("password: 'a b'", "password: '***'"),
            ("12 tokens in 3 s, token 7 of 9", "12 tokens in 3 s, token 7 of 9"),
            ("num_tokens=5 tokens_per_second: 8", "num_tokens=5 tokens_per_second: 8"),
            ("export HF_TOKEN='hf x' && run", "export HF_TOKEN='***' && run"),
        ] {
            assert_eq!(redact(text), hidden);
        }
    }

    #[test]
    fn of_an_authorisation_the_scheme_alone_is_left() {
        for (text, hidden) in [
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
            ("< proxy-authorization: basic dXNlcjpwYXNz==", "< proxy-authorization: basic ***"),
            (r#"Authorization: Digest username="me", response="6629""#, "Authorization: Digest ***"),
            (
                "Authorization: AWS4-HMAC-SHA256 Credential=AK/2026, Signature=fe5",
                "Authorization: AWS4-HMAC-SHA256 ***",
            ),
            ("Authorization: Frobnicate abc", "Authorization: ***"),
            ("authorization=Token abc def", "authorization=Token ***"),
            (r#"{"Authorization":"Basic abc def","n":1}"#, r#"{"Authorization":"Basic ***","n":1}"#),
            (r#"{\"Authorization\":\"Basic abc\",\"n\":1}"#, r#"{\"Authorization\":\"Basic ***\",\"n\":1}"#),
            ("{'authorization': 'Basic abc', 'n': 1}", "{'authorization': 'Basic ***', 'n': 1}"),
            ("[(b'Authorization', b'Basic abc'), (b'N', b'1')]", "[(b'Authorization', b'Basic ***'), (b'N', b'1')]"),
            ("curl -H 'Authorization: Basic abc' http://it/", "curl -H 'Authorization: Basic ***' http://it/"),
            (r#"AUTHORIZATION="Basic abc" run"#, r#"AUTHORIZATION="Basic ***" run"#),
            ("a\nAuthorization: Basic abc\nHost: it", "a\nAuthorization: Basic ***\nHost: it"),
            ("auth: Basic abc", "auth: Basic ***"),
        ] {
            assert_eq!(redact(text), hidden);
        }
    }

    #[test]
    fn cookies_are_hidden_whole() {
        for (text, hidden) in [
            ("Cookie: session=abc; theme=dark", "Cookie: ***"),
            ("Set-Cookie: id=a3fWa; Expires=Wed, 21 Oct 2026", "Set-Cookie: ***"),
            (r#"{"set-cookie":"id=a; Secure","n":1}"#, r#"{"set-cookie":"***","n":1}"#),
        ] {
            assert_eq!(redact(text), hidden);
        }
    }

    #[test]
    fn addresses_keep_all_but_their_secrets() {
        for (text, hidden) in [
            ("GET /v1/models?api_key=abc&limit=2", "GET /v1/models?api_key=***&limit=2"),
            ("https://it/v1?limit=2&key=AIzb#top", "https://it/v1?limit=2&key=***"),
            ("https://it/?access_token=a.b-c&sig=x%2Fy 200", "https://it/?access_token=***&sig=*** 200"),
            ("https://me:hunter2@it:8080/x", "https://me:***@it:8080/x"),
            ("http://it:8080/v1/models@main", "http://it:8080/v1/models@main"),
            ("GET /v1/models?monkey=1&page=2", "GET /v1/models?monkey=1&page=2"),
        ] {
            assert_eq!(redact(text), hidden);
        }
    }

    #[test]
    fn arguments_in_text_are_hidden() {
        for (text, hidden) in [
            ("llama-server --api-key abc --port 80", "llama-server --api-key *** --port 80"),
            (r#"["serve", "--api-key", "abc", "--port"]"#, r#"["serve", "--api-key", "***", "--port"]"#),
            ("serve --max-tokens 8 --api-key-file /a/b", "serve --max-tokens 8 --api-key-file /a/b"),
        ] {
            assert_eq!(redact(text), hidden);
        }
    }

    #[test]
    fn what_is_hidden_once_stays_as_it_is() {
        for text in
            ["Authorization: Basic ***", r#"{"api_key":"***"}"#, "?key=***&n=1", "https://me:***@it/", "Cookie: ***"]
        {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn in_json_a_name_stands_for_all_below_it() {
        let value = json!({
            "url": "http://me:hunter2@it/",
            "headers": {"Authorization": "Basic a b", "Cookie": ["a", "b"], "X-Api-Key": "c", "Host": "it"},
            "auth": {"user": "me", "pass": "hunter2"},
            "password": 1234,
            "max_tokens": 8,
            "has_token": true,
            "client_secret": null,
            "lines": ["LM_API_TOKEN=abc", {"text": "it's \"key=abc\""}],
        });
        assert_eq!(
            redact_json(&value),
            json!({
                "url": "http://me:***@it/",
                "headers": {"Authorization": "***", "Cookie": "***", "X-Api-Key": "***", "Host": "it"},
                "auth": "***",
                "password": "***",
                "max_tokens": 8,
                "has_token": true,
                "client_secret": null,
                "lines": ["LM_API_TOKEN=***", {"text": "it's \"key=***\""}],
            })
        );
    }
}
