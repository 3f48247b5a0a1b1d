//! HTML that cannot be broken out of: markup is this program's own text, everything else is escaped.

use std::fmt::{Display, Write};

/// A piece of a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Markup; it is written in this program, so nobody else has a say in it.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Anything, as text or inside a quoted attribute.
    pub(super) fn text(&mut self, anything: impl Display) -> &mut Self {
        // Writing to memory cannot fail.
        let _ = write!(Escaping(&mut self.0), "{anything}");
        self
    }

    /// Another piece.
    pub(super) fn add(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// A link to a page of ours.
    pub(super) fn link(&mut self, to: impl Display, words: impl Display) -> &mut Self {
        self.raw("<a href=\"").text(to).raw("\">").text(words).raw("</a>")
    }

    /// A link with a class.
    pub(super) fn link_as(
        &mut self,
        class: &'static str,
        to: impl Display,
        words: impl Display,
    ) -> &mut Self {
        self.raw("<a class=\"")
            .raw(class)
            .raw("\" href=\"")
            .text(to)
            .raw("\">")
            .text(words)
            .raw("</a>")
    }

    /// Words with a class.
    pub(super) fn span(&mut self, class: &'static str, words: impl Display) -> &mut Self {
        self.raw("<span class=\"").raw(class).raw("\">").text(words).raw("</span>")
    }

    /// A name and what belongs to it, in a list of such.
    pub(super) fn fact(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>")
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Writes with the five characters that mean something in HTML replaced.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_text_or_of_an_attribute() {
        let evil = "</a>\"'><script>alert(1)&";
        let mut html = Html::new();
        html.link(evil, evil).fact("x", evil).span("y", evil);
        let text = html.into_string();
        assert!(
            !text.contains("<script") && !text.contains("\"'") && !text.contains("alert(1)&\"")
        );
        assert_eq!(text.matches("&lt;script&gt;").count(), 4);
    }
}
