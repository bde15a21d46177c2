//! `docs/architecture.md` names what is there, and every room of the host.

use std::fs;

use crate::harness::plugins::root;

/// What the page puts between backticks.
fn named(page: &str) -> Vec<&str> {
    page.split('`').skip(1).step_by(2).collect()
}

fn is_path(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c));
    let of_source = [".rs", ".md", ".lua"].iter().any(|end| name.ends_with(end));
    plain && (name.contains('/') || of_source)
}

#[test]
fn the_page_names_what_is_there_and_every_room() {
    let root = root();
    let page = fs::read_to_string(root.join("docs/architecture.md")).expect("the page");
    let named = named(&page);
    let paths: Vec<&str> = named.iter().copied().filter(|name| is_path(name)).collect();
    assert!(paths.len() > 50, "{paths:?}");
    let places = ["", "host/src", "docs", "docs/plugins"].map(|place| root.join(place));
    let is_there = |path: &&str| places.iter().any(|place| place.join(path).exists());
    let gone: Vec<&str> = paths.into_iter().filter(|path| !is_there(path)).collect();
    assert_eq!(gone, [""; 0], "the page names what is not there");

    let rooms = fs::read_dir(root.join("host/src")).expect("the host's sources").flatten().map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() { name + "/" } else { name }
    });
    let unnamed: Vec<String> = rooms.filter(|room| room != "lib.rs" && !named.contains(&room.as_str())).collect();
    assert_eq!(unnamed, [""; 0], "the page does not name these rooms");
}
