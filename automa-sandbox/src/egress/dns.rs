//! The little of DNS that a sandbox needs (RFC 1035): one question is read, and answered here and
//! now. No question is ever passed on.

use std::net::Ipv4Addr;

use super::destination::{MAX_LABEL, MAX_NAME};

/// Longest question that is looked at, in bytes: a header, a name, and options after it.
pub(super) const MAX_QUERY: usize = 4096;

/// For how long an answer holds, in seconds.
const TTL: u32 = 60;

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
/// Any type or class (RFC 1035, sections 3.2.3 and 3.2.5).
const ANY: u16 = 255;

/// A question. What else the message holds, such as options, does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query<'a> {
    /// The name in lower case, without a dot at its end; what is no printable character, or would
    /// be read as something else, is written as `\123`.
    pub(super) name: String,
    kind: u16,
    class: u16,
    id: [u8; 2],
    recursion_desired: bool,
    /// The question as it was written, which an answer repeats.
    question: &'a [u8],
}

/// Why a message is not answered with an address or its absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Nobody expects an answer.
    Silent,
    /// This one, which says that it was not understood.
    Answer(Vec<u8>),
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The name has this address, and no other data.
    Address(Ipv4Addr),
    /// There is no such name.
    NoSuchName,
    /// The question was understood, but cannot be answered now.
    Failure,
}

/// Numbers of RFC 1035, section 4.1.1.
#[derive(Clone, Copy)]
enum Code {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NameError = 3,
    NotImplemented = 4,
}

impl<'a> Query<'a> {
    /// Reads a message.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let Some((&[id1, id2, flags, _, questions @ .., _, _, _, _, _, _], rest)) =
            message.split_first_chunk::<HEADER>()
        else {
            return Err(Malformed::Silent);
        };
        // An answer: whoever answers these too can be made to talk to himself.
        if flags & 0x80 != 0 {
            return Err(Malformed::Silent);
        }
        let id = [id1, id2];
        let recursion_desired = flags & 1 != 0;
        let malformed =
            |code| Malformed::Answer(header(id, recursion_desired, code, [0, 0]).to_vec());
        if flags & 0x78 != 0 {
            return Err(malformed(Code::NotImplemented));
        }
        let format_error = || malformed(Code::FormatError);
        if questions != [0, 1] {
            return Err(format_error());
        }
        let (name, length) = read_name(rest).ok_or_else(format_error)?;
        let Some(&[kind1, kind2, class1, class2]) = rest.get(length..length + 4) else {
            return Err(format_error());
        };
        Ok(Self {
            name,
            kind: u16::from_be_bytes([kind1, kind2]),
            class: u16::from_be_bytes([class1, class2]),
            id,
            recursion_desired,
            question: &rest[..length + 4],
        })
    }

    /// The message that answers this question.
    pub(super) fn answer(&self, answer: Answer) -> Vec<u8> {
        let address = match answer {
            Answer::Address(address)
                if matches!(self.class, CLASS_IN | ANY) && matches!(self.kind, TYPE_A | ANY) =>
            {
                Some(address)
            }
            _ => None,
        };
        let code = match answer {
            Answer::Address(_) => Code::NoError,
            Answer::NoSuchName => Code::NameError,
            Answer::Failure => Code::ServerFailure,
        };
        let counts = [1, u8::from(address.is_some())];
        let mut message = header(self.id, self.recursion_desired, code, counts).to_vec();
        message.extend_from_slice(self.question);
        if let Some(address) = address {
            // The name is the question's: a pointer to where that begins.
            message.extend_from_slice(&[0xc0, HEADER as u8]);
            message.extend_from_slice(&TYPE_A.to_be_bytes());
            message.extend_from_slice(&CLASS_IN.to_be_bytes());
            message.extend_from_slice(&TTL.to_be_bytes());
            message.extend_from_slice(&[0, 4]);
            message.extend_from_slice(&address.octets());
        }
        message
    }
}

/// The header of an answer with so many questions and answers.
fn header(
    id: [u8; 2],
    recursion_desired: bool,
    code: Code,
    [questions, answers]: [u8; 2],
) -> [u8; HEADER] {
    let response = 0x80 | u8::from(recursion_desired);
    let recursion_available = 0x80;
    [id[0], id[1], response, recursion_available | code as u8, 0, questions, 0, answers, 0, 0, 0, 0]
}

/// Reads a name without pointers, to which the first name of a message has nothing to point. With
/// how many bytes it took.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        // What is longer is a pointer, or a kind of label that was never used. The name on the wire
        // is two bytes longer than written.
        if length > MAX_LABEL || at + length > MAX_NAME + 1 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in bytes.get(at..at + length)? {
            match byte {
                b'.' | b'\\' | ..=b' ' | 0x7f.. => name.extend(escaped(*byte)),
                _ => name.push(byte.to_ascii_lowercase() as char),
            }
        }
        at += length;
    }
}

/// A byte as `\123`, in the notation of RFC 1035, section 5.1.
fn escaped(byte: u8) -> [char; 4] {
    let digit = |unit: u8| char::from(b'0' + byte / unit % 10);
    ['\\', digit(100), digit(10), digit(1)]
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A question as a resolver asks it.
    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message
    }

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

    #[test]
    fn a_name_is_answered_with_its_address() {
        let mut message = question("API.Example.com", TYPE_A);
        // An option after the question (RFC 6891), as Go's resolver sends it.
        message[11] = 1;
        message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        let query = Query::read(&message).unwrap();
        assert_eq!(query.name, "api.example.com");
        let answer = query.answer(Answer::Address(ADDRESS));
        assert_eq!(answer[..12], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[12..33], message[12..33]);
        assert_eq!(answer[33..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 2]);
    }

    #[test]
    fn other_types_have_no_data_but_no_error_either() {
        let aaaa = question("api.example.com", 28);
        let answer = Query::read(&aaaa).unwrap().answer(Answer::Address(ADDRESS));
        assert_eq!(answer[2..8], [0x81, 0x80, 0, 1, 0, 0]);
        assert_eq!(answer[12..], aaaa[12..]);
    }

    #[test]
    fn names_that_are_not_there_are_said_not_to_be() {
        let message = question("x.example", TYPE_A);
        let query = Query::read(&message).unwrap();
        assert_eq!(query.answer(Answer::NoSuchName)[2..8], [0x81, 0x83, 0, 1, 0, 0]);
        assert_eq!(query.answer(Answer::Failure)[2..8], [0x81, 0x82, 0, 1, 0, 0]);
    }

    #[test]
    fn what_is_no_question_is_refused() {
        assert_eq!(Query::read(b"short"), Err(Malformed::Silent));
        let mut response = question("x.example", TYPE_A);
        response[2] |= 0x80;
        assert_eq!(Query::read(&response), Err(Malformed::Silent));
        let refused = |message: &[u8]| match Query::read(message) {
            Err(Malformed::Answer(answer)) => answer[3] & 0x0f,
            other => panic!("{other:?}"),
        };
        let mut update = question("x.example", TYPE_A);
        update[2] |= 5 << 3;
        assert_eq!(refused(&update), Code::NotImplemented as u8);
        let mut two = question("x.example", TYPE_A);
        two[5] = 2;
        assert_eq!(refused(&two), Code::FormatError as u8);
        let whole = question("x.example", TYPE_A);
        for length in HEADER..whole.len() {
            assert_eq!(refused(&whole[..length]), Code::FormatError as u8, "{length}");
        }
        // A pointer to itself.
        let loops = [&whole[..HEADER], &[0xc0, 12, 0, 1, 0, 1]].concat();
        assert_eq!(refused(&loops), Code::FormatError as u8);
        let long = question(&["a".repeat(63).as_str(); 4].join("."), TYPE_A);
        assert_eq!(refused(&long), Code::FormatError as u8);
    }

    #[test]
    fn no_byte_of_a_name_is_taken_for_another() {
        let mut message = question("", TYPE_A);
        message.splice(12..12, *b"\x0aexample.co\x03\x00\\M");
        assert_eq!(Query::read(&message).unwrap().name, "example\\046co.\\000\\092m");
        assert_eq!(Query::read(&question(".", TYPE_A)).unwrap().name, "");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(message in vec(any::<u8>(), 0..600)) {
            match Query::read(&message) {
                Ok(query) => {
                    prop_assert!(query.name.len() <= 4 * MAX_NAME);
                    let answer = query.answer(Answer::Address(ADDRESS));
                    prop_assert!(answer.len() <= message.len() + 16);
                }
                Err(Malformed::Answer(answer)) => prop_assert_eq!(answer.len(), HEADER),
                Err(Malformed::Silent) => {}
            }
        }

        #[test]
        fn damaged_questions_are_read_without_panic(
            name in "[a-z]{1,63}(\\.[a-z]{1,63}){0,2}", at in 0usize..200, byte: u8,
        ) {
            let mut message = question(&name, TYPE_A);
            prop_assert_eq!(&Query::read(&message).unwrap().name, &name);
            let at = at % message.len();
            message[at] = byte;
            let _ = Query::read(&message).map(|query| query.answer(Answer::NoSuchName));
        }
    }
}
