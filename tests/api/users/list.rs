//! `/api/v1/users`, for admins.

use serde_json::Value;
use uuid::Uuid;

use crate::support::App;

const PATH: &str = "/api/v1/users";

fn emails(page: &Value) -> Vec<String> {
    let users = page["data"].as_array().unwrap().iter();
    users.map(|user| user["email"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_lead_through_all_users_once() {
    let app = App::start();
    let admin = app.admin().await;
    for n in 0..6 {
        app.register(&format!("p{n}@example.com")).await;
    }
    let (mut path, mut seen) = (format!("{PATH}?limit=3"), Vec::new());
    loop {
        let page = admin.get(&path).await.assert(200).json();
        let found = emails(&page);
        assert!(found.len() <= 3);
        seen.extend(found);
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{PATH}?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    let mut expected = vec![admin.email.clone()];
    expected.extend((0..6).map(|n| format!("p{n}@example.com")));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let app = App::start();
    let admin = app.admin().await;
    for email in ["ada@example.com", "adam@example.com", "bob@example.com", "a_b@example.com"] {
        app.register(email).await;
    }
    let ada = app.login("ada@example.com").await;
    let names = serde_json::json!({"name": "Zoë Ada", "username": "Countess"});
    ada.patch("/api/v1/user", &names).await.assert(200);

    let list = async |query: &str| emails(&admin.get(&format!("{PATH}?{query}")).await.assert(200).json());
    assert_eq!(list("q=ADA").await, ["ada@example.com", "adam@example.com"]);
    assert_eq!(list("q=zo%C3%AB").await, ["ada@example.com"]);
    assert_eq!(list("q=count").await, ["ada@example.com"]);
    assert_eq!(list("q=a_").await, ["a_b@example.com"], "no wildcard");
    assert_eq!(list("q=%25").await, Vec::<String>::new(), "no wildcard");
    assert_eq!(list("email=ADA@Example.com").await, ["ada@example.com"]);
    assert_eq!(list("role=admin").await, std::slice::from_ref(&admin.email));
    assert_eq!(list("role=user&q=b").await, ["bob@example.com"]);
}

#[tokio::test]
async fn a_user_is_read_by_id() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    let read = admin.get(&format!("{PATH}/{}", user.id)).await.assert(200);
    assert_eq!(read.json()["email"], user.email);
    assert_eq!(read.header("etag"), "\"1\"");
    admin.get(&format!("{PATH}/{}", Uuid::nil())).await.assert_problem(404, "not-found");
    admin.get(&format!("{PATH}/7")).await.assert_problem(400, "malformed-path");
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let app = App::start();
    let admin = app.admin().await;
    for query in ["limit=0", "limit=101", "q=", "email=nonsense"] {
        let name = query.split('=').next().unwrap();
        let response = admin.get(&format!("{PATH}?{query}")).await.assert_problem(422, "validation-failed");
        assert_eq!(response.json()["errors"][0]["pointer"], format!("/{name}"));
    }
    let huge = format!("cursor={}", "A".repeat(5000));
    for query in [
        "limit=-1",
        "limit=x",
        "limit=99999999999999999999",
        "cursor=!",
        "cursor=AAAA",
        &huge,
        "role=root",
        "limit=1&limit=2",
        "unknown=1",
        "q=%ff",
        "q=%00",
    ] {
        admin.get(&format!("{PATH}?{query}")).await.assert_problem(400, "malformed-query");
    }
}
