//! Finds cycles in a graph of files.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::Edges;

/// The files that can reach themselves, those of one cycle together.
pub fn cycles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    let reach = |start: &'_ str| {
        let mut seen = BTreeSet::new();
        let mut waiting = next.get(start).cloned().unwrap_or_default();
        while let Some(file) = waiting.pop() {
            if seen.insert(file.to_owned()) {
                waiting.extend(next.get(file).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = next.keys().map(|file| (*file, reach(file))).collect();
    let mut found = BTreeSet::new();
    for (file, of_file) in &reached {
        let returns = |other: &&String| reached.get(other.as_str()).is_some_and(|of| of.contains(*file));
        let cycle: BTreeSet<String> = of_file.iter().filter(returns).cloned().collect();
        if !cycle.is_empty() {
            found.insert(cycle);
        }
    }
    found.into_iter().collect()
}

/// Whether the first file is the `mod.rs` (or the root) of a folder that holds the second one.
pub fn is_above(file: &str, other: &str) -> bool {
    let folder = ["mod.rs", "lib.rs", "main.rs"].iter().find_map(|name| file.strip_suffix(name));
    file != other && folder.is_some_and(|folder| other.starts_with(folder))
}
