//! Stores accounts: users read and change their own, admins list and read all.

mod account;
mod administration;
mod csv;
mod email;
mod export;
mod guesses;
mod list;
mod model;
mod read;
mod read_me;
mod replace_me;
mod store;
mod update_me;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    account::{
        Account, change_email, confirm_email, find_account, find_account_of, is_username_taken, lock_account,
        lock_account_of, lock_for_counting, lock_hash, lock_with_hash, set_password, take_over,
    },
    administration::{AdminChange, Purged, change, keep_an_admin, lock, mark_deleted, purge, restore},
    email::{EmailAddress, check_email, check_new_email},
    guesses::{Guess, allow_login, is_login_stopped},
    model::{Status, User, check_name, check_new_username, check_reason, check_username},
    store::{
        Credentials, Login, NewUser, Taken, count_login, delete, find_credentials, find_hash, find_taken,
        insert, insert_all, promote, set_password_hash,
    },
};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(read_me::read_me)
        .service(update_me::update_me)
        .service(replace_me::replace_me)
        .service(list::list_users)
        .service(export::export_users_csv)
        .service(export::export_users_ndjson)
        .service(read::read_user);
}
