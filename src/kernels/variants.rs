//! The texts that pipelines are built from: every shader with every codec, in every way that it may be written.

use wgpu::naga;
use wgpu::naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

use super::SHADERS;
use crate::device::Shader;
use crate::device::shader::Dialect;
use crate::rows::Format;

/// One text of a shader.
pub(crate) struct Variant {
    pub shader: &'static Shader,
    /// The shader's name, and after it what sets this text apart: the codecs, and what it wants of a device.
    pub name: String,
    /// The tables that the shader reads or writes, and how their values are stored.
    pub tables: Vec<(&'static str, Format)>,
    pub dialect: Dialect,
    /// WGSL without imports.
    pub text: String,
}

impl Variant {
    /// The text as naga reads it. Every text is tested, so one that is not valid is our mistake.
    pub fn parsed(&self) -> (naga::Module, ModuleInfo) {
        parse(&self.text, self.dialect).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Parses and validates a text with what WebGPU has and the features of a dialect.
pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<(naga::Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::IMMEDIATES, dialect.immediates);
    capabilities.set(Capabilities::SHADER_INT64, dialect.wide_integers);
    let validated = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = validated.map_err(|error| error.emit_to_string(text))?;
    Ok((module, info))
}

/// All texts in these dialects.
pub(crate) fn variants(dialects: &[Dialect]) -> impl Iterator<Item = Variant> {
    SHADERS.iter().flat_map(move |shader| variants_of(shader, dialects))
}

/// Those of one shader; where two dialects make no difference, the first.
pub(crate) fn variants_of(shader: &'static Shader, dialects: &[Dialect]) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    for tables in stored(shader) {
        let formats: Vec<Format> = tables.iter().map(|(_, format)| *format).collect();
        let codecs: Vec<_> = formats.iter().map(|format| format.source()).collect();
        for &dialect in dialects {
            let text = shader.text(dialect, &codecs);
            if variants.iter().all(|known| known.text != text) {
                let name = format!("{}{}{}", shader.name, codec_name(&formats), dialect_name(dialect));
                variants.push(Variant { shader, name, tables: tables.clone(), dialect, text });
            }
        }
    }
    variants
}

/// The names of a shader's tables, in the order in which they get their codecs; the one without a name is `rows`.
fn tables(shader: &Shader) -> Vec<&'static str> {
    let mut names = Vec::new();
    for line in shader.source.lines() {
        if let Some(import) = line.strip_prefix("//import rows/page.wgsl") {
            let name = import.trim().strip_prefix("as ").unwrap_or("rows");
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// What the tables of a shader may be stored as: all in one format, or each in its own where they are separate tables.
fn stored(shader: &Shader) -> Vec<Vec<(&'static str, Format)>> {
    let tables = tables(shader);
    let in_one = |&format: &Format| tables.iter().map(|&table| (table, format)).collect();
    match tables.len() {
        0 => vec![Vec::new()],
        // Rows that move stay what they are.
        _ if shader.name == "table/migrate" => Format::ALL.iter().map(in_one).collect(),
        _ => tables.iter().fold(vec![Vec::new()], |all, &table| {
            let with = |before: &Vec<_>, format| before.iter().copied().chain([(table, format)]).collect();
            all.iter().flat_map(|before| Format::ALL.iter().map(move |&format| with(before, format))).collect()
        }),
    }
}

/// Such as `.f16`, or `.f16-f32` for two tables that differ.
fn codec_name(formats: &[Format]) -> String {
    match formats {
        [] => String::new(),
        [first, others @ ..] if others.iter().all(|other| other == first) => format!(".{}", first.name()),
        _ => format!(".{}", formats.iter().map(|format| format.name()).collect::<Vec<_>>().join("-")),
    }
}

fn dialect_name(Dialect { immediates, wide_integers }: Dialect) -> String {
    let words = [(immediates, "+immediates"), (wide_integers, "+64-bit")];
    words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect()
}
