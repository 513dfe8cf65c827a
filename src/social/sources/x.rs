//! X, `GET /2/tweets/search/recent` and `/2/tweets/counts/recent`, with a bearer token.
//!
//! Source: docs.x.com. X bills each post that it returns, and each count like a post. So both are reserved from
//! `X_DAILY_POST_BUDGET` before the request, `since_id` limits it to new posts, and the rate of posting comes from the
//! counts. A request that X refuses with a 4xx returns nothing and is not billed; after any other failure the cost is
//! unknown, so it stays reserved.
//!
//! Older answers call a post a tweet; both names are read.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::RequestBuilder;
use serde::Deserialize;

use super::{Kind, Provider, Search, Source};
use crate::{
    config::{BudgetSpec, Secret, SocialSettings, SocialSpec, UrlsSpec},
    sentiment::Count,
    social::{
        post::{Page, Post, time},
        queries::{CONTEXT, Query},
    },
    upstream::{Advice, Answer, Budget, Failure, Readable, Upstream},
};

pub(super) const PROVIDER: Provider = Provider { spec: &SPEC, kind: Kind::Queried(open) };

static SPEC: SocialSpec = SocialSpec {
    name: NAME,
    is_default: false,
    urls: Some(UrlsSpec {
        setting: "X_URL",
        default: "https://api.x.com",
        schemes: &["http", "https"],
        max: 1,
    }),
    key: Some("X_BEARER_TOKEN"),
    daily_budget: Some(BudgetSpec { setting: "X_DAILY_POST_BUDGET", default: 1000, range: 11..=1_000_000 }),
};

const NAME: &str = "x";
/// Limits of X for `max_results`.
const PAGE_SIZE: std::ops::RangeInclusive<u32> = 10..=100;
/// The cost of a count, in posts.
const COUNT_COST: u32 = 1;
const MAX_QUERY_LEN: usize = 512;
/// The words of [`CONTEXT`], the operators and the brackets.
const OTHER_PARTS_LEN: usize = 110;
/// The search goes back 7 days, and X refuses a `since_id` older than that.
const MAX_CURSOR_AGE: TimeDelta = TimeDelta::hours(7 * 24 - 1);
const COUNTED: TimeDelta = TimeDelta::hours(24);

struct X {
    url: String,
    token: Secret,
    daily_posts: u32,
}

/// None without a token, which the settings require.
fn open(settings: &SocialSettings) -> Vec<Box<dyn Source>> {
    let token_and_budget = settings.key.clone().zip(settings.daily_budget);
    let x =
        token_and_budget.map(|(token, daily_posts)| X { url: settings.url().to_owned(), token, daily_posts });
    x.into_iter().map(|x| Box::new(x) as Box<dyn Source>).collect()
}

#[async_trait(?Send)]
impl Source for X {
    fn name(&self) -> &str {
        NAME
    }

    fn provider(&self) -> &'static str {
        NAME
    }

    fn terms(&self, query: &Query) -> Vec<String> {
        let (clear, ambiguous) = fitting_terms(query);
        clear.into_iter().chain(ambiguous).collect()
    }

    fn budget(&self) -> Option<Budget> {
        Some(Budget { per_day: self.daily_posts, min_cost: PAGE_SIZE.start() + COUNT_COST })
    }

    fn max_cost(&self, coins: usize) -> u32 {
        page_size(self.daily_posts, coins) + COUNT_COST
    }

    async fn page(&self, upstream: &Upstream, search: Search<'_>, billed: &mut u32) -> Result<Page, Failure> {
        let query = search_query(search.query).unwrap_or_default();
        let since = (search.now - COUNTED).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let counts = [("query", query.as_str()), ("granularity", "hour"), ("start_time", since.as_str())];
        let counts = self.get(upstream, "/2/tweets/counts/recent").query(&counts);
        let answer = call(upstream, counts, COUNT_COST, search.now, billed).await?;
        let counted = decode_counts(answer.json(search.now)?)?;

        let size = search.max_cost - COUNT_COST;
        let size_text = size.to_string();
        let mut parameters = vec![
            ("query", query.as_str()),
            ("max_results", size_text.as_str()),
            ("sort_order", "recency"),
            ("tweet.fields", "created_at,lang,author_id,conversation_id,note_tweet"),
        ];
        let oldest = search.now - MAX_CURSOR_AGE;
        let fresh = search.cursor.filter(|cursor| snowflake_time(cursor).is_some_and(|at| at > oldest));
        parameters.extend(fresh.map(|cursor| ("since_id", cursor)));
        let request = self.get(upstream, "/2/tweets/search/recent").query(&parameters);
        let answer = call(upstream, request, size, search.now, billed).await?;
        let (page, returned) = decode_search(answer.json(search.now)?)?;
        *billed -= size.saturating_sub(returned);
        Ok(Page { counted, ..page })
    }
}

impl X {
    fn get(&self, upstream: &Upstream, path: &str) -> RequestBuilder {
        upstream.get(&format!("{}{path}", self.url)).bearer_auth(self.token.expose())
    }
}

/// Sends once, since a retry could be billed a second time.
async fn call(
    upstream: &Upstream,
    request: RequestBuilder,
    cost: u32,
    now: DateTime<Utc>,
    billed: &mut u32,
) -> Result<Answer, Failure> {
    *billed += cost;
    let answer = upstream.send(request).await?;
    if answer.status.is_client_error() {
        *billed -= cost;
    }
    if answer.status.is_success() { Ok(answer) } else { Err(refusal(&answer, now)) }
}

/// Posts per request, so that the budget lasts for each coin every hour.
fn page_size(budget: u32, coins: usize) -> u32 {
    let visits = u32::try_from(coins.max(1) * 24).unwrap_or(u32::MAX);
    (budget / visits).clamp(*PAGE_SIZE.start(), *PAGE_SIZE.end())
}

/// Makes the search for a coin: English posts without retweets.
fn search_query(query: &Query) -> Option<String> {
    let (clear, ambiguous) = fitting_terms(query);
    let any = |terms: &[String]| terms.iter().map(|term| quoted(term)).collect::<Vec<_>>().join(" OR ");
    let in_context = (!ambiguous.is_empty()).then(|| {
        let names = if let [one] = &ambiguous[..] { quoted(one) } else { format!("({})", any(&ambiguous)) };
        format!("({names} ({}))", CONTEXT.join(" OR "))
    });
    let parts: Vec<String> = (!clear.is_empty()).then(|| any(&clear)).into_iter().chain(in_context).collect();
    (!parts.is_empty()).then(|| format!("({}) lang:en -is:retweet", parts.join(" OR ")))
}

/// Returns the terms of a search, those that mean the coin and ambiguous ones. Terms that do not fit are left out.
fn fitting_terms(query: &Query) -> (Vec<String>, Vec<String>) {
    let mut len = OTHER_PARTS_LEN;
    let mut fits = |term: &String| {
        let longer = len + quoted(term).len() + " OR ".len();
        let fits = longer <= MAX_QUERY_LEN;
        if fits {
            len = longer;
        }
        fits
    };
    let clear = query.clear_terms().into_iter().filter(&mut fits).collect();
    (clear, query.ambiguous.iter().filter(|term| fits(term)).cloned().collect())
}

fn quoted(term: &str) -> String {
    if term.contains(' ') { format!("\"{term}\"") } else { term.to_owned() }
}

/// Reads the time of an id: its upper bits are milliseconds since 2010-11-04.
fn snowflake_time(id: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis((id.parse::<i64>().ok()? >> 22) + 1_288_834_974_657)
}

#[derive(Deserialize)]
struct SearchAnswer {
    #[serde(default)]
    data: Readable<Tweet>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    newest_id: Option<String>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Tweet {
    id: String,
    text: String,
    created_at: Option<String>,
    lang: Option<String>,
    author_id: Option<String>,
    conversation_id: Option<String>,
    #[serde(alias = "note_tweet", alias = "note_post")]
    note: Option<Note>,
}

/// The full text of a long post.
#[derive(Deserialize)]
struct Note {
    text: String,
}

/// Returns also the number of posts in the answer, each of which is billed.
fn decode_search(body: &[u8]) -> Result<(Page, u32), Failure> {
    let body = String::from_utf8_lossy(body);
    let answer: SearchAnswer = serde_json::from_str(&body).map_err(Failure::unexpected_body)?;
    // Without results there is no `data`, but there is `meta`; errors alone have neither.
    let meta = answer.meta.ok_or_else(|| Failure::unexpected_body("there is no meta"))?;
    let returned = u32::try_from(answer.data.total).unwrap_or(u32::MAX);
    let tweets = answer.data.items;
    if tweets.is_empty() && returned > 0 {
        return Err(Failure::unexpected_body("no post can be read"));
    }
    let posts: Vec<Post> = tweets.into_iter().filter_map(post).collect();
    let complete_since = meta.next_token.and_then(|_| posts.iter().map(|post| post.at).min());
    Ok((Page { posts, cursor: meta.newest_id, complete_since, ..Page::default() }, returned))
}

fn post(tweet: Tweet) -> Option<Post> {
    let at = tweet.created_at.as_deref().and_then(time).or_else(|| snowflake_time(&tweet.id))?;
    let text = tweet.note.map_or(tweet.text, |note| note.text);
    let author = tweet.author_id.unwrap_or_else(|| tweet.id.clone());
    Some(Post { id: tweet.id, author, at, language: tweet.lang, thread: tweet.conversation_id, text })
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    data: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    #[serde(alias = "post_count")]
    tweet_count: u32,
}

fn decode_counts(body: &[u8]) -> Result<Option<Count>, Failure> {
    let counts: Counts = serde_json::from_slice(body).map_err(Failure::unexpected_body)?;
    let posts = counts.data.iter().map(|bucket| f64::from(bucket.tweet_count)).sum();
    let length = counts.data.iter().map(|bucket| bucket.end - bucket.start).sum::<TimeDelta>();
    let hours = length.as_seconds_f64() / 3600.0;
    Ok((hours > 0.0).then_some(Count { posts, hours }))
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    r#type: String,
}

/// Reads the reason of X. Only its own body can mean that an operator has to act.
fn refusal(answer: &Answer, now: DateTime<Utc>) -> Failure {
    let plain = answer.refusal(now);
    let Ok(Refusal { title, detail, r#type }) = serde_json::from_slice(&answer.body) else {
        return plain;
    };
    let capped =
        r#type.ends_with("/usage-capped") || title == "UsageCapExceeded" || title == "CreditsDepleted";
    let advice = match answer.status.as_u16() {
        _ if capped => Advice::Stop,
        401..=403 if !title.is_empty() => Advice::Stop,
        _ => plain.advice,
    };
    let isolated = plain.isolated && advice == plain.advice;
    Failure { isolated, ..Failure::new(advice, format!("{}: {title}: {detail}", plain.message)) }
}

#[cfg(test)]
mod tests {
    use reqwest::{StatusCode, header::HeaderMap};

    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("tests/fixtures/x_{name}.json")).expect("fixture")
    }

    #[test]
    fn a_search_becomes_posts_in_both_spellings() {
        let (page, returned) = decode_search(&fixture("search_recent")).expect("posts");
        assert_eq!((page.posts.len(), returned), (12, 12));
        assert_eq!(page.cursor.as_deref(), Some("2123717978453028361"));
        assert_eq!(page.complete_since, time("2026-11-20T09:57:49Z"));
        let first = &page.posts[0];
        assert_eq!(first.text, "Bitcoin is looking GREAT today!!! 🚀🚀");
        assert_eq!(
            (first.at, first.language.as_deref()),
            (time("2026-11-20T09:59:57Z").expect("time"), Some("en"))
        );
        let (renamed, _) = decode_search(&fixture("search_recent_post_fields")).expect("posts");
        assert_eq!(renamed.posts[..], page.posts[..2]);
        assert_eq!(decode_search(&fixture("search_recent_page2")).expect("posts").0.complete_since, None);
    }

    #[test]
    fn no_results_are_a_success_and_malformed_bodies_a_failure() {
        assert_eq!(decode_search(&fixture("search_recent_empty")), Ok((Page::default(), 0)));
        for bad in [
            "",
            "[]",
            "{}",
            "<html>",
            r#"{"errors":[{"title":"x"}]}"#,
            r#"{"data":[1],"meta":{}}"#,
            r#"{"data":5,"meta":{}}"#,
        ] {
            assert!(decode_search(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_added_in_both_spellings() {
        let wanted = Ok(Some(Count { posts: 8902.0, hours: 6.0 }));
        assert_eq!(decode_counts(&fixture("counts_recent")), wanted);
        assert_eq!(decode_counts(&fixture("counts_recent_post_fields")), wanted);
        assert_eq!(decode_counts(br#"{"meta":{"total_tweet_count":0}}"#), Ok(None));
        assert!(decode_counts(b"{\"data\":[{}]}").is_err());
    }

    #[test]
    fn each_refusal_has_its_own_advice() {
        let now = time("2026-11-20T10:00:00Z").expect("time");
        let reset = HeaderMap::from_iter([(
            "x-rate-limit-reset".parse().expect("name"),
            "1795169460".parse().expect("value"),
        )]);
        let capped = br#"{"title":"UsageCapExceeded","detail":"Usage cap exceeded: Monthly product cap","type":"https://api.twitter.com/2/problems/usage-capped"}"#;
        let old = br#"{"errors":[{"code":88,"message":"Rate limit exceeded"}]}"#;
        let after = Advice::After(std::time::Duration::from_mins(11));
        for (status, body, advice) in [
            (400, fixture("error_400"), Advice::BackOff),
            (401, fixture("error_401"), Advice::Stop),
            (402, fixture("error_402"), Advice::Stop),
            (403, fixture("error_403"), Advice::Stop),
            (403, b"<html>blocked</html>".to_vec(), Advice::BackOff),
            (429, fixture("error_429"), after),
            (429, old.to_vec(), after),
            (429, capped.to_vec(), Advice::Stop),
            (503, Vec::new(), Advice::BackOff),
        ] {
            let headers = if status == 429 { reset.clone() } else { HeaderMap::new() };
            let answer = Answer { status: StatusCode::from_u16(status).expect("status"), headers, body };
            assert_eq!(refusal(&answer, now).advice, advice, "{status}");
        }
    }

    #[test]
    fn a_query_fits_and_keeps_ambiguous_names_in_context() {
        let query = Query {
            hashtags: vec!["avax".into()],
            names: vec!["$avax".into(), "ava labs".into()],
            ambiguous: vec!["avalanche".into()],
            ..Query::default()
        };
        let wanted = "($avax OR \"ava labs\" OR #avax OR (avalanche (crypto OR coin OR token OR blockchain OR defi OR altcoin))) lang:en -is:retweet";
        assert_eq!(search_query(&query).as_deref(), Some(wanted));
        let several = Query { ambiguous: vec!["#widget".into(), "my widget".into()], ..Query::default() };
        let wanted = "(((#widget OR \"my widget\") (crypto OR coin OR token OR blockchain OR defi OR altcoin))) lang:en -is:retweet";
        assert_eq!(search_query(&several).as_deref(), Some(wanted));
        let endless =
            Query { names: (0..500).map(|number| format!("name{number}")).collect(), ..Query::default() };
        assert!(search_query(&endless).is_some_and(|query| query.len() <= MAX_QUERY_LEN));
        assert_eq!(search_query(&Query::default()), None);
    }

    #[test]
    fn the_page_size_lets_the_budget_last_for_every_coin_and_hour() {
        assert_eq!([page_size(1000, 20), page_size(20_000, 20), page_size(1_000_000, 20)], [10, 41, 100]);
        assert_eq!(page_size(100, 0), 10);
    }

    #[test]
    fn the_time_of_an_id_is_read() {
        let at = snowflake_time("2123717978453028361").expect("time");
        assert_eq!(Some(at), time("2026-11-20T09:59:57.492Z"));
        assert_eq!(snowflake_time("x"), None);
    }
}
