//! What a plugin asks for, in lines, and a question that needs a yes.

use std::io::{BufRead, IsTerminal};

use anyhow::bail;

use crate::plugin::Grants;

/// A line per session, with its routes and needs.
pub(super) fn lines(asks: &Grants) -> String {
    let mut text = String::new();
    for (session, asks) in &asks.sessions {
        let needs = asks.needs.iter().map(|need| format!("to see the target's {need}"));
        let all: Vec<String> = asks.routes.iter().map(|route| in_words(route)).chain(needs).collect();
        text.push_str(&format!("  {session:<10} {}\n", all.join(", ")));
    }
    text
}

/// As it stands, and where that says little, in words.
fn in_words(route: &str) -> String {
    match route {
        "* *" => "any request to the target".into(),
        "local * *" => "any request to the target's own processes".into(),
        other => other.into(),
    }
}

/// Asks, and reads y or N. `given`: `--yes`.
pub(super) fn yes(question: &str, given: bool) -> anyhow::Result<bool> {
    if given {
        return Ok(true);
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("this needs a yes, and nobody can be asked here: look at it and give --yes");
    }
    show!("{question} [y/N] ");
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
