//! One request of the settings: checked once, then filled in and sent.

use std::collections::BTreeMap;

use ai_monitor_plugin_api::effect::{Method, Request};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    expect::{Expect, ExpectSettings},
    fill::{self, Inside, Values, fill},
};

const BODY_MAX: usize = 64 * 1024;
const PATH_MAX: usize = 4 * 1024;
const HEADERS_MAX: usize = 32;
const HEADER_MAX: usize = 1024;
/// All of a request's together: the host sends path and headers of at most 16 KiB.
const HEADERS_BYTES_MAX: usize = 8 * 1024;
const TIMEOUT_MAX_MS: u64 = 30 * 60 * 1000;

/// They carry what only `[target.auth]` may hold.
const SECRET_HEADERS: &[&str] = &["authorization", "cookie", "x-api-key", "api-key", "x-auth-token", "x-access-token"];
/// They are the host's.
const RESERVED_HEADERS: &[&str] = &["host", "connection", "content-length", "transfer-encoding"];

/// As it stands in the settings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AskSettings {
    method: Option<Method>,
    path: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    timeout: Option<String>,
    expect: Option<ExpectSettings>,
}

/// Checked and ready.
#[derive(Debug, Clone)]
pub struct Ask {
    method: Method,
    path: String,
    headers: BTreeMap<String, String>,
    body: Option<(String, Inside)>,
    timeout_ms: Option<u64>,
    pub expect: Expect,
}

impl Ask {
    /// `at`: where it stands in the settings. `allowed`: what may be filled in here.
    pub fn read(settings: AskSettings, at: &str, default: Method, allowed: &[&str]) -> Result<Ask, String> {
        let method = settings.method.unwrap_or(default);
        let path = settings.path.unwrap_or_else(|| "/".into());
        check_path(&path).map_err(|why| format!("{at}.path: {path:?} {why}"))?;
        let mut headers = BTreeMap::new();
        if settings.headers.len() > HEADERS_MAX {
            return Err(format!("{at}.headers: more than {HEADERS_MAX}"));
        }
        for (name, value) in settings.headers {
            check_header(&name, &value).map_err(|why| format!("{at}.headers.{name}: {why}"))?;
            headers.insert(name.to_ascii_lowercase(), value);
        }
        let bytes: usize = headers.iter().map(|(name, value): (&String, &String)| name.len() + value.len()).sum();
        if bytes > HEADERS_BYTES_MAX {
            return Err(format!("{at}.headers: {bytes} bytes together, at most {HEADERS_BYTES_MAX}"));
        }
        if settings.body.is_some() && method != Method::Post {
            return Err(format!("{at}.body: only a POST has a body: add method = \"POST\""));
        }
        for text in [Some(&path), settings.body.as_ref()].into_iter().flatten() {
            if let Some(name) = fill::names_in(text).find(|name| !allowed.contains(name)) {
                return Err(format!("{at}: {name} cannot be filled in here"));
            }
        }
        let body = settings.body.map(|text| body(text, &mut headers, at)).transpose()?;
        let timeout_ms = settings.timeout.map(|text| duration(&text, &format!("{at}.timeout"))).transpose()?;
        let expect = Expect::read(settings.expect.unwrap_or_default(), &format!("{at}.expect"))?;
        if method == Method::Head && expect.reads_body() {
            return Err(format!(
                "{at}.expect: the answer to a HEAD has no body to look at; `status` alone can be wanted"
            ));
        }
        Ok(Ask { method, path, headers, body, timeout_ms, expect })
    }

    /// Must this be known to send it?
    pub fn wants(&self, name: &str) -> bool {
        let body = self.body.as_ref().map_or("", |(text, _)| text);
        fill::names_in(&self.path).chain(fill::names_in(body)).any(|wanted| wanted == name)
    }

    /// `timeout_ms`: where the settings have none.
    pub fn request(&self, values: &Values<'_>, timeout_ms: u64) -> Request {
        Request {
            method: self.method,
            headers: self.headers.clone(),
            body: self.body.as_ref().map(|(text, inside)| fill(text, values, *inside)),
            ..Request::get(fill(&self.path, values, Inside::Url), self.timeout_ms.unwrap_or(timeout_ms))
        }
    }

    /// As [`Ask::request`], for values that come from a server or a person: a name that cannot stand in the path is
    /// told, instead of being sent as another path.
    pub fn request_for(&self, values: &Values<'_>, timeout_ms: u64) -> Result<Request, String> {
        let request = self.request(values, timeout_ms);
        match check_path(&request.path) {
            Ok(()) => Ok(request),
            Err(why) => Err(format!("{:?} cannot stand in the path: it {why}", values.model.unwrap_or_default())),
        }
    }
}

/// What values in it must not break out of; its content type is added where it is clear.
fn body(text: String, headers: &mut BTreeMap<String, String>, at: &str) -> Result<(String, Inside), String> {
    if text.len() > BODY_MAX {
        return Err(format!("{at}.body: {} bytes, at most {BODY_MAX} are sent", text.len()));
    }
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    if looks_like_json {
        headers.entry("content-type".into()).or_insert_with(|| "application/json".into());
    }
    let kind = headers.get("content-type").map_or("", String::as_str);
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let inside = match kind.as_str() {
        kind if kind.ends_with("json") => Inside::Json,
        "application/x-www-form-urlencoded" => Inside::Url,
        _ => Inside::Plain,
    };
    let is_filled = fill::names_in(&text).next().is_some();
    if inside == Inside::Json {
        let sample = Values { model: Some("m"), prompt: Some("p"), max_tokens: Some(1) };
        if let Err(error) = serde_json::from_str::<Value>(&fill(&text, &sample, inside)) {
            let help =
                if is_filled { " ({model} and {prompt} stand within quotes, {max_tokens} does not)" } else { "" };
            return Err(format!("{at}.body: it is no JSON: {error}{help}"));
        }
    } else if is_filled && inside == Inside::Plain && kind != "text/plain" {
        return Err(format!(
            "{at}.body: values are filled in only where they cannot break out: into JSON, a form \
             (content-type application/x-www-form-urlencoded) or text/plain"
        ));
    }
    Ok((text, inside))
}

/// The host's own rule for paths: a path that it refuses would end the session as a fault of this plugin.
fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("does not begin with `/`");
    }
    if path.len() > PATH_MAX {
        return Err("is too long");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#')) {
        return Err("has a character that must be percent-encoded");
    }
    let dots = |segment: &str| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    let before_query = path.split_once('?').map_or(path, |(path, _)| path);
    if before_query.split('/').any(dots) {
        return Err("has a `.` or `..` segment");
    }
    Ok(())
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if SECRET_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-auth") {
        return Err(
            "a secret never stands in the settings: [target.auth] with `bearer_env` or `bearer_file` sends the \
                    target's key as a bearer token"
                .into(),
        );
    }
    if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        return Err("the monitor sets this header itself".into());
    }
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err("this is no name of a header".into());
    }
    if value.len() > HEADER_MAX || !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t') {
        return Err(format!("its value must be printable ASCII of at most {HEADER_MAX} bytes"));
    }
    Ok(())
}

/// `500ms`, `2s`, `1m` in milliseconds. `at`: where it stands in the settings.
pub fn duration(text: &str, at: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let ms = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
    ms.filter(|ms| (10..=TIMEOUT_MAX_MS).contains(ms))
        .ok_or_else(|| format!("{at}: {text:?} is no time from 10ms to 30m, as \"500ms\", \"2s\" or \"1m\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(settings: Value) -> Result<Ask, String> {
        let settings = serde_json::from_value(settings).expect("settings of the right types");
        Ask::read(settings, "settings.load", Method::Post, &[fill::MODEL])
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_its_place() {
        for (settings, place, word) in [
            (json!({"path": "status"}), "path", "begin"),
            (json!({"path": "/a b"}), "path", "percent"),
            (json!({"path": "/a/%2e%2E/b"}), "path", "segment"),
            (json!({"method": "GET", "body": "x"}), "body", "POST"),
            (json!({"body": "{\"model\": {model}}"}), "body", "quotes"),
            (json!({"body": "<m>{model}</m>", "headers": {"Content-Type": "text/xml"}}), "body", "break out"),
            (json!({"path": "/{prompt}"}), "settings.load: {prompt}", "cannot"),
            (json!({"timeout": "5 minutes"}), "timeout", "10ms"),
            (json!({"headers": {"Authorization": "Bearer x"}}), "headers.Authorization", "[target.auth]"),
            (json!({"headers": {"COOKIE": "a=b"}}), "headers.COOKIE", "[target.auth]"),
            (json!({"headers": {"X-Api-Key": "a"}}), "headers.X-Api-Key", "[target.auth]"),
            (json!({"headers": {"Host": "x"}}), "headers.Host", "itself"),
            (json!({"headers": {"a b": "x"}}), "headers.a b", "no name"),
            (json!({"headers": {"a": "x\r\ny: z"}}), "headers.a", "printable"),
            (json!({"method": "HEAD", "expect": {"contains": "x"}}), "expect", "HEAD"),
        ] {
            let error = read(settings.clone()).expect_err("it is refused");
            assert!(error.starts_with("settings.load") && error.contains(place) && error.contains(word), "{error}");
            assert!(!error.contains("Bearer x"), "a secret is not repeated: {error}");
        }
    }

    #[test]
    fn a_model_that_would_leave_the_path_is_not_sent() {
        let ask = read(json!({"path": "/models/{model}"})).expect("good settings");
        let request = |model| ask.request_for(&Values { model: Some(model), ..Values::default() }, 1000);
        assert_eq!(request("a/b").expect("encoded").path, "/models/a%2Fb");
        assert!(request("..").expect_err("it would be another path").contains("cannot stand in the path"));
    }

    #[test]
    fn json_gets_its_content_type_and_a_users_own_stays() {
        let ask = read(json!({"path": "/x", "body": "{\"m\":\"{model}\"}"})).expect("good settings");
        let request = ask.request(&Values { model: Some("\""), ..Values::default() }, 1000);
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.body.as_deref(), Some(r#"{"m":"\""}"#));
        let form = json!({"path": "/x", "body": "m={model}", "headers": {"content-type": "application/x-www-form-urlencoded"}});
        let request =
            read(form).expect("good settings").request(&Values { model: Some("a&b"), ..Values::default() }, 1);
        assert_eq!(request.body.as_deref(), Some("m=a%26b"));
    }
}
