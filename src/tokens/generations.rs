//! Maps of bounded size that drop the entries that were not used lately.

use std::{collections::HashMap, hash::Hash, mem};

/// Two generations of entries. An entry that was not used while one generation filled up is dropped.
pub(super) struct Generations<K, V> {
    /// The maximum number of entries of each generation.
    max: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Copy, V: Clone> Generations<K, V> {
    pub fn new(max: usize) -> Self {
        Self { max, young: HashMap::new(), old: HashMap::new() }
    }

    pub fn get(&mut self, key: K) -> Option<V> {
        if let Some(found) = self.young.get(&key) {
            return Some(found.clone());
        }
        let found = self.old.remove(&key)?;
        self.insert(key, found.clone());
        Some(found)
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
