//! Mastodon, `GET /api/v1/timelines/tag/{hashtag}`: public posts with a hashtag, without a key.
//!
//! Source: docs.joinmastodon.org/methods/timelines. An instance knows the posts that reached it, so several are
//! queried; a post has the same URI on all of them. Each allows 300 requests in five minutes and reports in
//! `X-RateLimit-*` how many are left. Posts are HTML; those of accounts that are marked as bots are left out.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::{Kind, Provider, Search, Source};
use crate::{
    config::{SocialSettings, SocialSpec, UrlsSpec},
    social::{
        html,
        post::{MAX_POST_AGE, Page, Post, time},
        queries::Query,
    },
    upstream::{Answer, Failure, Readable, Upstream},
};

pub(super) const PROVIDER: Provider = Provider { spec: &SPEC, kind: Kind::Queried(open) };

static SPEC: SocialSpec = SocialSpec {
    name: NAME,
    // It needs neither a key nor a permanent connection.
    is_default: true,
    urls: Some(UrlsSpec {
        setting: "MASTODON_URLS",
        default: "https://mastodon.social,https://mstdn.social",
        schemes: &["http", "https"],
        max: 10,
    }),
    key: None,
    daily_budget: None,
};

const NAME: &str = "mastodon";
/// Posts per request; the API allows no more.
const LIMIT: usize = 40;
/// Requests per coin and slot.
const MAX_PAGES: usize = 3;
/// Hashtags of one request.
const MAX_HASHTAGS: usize = 4;
/// With fewer requests left the instance is not queried again in this slot.
const RESERVE: u32 = 20;

struct Instance {
    url: String,
    /// `mastodon:` and the host.
    name: String,
}

fn open(settings: &SocialSettings) -> Vec<Box<dyn Source>> {
    let instance = |url: &String| -> Box<dyn Source> {
        let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
        Box::new(Instance { url: url.clone(), name: format!("{NAME}:{host}") })
    };
    settings.urls.iter().map(instance).collect()
}

#[async_trait(?Send)]
impl Source for Instance {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> &'static str {
        NAME
    }

    fn terms(&self, query: &Query) -> Vec<String> {
        query.tags().iter().take(MAX_HASHTAGS).map(|tag| format!("#{tag}")).collect()
    }

    async fn page(&self, upstream: &Upstream, search: Search<'_>, _: &mut u32) -> Result<Page, Failure> {
        let mut page = Page::default();
        let mut before: Option<String> = None;
        for number in 1..=MAX_PAGES {
            let answer =
                upstream.retry(async |_| self.request(upstream, search, before.as_deref()).await).await?;
            page.enough = is_exhausted(&answer.headers);
            page.requests += 1;
            let timeline = decode(&self.name, &answer.body)?;
            if number == 1 {
                page.cursor = timeline.newest;
            }
            page.posts.extend(timeline.posts);
            before = timeline.oldest;
            let reached = timeline.oldest_at.is_none_or(|oldest| search.now - oldest > MAX_POST_AGE);
            if timeline.count < LIMIT || reached {
                break;
            }
            if number == MAX_PAGES || page.enough {
                page.complete_since = timeline.oldest_at;
                break;
            }
        }
        Ok(page)
    }
}

impl Instance {
    /// Requests the posts between the cursor and `before`.
    async fn request(
        &self,
        upstream: &Upstream,
        search: Search<'_>,
        before: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut hashtags = search.query.tags().into_iter().take(MAX_HASHTAGS);
        let hashtag = hashtags.next().unwrap_or_default();
        let hashtag = percent_encoding::utf8_percent_encode(hashtag, percent_encoding::NON_ALPHANUMERIC);
        let mut request =
            upstream.get(&format!("{}/api/v1/timelines/tag/{hashtag}", self.url)).query(&[("limit", LIMIT)]);
        for other in hashtags {
            request = request.query(&[("any[]", other)]);
        }
        for (name, id) in [("since_id", search.cursor), ("max_id", before)] {
            if let Some(id) = id {
                request = request.query(&[(name, id)]);
            }
        }
        let answer = upstream.send(request).await?;
        answer.json(search.now)?;
        Ok(answer)
    }
}

fn is_exhausted(headers: &HeaderMap) -> bool {
    let remaining = headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok());
    remaining.and_then(|text| text.parse::<u32>().ok()).is_some_and(|left| left < RESERVE)
}

#[derive(Deserialize)]
struct Status {
    id: String,
    uri: String,
    in_reply_to_id: Option<String>,
    created_at: String,
    language: Option<String>,
    content: String,
    reblog: Option<serde::de::IgnoredAny>,
    account: Account,
}

#[derive(Deserialize)]
struct Account {
    url: String,
    #[serde(default)]
    bot: bool,
}

#[derive(Debug, PartialEq)]
struct Timeline {
    posts: Vec<Post>,
    count: usize,
    newest: Option<String>,
    oldest: Option<String>,
    oldest_at: Option<DateTime<Utc>>,
}

fn decode(instance: &str, body: &[u8]) -> Result<Timeline, Failure> {
    let body = String::from_utf8_lossy(body);
    let Readable { items: statuses, total: count }: Readable<Status> =
        serde_json::from_str(&body).map_err(Failure::unexpected_body)?;
    if statuses.is_empty() && count > 0 {
        return Err(Failure::unexpected_body("no post can be read"));
    }
    let parents = statuses
        .iter()
        .filter_map(|status| Some((status.id.clone(), status.in_reply_to_id.clone()?)))
        .collect();
    Ok(Timeline {
        count,
        newest: statuses.first().map(|status| status.id.clone()),
        oldest: statuses.last().map(|status| status.id.clone()),
        oldest_at: statuses.iter().filter_map(|status| time(&status.created_at)).min(),
        posts: statuses.into_iter().filter_map(|status| post(instance, &parents, status)).collect(),
    })
}

fn post(instance: &str, parents: &HashMap<String, String>, status: Status) -> Option<Post> {
    if status.account.bot || status.reblog.is_some() {
        return None;
    }
    Some(Post {
        thread: Some(format!("{instance}/{}", root(parents, &status.id))),
        id: status.uri,
        author: status.account.url,
        at: time(&status.created_at)?,
        language: status.language,
        text: html::to_text(&status.content),
    })
}

/// Follows replies from a post to the oldest post of its conversation that is named. Ids are those of the instance.
fn root<'a>(parents: &'a HashMap<String, String>, id: &'a str) -> &'a str {
    // The bound ends a circle, which only a broken instance has.
    let chain = std::iter::successors(Some(id), |id| parents.get(*id).map(String::as_str));
    chain.take(parents.len() + 1).last().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_timeline_becomes_posts_without_bots() {
        let timeline =
            decode("mastodon:a", include_bytes!("../../../tests/fixtures/mastodon_tag_timeline.json"))
                .expect("posts");
        assert_eq!((timeline.count, timeline.posts.len()), (3, 2));
        assert_eq!(timeline.newest.as_deref(), Some("117648180510727075"));
        assert_eq!(timeline.oldest.as_deref(), Some("117648156262446687"));
        assert_eq!(timeline.oldest_at, time("2026-11-20T09:53:20Z"));
        let first = &timeline.posts[0];
        assert_eq!(first.text, "Really happy with #bitcoin today & staying long!");
        assert_eq!(first.id, "https://mastodon.example/users/user1/statuses/117648180510727075");
        assert_eq!(first.language.as_deref(), Some("en"));
    }

    #[test]
    fn replies_belong_to_the_oldest_post_that_is_named() {
        let reply = |id: &str, to: Value| {
            json!({"id": id, "uri": id, "in_reply_to_id": to, "created_at": "2026-11-20T09:59:30Z",
                "content": "", "account": {"url": "x"}})
        };
        let threads = |statuses: Value| -> Vec<String> {
            let timeline = decode("a", statuses.to_string().as_bytes()).expect("posts");
            timeline.posts.into_iter().filter_map(|post| post.thread).collect()
        };
        let chain = [
            reply("4", "3".into()),
            reply("3", "2".into()),
            reply("2", "unread".into()),
            reply("1", Value::Null),
        ];
        assert_eq!(threads(json!(chain)), ["a/unread", "a/unread", "a/unread", "a/1"]);
        assert_eq!(
            threads(json!([reply("1", "2".into()), reply("2", "1".into())])).len(),
            2,
            "no endless loop"
        );
    }

    #[test]
    fn an_empty_list_is_a_success_and_malformed_bodies_a_failure() {
        assert_eq!(decode("a", b"[]").map(|timeline| timeline.posts.len()), Ok(0));
        for bad in
            ["", "{}", "<html>", "[1,2]", "[{}]", r#"{"error":"This method requires an authenticated user"}"#]
        {
            assert!(decode("a", bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_used_up_rate_limit_is_recognised() {
        let headers = |left: &str| {
            HeaderMap::from_iter([(
                "x-ratelimit-remaining".parse().expect("name"),
                left.parse().expect("value"),
            )])
        };
        assert!(is_exhausted(&headers("5")));
        assert!(
            !is_exhausted(&headers("298"))
                && !is_exhausted(&headers("x"))
                && !is_exhausted(&HeaderMap::new())
        );
    }
}
