//! Content negotiation: what of `Accept` decides between the forms of an answer, and of `Accept-Encoding`
//! between its codings (RFC 9110, sections 12.5.1 and 12.5.3).

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderName},
};

/// Whether the client would rather have `other` than `usual`. Whoever accepts neither gets the usual
/// one: an answer in another form is worth more to people than a 406.
#[must_use]
pub fn prefers(req: &HttpRequest, other: &str, usual: &str) -> bool {
    let ranges = wishes(req, &header::ACCEPT);
    weight(&ranges, other) > weight(&ranges, usual)
}

/// A media range or a coding.
pub struct Wish<'a> {
    pub name: &'a str,
    pub weight: f32,
}

/// What these headers list.
#[must_use]
pub fn wishes<'a>(req: &'a HttpRequest, header: &HeaderName) -> Vec<Wish<'a>> {
    let lists = req.headers().get_all(header).filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(wish).collect()
}

fn wish(text: &str) -> Option<Wish<'_>> {
    let mut parameters = text.split(';');
    let name = parameters.next()?.trim();
    let weight = parameters.find_map(|one| {
        let (name, value) = one.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
    });
    Some(Wish { name, weight: weight.unwrap_or(1.0) })
}

/// What the most specific range that fits says; 0 if none fits.
fn weight(ranges: &[Wish], media: &str) -> f32 {
    let kind = media.split('/').next().unwrap_or_default();
    let specificity = |range: &Wish| match range.name.split_once('/') {
        _ if range.name.eq_ignore_ascii_case(media) => Some(2),
        Some((one, "*")) if one.eq_ignore_ascii_case(kind) => Some(1),
        Some(("*", "*")) => Some(0),
        _ => None,
    };
    let fitting = ranges.iter().filter_map(|range| Some((specificity(range)?, range.weight)));
    fitting.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map_or(0.0, |(_, weight)| weight)
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
