//! The texts that pipelines are built from: every shader, in every way that it may be written.

use std::collections::BTreeSet;

use super::SHADERS;
use crate::device::shader::Dialect;
use crate::device::{CodecSource, Shader};
use crate::rows::Format;

/// One text of a shader.
pub(super) struct Variant {
    /// The shader's name, and what sets this text apart.
    pub name: String,
    pub dialect: Dialect,
    /// WGSL without imports.
    pub text: String,
}

/// The codecs that a shader is written for: each in turn, for all of its tables; none, once, where it has no table.
pub(super) fn codecs(shader: &Shader) -> Vec<Vec<CodecSource>> {
    let imports: BTreeSet<_> =
        shader.source.lines().filter_map(|line| line.trim().strip_prefix("//import rows/page.wgsl")).collect();
    match imports.len() {
        0 => vec![Vec::new()],
        tables => Format::ALL.iter().map(|format| vec![format.source(); tables]).collect(),
    }
}

/// All texts in these dialects; where two dialects make no difference to a shader, the first.
pub(super) fn variants(dialects: &[Dialect]) -> impl Iterator<Item = Variant> {
    SHADERS.iter().flat_map(move |&shader| {
        let mut texts: Vec<Variant> = Vec::new();
        for (&dialect, codecs) in
            dialects.iter().flat_map(|dialect| codecs(shader).into_iter().map(move |of| (dialect, of)))
        {
            let text = shader.text(dialect, &codecs);
            if texts.iter().all(|known| known.text != text) {
                let Dialect { immediates, wide_integers } = dialect;
                let words = [(immediates, "+immediates"), (wide_integers, "+64-bit")];
                let suffix: String = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
                let codec = codecs.first().map_or(String::new(), |codec| format!("+{}", codec.name));
                texts.push(Variant { name: format!("{}{codec}{suffix}", shader.name), dialect, text });
            }
        }
        texts
    })
}
