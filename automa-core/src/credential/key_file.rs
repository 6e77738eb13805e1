//! Private keys as files: what OpenSSH reads.

use secrecy::SecretString;
use zeroize::Zeroizing;

/// What a key in OpenSSH's own format begins with.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// A private key as it is kept: with the line ends that OpenSSH needs, also at its end.
///
/// # Errors
///
/// What it is instead of a private key.
pub(super) fn read(text: &str) -> Result<SecretString, &'static str> {
    let text = Zeroizing::new(text.replace("\r\n", "\n"));
    let text = text.trim();
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.contains("PUBLIC KEY") {
        return Err("is a public key; the private one is in the file without .pub");
    }
    if text.starts_with("PuTTY") {
        return Err("is a key of PuTTY; export it as an OpenSSH key with puttygen");
    }
    let not_one = "must be a private key: all lines of its file, from BEGIN to END";
    let pem = pem::parse(text).map_err(|_| not_one)?;
    if !pem.tag().ends_with("PRIVATE KEY") {
        return Err(not_one);
    }
    let is_openssh = pem.tag() == "OPENSSH PRIVATE KEY";
    let contents = Zeroizing::new(pem.into_contents());
    if contents.is_empty() || (is_openssh && cipher(&contents).is_none()) {
        return Err(not_one);
    }
    // As large as what is in it, so that no copy is left behind.
    let mut kept = String::with_capacity(text.len() + 1);
    kept.push_str(text);
    kept.push('\n');
    Ok(kept.into())
}

/// Whether a key that [`read`] found right needs a passphrase.
pub(super) fn is_encrypted(text: &str) -> bool {
    let Ok(pem) = pem::parse(text) else { return false };
    let by_header = pem.headers().get("Proc-Type").is_some_and(|it| it.contains("ENCRYPTED"));
    match pem.tag() {
        "OPENSSH PRIVATE KEY" => {
            let contents = Zeroizing::new(pem.into_contents());
            cipher(&contents).is_some_and(|cipher| cipher != b"none")
        }
        "ENCRYPTED PRIVATE KEY" => true,
        _ => by_header,
    }
}

/// The name of the cipher that a key in OpenSSH's format is encrypted with.
fn cipher(contents: &[u8]) -> Option<&[u8]> {
    let (length, rest) = contents.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
