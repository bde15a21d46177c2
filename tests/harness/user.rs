//! A user of the server: somebody who waits for tokens.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    backend::{Backend, Kind},
    http::{self, Open},
    wait::wait_until,
};

/// The longest that a user waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// What reaches a user.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Token(String),
    /// The answer is over, without an error.
    Done,
    /// An error, as the server or the connection words it.
    Error(String),
}

/// A request under way. Dropping it is going away.
pub struct User {
    heard: Receiver<Heard>,
    leave: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl User {
    /// Asks for a long answer, streamed.
    pub fn asks(backend: &Backend, address: SocketAddr, model: &str, tokens: u32) -> User {
        User::asks_about(backend, address, model, "Tell me a long story", tokens)
    }

    /// The same, with a prompt of one's own.
    pub fn asks_about(backend: &Backend, address: SocketAddr, model: &str, prompt: &str, tokens: u32) -> User {
        let (path, body) = request(backend, model, prompt, tokens, true);
        let (tell, heard) = channel();
        let leave = Arc::new(AtomicBool::new(false));
        let left = leave.clone();
        let thread = std::thread::spawn(move || {
            let mut answer = match Open::send(address, "POST", path, Some(&body), PATIENCE) {
                Ok(answer) => answer,
                Err(e) => return drop(tell.send(Heard::Error(e.to_string()))),
            };
            while !left.load(Ordering::SeqCst) {
                let heard = match answer.next_line_within(Duration::from_millis(100)) {
                    Ok(Some(line)) => read_line(answer.status(), &line),
                    Ok(None) => Some(Heard::Done),
                    Err(e) if matches!(e.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock) => None,
                    Err(e) => Some(Heard::Error(e.to_string())),
                };
                let Some(heard) = heard else { continue };
                let over = !matches!(heard, Heard::Token(_));
                if tell.send(heard).is_err() || over {
                    return;
                }
            }
        });
        User { heard, leave, thread: Some(thread) }
    }

    /// Waits for the next thing heard.
    #[track_caller]
    pub fn next(&self, within: Duration) -> Heard {
        self.heard.recv_timeout(within).unwrap_or_else(|e| panic!("the user heard nothing for {within:?}: {e}"))
    }

    #[track_caller]
    pub fn wait_token(&self, within: Duration) {
        match self.next(within) {
            Heard::Token(_) => {}
            other => panic!("the user waited for a token, and heard {other:?}"),
        }
    }

    /// Everything heard by now, without waiting.
    pub fn heard_so_far(&self) -> Vec<Heard> {
        self.heard.try_iter().collect()
    }

    /// Waits until it is over, whatever way.
    #[track_caller]
    pub fn wait_over(&self, within: Duration) -> Heard {
        wait_until(within, "the end of the user's answer", || match self.heard.try_iter().last() {
            Some(Heard::Token(token)) => Err(format!("{token:?}")),
            Some(over) => Ok(over),
            None => Err("nothing".into()),
        })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Asks for one short answer and waits for it: does a token come out?
pub fn one_answer(backend: &Backend, address: SocketAddr, model: &str, within: Duration) -> Result<String, String> {
    let (path, body) = request(backend, model, "Say: ok", 2, false);
    let answer = http::post(address, path, &body, within).map_err(|e| e.to_string())?;
    let json = answer.json();
    let text = match backend.kind {
        Kind::Ollama => &json["message"]["content"],
        Kind::Llama => &json["choices"][0]["message"]["content"],
    };
    match text.as_str() {
        Some(text) if answer.status == 200 && !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{}: {}", answer.status, answer.body)),
    }
}

fn request(backend: &Backend, model: &str, prompt: &str, tokens: u32, stream: bool) -> (&'static str, Value) {
    let messages = json!([{"role": "user", "content": prompt}]);
    match backend.kind {
        Kind::Ollama => {
            let options = json!({"num_predict": tokens});
            ("/api/chat", json!({"model": model, "messages": messages, "stream": stream, "options": options}))
        }
        Kind::Llama => {
            let body = json!({"model": model, "messages": messages, "stream": stream, "max_tokens": tokens});
            ("/v1/chat/completions", body)
        }
    }
}

/// One line of NDJSON or of an event stream; `None`: it says nothing to a user.
fn read_line(status: u16, line: &str) -> Option<Heard> {
    let text = line.strip_prefix("data: ").unwrap_or(line);
    if text == "[DONE]" {
        return Some(Heard::Done);
    }
    let json: Value = serde_json::from_str(text).ok()?;
    if status != 200 || json.get("error").is_some() {
        return Some(Heard::Error(text.to_owned()));
    }
    if json["done"] == json!(true) {
        return Some(Heard::Done);
    }
    let content = json["message"]["content"].as_str().or(json["choices"][0]["delta"]["content"].as_str());
    content.filter(|c| !c.is_empty()).map(|c| Heard::Token(c.to_owned()))
}
