//! Small programs that show how Automa is embedded: see the files beside this one.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use automa_sandbox::Child;

/// Shows a program's output until it has said `part`.
///
/// # Errors
///
/// When it has ended before.
pub async fn until(child: &mut Child, part: &str) -> Result<(), &'static str> {
    let mut shown = String::new();
    while !shown.contains(part) {
        let chunk = child.next_output().await.ok_or("the program has ended")?;
        shown += &String::from_utf8_lossy(&chunk.bytes);
    }
    print!("{shown}");
    Ok(())
}
