//! One page of a LIST, item by item: no page is ever held as a tree.
//!
//! Pure. Called by `mirror::list`.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::target::kube::wire::Refused;

/// What a page says of itself.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Page {
    /// Token of the next page; empty if this is the last.
    #[serde(rename = "continue")]
    pub(super) next: String,
    /// From where to watch on.
    pub(super) resource_version: String,
}

/// Reads a page; `each` is given every item.
pub(super) fn read(bytes: &[u8], each: &mut dyn FnMut(Value)) -> Result<Page, Refused> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Top(each).deserialize(&mut reader).and_then(|page| reader.end().map(|()| page));
    match read {
        Ok(Some(page)) => Ok(page),
        // Something in between may answer in the server's place, and is not taken for an empty list.
        Ok(None) => Err(Refused::unsent("the answer is not a list of objects".to_owned())),
        Err(error) => Err(Refused::unsent(format!("the answer is not JSON: {error}"))),
    }
}

struct Top<'a>(&'a mut dyn FnMut(Value));

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Option<Page>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Option<Page>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut page, mut is_list) = (Page::default(), false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" => page = map.next_value()?,
                "items" => {
                    map.next_value_seed(Items(&mut *self.0))?;
                    is_list = true;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(is_list.then_some(page))
    }
}

struct Items<'a>(&'a mut dyn FnMut(Value));

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    // An empty list may be null.
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Value>()? {
            (self.0)(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Result<(Vec<Value>, Page), String> {
        let mut all = Vec::new();
        let page = read(text.as_bytes(), &mut |item| all.push(item)).map_err(|refused| refused.message)?;
        Ok((all, page))
    }

    #[test]
    fn a_page_gives_its_items_and_where_to_go_on() {
        let text = r#"{"kind":"L","metadata":{"resourceVersion":"7","continue":"x","remainingItemCount":3},"items":[{"a":1},{"b":2}]}"#;
        let (all, page) = items(text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((page.next.as_str(), page.resource_version.as_str()), ("x", "7"));
    }

    #[test]
    fn an_empty_list_may_be_null_and_anything_else_is_no_list() {
        assert_eq!(items(r#"{"metadata":{"resourceVersion":"7"},"items":null}"#).unwrap().0, Vec::<Value>::new());
        assert!(items(r#"{"status":"fine"}"#).unwrap_err().contains("not a list"));
        assert!(items("<html>").unwrap_err().contains("not JSON"));
        assert!(items(r#"{"items":{"a":1}}"#).unwrap_err().contains("not JSON"));
        assert!(items(r#"{"items":[{}]"#).unwrap_err().contains("not JSON"));
    }
}
