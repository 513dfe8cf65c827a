//! Holds what the endpoints of this room share, besides the view.

use actix_web::web::{Data, ServiceConfig};

use super::{alerts::EndKeys, stream::Streams, trending::Trends};
use crate::config::SecretKey;

#[derive(Clone)]
pub struct CoinServices {
    pub end_keys: Data<EndKeys>,
    streams: Data<Streams>,
    trends: Data<Trends>,
}

impl CoinServices {
    pub fn new(secret: &SecretKey) -> Self {
        Self { end_keys: Data::new(EndKeys::new(secret)), streams: Data::default(), trends: Data::default() }
    }

    /// Lets handlers extract them.
    pub fn register(self, app: &mut ServiceConfig) {
        app.app_data(self.end_keys).app_data(self.streams).app_data(self.trends);
    }
}
