//! Lines of logs with the colours that scripts gave them: ANSI escape sequences become classes.
//!
//! Colours of all three kinds (16, 256, 24 bits) are brought to the eight hues of the sheet, which
//! can be read on light and dark ground. Every other sequence is dropped: a log moves no cursor,
//! sets no title and opens no link. What is left is escaped by [`text::push`].

use super::text;

/// Appends `line` as HTML: escaped text, in `<span class="…">` where it has a style.
///
/// Of a line that overwrites itself with carriage returns, as progress bars do, only what is seen
/// in the end is shown.
pub(crate) fn push(html: &mut String, line: &str) {
    let mut style = Style::default();
    let mut open = Style::default();
    let mut rest = overwritten(line).chars();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            let (after, sequence) = escape(rest.as_str());
            if let Some(numbers) = sequence {
                style.apply(numbers);
            }
            rest = after.chars();
            continue;
        }
        if style != open {
            open.close(html);
            style.open(html);
            open = style;
        }
        text::push(html, c);
    }
    open.close(html);
}

/// The line without its styles, for where there are none.
pub(crate) fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = overwritten(line).chars();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            rest = escape(rest.as_str()).0.chars();
        } else {
            plain.push(c);
        }
    }
    plain
}

/// What stands behind the last carriage return.
fn overwritten(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit_once('\r').map_or(line, |(_, seen)| seen)
}

/// Takes an escape sequence, whose `ESC` is gone already, off the front: the rest, and the numbers
/// of one that sets a style.
fn escape(text: &str) -> (&str, Option<&str>) {
    let mut chars = text.chars();
    match chars.next() {
        // Control sequence: parameters, intermediates, one final character.
        Some('[') => {
            let body = chars.as_str();
            let Some(end) = body.find(|c: char| !matches!(c, '\x20'..='\x3f')) else {
                return ("", None);
            };
            let (numbers, last) = body.split_at(end);
            let mut after = last.chars();
            match after.next() {
                Some('m') => (after.as_str(), Some(numbers)),
                Some('\x40'..='\x7e') => (after.as_str(), None),
                // Not a sequence after all: the character that broke it off is shown.
                _ => (last, None),
            }
        }
        // A string to the terminal, such as its title or a link, ended by BEL or `ESC \`.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let body = chars.as_str();
            let end = body.find(['\x07', '\x1b']).unwrap_or(body.len());
            let after = &body[end..];
            let after = after.strip_prefix("\x1b\\").or(after.strip_prefix('\x07'));
            (after.unwrap_or(&body[end..]), None)
        }
        // Intermediates and a final character, such as the choice of a character set.
        Some('\x20'..='\x2f') => {
            let after = text.trim_start_matches(|c| matches!(c, '\x20'..='\x2f'));
            let mut after = after.chars();
            after.next();
            (after.as_str(), None)
        }
        Some('\x30'..='\x7e') => (chars.as_str(), None),
        _ => (text, None),
    }
}

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Style {
    /// A hue: 0 black, 1 red, … 7 white, 8 grey.
    front: Option<u8>,
    back: Option<u8>,
    /// Bold, dim, italic, underlined.
    marks: [bool; 4],
    inverse: bool,
}

/// Places in [`Style::marks`], and their classes.
const BOLD: usize = 0;
const DIM: usize = 1;
const ITALIC: usize = 2;
const UNDERLINE: usize = 3;
const MARKS: [&str; 4] = ["ab", "ad", "ai", "au"];

impl Style {
    /// Applies the numbers of a sequence, separated by `;`, or by `:` within one colour.
    fn apply(&mut self, numbers: &str) {
        let mut numbers = numbers.split([';', ':']).map(|it| it.parse::<u16>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.marks[BOLD] = true,
                2 => self.marks[DIM] = true,
                3 => self.marks[ITALIC] = true,
                4 => self.marks[UNDERLINE] = true,
                7 => self.inverse = true,
                22 => (self.marks[BOLD], self.marks[DIM]) = (false, false),
                23 => self.marks[ITALIC] = false,
                24 => self.marks[UNDERLINE] = false,
                27 => self.inverse = false,
                30..=37 => self.front = hue_of_16(number - 30),
                38 => self.front = colour(&mut numbers),
                39 => self.front = None,
                40..=47 => self.back = hue_of_16(number - 40),
                48 => self.back = colour(&mut numbers),
                49 => self.back = None,
                90..=97 => self.front = hue_of_16(number - 90 + 8),
                100..=107 => self.back = hue_of_16(number - 100 + 8),
                _ => {}
            }
        }
    }

    fn open(self, html: &mut String) {
        if self == Self::default() {
            return;
        }
        let (front, back) = if self.inverse {
            (self.back, self.front.or(Some(7)))
        } else {
            (self.front, self.back)
        };
        let colours = [('a', front), ('b', back)];
        let classes = colours.iter().filter_map(|(kind, hue)| Some(format!("{kind}{}", (*hue)?)));
        let marks = self.marks.iter().zip(MARKS).filter(|(on, _)| **on);
        let marks = marks.map(|(_, class)| class.to_owned());
        html.push_str("<span class=\"");
        html.push_str(&classes.chain(marks).collect::<Vec<_>>().join(" "));
        html.push_str("\">");
    }

    fn close(self, html: &mut String) {
        if self != Self::default() {
            html.push_str("</span>");
        }
    }
}

/// The hue of one of the 16 colours: a bright one is its plain one, but black's, which is grey.
fn hue_of_16(colour: u16) -> Option<u8> {
    match colour {
        8 => Some(8),
        _ => u8::try_from(colour % 8).ok(),
    }
}

/// The colour that follows 38 or 48: `5;n` of 256, or `2;r;g;b`.
fn colour(numbers: &mut impl Iterator<Item = u16>) -> Option<u8> {
    match numbers.next()? {
        5 => match numbers.next()? {
            n @ 0..=15 => hue_of_16(n),
            n @ 16..=231 => {
                let level = |n: u16| [0, 95, 135, 175, 215, 255][usize::from(n % 6)];
                let n = n - 16;
                Some(hue_of_rgb(level(n / 36), level(n / 6), level(n)))
            }
            n @ 232..=255 => {
                let level = 8 + (n - 232) * 10;
                Some(hue_of_rgb(level, level, level))
            }
            _ => None,
        },
        2 => {
            let mut next = || numbers.next().unwrap_or(0).min(255);
            let (r, g, b) = (next(), next(), next());
            Some(hue_of_rgb(r, g, b))
        }
        _ => None,
    }
}

/// The nearest of the hues: those channels count that are nearer to the strongest than to the
/// weakest; where all are alike it is black, grey or white.
fn hue_of_rgb(r: u16, g: u16, b: u16) -> u8 {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most - least < 40 {
        return match most {
            0..48 => 0,
            48..160 => 8,
            _ => 7,
        };
    }
    let middle = u16::midpoint(most, least);
    u8::from(r > middle) | u8::from(g > middle) << 1 | u8::from(b > middle) << 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn html(line: &str) -> String {
        let mut html = String::new();
        push(&mut html, line);
        html
    }

    #[test]
    fn colours_become_classes() {
        for (line, expected) in [
            ("plain", "plain"),
            ("\x1b[31mred\x1b[0m x", "<span class=\"a1\">red</span> x"),
            ("\x1b[1;36mbold cyan", "<span class=\"a6 ab\">bold cyan</span>"),
            ("\x1b[92mbright\x1b[39m x", "<span class=\"a2\">bright</span> x"),
            ("\x1b[90mgrey", "<span class=\"a8\">grey</span>"),
            ("\x1b[38;5;196mred", "<span class=\"a1\">red</span>"),
            ("\x1b[38;5;240mgrey", "<span class=\"a8\">grey</span>"),
            ("\x1b[38;2;255;200;0myellow", "<span class=\"a3\">yellow</span>"),
            ("\x1b[38:5:21mblue", "<span class=\"a4\">blue</span>"),
            ("\x1b[37;41mon red", "<span class=\"a7 b1\">on red</span>"),
            ("\x1b[31;7minverse", "<span class=\"b1\">inverse</span>"),
            ("\x1b[2;3;4mall", "<span class=\"ad ai au\">all</span>"),
            ("\x1b[1m\x1b[22mnone", "none"),
            ("\x1b[mnone", "none"),
            ("\x1b[31m\x1b[32mlast", "<span class=\"a2\">last</span>"),
        ] {
            assert_eq!(html(line), expected, "{line:?}");
        }
    }

    #[test]
    fn other_sequences_are_dropped() {
        for (line, expected) in [
            ("\x1b[2J\x1b[1;1Hclear", "clear"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b(Btext", "text"),
            ("\x1bPdevice\x1b\\text", "text"),
            ("\x1b7text\x1b8", "text"),
            ("\x1b[?25ltext", "text"),
            ("end\x1b", "end"),
            ("end\x1b[", "end"),
            ("end\x1b[31", "end"),
            ("\x1b[31é", "é"),
            ("\x1b]0;never ended", ""),
        ] {
            assert_eq!(html(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_progress_bar_is_its_last_state() {
        assert_eq!(html("10%\r50%\r100%"), "100%");
        assert_eq!(html("100%\r"), "100%");
        assert_eq!(html("\r\r"), "");
    }

    #[test]
    fn what_is_left_is_escaped() {
        assert_eq!(html("\x1b[31m<b>\x1b[0m&"), "<span class=\"a1\">&lt;b&gt;</span>&amp;");
        assert_eq!(html("a\x08b"), "a<span class=\"odd\">␈</span>b");
    }

    proptest! {
        #[test]
        fn any_line_is_escaped_and_balanced(
            line in r"(?s)(.|\x1b\[[0-9;:]{0,9}[a-zA-Z]|\x1b[\x20-\x7e]|[<>&\x22']){0,30}"
        ) {
            let html = html(&line);
            prop_assert_eq!(html.matches("<span class=\"").count(), html.matches("</span>").count());
            let mut rest = html.as_str();
            while let Some(start) = rest.find('<') {
                let tag = &rest[start..];
                let end = tag.find('>').unwrap();
                let tag = &tag[..=end];
                let class = tag.strip_prefix("<span class=\"").and_then(|it| it.strip_suffix("\">"));
                let known = |class: &str| class.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
                prop_assert!(tag == "</span>" || class.is_some_and(known), "{}", tag);
                rest = &rest[start + end + 1..];
            }
            prop_assert!(!html.chars().any(|c| c.is_control() && c != '\t'), "{:?}", html);
        }
    }
}
