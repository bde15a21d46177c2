//! The page in a real browser, with a monitor that says whatever a test wants.

use super::fake::{FakeMonitor, STUBBORN, Server, plugins, snapshot, target, usual};
use crate::{
    health::state::State,
    monitor::{handle::Manage, view::TargetView},
};

#[path = "../../../../tests/harness/browser.rs"]
mod driver;

use driver::{Browser, HEADLINE};

const HOSTILE: &str = "<img src=x onerror=document.title='owned'>";

#[tokio::test]
async fn the_overview_shows_what_backends_say_as_text() {
    let Some(browser) = Browser::open().await else { return };
    let hostile = TargetView {
        why: HOSTILE.into(),
        label: HOSTILE.into(),
        version: Some(HOSTILE.into()),
        owner_text: HOSTILE.into(),
        hint: Some(HOSTILE.into()),
        error_message: Some(HOSTILE.into()),
        ..target(HOSTILE, State::Offline)
    };
    let mut shown = snapshot(vec![hostile, target("ollama", State::Online)]);
    shown.troubles = vec![HOSTILE.into()];
    let server = Server::of(FakeMonitor::new(shown)).await;
    browser.go(&server.base()).await;
    browser.until(&format!("{HEADLINE} === '1 target is offline'")).await;
    assert_eq!(browser.eval("document.querySelector('.card h3').textContent").await, HOSTILE);
    assert_eq!(browser.eval("document.querySelectorAll('img').length").await, 0);
    assert_eq!(browser.eval("document.title").await, "(1 offline) Overview · ai-monitor");
    browser.click(".card h3 a").await;
    browser.until(&format!("{HEADLINE} === {HOSTILE:?}")).await;
    assert_eq!(browser.eval("document.querySelectorAll('img').length").await, 0);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn heal_now_asks_first_and_tells_what_came_of_it() {
    let Some(browser) = Browser::open().await else { return };
    let server = Server::of(FakeMonitor::new(usual())).await;
    browser.go(&server.base()).await;
    browser.click("[data-act='heal-now']").await;
    browser.until("document.querySelector('dialog[open]')").await;
    assert_eq!(browser.eval("document.activeElement.textContent").await, "Cancel");
    let question = browser.eval("document.querySelector('dialog').textContent").await;
    assert!(question.as_str().unwrap().contains("coder"), "{question}");
    assert!(server.monitor.healed.lock().unwrap().is_empty());
    browser.click("dialog button[value='yes']").await;
    browser.until("document.querySelector('.note [role=alert]')").await;
    let told = browser.eval("document.querySelector('.note.bad').textContent").await;
    assert!(told.as_str().unwrap().contains(&format!("Not healed: {STUBBORN}")), "{told}");
    let mut healed: Vec<String> = server.monitor.healed.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
    healed.sort();
    assert_eq!(healed, ["coder", "mending", STUBBORN]);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn the_page_follows_the_monitor_and_says_when_it_cannot() {
    let Some(browser) = Browser::open().await else { return };
    let server = Server::of(FakeMonitor::new(snapshot(vec![target("ollama", State::Online)]))).await;
    browser.go(&server.base()).await;
    browser.until(&format!("{HEADLINE} === 'ollama is online'")).await;
    browser.until("document.querySelector('.connection').textContent === 'Live'").await;
    server.monitor.change(|snapshot| snapshot.targets[0].state = State::Healing);
    browser.until(&format!("{HEADLINE} === '1 target is healing'")).await;
    browser.click("[data-act='disable']").await;
    browser.until(&format!("{HEADLINE} === 'No target is watched'")).await;
    assert!(!server.monitor.snapshot_now().targets[0].enabled);
    browser.click("[data-act='debug']").await;
    browser.until("document.querySelector('[data-act=debug]').getAttribute('aria-checked') === 'true'").await;
    drop(server);
    browser.until("document.querySelector('.note.bad')?.textContent.includes('No answer from ai-monitor')").await;
    browser.until("document.querySelector('[data-act=enable]').disabled").await;
}

#[tokio::test]
async fn plugins_are_shown_trouble_first_and_looked_after_with_a_question() {
    let Some(browser) = Browser::open().await else { return };
    let mut shown = snapshot(vec![target("acme", State::Unknown), target("ollama", State::Online)]);
    shown.plugins = plugins();
    shown.plugins.plugins[1].why = HOSTILE.into();
    shown.plugins.files[0].problem.text = HOSTILE.into();
    let server = Server::of(FakeMonitor::new(shown)).await;
    browser.go(&format!("{}/ai-monitor/plugins", server.base())).await;
    let headline = "3 plugins: 1 quarantined, 1 could not be loaded, 1 waits for consent";
    browser.until(&format!("{HEADLINE} === {headline:?}")).await;
    let rows = browser.eval("[...document.querySelectorAll('.plugins tbody b')].map(b => b.textContent).join()").await;
    assert!(rows.as_str().unwrap().starts_with("libold.so,acme-probe"), "{rows}");
    assert_eq!(browser.eval("document.querySelectorAll('img').length").await, 0);

    browser.click("[data-act='plugin-release']").await;
    browser.click("dialog button[value='cancel']").await;
    browser.until("!document.querySelector('dialog')").await;
    assert!(server.monitor.managed.lock().unwrap().is_empty(), "a question that is not answered does nothing");
    browser.click("[data-act='plugin-release']").await;
    browser.click("dialog button[value='yes']").await;
    browser.until("!document.querySelector('[data-act=plugin-release]')").await;

    browser.click("[data-act='plugin-consent']").await;
    browser.until("document.querySelector('dialog').textContent.includes('POST /x')").await;
    browser.click("dialog button[value='yes']").await;
    browser.until("!document.querySelector('[data-act=plugin-consent]')").await;
    let managed = server.monitor.managed.lock().unwrap().clone();
    let seen = plugins().plugins[1].asks_for.clone();
    let wanted = [("acme-probe".to_owned(), Manage::Release), ("mine".to_owned(), Manage::Consent { seen })];
    assert_eq!(managed, wanted);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn no_view_is_wider_than_the_screen() {
    let Some(browser) = Browser::open().await else { return };
    let mut shown = usual();
    shown.targets[1].why = "x".repeat(300);
    let mut first = snapshot(vec![TargetView { found: true, ..target("ollama", State::Online) }]);
    first.config_file = None;
    let first = Server::of(FakeMonitor::new(first)).await;
    shown.plugins = plugins();
    shown.plugins.plugins[0].why = "x".repeat(300);
    shown.plugins.plugins[0].label = "x".repeat(128);
    shown.plugins.plugins[0].version = "1".repeat(128);
    shown.plugins.files[0].file = format!("/data/plugins/{}.so", "x".repeat(250));
    let paths = ["/", "/ai-monitor/targets/coder", "/ai-monitor/incidents", "/ai-monitor/logs", "/ai-monitor/plugins"];
    let configured = Server::of(FakeMonitor::new(shown)).await;
    let pages = paths.map(|path| format!("{}{path}", configured.base()));
    for page in pages.iter().chain([&first.base()]) {
        for width in [360, 800, 1440] {
            browser.size(width, 900).await;
            browser.go(page).await;
            browser.until(HEADLINE).await;
            let wide = browser.eval("document.documentElement.scrollWidth").await;
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{page} is {wide} wide at {width}");
            // What is wider than its panel is out of sight in it, buttons and all.
            let outside = "[...document.querySelectorAll('.panel')].map(p => p.scrollWidth - p.clientWidth).filter(px => px > 0).join()";
            assert_eq!(browser.eval(outside).await, "", "{page} at {width}");
        }
    }
    assert_eq!(browser.complaints().await, [""; 0]);
}
