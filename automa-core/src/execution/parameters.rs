//! Parameters: how they are checked, and how they reach a script.
//!
//! - As environment variables of their own names: strings as they are, numbers and booleans as in
//!   JSON. What is `null` is not set, and arrays and objects are not either.
//! - All of them as one JSON object in a file, whose path is in `$AUTOMA_PARAMETERS`. There is one,
//!   if only with `{}`, in every execution.

use automa_sandbox::Command;
use serde_json::{Map, Value};

use super::Work;
use crate::{
    error::{FieldError, StoreError},
    store::record::Record,
};

/// Parameters by name.
pub type Parameters = Map<String, Value>;

/// Most bytes of the parameters of one execution as JSON: 64 KiB.
pub const PARAMETERS_MAX: usize = 64 << 10;

/// Most characters of a parameter's name.
const NAME_MAX: usize = 64;
/// Most errors that are told at once.
const ERRORS_MAX: usize = 20;
/// The variable with the path of the file.
const PATH_VARIABLE: &str = "AUTOMA_PARAMETERS";
/// The file, in the script's working directory; hidden, as it is not the script's.
const FILE: &str = ".automa-parameters.json";

/// Variables that are not for parameters: what the sandbox sets, and what makes a shell, an
/// interpreter or the loader work differently. Who may only choose parameters must not get to
/// choose what is run. Some are set by every shell for itself, so that a parameter would not arrive.
const RESERVED: [&str; 30] = [
    "_",
    "CDPATH",
    "DIRSTACK",
    "ENV",
    "EUID",
    "EXECIGNORE",
    "FUNCNAME",
    "FUNCNEST",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "GLOBIGNORE",
    "GROUPS",
    "HOME",
    "IFS",
    "LANG",
    "LANGUAGE",
    "LINENO",
    "LOCPATH",
    "LOGNAME",
    "OLDPWD",
    "PATH",
    "POSIXLY_CORRECT",
    "PPID",
    "PS4",
    "PWD",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "UID",
    "USER",
];
/// Beginnings of names that are not for parameters either.
const RESERVED_BEGINNINGS: [&str; 6] = ["AUTOMA_", "BASH", "LC_", "LD_", "MALLOC_", "PYTHON"];

/// The parameters as JSON text, or what is wrong with them: names, sizes, strings that cannot be
/// in an environment.
pub(crate) fn check(parameters: &Parameters) -> Result<String, Vec<FieldError>> {
    let errors: Vec<_> = parameters
        .iter()
        .filter_map(|(name, value)| {
            let problem = problem(name, value)?;
            Some(FieldError::new(format!("parameters/{}", pointed(name)), problem))
        })
        .take(ERRORS_MAX)
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    match serde_json::to_string(parameters) {
        Ok(json) if json.len() <= PARAMETERS_MAX => Ok(json),
        _ => Err(vec![FieldError::new("parameters", "must have at most 64 KiB as JSON")]),
    }
}

fn problem(name: &str, value: &Value) -> Option<&'static str> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !first || !rest || name.len() > NAME_MAX {
        return Some(
            "must have a name of 1 to 64 letters, digits and _, not beginning with a digit",
        );
    }
    if is_reserved(name) {
        return Some("has the name of a variable with a meaning of its own: take another name");
    }
    let nul = value.as_str().is_some_and(|text| text.contains('\0'));
    nul.then_some("must not contain a NUL character, which no environment variable can hold")
}

/// Whether a variable means something to Automa, a shell, Python or the loader.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || RESERVED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// A name as part of a JSON pointer, by which errors name places within the parameters.
pub(crate) fn pointed(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Reads what [`check`] has made, from the store.
pub(super) fn read(json: &str) -> Result<Parameters, StoreError> {
    serde_json::from_str(json).map_err(|_| {
        let source = postcard::Error::SerdeDeCustom;
        StoreError::Damaged { table: Work::TABLE, version: Work::VERSION, source }
    })
}

/// Gives a program its parameters.
pub(super) fn hand_over(command: Command, parameters: Option<Parameters>) -> Command {
    let parameters = parameters.unwrap_or_default();
    let variables: Vec<_> = parameters
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), variable(value)?)))
        .collect();
    let command = command
        .file(FILE, 0o400, Value::Object(parameters).to_string())
        .env(PATH_VARIABLE, format!("{}/{FILE}", Command::DIRECTORY));
    variables.into_iter().fold(command, |command, (name, value)| command.env(name, value))
}

fn variable(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parameters(value: Value) -> Parameters {
        let Value::Object(map) = value else { panic!("{value} is no object") };
        map
    }

    fn refused(value: Value) -> Vec<String> {
        let errors = check(&parameters(value)).unwrap_err();
        errors.into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for name in RESERVED.into_iter().chain([
            "AUTOMA_X",
            "LD_PRELOAD",
            "BASH_ENV",
            "BASHOPTS",
            "PYTHONPATH",
            "LC_ALL",
            "",
            "1A",
            "A-B",
            "Ä",
            "A B",
            "A=B",
        ]) {
            assert_eq!(refused(json!({ name: 1 })), [format!("parameters/{name}")]);
        }
        assert_eq!(refused(json!({ "a/b~": 1 })), ["parameters/a~1b~0"]);
        assert_eq!(refused(json!({ "x".repeat(65): 1 })).len(), 1);
        let fine = json!({ "a": 1, "_A9": 1, "path": 1, "AUTOMATIC": 1, "x".repeat(64): 1 });
        assert!(check(&parameters(fine)).is_ok());
    }

    #[test]
    fn what_no_environment_can_hold_is_refused() {
        assert_eq!(refused(json!({ "a": "x\0y" })), ["parameters/a"]);
        assert!(check(&parameters(json!({ "a": ["x\0y"], "b": "\u{1}\n" }))).is_ok());
    }

    #[test]
    fn there_is_a_most_of_bytes_and_of_errors() {
        let with = |bytes: usize| parameters(json!({ "a": "x".repeat(bytes) }));
        let overhead = r#"{"a":""}"#.len();
        assert!(check(&with(PARAMETERS_MAX - overhead)).is_ok());
        let errors = check(&with(PARAMETERS_MAX - overhead + 1)).unwrap_err();
        assert_eq!(errors[0].to_string(), "parameters: must have at most 64 KiB as JSON");
        let many: Parameters = (0..100).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(check(&many).unwrap_err().len(), ERRORS_MAX);
    }

    #[test]
    fn scalars_become_variables() {
        for (value, expected) in [
            (json!("a b"), Some("a b")),
            (json!(""), Some("")),
            (json!(1), Some("1")),
            (json!(-1.5), Some("-1.5")),
            (json!(true), Some("true")),
            (json!(null), None),
            (json!([1]), None),
            (json!({}), None),
        ] {
            assert_eq!(variable(&value).as_deref(), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_was_accepted_can_be_handed_over(name: String, text: String, number: f64) {
            let map = parameters(json!({ name: text, "n": number }));
            if let Ok(json) = check(&map) {
                prop_assert_eq!(read(&json).unwrap(), map.clone());
                let _ = hand_over(Command::new("/bin/true"), Some(map));
            }
        }
    }
}
