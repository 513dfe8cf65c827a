//! `mintage users import`.

use std::fs;

use crate::support::{
    App, SECRET_KEY,
    binary::{directory, mintage, run, succeed},
};

#[tokio::test]
async fn a_file_is_imported_at_the_command_line() {
    let app = App::start();
    let (home, url) = (directory(), app.database().url());
    let settings = [("DATABASE_URL", url.expose()), ("SECRET_KEY", SECRET_KEY)];
    let file = home.path().join("people.csv");
    fs::write(&file, "email,role\r\nada@example.com,\r\nroot@example.com,admin\r\n").unwrap();
    let path = file.to_str().unwrap();

    let refused = run(mintage(home.path(), &settings).args(["users", "import", path]));
    assert!(!refused.status.success());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("/3/role: must be user"), "{told}");
    assert_eq!(app.count("SELECT count(*) FROM users"), 0, "all or nothing");

    let arguments = ["users", "import", path, "--allow-admins"];
    let dry = succeed(mintage(home.path(), &settings).args(arguments).arg("--dry-run"));
    assert!(dry.contains("read 2 lines, would create 2 accounts, skipped 0"), "{dry}");
    assert_eq!(app.count("SELECT count(*) FROM users"), 0);

    let done = succeed(mintage(home.path(), &settings).args(arguments));
    assert!(done.contains("created 2 accounts"), "{done}");
    let again = succeed(mintage(home.path(), &settings).args(arguments).arg("--skip-existing"));
    assert!(again.contains("created 0 accounts, skipped 2"), "{again}");
    let by_operator =
        "SELECT count(*) FROM security_events WHERE kind = 'users-imported' AND actor = 'operator'";
    assert_eq!(app.count(by_operator), 2);

    let other = home.path().join("people.txt");
    fs::write(&other, "email\n").unwrap();
    let refused = run(mintage(home.path(), &settings).args(["users", "import", other.to_str().unwrap()]));
    assert!(!refused.status.success(), "its name does not say what it is");
}
