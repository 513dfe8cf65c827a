//! Bluesky by Jetstream, a public stream of all posts; no key.
//!
//! Source: github.com/bluesky-social/jetstream. Bluesky asks not to use its search for this, and offers the stream
//! instead.

use chrono::DateTime;
use serde::Deserialize;

use super::{Event, Kind, Provider, Stream};
use crate::{
    config::{SocialSettings, SocialSpec, UrlsSpec},
    social::post::{self, Post},
};

pub(super) const PROVIDER: Provider = Provider { spec: &SPEC, kind: Kind::Followed(open) };

static SPEC: SocialSpec = SocialSpec {
    name: NAME,
    is_default: false,
    urls: Some(UrlsSpec {
        setting: "BLUESKY_URL",
        default: "wss://jetstream2.us-east.bsky.network",
        schemes: &["ws", "wss"],
        max: 1,
    }),
    key: None,
    daily_budget: None,
};

const NAME: &str = "bluesky";
const COLLECTION: &str = "app.bsky.feed.post";
/// A post has 300 characters; links and other fields around the text may be longer.
const MAX_MESSAGE_SIZE: usize = 256 * 1024;

fn open(settings: &SocialSettings) -> Stream {
    let url = settings.url();
    Stream {
        name: NAME,
        url: format!("{url}/subscribe?wantedCollections={COLLECTION}&maxMessageSizeBytes={MAX_MESSAGE_SIZE}"),
        cursor_parameter: "cursor",
        max_message_size: MAX_MESSAGE_SIZE,
        decode,
    }
}

fn decode(text: &str) -> Option<Event> {
    let message: Message = serde_json::from_str(text).ok()?;
    Some(Event { micros: message.time_us, post: message.post() })
}

#[derive(Deserialize)]
struct Message {
    did: String,
    /// When Jetstream sent it, in microseconds of Unix time.
    time_us: i64,
    commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    operation: String,
    collection: String,
    rkey: String,
    record: Option<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "createdAt")]
    created_at: String,
    #[serde(default)]
    langs: Vec<String>,
    text: String,
    reply: Option<Reply>,
}

#[derive(Deserialize)]
struct Reply {
    root: Root,
}

/// The first post of a conversation.
#[derive(Deserialize)]
struct Root {
    uri: String,
}

impl Message {
    fn post(self) -> Option<Post> {
        let Commit { operation, collection, rkey, record } = self.commit?;
        if operation != "create" || collection != COLLECTION {
            return None;
        }
        let record = record?;
        let received = DateTime::from_timestamp_micros(self.time_us)?;
        // The author's clock sets `createdAt`; a time in the future is wrong.
        let at = post::time(&record.created_at).map_or(received, |at| at.min(received));
        let english = |tag: &&String| tag.split('-').next() == Some("en");
        let language = record.langs.iter().find(english).or(record.langs.first()).cloned();
        let id = format!("at://{}/{collection}/{rkey}", self.did);
        let thread = Some(record.reply.map_or_else(|| id.clone(), |reply| reply.root.uri));
        Some(Post { id, author: self.did, at, language, thread, text: record.text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../../tests/fixtures/jetstream_event.json");

    fn read(event: &str) -> Option<Post> {
        decode(event)?.post
    }

    #[test]
    fn a_message_becomes_a_post() {
        let post = read(EVENT).expect("a post");
        assert_eq!(post.id, "at://did:plc:4cxifsu2lmixrkq6svh5ejoz/app.bsky.feed.post/3m5xk00000092a");
        assert_eq!((post.text.as_str(), post.language.as_deref()), ("buying the dip #Bitcoin", Some("en")));
        assert_eq!(Some(post.at), post::time("2026-11-20T09:59:58Z"));
    }

    #[test]
    fn a_reply_belongs_to_the_conversation_of_its_root() {
        let root = read(EVENT).expect("a post");
        assert_eq!(root.thread.as_ref(), Some(&root.id));
        let replying = format!(
            r#""reply": {{"root": {{"cid": "x", "uri": "{}"}}, "parent": {{"cid": "y", "uri": "z"}}}}, "langs""#,
            root.id
        );
        let reply = EVENT.replace("3m5xk00000092a", "3m5xk00000093b").replace("\"langs\"", &replying);
        let reply = read(&reply).expect("a post");
        assert_ne!(reply.id, root.id);
        assert_eq!(reply.thread, root.thread);
    }

    #[test]
    fn a_time_in_the_future_becomes_the_time_of_arrival() {
        let ahead = read(&EVENT.replace("2026-11-20T09:59:58.000Z", "2040-01-01T00:00:00Z")).expect("a post");
        assert_eq!(Some(ahead.at), DateTime::from_timestamp_micros(1_795_168_798_000_000));
        let odd = read(&EVENT.replace("2026-11-20T09:59:58.000Z", "yesterday")).expect("a post");
        assert_eq!(odd.at, ahead.at);
    }

    #[test]
    fn other_messages_hold_no_post() {
        for other in [
            EVENT.replace("\"create\"", "\"update\""),
            EVENT.replace("\"create\"", "\"delete\""),
            EVENT.replace("\"collection\": \"app.bsky.feed.post\"", "\"collection\": \"app.bsky.feed.like\""),
            r#"{"did":"did:plc:x","time_us":1,"kind":"identity","identity":{}}"#.into(),
            r#"{"did":"did:plc:x","time_us":9223372036854775807,"commit":{"operation":"create","collection":"app.bsky.feed.post","rkey":"x","record":{"createdAt":"x","text":"y"}}}"#.into(),
            "{}".into(),
            "[]".into(),
            String::new(),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
