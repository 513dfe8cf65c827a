//! Content negotiation: `Accept` selects the media type of a response, `Accept-Encoding` its coding (RFC 9110,
//! sections 12.5.1 and 12.5.3).
//!
//! The types of `actix_web::http::header` sort preferences, but do not tell which weight a given media type has.

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderName},
};

/// Whether the client prefers `other` to `usual`, two media types. A client that accepts neither gets `usual`, which
/// helps a person more than a 406.
pub fn prefers(req: &HttpRequest, other: &str, usual: &str) -> bool {
    let ranges = preferences(req, &header::ACCEPT);
    weight(&ranges, other) > weight(&ranges, usual)
}

/// A media range or a coding, with its weight from 0 to 1.
pub struct Preference<'a> {
    pub name: &'a str,
    pub weight: f32,
}

/// Parses the list in these headers.
pub fn preferences<'a>(req: &'a HttpRequest, header: &HeaderName) -> Vec<Preference<'a>> {
    let lists = req.headers().get_all(header).filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(preference).collect()
}

fn preference(text: &str) -> Option<Preference<'_>> {
    let mut parameters = text.split(';');
    let name = parameters.next()?.trim();
    let weight = parameters.find_map(|one| {
        let (name, value) = one.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
    });
    Some(Preference { name, weight: weight.unwrap_or(1.0) })
}

/// The weight of the most specific range that matches; 0 if none does.
fn weight(ranges: &[Preference], media: &str) -> f32 {
    let kind = media.split('/').next().unwrap_or_default();
    let specificity = |range: &Preference| match range.name.split_once('/') {
        _ if range.name.eq_ignore_ascii_case(media) => Some(2),
        Some((one, "*")) if one.eq_ignore_ascii_case(kind) => Some(1),
        Some(("*", "*")) => Some(0),
        _ => None,
    };
    let matching = ranges.iter().filter_map(|range| Some((specificity(range)?, range.weight)));
    matching.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map_or(0.0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_clients_weights_decide_and_ties_go_to_the_usual_form() {
        let csv = |accept: &str| {
            let req = TestRequest::default().insert_header((header::ACCEPT, accept)).to_http_request();
            prefers(&req, "text/csv", "application/json")
        };
        for yes in [
            "text/csv",
            "TEXT/CSV; charset=utf-8",
            "text/*",
            "text/csv, application/json;q=0.9",
            "application/json;q=0, */*",
            "text/csv;q=0.2, */*;q=0.1",
        ] {
            assert!(csv(yes), "{yes}");
        }
        for no in [
            "",
            "*/*",
            "application/json",
            "text/html",
            "text/csv, application/json",
            "text/csv;q=0.5, application/json",
            "text/csv;q=0",
            "text/csv;q=nonsense",
            "text/*;q=1, text/csv;q=0.1, application/*;q=0.2",
            ";;;,,,=/",
        ] {
            assert!(!csv(no), "{no}");
        }
    }
}
