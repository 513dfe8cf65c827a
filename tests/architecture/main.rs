//! Imports point down only; see the map in `src/lib.rs`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// From the top; a room may use those after it.
const ROOMS: [&str; 21] = [
    "cli",
    "app",
    "auth",
    "coins",
    "market",
    "social",
    "upstream",
    "sentiment",
    "users",
    "mail",
    "jobs",
    "tokens",
    "passwords",
    "limits",
    "http",
    "embedded",
    "db",
    "tasks",
    "telemetry",
    "config",
    "clock",
];

const LONGEST_FILE: usize = 500;

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn room_of(path: &Path) -> String {
    let part = path.strip_prefix("src").unwrap().components().next().unwrap();
    Path::new(part.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The rooms named after `crate::`, alone or in a braced list.
fn used_rooms(text: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut used = Vec::new();
    for (position, _) in text.match_indices("crate::") {
        let rest = &text[position + "crate::".len()..];
        if !rest.starts_with('{') {
            used.push(rest.split(|c| !is_name(c)).next().unwrap());
            continue;
        }
        let mut depth = 0;
        for (start, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            let begins = depth == 1 && is_name(c) && !rest[..start].ends_with(is_name);
            if begins && !rest[..start].ends_with("::") {
                used.push(rest[start..].split(|c| !is_name(c)).next().unwrap());
            }
        }
    }
    used
}

#[test]
fn imports_point_down_only() {
    let level = |room: &str| ROOMS.iter().position(|known| *known == room);
    for path in sources(Path::new("src")) {
        let room = room_of(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let own = level(&room).unwrap_or_else(|| panic!("{room} is not on the map"));
        for used in used_rooms(&fs::read_to_string(&path).unwrap()) {
            let other =
                level(used).unwrap_or_else(|| panic!("{} uses {used}, which is no room", path.display()));
            assert!(own <= other, "{} uses {used}, which is above {room}", path.display());
        }
    }
}

#[test]
fn the_reader_of_imports_finds_them_all() {
    let text =
        "use crate::{\n    http::{Json, kind},\n    db::Db, users,\n};\nuse crate::app::x; crate::auth::f()";
    assert_eq!(used_rooms(text), ["http", "db", "users", "app", "auth"]);
}

#[test]
fn files_stay_short() {
    for path in sources(Path::new("src")).iter().filter(|path| !path.ends_with("schema.rs")) {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
    }
}
