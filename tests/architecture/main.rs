//! Holds the structure of the source: who may import whom, `unsafe`, the length of files, their first line.
//!
//! Files form no cycle. One pair is ordinary Rust and left out: a `mod.rs` declares, re-exports and uses its children,
//! and a child may use what its own `mod.rs` defines. So cycles are looked for twice, once without the arrows up to a
//! `mod.rs` of one's own and once without those down from it; a longer cycle through a `mod.rs` is found by one of them.
//!
//! `cargo test --test architecture -- --nocapture` prints the figures.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod graph;
mod imports;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    str::FromStr,
};

use proc_macro2::{TokenStream, TokenTree};

use self::{
    graph::{cycles, is_above},
    imports::{Edges, Imports, Sources},
};

/// From the top; a room may use those after it.
const ROOMS: [&str; 28] = [
    "cli",
    "app",
    "home",
    "auth",
    "coins",
    "market",
    "social",
    "upstream",
    "sentiment",
    "simulation",
    "pages",
    "pictures",
    "users",
    "mail",
    "jobs",
    "audit",
    "idempotency",
    "tokens",
    "passwords",
    "limits",
    "http",
    "embedded",
    "db",
    "storage",
    "tasks",
    "telemetry",
    "config",
    "clock",
];

const MAX_LINES: usize = 500;
/// Made by `diesel print-schema`.
const GENERATED: &str = "src/db/schema.rs";
/// Files that may hold `unsafe`, each with the reason beside the block. `unsafe_code = "deny"` in `Cargo.toml` asks for
/// an `#[expect]` there as well.
const MAY_BE_UNSAFE: [&str; 1] = ["src/main.rs"];

fn collect(directory: &Path, sources: &mut Sources) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.insert(path.to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap());
        }
    }
}

fn sources(directory: &str) -> Sources {
    let mut sources = Sources::new();
    collect(Path::new(directory), &mut sources);
    sources
}

/// The library and what starts it.
fn house(sources: &Sources) -> Imports {
    let mut imports = Imports::default();
    imports.read("mintage", "src/lib.rs", sources);
    if sources.contains_key("src/main.rs") {
        imports.read("main", "src/main.rs", sources);
    }
    imports
}

/// None for the roots, which only name the rooms.
fn room_of(file: &str) -> Option<&str> {
    let inside = file.strip_prefix("src/")?;
    let room = inside.split('/').next()?;
    let room = room.strip_suffix(".rs").unwrap_or(room);
    (room != "lib" && room != "main").then_some(room)
}

fn cycles_of_files(edges: &Edges) -> BTreeSet<BTreeSet<String>> {
    let without = |left_out: fn(&str, &str) -> bool| {
        let kept: Edges = edges.iter().filter(|(from, to)| !left_out(from, to)).cloned().collect();
        cycles(&kept)
    };
    let up = without(|from, to| is_above(to, from));
    up.into_iter().chain(without(is_above)).collect()
}

fn imports_that_point_up(edges: &Edges) -> Vec<String> {
    let level = |room: &str| {
        let found = ROOMS.iter().position(|known| *known == room);
        found.unwrap_or_else(|| panic!("{room} is not in the list of rooms"))
    };
    let rooms = |(from, to): &(String, String)| Some((level(room_of(from)?), level(room_of(to)?)));
    let up = edges.iter().filter(|edge| rooms(edge).is_some_and(|(own, other)| own > other));
    up.map(|(from, to)| format!("{from} imports {to}, which is in a room above")).collect()
}

fn is_unsafe(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "unsafe",
        TokenTree::Group(group) => is_unsafe(group.stream()),
        _ => false,
    })
}

/// What is wrong with each file by itself.
fn faults(sources: &Sources) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, text) in sources {
        if !text.starts_with("//! ") && file != GENERATED {
            faults.push(format!("{file} does not open with a `//!` sentence"));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES && file != GENERATED {
            faults.push(format!("{file} has {lines} lines, more than {MAX_LINES}"));
        }
        if is_unsafe(TokenStream::from_str(text).unwrap()) && !MAY_BE_UNSAFE.contains(&file.as_str()) {
            faults.push(format!("{file} holds `unsafe` and is not in the list of files that may"));
        }
    }
    faults
}

#[expect(clippy::print_stdout, reason = "seen with --nocapture")]
fn print_figures(sources: &Sources, edges: &Edges, cycles: usize) {
    let mut rooms: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, text) in sources.iter().filter(|(file, _)| *file != GENERATED) {
        if let Some(room) = room_of(file) {
            *rooms.entry(room).or_default() += text.lines().count();
        }
    }
    let all: usize = rooms.values().sum();
    let (largest, lines) = rooms.iter().max_by_key(|(_, lines)| **lines).unwrap();
    println!(
        "rooms {}, files {}, edges {}, lines {all}, largest room {largest} with {lines} lines ({}%), cycles {cycles}",
        rooms.len(),
        sources.len(),
        edges.len(),
        lines * 100 / all
    );
    for (room, lines) in rooms {
        println!("  {room:10} {lines:6}");
    }
}

#[test]
fn imports_point_down_and_form_no_cycle() {
    let sources = sources("src");
    let imports = house(&sources);
    let unused: Vec<_> = sources.keys().filter(|file| !imports.files().contains(*file)).collect();
    assert!(unused.is_empty(), "no `mod` declares {unused:?}");
    let edges = imports.edges();
    let cycles = cycles_of_files(&edges);
    print_figures(&sources, &edges, cycles.len());
    let up = imports_that_point_up(&edges);
    assert!(up.is_empty(), "{}", up.join("\n"));
    assert!(cycles.is_empty(), "{cycles:#?}");
    let used: BTreeSet<_> = sources.keys().filter_map(|file| room_of(file)).collect();
    assert_eq!(used, BTreeSet::from(ROOMS), "the list of rooms is not that of the folders");
}

#[test]
fn the_map_of_the_source_lists_the_rooms_in_their_order() {
    let map = fs::read_to_string("src/lib.rs").unwrap();
    let rooms = map.lines().filter_map(|line| line.strip_prefix("//! | [`")?.split('`').next());
    assert_eq!(rooms.collect::<Vec<_>>(), ROOMS);
}

#[test]
fn every_file_is_short_safe_and_described() {
    let faults = faults(&sources("src"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_programs_of_bench_have_no_cycle() {
    let sources = sources("bench/src");
    let mut imports = Imports::default();
    imports.read("mintage_bench", "bench/src/lib.rs", &sources);
    let is_program = |file: &&String| {
        let program = file.strip_prefix("bench/src/bin/");
        file.ends_with("/main.rs") || program.is_some_and(|program| !program.contains('/'))
    };
    for program in sources.keys().filter(is_program) {
        imports.read(program, program, &sources);
    }
    assert_eq!(imports.files().len(), sources.len(), "a file belongs to no program");
    let cycles = cycles_of_files(&imports.edges());
    assert!(cycles.is_empty(), "{cycles:#?}");
}

fn planted(files: &[(&str, &str)]) -> Edges {
    let sources = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    house(&sources).edges()
}

fn edges(pairs: &[(&str, &str)]) -> Edges {
    pairs.iter().map(|(from, to)| (format!("src/{from}"), format!("src/{to}"))).collect()
}

#[test]
fn an_import_leads_to_the_file_that_defines_the_item() {
    let found = planted(&[
        ("src/lib.rs", "pub mod auth; pub mod db; pub mod http;"),
        (
            "src/auth.rs",
            "use crate::{db::{self, Pool as Connections}, http};
             use serde_json::json;
             struct Login(http::Answer);
             fn f() { format!(\"{}\", db::pool::SIZE); vec![crate::db::migrate()]; json!(1) }",
        ),
        ("src/db/mod.rs", "mod migrate; pub mod pool; pub use self::{migrate::*, pool::Pool};"),
        ("src/db/migrate.rs", "pub fn migrate() { super::pool::Pool::open() }"),
        ("src/db/pool.rs", "pub struct Pool; pub const SIZE: u8 = 1;"),
        ("src/http.rs", "#[doc(alias(crate::clock))] pub struct Answer; pub(in crate::db) fn f() {}"),
    ]);
    assert_eq!(
        found,
        edges(&[
            ("auth.rs", "db/migrate.rs"),
            ("auth.rs", "db/mod.rs"),
            ("auth.rs", "db/pool.rs"),
            ("auth.rs", "http.rs"),
            ("db/migrate.rs", "db/pool.rs"),
            ("db/mod.rs", "db/migrate.rs"),
            ("db/mod.rs", "db/pool.rs"),
            ("http.rs", "lib.rs"),
        ])
    );
}

#[test]
fn a_planted_cycle_is_found() {
    let siblings = planted(&[
        ("src/lib.rs", "mod coins;"),
        ("src/coins/mod.rs", "mod list; mod view; pub use self::view::View;"),
        ("src/coins/list.rs", "use super::View; pub struct List;"),
        ("src/coins/view.rs", "pub struct View(super::list::List);"),
    ]);
    let files = ["src/coins/list.rs", "src/coins/view.rs"].map(str::to_owned);
    assert_eq!(cycles_of_files(&siblings), BTreeSet::from([BTreeSet::from(files)]));
    // The folder's own `mod.rs` is part of it, whichever way the child is bound to it.
    for child in ["pub fn f() {}", "use super::Sync;"] {
        let through_a_folder = planted(&[
            ("src/lib.rs", "mod sync; mod social;"),
            ("src/sync/mod.rs", "mod slot; pub use slot::*; pub struct Sync(crate::social::Collector);"),
            ("src/sync/slot.rs", &format!("{child} pub const TICK: u8 = 1;")),
            ("src/social.rs", "pub struct Collector; const T: u8 = crate::sync::Sync::T;"),
        ]);
        assert_eq!(cycles_of_files(&through_a_folder).len(), 1, "{child}");
    }
}

#[test]
fn a_folder_and_its_children_may_use_each_other() {
    let found = planted(&[
        ("src/lib.rs", "mod auth;"),
        ("src/auth/mod.rs", "mod login; pub const MAX: u8 = login::LEAST + 1;"),
        ("src/auth/login.rs", "pub const LEAST: u8 = 1; const MOST: u8 = super::MAX;"),
    ]);
    assert_eq!(found.len(), 2);
    assert!(cycles_of_files(&found).is_empty());
}

#[test]
fn a_planted_import_of_a_room_above_is_found() {
    let found = planted(&[
        ("src/lib.rs", "mod coins; mod market;"),
        ("src/coins.rs", "use crate::market::Coin; pub fn evaluate() {}"),
        ("src/market.rs", "pub struct Coin; #[cfg(test)] mod tests { use crate::coins::evaluate; }"),
    ]);
    assert_eq!(
        imports_that_point_up(&found),
        ["src/market.rs imports src/coins.rs, which is in a room above"]
    );
}

#[test]
fn planted_faults_of_a_file_are_found() {
    let long = format!("//! Lists coins.\n{}", "\n".repeat(MAX_LINES));
    for (text, fault) in [
        ("//! Lists coins.\nfn f() {}", None),
        ("// Lists coins.\n", Some("does not open")),
        ("//! Lists coins.\n// unsafe\nconst A: &str = \"unsafe\";", None),
        ("//! Lists coins.\nfn f() { unsafe { g() } }", Some("holds `unsafe`")),
        ("//! Lists coins.\nm!(a { unsafe impl Send for A {} });", Some("holds `unsafe`")),
        (&long, Some("has 501 lines")),
    ] {
        let found = faults(&Sources::from([("src/coins/list.rs".to_owned(), text.to_owned())]));
        assert_eq!(found.len(), usize::from(fault.is_some()), "{text}: {found:?}");
        assert!(fault.is_none_or(|fault| found[0].contains(fault)), "{found:?}");
    }
}

/// The image is built from what the Dockerfile copies, which no other test builds.
#[test]
fn every_file_that_is_part_of_the_program_is_in_the_image_as_well() {
    let (dockerfile, ignored) = (include_str!("../../Dockerfile"), include_str!("../../.dockerignore"));
    let copied: Vec<_> = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).collect();
    let mut found = 0;
    for (file, text) in sources("src") {
        // Tests are the last part of a file.
        let code = text.split("#[cfg(test)]").next().unwrap();
        for path in code.split("include_").skip(1).filter_map(|rest| rest.split('"').nth(1)) {
            let outside = path.trim_start_matches("../");
            let ups = (path.len() - outside.len()) / 3;
            // Deep enough to leave `src`, which has as many directories above it as there are slashes.
            if ups < file.matches('/').count() {
                continue;
            }
            found += 1;
            let holds = |copied: &str| {
                outside.strip_prefix(copied).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let is_copied = copied.iter().any(|line| line.split(' ').any(holds));
            assert!(is_copied, "{file} includes {path}: COPY {outside} in the Dockerfile");
            assert!(
                ignored.lines().filter_map(|line| line.strip_prefix('!')).any(holds),
                "!{outside} is missing in .dockerignore"
            );
        }
    }
    assert!(found >= 2, "{found}");
}
