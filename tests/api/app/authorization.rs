//! Walks the OpenAPI document, so that no endpoint is forgotten.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, Client, Response};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

struct Operation {
    method: Method,
    template: String,
    public: bool,
    for_admins: bool,
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&mintage::app::document().to_json().unwrap()).unwrap();
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for name in METHODS {
            let Some(operation) = item.get(name) else { continue };
            let forbidden = operation["responses"]["403"]["description"].as_str().unwrap_or_default();
            all.push(Operation {
                method: name.to_uppercase().parse().unwrap(),
                template: template.clone(),
                public: is_public(operation["security"].as_array().expect("stated")),
                for_admins: forbidden.starts_with("`forbidden`"),
            });
        }
    }
    assert!(all.len() >= 18, "only {} operations", all.len());
    all
}

/// No requirement, or one of nothing: a token is taken but not needed.
fn is_public(security: &[Value]) -> bool {
    security.is_empty() || security.contains(&json!({}))
}

async fn call(client: &Client, operation: &Operation) -> Response {
    let id = Uuid::now_v7().to_string();
    let path = operation
        .template
        .replace("{id}", &id)
        .replace("{coin}", "BTC")
        .replace("{code}", "not-found")
        .replace("{file}", "flow.css");
    assert!(!path.contains('{'), "say what to put into {path}");
    let body = json!({});
    let with_body = operation.method != Method::GET;
    client
        .send(
            operation.method.clone(),
            &path,
            |request| if with_body { request.json(&body) } else { request },
        )
        .await
}

#[tokio::test]
async fn without_a_token_everything_that_is_not_public_is_a_401() {
    let app = App::start();
    for operation in operations().iter().filter(|operation| !operation.public) {
        let response = call(&app.anyone(), operation).await.assert_problem(401, "missing-token");
        assert_eq!(response.header("www-authenticate"), r#"Bearer realm="mintage""#);
    }
}

#[tokio::test]
async fn what_is_public_asks_for_no_token() {
    let app = App::start();
    for operation in operations().iter().filter(|operation| operation.public) {
        let response = call(&app.anyone(), operation).await;
        let is_public = response.status != 401 && response.status != 403;
        assert!(is_public, "{} answers {}", operation.template, response.status);
    }
}

#[tokio::test]
async fn what_is_for_admins_is_a_403_for_others() {
    let app = App::start();
    let user = app.user().await;
    let operations = operations();
    let for_admins: Vec<_> = operations.iter().filter(|operation| operation.for_admins).collect();
    let areas = ["/api/v1/users", "/api/v1/admin/"];
    assert!(for_admins.iter().all(|one| areas.iter().any(|area| one.template.starts_with(area))));
    assert!(for_admins.len() >= 4);
    for operation in for_admins {
        call(&user, operation).await.assert_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn what_belongs_to_another_is_a_404() {
    let app = App::start();
    let user = app.user().await;
    let with_id = operations()
        .into_iter()
        .filter(|operation| operation.template.contains("{id}") && !operation.for_admins);
    for operation in with_id {
        call(&user, &operation).await.assert_problem(404, "not-found");
    }
}

#[tokio::test]
async fn other_schemes_and_repeated_headers_are_no_credentials() {
    let app = App::start();
    let client = app.user().await;
    let token = client.token().to_owned();
    let get = async |build: &dyn Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder| {
        app.anyone().send(Method::GET, "/api/v1/user", build).await
    };
    get(&|request| request.header("authorization", format!("bEARER {token}"))).await.assert(200);
    get(&|request| request.header("authorization", format!("Basic {token}")))
        .await
        .assert_problem(401, "missing-token");
    get(&|request| request.header("authorization", &token)).await.assert_problem(401, "missing-token");
    get(&|request| request.bearer_auth(&token).bearer_auth(&token))
        .await
        .assert_problem(401, "invalid-token");
    get(&|request| request.header("cookie", format!("access_token={token}")))
        .await
        .assert_problem(401, "missing-token");
    let in_url = format!("/api/v1/user?access_token={token}");
    app.anyone().get(&in_url).await.assert_problem(401, "missing-token");
}
