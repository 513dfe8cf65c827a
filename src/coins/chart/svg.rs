//! SVG as text.

use std::fmt::{Display, Write};

use crate::http::is_deceptive;

/// A document under construction.
pub struct Svg(String);

impl Svg {
    pub fn new(width: f64, height: f64, title: &str, description: &str) -> Self {
        let (title, description) = (escape(title), escape(description));
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"t d\" \
             font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif\" font-size=\"12\">\n\
             <title id=\"t\">{title}</title>\n<desc id=\"d\">{description}</desc>\n"
        ))
    }

    /// An empty element; the attributes are ours.
    pub fn element(&mut self, name: &str, attributes: impl Display) {
        let _ = writeln!(self.0, "<{name} {attributes}/>");
    }

    /// Text at a place; the attributes are ours, the text is anybody's.
    pub fn text(&mut self, x: f64, y: f64, attributes: impl Display, text: &str) {
        let text = escape(text);
        let _ = writeln!(self.0, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>");
    }

    pub fn finish(mut self) -> String {
        self.0 += "</svg>\n";
        self.0
    }
}

/// What XML cannot hold goes, what it would take for markup is written as a reference.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !is_deceptive(*c) && !matches!(c, '\u{fffe}' | '\u{ffff}')) {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        let mut svg = Svg::new(1.0, 1.0, "</title><script>alert(1)</script>", "\" onload=\"x");
        svg.text(0.0, 0.0, "fill=\"red\"", "<a href='javascript:x'>\0\u{fffe}&amp;");
        let text = svg.finish();
        assert!(!text.contains("<script") && !text.contains("<a ") && !text.contains('\0'), "{text}");
        assert!(text.contains("&lt;a href=&#39;javascript:x&#39;&gt;&amp;amp;</text>"), "{text}");
    }
}
