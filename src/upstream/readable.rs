//! Reads the lists of other services item by item, so that one invalid item does not affect the others.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The items of a JSON list that have the shape of `T`.
///
/// Items are read one at a time, so that a long list of invalid items takes no memory. The list must be the whole
/// document or a plain field, read from borrowed text (`serde_json::from_slice`, `from_str`).
#[derive(Debug)]
pub struct Readable<T> {
    pub items: Vec<T>,
    /// The length of the list, with the items that cannot be read.
    pub total: usize,
}

impl<T> Default for Readable<T> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0 }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Readable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for ListVisitor<T> {
    type Value = Readable<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Readable<T>, A::Error> {
        let mut readable = Readable::default();
        while let Some(item) = list.next_element::<&RawValue>()? {
            readable.total += 1;
            readable.items.extend(serde_json::from_str::<T>(item.get()).ok());
        }
        Ok(readable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Item {
        id: i32,
    }

    #[test]
    fn items_of_another_shape_are_counted_and_left_out() {
        let text = r#"[{"id":1},{"id":"2"},null,[],{"id":1e999},{"id":6,"more":true}]"#;
        let list: Readable<Item> = serde_json::from_str(text).expect("a list");
        assert_eq!(list.items.iter().map(|item| item.id).collect::<Vec<_>>(), [1, 6]);
        assert_eq!(list.total, 6);
    }

    #[test]
    fn anything_but_a_list_is_an_error() {
        for text in ["{}", "null", "1", r#"[{"id":1}"#, r#"[{"id":1},"#, "[{]"] {
            assert!(serde_json::from_str::<Readable<Item>>(text).is_err(), "{text}");
        }
    }
}
