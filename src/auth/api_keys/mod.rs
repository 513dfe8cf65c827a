//! What people do with their API keys. All of this needs an access token: a key can neither create nor list keys.

mod create;
mod list;
mod model;
mod read_usage;
mod revoke;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list::list_api_keys)
        .service(create::create_api_key)
        .service(read_usage::read_api_key_usage)
        .service(revoke::revoke_api_key);
}
