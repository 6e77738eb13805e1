//! What the documentation tells operators to write works as written.

use std::{fs, path::Path};

use automa_tests::{User, automa, command, command_of, public_dir};

/// The block of a page that is marked with `language`.
fn block(page: &str, language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../automa-sandbox/src").join(page);
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// The values of a setting, in their order.
fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let prefix = format!("{name}=");
    unit.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
}

#[test]
fn the_systemd_unit_delegates_its_groups_and_is_understood() {
    let unit = block("operators.md", "ini");
    let known = |line: &&str| line.is_empty() || line.starts_with(['#', '[']) || line.contains('=');
    assert_eq!(unit.lines().find(|line| !known(line)), None);
    assert_eq!(values(&unit, "Delegate"), ["yes"]);
    assert_eq!(values(&unit, "OOMPolicy"), ["continue"]);
    let start = values(&unit, "ExecStart")[0];
    let (_, arguments) = start.split_once(" serve ").unwrap();
    let output = command(User::Ordinary).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in arguments.split(' ').filter(|argument| argument.starts_with("--")) {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    // What only systemd itself can judge. Elsewhere the above is all there is to say.
    let analyze = Path::new("/usr/bin/systemd-analyze");
    if analyze.exists() {
        let dir = public_dir();
        let file = dir.path().join("automa.service");
        // It asks whether the program exists.
        let here = unit.replace("/usr/local/bin/automa", automa().to_str().unwrap());
        fs::write(&file, here).unwrap();
        let mut command = command_of(analyze, User::all()[0]);
        let output = command.args(["verify", "--man=no"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("automa.service"), "{said}");
    }
}
