//! Sources of posts about coins, one file each.

pub mod bluesky;
pub mod mastodon;
pub mod x;
