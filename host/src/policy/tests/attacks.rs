//! Runaways: each is stopped within its bounds, whatever it catches, and stays stopped.

use std::time::{Duration, Instant};

use super::*;

/// Generous: an unoptimised build on a busy machine. What is not stopped runs for ever.
const BOUND: Duration = Duration::from_secs(20);
const ENDLESS: &str = "while true do end";

struct Attack {
    name: &'static str,
    body: &'static str,
    /// How it ends: `budget: …`, an ordinary error, or (where it is merely harmless) `end`.
    ends: &'static str,
}

const fn attack(name: &'static str, body: &'static str, ends: &'static str) -> Attack {
    Attack { name, body, ends }
}

const BUDGET: &str = "budget: ";
const MEMORY: &str = "budget: memory";

const ATTACKS: &[Attack] = &[
    attack("an endless loop", ENDLESS, BUDGET),
    attack("an endless loop in pcall", "pcall(function() while true do end end) act.restart {}", BUDGET),
    attack("pcall in an endless loop", "while true do pcall(function() while true do end end) end", BUDGET),
    attack("pcall of pcall of pcall", "local function f() pcall(f) while true do pcall(f) end end f()", BUDGET),
    attack("an empty repeat", "repeat until false", BUDGET),
    attack("a numeric loop without a body", "for i = 1, math.huge do end", BUDGET),
    attack("endless calls", "local function f() end while true do f() end", BUDGET),
    attack(
        "mutual recursion",
        "local g local function f() return g() end function g() return f() end f()",
        "mine.lua:3: ",
    ),
    attack("recursion in pcall", "local function f() pcall(f) return f() end while true do pcall(f) end", BUDGET),
    attack("catastrophic backtracking", "(\"a\"):rep(300):find((\".-\"):rep(30) .. \"b\")", BUDGET),
    attack(
        "backtracking in pcall",
        "while true do pcall(string.match, (\"a\"):rep(5000), \"(.-)(.-)(.-)(.-)(.-)b\") end",
        BUDGET,
    ),
    attack(
        "a giant set in a pattern",
        "(\"a\"):rep(1e6):find(\"[\" .. (\"b\"):rep(1e6) .. \"a]*c\")",
        "budget: instructions",
    ),
    attack(
        "a giant plain pattern",
        "(\"a\"):rep(3e6):find((\"a\"):rep(1e6) .. \"b\", 1, true)",
        "budget: instructions",
    ),
    attack("a giant separator", "(\"a\"):rep(2e6):split((\"a\"):rep(1e6) .. \"b\")", "budget: instructions"),
    attack(
        "gmatch over a giant set",
        "for _ in (\"a\"):rep(1e6):gmatch(\"[\" .. (\"b\"):rep(1e6) .. \"]\") do end",
        "budget: instructions",
    ),
    attack("gsub that grows", "local s = \"aa\" while true do s = s:gsub(\"a\", \"aaaa\") end", BUDGET),
    attack("gsub with an endless function", "(\"a\"):gsub(\"a\", function() while true do end end)", BUDGET),
    attack(
        "gsub in gsub in gsub",
        "local function f() return (\"aaaa\"):gsub(\"a\", f) end pcall(f) while true do pcall(f) end",
        BUDGET,
    ),
    attack("a nested pattern", "(\"x\"):find((\"(\"):rep(1e5))", "mine.lua:3: "),
    attack("a balanced match over and over", "local s = (\"(\"):rep(1e5) while true do s:find(\"%b()\") end", BUDGET),
    attack("string.rep of everything", "local s = (\"x\"):rep(1e9)", BUDGET),
    attack("string.rep of nothing", "while true do (\"\"):rep(1e9) end", BUDGET),
    attack("string.rep with a text for a number", "local s = (\"x\"):rep(\"1e9\")", BUDGET),
    attack("string.rep with a broken number", "(\"x\"):rep(0/0); (\"x\"):rep(-math.huge) while true do end", BUDGET),
    attack("doubling", "local s = \"x\" while true do s = s .. s end", MEMORY),
    attack(
        "doubling in pcall",
        "pcall(function() local s = \"x\" while true do s = s .. s end end) act.restart {}",
        MEMORY,
    ),
    attack(
        "doubling in pcall for ever",
        "while true do pcall(function() local s = \"x\" while true do s = s .. s end end) end",
        MEMORY,
    ),
    attack("a table without end", "local t = {} while true do t[#t + 1] = {} end", BUDGET),
    attack("a table beyond all sizes", "table.create(1e8, 0)", "mine.lua:3: table overflow"),
    attack("a huge table at once", "table.create(5e6, 0)", MEMORY),
    attack("a huge table in pcall", "pcall(table.create, 5e6, 0) act.restart {}", MEMORY),
    attack("closures without end", "local f = nil while true do local g = f f = function() return g end end", BUDGET),
    attack("format without end", "local s = \"x\" while true do s = (\"%s%s\"):format(s, s) end", MEMORY),
    attack("concat of giants", "local s = (\"x\"):rep(1e6) table.concat({ s, s, s, s, s, s, s, s, s })", MEMORY),
    attack("concat of nothing for ever", "table.concat({}, \"\", 1, 1e15)", BUDGET),
    attack("move of nothing", "table.move({}, 1, 1e9, 2, {})", "budget: instructions"),
    attack("move far away", "table.move({}, -1e9, 1e9, 2, {})", "budget: instructions"),
    attack(
        "insert at the front for ever",
        "local t = table.create(1e5, 0) while true do table.insert(t, 1, 0) table.remove(t, 1) end",
        BUDGET,
    ),
    attack("unpack of too much", "unpack({}, 1, 1e7)", "mine.lua:3: "),
    attack("unpack of much", "while true do pcall(unpack, {}, 1, 7000) end", BUDGET),
    attack(
        "sort of long texts",
        "local s = (\"x\"):rep(1e6) local y = s .. \"y\" local t = {} for i = 1, 2e4 do t[i] = i % 2 == 0 and s or y end table.sort(t)",
        BUDGET,
    ),
    attack(
        "sort with a lying comparison",
        "local t = table.create(2000, 1) while true do pcall(table.sort, t, function() return true end) end",
        BUDGET,
    ),
    attack("sort with an endless comparison", "table.sort({ 1, 2, 3 }, function() while true do end end)", BUDGET),
    attack("utf8 over giants", "local s = (\"ä\"):rep(1e6) while true do utf8.len(s) end", BUDGET),
    attack(
        "utf8 characters without end",
        "local t = {} while true do t[#t + 1] = utf8.char(#t) .. (\"x\"):rep(100) end",
        BUDGET,
    ),
    attack("utf8.codes over garbage", "for _ in utf8.codes((\"\\xff\"):rep(100)) do end", "mine.lua:3: "),
    attack("numbers from giants", "local s = (\"1\"):rep(1e6) while true do tonumber(s) end", BUDGET),
    attack("packing without end", "local f = (\"z\"):rep(1e5) while true do pcall(string.pack, f) end", BUDGET),
    attack(
        "comparing giants",
        "local a, b = (\"x\"):rep(1e6) .. \"a\", (\"x\"):rep(1e6) .. \"b\" while true do local _ = a < b end",
        BUDGET,
    ),
    attack(
        "upper and reverse of giants",
        "local s = (\"x\"):rep(2e6) while true do s = s:upper():reverse() end",
        BUDGET,
    ),
    attack("a flood of log lines", "while true do log((\"x\"):rep(1e5)) end", BUDGET),
    attack("a flood of errors", "while true do pcall(error, (\"x\"):rep(1e5)) end", BUDGET),
    attack("a flood of wrong acts", "while true do pcall(act.restart, 1) end", BUDGET),
    attack("a flood of unknown fields", "while true do pcall(function() return incident.nothing end) end", BUDGET),
    attack(
        "a spent budget and then an act",
        "pcall(function() while true do end end) pcall(function() while true do end end) pcall(act.restart, {})",
        BUDGET,
    ),
    attack(
        "an act in a comparison",
        "table.sort({ 1, 2 }, function() act.restart {} return true end)",
        "mine.lua:3: attempt to yield across",
    ),
    attack(
        "an act in gsub",
        "(\"a\"):gsub(\"a\", function() act.restart {} end)",
        "mine.lua:3: attempt to yield across",
    ),
    attack(
        "an act in the loop of a library",
        "for _ in act.restart do end",
        "mine.lua:3: act.restart takes named arguments",
    ),
    attack(
        "a hostile __index",
        "local t = setmetatable({}, { __index = function(t, k) return t[k] end })",
        "mine.lua:3: there is no 'setmetatable'",
    ),
    attack(
        "a metatable in a loop",
        "for _ in { __iter = 1, __call = 2 } do end local t = { __index = 1 } log(tostring(t.x))",
        "end",
    ),
    attack(
        "the texts' own metatable",
        "local m = getmetatable(\"\") m.__index = nil",
        "mine.lua:3: there is no 'getmetatable'",
    ),
    attack(
        "xpcall with a handler that fails",
        "xpcall(error, function() error(1) end)",
        "mine.lua:3: there is no 'xpcall'",
    ),
    attack("coroutines", "coroutine.wrap(function() end)()", "mine.lua:3: there is no 'coroutine'"),
    attack("code from text", "loadstring(\"while true do end\")()", "mine.lua:3: there is no 'loadstring'"),
    attack("the environment", "getfenv(0).act = nil", "mine.lua:3: there is no 'getfenv'"),
    attack("the global table", "_G.act = nil", "mine.lua:3: there is no '_G'"),
    attack("the collector", "collectgarbage(\"stop\")", "mine.lua:3: there is no 'collectgarbage'"),
    attack(
        "replacing a library function",
        "string.rep = function() end",
        "mine.lua:3: attempt to modify a readonly table",
    ),
    attack("replacing pcall", "pcall = function(f) return f() end", "mine.lua:3: 'pcall' is a word of the host's"),
    attack(
        "thawing the incident",
        "local i = table.clone(incident) i.model = \"x\" incident.target = i",
        "mine.lua:3: attempt to modify a readonly table",
    ),
    attack("a wait of ages", "act.wait { seconds = 1e308 }", "mine.lua:3: act.wait: seconds is"),
];

fn resume(body: &str, limits: Limits) -> (Step, PolicyRun) {
    let sources = sources(&format!("function heal.stalled(incident)\n{body}\nend"));
    let mut run = PolicyRun::start_within(&sources, json!({}), limits).unwrap_or_else(|e| panic!("{body}: {e}"));
    run.enter(FaultClass::Stalled).unwrap();
    (run.resume(&stalled(), None), run)
}

/// Loading gets its time here: what is tried is the burst.
fn limits() -> Limits {
    Limits { load: Duration::from_secs(60), ..Limits::default() }
}

#[test]
fn every_attack_is_stopped() {
    for attack in ATTACKS {
        let began = Instant::now();
        let (step, mut run) = resume(attack.body, limits());
        let took = began.elapsed();
        assert!(took < BOUND, "{}: {took:?}", attack.name);
        if attack.ends == "end" {
            assert_eq!(step, Step::End, "{}", attack.name);
            continue;
        }
        let Step::Failed { error } = &step else { panic!("{}: {step:?}", attack.name) };
        assert!(error.starts_with(attack.ends), "{}: {error}", attack.name);
        assert!(error.contains("mine.lua:3"), "{}: it says where: {error}", attack.name);
        // Final: whatever is tried next says the same, and nothing can be entered.
        assert_eq!(run.resume(&stalled(), Some(&Outcome::done(""))), step, "{}", attack.name);
        assert!(matches!(run.enter(FaultClass::Dead), Err(PolicyError::Spent(_))), "{}", attack.name);
    }
}

#[test]
fn with_all_the_time_in_the_world_counting_stops_them() {
    for body in [
        ENDLESS,
        "while true do pcall(function() while true do end end) end",
        "(\"a\"):rep(300):find((\".-\"):rep(30) .. \"b\")",
        "table.sort({ 1, 2, 3 }, function() while true do end end)",
    ] {
        let few = Limits { ticks: 50_000, ..patient() };
        let (step, _) = resume(body, few);
        let Step::Failed { error } = step else { panic!("{body}: {step:?}") };
        assert_eq!(
            error, "budget: instructions (more than 50000 ticks from one act to the next), at mine.lua:3",
            "{body}"
        );
    }
}

#[test]
fn without_counting_the_clock_stops_them() {
    let clock = Limits { ticks: u64::MAX / 4, burst: Duration::from_millis(5), ..limits() };
    let (step, _) = resume(ENDLESS, clock);
    let Step::Failed { error } = step else { panic!("{step:?}") };
    assert_eq!(error, "budget: time (more than 5 ms from one act to the next), at mine.lua:3");
}

#[test]
fn the_budget_is_anew_after_each_act() {
    let few = Limits { ticks: 20_000, ..patient() };
    let body = "for _ = 1, 50 do for i = 1, 5000 do end act.cancel {} end";
    let (mut step, mut run) = resume(body, few);
    let mut acts = 0;
    while let Step::Act(_) = step {
        acts += 1;
        step = run.resume(&stalled(), Some(&Outcome::new("nothing", "")));
    }
    assert_eq!((acts, step), (50, Step::End));
}

#[test]
fn the_hundred_and_first_act_spends_the_budget_over_all_ladders() {
    let mut run = start("function heal.any() while true do pcall(act.cancel, {}) end end").unwrap();
    for (class, acts) in [(FaultClass::Stalled, 40), (FaultClass::Dead, 60)] {
        run.enter(class).unwrap();
        let mut outcome = None;
        for _ in 0..acts {
            let step = run.resume(&stalled(), outcome.as_ref());
            assert!(matches!(step, Step::Act(_)), "{step:?}");
            outcome = Some(Outcome::new("nothing", ""));
        }
    }
    let last = run.resume(&stalled(), Some(&Outcome::new("nothing", "")));
    assert_eq!(last, Step::Failed { error: "budget: acts (more than 100 acts in one incident), at mine.lua:2".into() });
}

#[test]
fn entering_costs_nothing_of_what_the_ladder_before_has_left() {
    let mut passed = 0;
    for turns in 900..1000 {
        let few = Limits { ticks: 1000, ..patient() };
        let sources = sources(&format!("function heal.stalled() for _ = 1, {turns} do end end"));
        let Ok(mut run) = PolicyRun::start_within(&sources, json!({}), few) else { continue };
        run.enter(FaultClass::Stalled).unwrap();
        if run.resume(&stalled(), None) == Step::End {
            passed += 1;
            run.enter(FaultClass::Stalled).unwrap();
            assert_eq!(run.resume(&stalled(), None), Step::End);
        }
    }
    assert!((1..100).contains(&passed), "{passed}: the limit lies elsewhere");
}

#[test]
fn memory_stays_within_its_limit() {
    let (step, run) = resume("local t = {} while true do t[#t + 1] = (\"x\"):rep(1000) .. #t end", patient());
    assert!(matches!(&step, Step::Failed { error } if error.starts_with(MEMORY)), "{step:?}");
    assert!(run.used_memory() <= Limits::default().memory);
}

#[test]
fn an_endless_top_level_spends_the_load_budget() {
    for text in [ENDLESS, "pcall(function() while true do end end)", "while true do pcall(require, \"default\") end"] {
        let error = load_error(text);
        assert!(error.starts_with("budget: load (") && error.ends_with(", at mine.lua:2"), "{text}: {error}");
    }
}

#[test]
fn the_parser_is_not_overrun_by_nesting() {
    let nested = |open: &str, middle: &str, close: &str| {
        format!("local x = {}{middle}{}", open.repeat(20_000), close.repeat(20_000))
    };
    for text in [
        nested("(", "1", ")"),
        nested("{", "1", "}"),
        nested("not ", "1", ""),
        nested("- ", "1", ""),
        nested("1 + ", "1", ""),
        nested("\"a\" .. ", "\"b\"", ""),
        nested("2 ^ ", "1", ""),
        nested("function() return ", "1", " end"),
        nested("`{", "1", "}`"),
        nested("if true then 1 else ", "1", ""),
        format!("local x = f{}", "()".repeat(60_000)),
        format!("local x = f{}", ".a".repeat(60_000)),
        format!("local x = f{}", "[1]".repeat(60_000)),
        format!("{}{}", "do ".repeat(20_000), "end ".repeat(20_000)),
        format!("if x then {} end", "elseif x then ".repeat(10_000)),
        format!("local x: {}number{} = 1", "{".repeat(20_000), "}".repeat(20_000)),
        format!("local x: {}number = 1", "number | ".repeat(20_000)),
        format!("local x = {{{}}}", "1,".repeat(100_000)),
        format!("local x = {}", "1 + ".repeat(50_000) + "1"),
    ] {
        // On a thread as small as any that may check a policy. An error, or (where it is only long) nothing.
        let head: String = text.chars().take(40).collect();
        let check = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || PolicyRun::start_within(&sources(&text), json!({}), patient()).map(drop));
        let checked = check.unwrap().join().unwrap_or_else(|_| panic!("{head}"));
        if let Err(error) = checked {
            assert!(!error.to_string().is_empty(), "{head}");
        }
    }
}

#[test]
fn bytecode_is_refused() {
    let sources = PolicySources::from_texts("mine", &[("mine.lua", "\u{6}\u{3}anything")]);
    let error = PolicyRun::start(&sources, json!({})).unwrap_err().to_string();
    assert!(error.contains("attempt to load") || error.contains("mine.lua:1"), "{error}");
}
