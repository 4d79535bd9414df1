//! JSON, written as it comes.

use std::fmt::Write;

/// A text of one JSON value that grows. Members of an object are begun with [`Json::key`], everything else is an
/// element of the array it stands in, or the value itself.
#[derive(Debug, Default)]
pub(super) struct Json {
    text: String,
    /// A value or key was written that the next one is separated from.
    separate: bool,
}

impl Json {
    fn begin(&mut self, bracket: char) {
        self.element();
        self.text.push(bracket);
        self.separate = false;
    }

    fn end(&mut self, bracket: char) {
        self.text.push(bracket);
        self.separate = true;
    }

    fn element(&mut self) {
        if std::mem::replace(&mut self.separate, true) {
            self.text.push(',');
        }
    }

    /// An object with what `fill` puts into it.
    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Json)) {
        self.begin('{');
        fill(self);
        self.end('}');
    }

    /// An array of what `each` makes of the items.
    pub(super) fn array<T>(&mut self, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut Json, T)) {
        self.begin('[');
        for item in items {
            each(self, item);
        }
        self.end(']');
    }

    /// The name of the member that follows.
    pub(super) fn key(&mut self, name: &str) -> &mut Json {
        self.string(name);
        self.text.push(':');
        self.separate = false;
        self
    }

    /// A string.
    pub(super) fn string(&mut self, value: &str) {
        self.element();
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                control if control < ' ' || control == '\u{7f}' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(control));
                }
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    /// A string, or null.
    pub(super) fn text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.string(value),
            None => self.bare("null"),
        }
    }

    /// An integer.
    pub(super) fn number(&mut self, value: impl Into<i128>) {
        self.bare(&value.into().to_string());
    }

    /// An integer, or null.
    pub(super) fn some_number(&mut self, value: Option<impl Into<i128>>) {
        match value {
            Some(value) => self.number(value),
            None => self.bare("null"),
        }
    }

    /// true or false.
    pub(super) fn flag(&mut self, value: bool) {
        self.bare(if value { "true" } else { "false" });
    }

    fn bare(&mut self, text: &str) {
        self.element();
        self.text.push_str(text);
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_a_parser_reads_back() {
        let mut json = Json::default();
        json.object(|json| {
            json.key("text").string("a\"b\\c\nd\u{1}\u{7f}é");
            json.key("none").text(None);
            json.key("number").number(-7);
            json.key("list").array([1u8, 2, 3], |json, each| json.number(each));
            json.key("empty").array([0u8; 0], |json, each| json.number(each));
            json.key("nested").array([true, false], |json, each| {
                json.object(|json| json.key("flag").flag(each));
            });
            json.key("last").object(|_| {});
        });
        let expected = r#"{"text":"a\"b\\c\nd\u0001\u007fé","none":null,"number":-7,"list":[1,2,3],"empty":[],"nested":[{"flag":true},{"flag":false}],"last":{}}"#;
        assert_eq!(json.finish(), expected);
    }
}
