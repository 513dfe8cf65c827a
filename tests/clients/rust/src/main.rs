//! Uses the API as a Rust program does, with a client that progenitor generated. Argument: base.

use std::{env, num::NonZeroU32};

use client::{ByteStream, Client, Error, types};
use futures::TryStreamExt;
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, HeaderMap},
};

#[expect(dead_code, unused_imports, reason = "generated for all operations")]
mod client {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

const EMAIL: &str = "barbara@example.com";
const PASSWORD: &str = "correct horse battery staple";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let base = env::args().nth(1).expect("the address of the server");
    let anonymous = Client::new(&base);
    register(&base).await;
    let refused = anonymous.login().body(credentials("not the password")).send().await.unwrap_err();
    assert_eq!(*problem(refused).await.code, "invalid-credentials");
    let pair = anonymous.login().body(credentials(PASSWORD)).send().await.unwrap().into_inner();

    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {}", pair.access_token).parse().unwrap());
    let http = reqwest::Client::builder().default_headers(headers).build().unwrap();
    let client = Client::new_with_client(&base, http);
    assert_eq!(client.read_me().send().await.unwrap().into_inner().email, EMAIL);
    read_coins(&client).await;
    set_alert(&client).await;
    let refused = client.list_users().send().await.unwrap_err();
    assert_eq!(*problem(refused).await.code, "forbidden");
    println!("used");
}

/// The account, which [`client`] cannot create.
async fn register(base: &str) {
    let body: types::Register =
        types::Register::builder().email(EMAIL).password(PASSWORD).try_into().unwrap();
    let request = reqwest::Client::new().post(format!("{base}/api/v1/auth/register")).json(&body);
    let created = request.send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let user: types::User = created.json().await.unwrap();
    assert_eq!((user.email.as_str(), user.role), (EMAIL, types::UserRole::User));
}

fn credentials(password: &str) -> types::builder::Login {
    types::Login::builder().email(EMAIL.parse::<types::LoginEmail>().unwrap()).password(password)
}

async fn read_coins(client: &Client) {
    let limit = NonZeroU32::new(2).unwrap();
    let answer = client.list_coins().limit(limit).send().await.unwrap();
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let first = &answer.data[0];
    assert_eq!((first.symbol.as_str(), answer.data.len()), ("BTC", 2));
    assert!(first.price.is_some_and(|price| price > 0.0) && first.social.is_none());
    let unchanged = client.list_coins().limit(limit).if_none_match(etag).send().await.unwrap_err();
    assert_eq!(unchanged.status(), Some(StatusCode::NOT_MODIFIED));

    let sparse = client.list_sparse_coins().fields("price").limit(limit).send().await.unwrap();
    assert_eq!((sparse.data[0].price, sparse.data[0].name.as_ref()), (first.price, None));
    let coin = client.read_coin().coin("bitcoin").send().await.unwrap();
    assert_eq!(coin.data.id, first.id);
    let table = client.read_coins_csv().limit(limit).send().await.unwrap();
    assert!(text(table.into_inner()).await.starts_with("id,symbol,"));
}

async fn set_alert(client: &Client) {
    let create = |threshold: f64| {
        let above = types::CreateAlertDirection::Above;
        let price = types::CreateAlertMetric::Price;
        let coin = Some("btc".parse::<types::CreateAlertCoin>().unwrap());
        client
            .create_alert()
            .body_map(move |body| body.coin(coin).metric(price).direction(above).threshold(threshold))
    };
    let refused = problem(create(-1.0).send().await.unwrap_err()).await;
    assert_eq!(
        (refused.code.as_str(), refused.errors[0].pointer.as_str()),
        ("validation-failed", "/threshold")
    );
    let created = create(1e6).send().await.unwrap().into_inner();
    assert_eq!(client.read_alert().id(created.id).send().await.unwrap().threshold, 1e6);
}

async fn problem(error: Error<ByteStream>) -> types::Problem {
    let Error::ErrorResponse(response) = error else { panic!("{error}") };
    serde_json::from_str(&text(response.into_inner()).await).unwrap()
}

async fn text(body: ByteStream) -> String {
    let parts: Vec<_> = body.into_inner().try_collect().await.unwrap();
    String::from_utf8(parts.concat()).unwrap()
}
