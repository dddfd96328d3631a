//! The encoding of a file's text, and its way to UTF-8.

use std::fmt;
use std::str::FromStr;

use crate::text::quoted;
use crate::{Error, Result};

/// An encoding of text, by a name that the web has for it (`latin1`, `shift_jis`, `utf-16le`); UTF-8 by default.
///
/// Bytes that mean nothing in it make an error with their line. Names are those of the
/// [Encoding Standard](https://encoding.spec.whatwg.org/#names-and-labels), for which `latin1` is windows-1252. Other
/// encodings than UTF-8 need the feature `files`.
///
/// ```
/// use scall_gpu::stream::Encoding;
/// assert_eq!(Encoding::default(), "utf8".parse()?);
/// assert!("latin42".parse::<Encoding>().is_err());
/// # Ok::<(), scall_gpu::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding(&'static str);

/// The name of the default.
const UTF8: &str = "UTF-8";

impl Default for Encoding {
    fn default() -> Self {
        Self(UTF8)
    }
}

impl Encoding {
    /// Its name in the standard.
    pub fn name(self) -> &'static str {
        self.0
    }

    #[cfg(feature = "files")]
    pub(super) fn is_utf8(self) -> bool {
        self.0 == UTF8
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for Encoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        #[cfg(feature = "files")]
        let found = encoding_rs::Encoding::for_label(name.as_bytes()).map(|encoding| Self(encoding.name()));
        #[cfg(not(feature = "files"))]
        let found = ["utf-8", "utf8"].contains(&name.to_ascii_lowercase().as_str()).then(Self::default);
        found.ok_or_else(|| Error::Argument {
            op: "stream/encoding",
            arg: "name",
            expected: if cfg!(feature = "files") {
                "an encoding that the web knows, such as utf-8, latin1, windows-1251, gbk, shift_jis or utf-16le".into()
            } else {
                "utf-8, as this build has no feature `files`".into()
            },
            got: quoted(name.as_bytes()),
        })
    }
}

#[cfg(feature = "files")]
pub(super) use decoded::Decoded;

#[cfg(feature = "files")]
mod decoded {
    use std::io::{Read, Result};

    use encoding_rs::{Decoder, DecoderResult};

    use super::Encoding;

    /// Bytes that are read at once.
    const ROOM: usize = 1 << 15;

    /// An input in another encoding, read as UTF-8. What means nothing becomes the byte 0xFF, which UTF-8 has not, so
    /// that whoever checks a field knows its line.
    pub struct Decoded<R> {
        input: R,
        decoder: Decoder,
        raw: Vec<u8>,
        /// What is decoded and not yet read begins at `at`.
        text: Vec<u8>,
        at: usize,
        ended: bool,
    }

    impl<R: Read> Decoded<R> {
        pub fn new(input: R, encoding: Encoding) -> Self {
            let found = encoding_rs::Encoding::for_label(encoding.name().as_bytes());
            let decoder = found.unwrap_or(encoding_rs::UTF_8).new_decoder_with_bom_removal();
            Self { input, decoder, raw: vec![0; ROOM], text: Vec::new(), at: 0, ended: false }
        }

        fn fill(&mut self) -> Result<()> {
            self.text.clear();
            self.at = 0;
            while self.text.is_empty() && !self.ended {
                let count = self.input.read(&mut self.raw)?;
                self.ended = count == 0;
                let mut rest = &self.raw[..count];
                loop {
                    let start = self.text.len();
                    // Room for all that may come, so that it is never said to be full for long.
                    self.text.resize(start + 4 * rest.len() + 64, 0);
                    let room = &mut self.text[start..];
                    let (found, read, written) =
                        self.decoder.decode_to_utf8_without_replacement(rest, room, self.ended);
                    self.text.truncate(start + written);
                    rest = &rest[read..];
                    match found {
                        DecoderResult::InputEmpty => break,
                        DecoderResult::OutputFull => {}
                        DecoderResult::Malformed(..) => self.text.push(0xFF),
                    }
                }
            }
            Ok(())
        }
    }

    impl<R: Read> Read for Decoded<R> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            if self.at == self.text.len() {
                self.fill()?;
            }
            let count = buffer.len().min(self.text.len() - self.at);
            buffer[..count].copy_from_slice(&self.text[self.at..self.at + count]);
            self.at += count;
            Ok(count)
        }
    }
}
