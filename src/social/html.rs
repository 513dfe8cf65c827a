//! Converts HTML to text with the tokenizer of the HTML standard, so that entities, comments and unclosed tags are read
//! as in a browser.

use html5gum::{Token, Tokenizer};

/// Returns the text of a fragment; paragraphs and line breaks become line feeds.
pub fn to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    // Open elements whose content is not shown.
    let mut hidden = 0u32;
    for Ok(token) in Tokenizer::new(html) {
        match token {
            Token::String(part) if hidden == 0 => text.push_str(&String::from_utf8_lossy(&part)),
            Token::StartTag(tag) => match &**tag.name {
                b"br" | b"p" | b"li" | b"div" | b"blockquote" => text.push('\n'),
                b"script" | b"style" if !tag.self_closing => hidden += 1,
                _ => {}
            },
            Token::EndTag(tag) if matches!(&**tag.name, b"script" | b"style") => {
                hidden = hidden.saturating_sub(1);
            }
            _ => {}
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn the_text_is_that_of_a_browser() {
        for (html, text) in [
            (
                r#"<p>Really happy with <a href="https://x.example/tags/bitcoin" class="mention">#<span>bitcoin</span></a> today &amp; staying long!</p>"#,
                "Really happy with #bitcoin today & staying long!",
            ),
            ("<p>one</p><p>two<br>three<br/>four</p>", "one\ntwo\nthree\nfour"),
            ("a &lt;b&gt; &#39;c&#39; &hellip; &nbsp;d &xyzzy; &#x1F680;", "a <b> 'c' … \u{a0}d &xyzzy; 🚀"),
            ("<a title=\"x > y\">link</a><!-- no --><![CDATA[no]]>", "link"),
            ("<p>unclosed <b>tag", "unclosed tag"),
            ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
            ("<script>no</script>yes<style>no</style>", "yes"),
            ("", ""),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_markup_is_accepted(html in "[<>/a-z \"'=&;#!-]{0,200}") {
            to_text(&html);
        }
    }
}
