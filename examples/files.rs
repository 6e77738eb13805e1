//! Files in and out: a script reads one that it is given, changes a directory of the host that
//! stays, and leaves one for its caller.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::{error::Error, os::unix::fs::chown};

use automa_sandbox::{CollectLimits, Command, DirectoryMount, Engine, EngineConfig, Runtime};

const SCRIPT: &str = r#"
    sort input.txt >"$AUTOMA_OUT/sorted.txt"
    ln -s /etc/passwd "$AUTOMA_OUT/a-link"
    wc -l <input.txt >>/automa/job/data/counts/lines
"#;

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Box<dyn Error>> {
    let engine = Engine::start(EngineConfig::default()).await?;
    let counts = tempfile::tempdir()?;
    if !engine.host().user_namespace() {
        // Under root, what programs may write to belongs to an account that owns nothing else.
        chown(counts.path(), Some(65534), Some(65534))?;
    }
    let inside = format!("{}/counts", Command::DATA_DIRECTORY);
    let command = Runtime::bash()?
        .command(SCRIPT, "sort.sh")
        .file("input.txt", 0o644, "pear\napple\n")
        .directory(DirectoryMount::new(counts.path(), inside).writable())
        .collect(CollectLimits::default());
    let output = engine.output(command).await?;
    assert!(output.report.success(), "it {}", output.report.outcome);

    let artifacts = output.artifacts.ok_or("it was to collect some")?;
    for file in &artifacts.files {
        let content = std::io::read_to_string(artifacts.open(file)?)?;
        println!("{}, {} bytes: {content:?}", file.path.display(), file.size);
    }
    for skipped in &artifacts.skipped {
        println!("left out {skipped}");
    }
    assert_eq!((artifacts.files.len(), artifacts.skipped_count), (1, 1));
    assert_eq!(std::fs::read_to_string(counts.path().join("lines"))?.trim(), "2");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    automa_sandbox::reexec_guard();
    run()
}
