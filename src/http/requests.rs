//! Counts requests and their durations by route of the OpenAPI document, so that clients cannot create new labels.
//! Counting takes no lock and allocates nothing.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use actix_web::{
    dev::ResourceDef,
    http::{Method, StatusCode},
};
use utoipa::openapi::OpenApi;

use crate::telemetry::{Exposition, Histogram, MetricType};

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Default)]
struct Counts {
    by_class: [AtomicU64; CLASSES.len()],
    durations: Histogram,
}

/// The indexes under which a request is counted.
#[derive(Clone, Copy)]
pub(super) struct RouteIndex {
    route: usize,
    method: usize,
}

pub struct Requests {
    exact: HashMap<String, usize>,
    patterns: Vec<(ResourceDef, usize)>,
    /// By route and method; the last one is for paths that are not in the document.
    routes: Vec<(String, [Counts; METHODS.len()])>,
}

impl Requests {
    pub fn new(document: &OpenApi) -> Self {
        let names = document.paths.paths.keys().cloned().chain(["other".into()]);
        let routes: Vec<_> = names.map(|name| (name, Default::default())).collect();
        let known = || document.paths.paths.keys().enumerate();
        let is_pattern = |path: &str| path.contains('{');
        Self {
            exact: known().filter(|(_, path)| !is_pattern(path)).map(|(n, path)| (path.clone(), n)).collect(),
            patterns: known()
                .filter(|(_, path)| is_pattern(path))
                .map(|(number, path)| (ResourceDef::new(path.as_str()), number))
                .collect(),
            routes,
        }
    }

    pub(super) fn route(&self, method: &Method, path: &str) -> RouteIndex {
        let pattern = || self.patterns.iter().find(|(pattern, _)| pattern.is_match(path));
        let known = self.exact.get(path).copied().or_else(|| Some(pattern()?.1));
        let name = if *method == Method::HEAD { "GET" } else { method.as_str() };
        let other = METHODS.len() - 1;
        RouteIndex {
            route: known.unwrap_or(self.routes.len() - 1),
            method: METHODS.iter().position(|known| *known == name).unwrap_or(other),
        }
    }

    pub(super) fn count(&self, route: RouteIndex, status: StatusCode, took: Duration) {
        let counts = &self.routes[route.route].1[route.method];
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        counts.by_class[class].fetch_add(1, Ordering::Relaxed);
        counts.durations.count(took);
    }

    pub fn write(&self, metrics: &mut Exposition) {
        let all = || {
            self.routes.iter().flat_map(|(route, counts)| {
                counts.iter().zip(METHODS).map(move |(counts, method)| (route.as_str(), method, counts))
            })
        };
        let name = "mintage_http_requests_total";
        let help = "Requests by route, method and status class.";
        let requests = metrics.family(name, MetricType::Counter, help);
        for (route, method, counts) in all() {
            for (class, count) in CLASSES.iter().zip(&counts.by_class) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    requests.sample(&[("route", route), ("method", method), ("status", class)], count);
                }
            }
        }
        let name = "mintage_http_request_duration_seconds";
        let help = "Time from the head of a request to the head of its response.";
        let durations = metrics.family(name, MetricType::Histogram, help);
        for (route, method, counts) in all() {
            durations.histogram(&[("route", route), ("method", method)], &counts.durations);
        }
    }
}
