//! Policies of random words: whatever comes, the sandbox answers, and answers the same a second time.

use proptest::prelude::*;

use super::*;
use crate::policy::host::WORDS;

const GLUE: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "=",
    "==",
    "..",
    ".",
    ":",
    ",",
    ";",
    "\n",
    " ",
    "+",
    "#",
    "\"a\"",
    "`{1}`",
    "1",
    "1e9",
    "nil",
    "true",
    "local x =",
    "x",
    "if",
    "then",
    "else",
    "end",
    "while",
    "do",
    "for",
    "in",
    "return",
    "function()",
    "function heal.dead(i)",
    "function heal.stalled(i)",
    "i",
    ".model",
    ".evidence",
    ".rep",
    ".find",
    ".move",
    ".ok",
    ".restart {}",
    ".wait { seconds = 1 }",
];

fn soup() -> impl Strategy<Value = String> {
    let word = proptest::sample::select([WORDS, GLUE].concat());
    proptest::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

/// Everything that a policy of this text says, in order.
fn told(text: &str) -> Vec<String> {
    let limits = Limits { ticks: 20_000, ..patient() };
    let mut run = match PolicyRun::start_within(&sources(text), json!({}), limits) {
        Ok(run) => run,
        Err(error) => return vec![error.to_string()],
    };
    let mut told = Vec::new();
    for class in [FaultClass::Stalled, FaultClass::Dead] {
        match run.enter(class) {
            Ok(entered) => told.push(format!("{entered:?}")),
            Err(error) => told.push(error.to_string()),
        }
        let mut step = run.resume(&sample::incident(class), None);
        while let Step::Act(_) = step {
            told.push(format!("{step:?}"));
            step = run.resume(&sample::incident(class), Some(&Outcome::new("nothing", "")));
        }
        told.push(format!("{step:?}"));
    }
    told.extend(run.take_logs().into_iter().map(|(text, line)| format!("{line} {text}")));
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered_twice_the_same(text in soup()) {
        prop_assert_eq!(told(&text), told(&text));
    }

    #[test]
    fn any_ladder_is_answered_twice_the_same(body in soup()) {
        let text = format!("function heal.stalled(i)\nlocal x = i\n{body}\nend");
        prop_assert_eq!(told(&text), told(&text));
    }
}
