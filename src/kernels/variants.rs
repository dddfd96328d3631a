//! The texts that pipelines are built from: every shader, in every way that it may be written.

use super::SHADERS;
use crate::device::shader::Dialect;

/// One text of a shader.
pub(super) struct Variant {
    /// The shader's name, and what sets this text apart.
    pub name: String,
    pub dialect: Dialect,
    /// WGSL without imports.
    pub text: String,
}

/// All texts in these dialects; where two dialects make no difference to a shader, the first.
pub(super) fn variants(dialects: &[Dialect]) -> impl Iterator<Item = Variant> {
    SHADERS.iter().flat_map(move |&shader| {
        let mut texts: Vec<Variant> = Vec::new();
        for &dialect in dialects {
            let text = shader.text(dialect);
            if texts.iter().all(|known| known.text != text) {
                let Dialect { immediates, wide_integers } = dialect;
                let words = [(immediates, "+immediates"), (wide_integers, "+64-bit")];
                let suffix: String = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
                texts.push(Variant { name: format!("{}{suffix}", shader.name), dialect, text });
            }
        }
        texts
    })
}
