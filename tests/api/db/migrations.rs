//! `mintage migrate` and `mintage rollback`.

use std::process::Stdio;

use crate::support::{
    Database,
    binary::{Server, directory, fail, mintage, stdout, succeed},
};

#[tokio::test]
async fn migrations_are_run_by_hand_with_auto_migrate_off() {
    let database = Database::empty();
    let home = directory();
    let url = database.owner_url();
    let settings = [("DATABASE_URL", url.expose()), ("AUTO_MIGRATE", "false")];
    let error = fail(&mut mintage(home.path(), &settings));
    assert!(error.contains("mintage migrate"), "{error}");

    let applied = succeed(mintage(home.path(), &settings).arg("migrate"));
    let count = applied.lines().filter(|line| line.starts_with("applied ")).count();
    assert!(count >= 3, "{applied}");
    assert!(succeed(mintage(home.path(), &settings).arg("migrate")).contains("nothing to apply"));
    Server::start(home.path(), &settings).client().get("/readyz").await.assert(200);

    let reverted = succeed(mintage(home.path(), &settings).args(["rollback", "--steps", &count.to_string()]));
    assert_eq!(reverted.lines().filter(|line| line.starts_with("reverted ")).count(), count);
    fail(mintage(home.path(), &settings).args(["rollback"]));
    fail(mintage(home.path(), &settings).args(["rollback", "--steps", "0"]));
}

#[test]
fn of_parallel_migrations_one_applies_them() {
    let database = Database::empty();
    let home = directory();
    let url = database.owner_url();
    let settings = [("DATABASE_URL", url.expose())];
    let start = || mintage(home.path(), &settings).arg("migrate").stdout(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..6).map(|_| start()).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()));
    assert_eq!(outputs.iter().filter(|output| stdout(output).contains("applied")).count(), 1);
}
