//! The target's key: read anew for each request, so that a changed key needs no restart, and never kept or shown.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::config::model::Auth;

/// A key file may lie on a network drive.
const READ_WITHIN: Duration = Duration::from_secs(2);
const MAX_KEY: u64 = 64 * 1024;

/// The header to send. If the key cannot be read the request goes without it, and the text says why: the server then
/// tells whether it needs one.
pub(super) async fn header(auth: &Auth) -> (HeaderMap, Option<String>) {
    let mut headers = HeaderMap::new();
    match read(auth).await {
        Ok(value) => {
            headers.insert(AUTHORIZATION, value);
            (headers, None)
        }
        Err(reason) => (headers, Some(format!("sent without a key: {reason}"))),
    }
}

async fn read(auth: &Auth) -> Result<HeaderValue, String> {
    let key = match auth {
        Auth::BearerEnv(name) => {
            std::env::var(name).map_err(|_| format!("the environment has no readable {name} (auth.bearer_env)"))?
        }
        Auth::BearerFile(path) => {
            let told = |problem: &str| format!("{} (auth.bearer_file): {problem}", path.display());
            let read = async {
                let size = tokio::fs::metadata(path).await?.len();
                if size > MAX_KEY {
                    return Err(std::io::Error::other("too large for a key"));
                }
                tokio::fs::read_to_string(path).await
            };
            match tokio::time::timeout(READ_WITHIN, read).await {
                Ok(Ok(key)) => key,
                Ok(Err(error)) => return Err(told(&error.to_string())),
                Err(_) => return Err(told("cannot be read in 2 s")),
            }
        }
    };
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.trim()))
        .map_err(|_| "the key has characters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
