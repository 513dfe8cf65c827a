//! `/api/v1/admin/jobs`, and how long dead jobs are kept.

use std::time::Duration;

use chrono::TimeDelta;
use diesel::{RunQueryDsl, sql_query, sql_types};
use mintage::jobs::Job;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App, eventually,
    queue::{Queue, Work},
};

#[track_caller]
fn find(page: &Value, id: Uuid) -> &Value {
    let jobs = page["data"].as_array().unwrap();
    jobs.iter().find(|job| job["id"] == json!(id)).unwrap_or_else(|| panic!("{id} is not in {page}"))
}

#[tokio::test]
async fn admins_see_dead_jobs_without_their_payload_and_retry_them() {
    let app = App::start();
    let admin = app.admin().await;
    let queue = Queue::new(app.database(), &app.clock);
    let id = queue.enqueue(&Work::Refuse);
    let looks = || app.database().statements_with("\"jobs\".\"kind\" = ANY");
    let before = looks();
    eventually("two looks of the server for jobs", async || looks() >= before + 2).await;
    assert_eq!(queue.state(id).unwrap(), "waiting", "servers leave kinds that they do not know");
    let waiting = admin.get(&format!("{PATH}?state=waiting")).await.assert(200).json();
    assert_eq!(find(&waiting, id)["attempts"], 0);

    let _worker = queue.worker();
    queue.until_state(id, "dead").await;
    let dead = admin.get(&format!("{PATH}?state=dead")).await.assert(200).json();
    let job = find(&dead, id);
    assert_eq!((&job["last_error"], &job["attempts"]), (&json!("never"), &json!(1)));
    assert!(job.get("payload").is_none() && dead["next_cursor"].is_null());

    let retried = admin.post_empty(&format!("{PATH}/{id}/retry")).await.assert(200).json();
    assert_eq!((&retried["state"], &retried["max_attempts"]), (&json!("waiting"), &json!(31)));
    queue.until_begun(2).await;
    queue.until_state(id, "dead").await;
    let absent = Uuid::now_v7();
    admin.post_empty(&format!("{PATH}/{absent}/retry")).await.assert_problem(404, "not-found");

    let busy = queue.enqueue(&Work::Wait);
    queue.until_begun(3).await;
    admin.post_empty(&format!("{PATH}/{busy}/retry")).await.assert_problem(409, "job-running");
    let running = admin.get(&format!("{PATH}?state=running")).await.assert(200).json();
    assert_eq!(find(&running, busy)["attempts"], 1);
    queue.trace.gate.add_permits(1);
}

#[tokio::test]
async fn jobs_are_paged_in_the_order_of_enqueueing() {
    let app = App::start();
    let admin = app.admin().await;
    let queue = Queue::new(app.database(), &app.clock);
    let ids: Vec<_> = (0..5).map(|n| json!(queue.enqueue(&Work::Succeed(n)))).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{PATH}?state=waiting&limit=2{cursor}")).await.assert(200).json();
        let found = page["data"].as_array().unwrap();
        assert!(found.len() <= 2);
        let ours = found.iter().filter(|job| job["kind"] == Work::KIND);
        seen.extend(ours.map(|job| job["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    for query in ["limit=-1", "cursor=!", "state=done", "limit=1&limit=2", "kind=x"] {
        admin.get(&format!("{PATH}?{query}")).await.assert_problem(400, "malformed-query");
    }
    admin.get(&format!("{PATH}?limit=101")).await.assert_invalid("/limit", "range");
    admin.post_empty(&format!("{PATH}/7/retry")).await.assert_problem(400, "malformed-path");
}

#[tokio::test]
async fn jobs_that_have_been_dead_for_30_days_are_removed() {
    let app = App::start();
    let queue = Queue::new(app.database(), &app.clock);
    let (old, new) = (queue.enqueue(&Work::Refuse), queue.enqueue(&Work::Refuse));
    let bury = |id: Uuid, days: i64| {
        sql_query("UPDATE jobs SET state = 'dead', due_at = $2 WHERE id = $1")
            .bind::<sql_types::Uuid, _>(id)
            .bind::<sql_types::Timestamptz, _>(app.clock.now() - TimeDelta::days(days))
            .execute(&mut app.sql())
            .unwrap();
    };
    bury(old, 31);
    bury(new, 29);
    app.clock.advance(Duration::from_hours(1));
    queue.until_gone(old).await;
    assert_eq!(queue.state(new).unwrap(), "dead");
}

const PATH: &str = "/api/v1/admin/jobs";
