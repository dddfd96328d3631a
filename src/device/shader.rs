//! What a kernel declares of its WGSL, and how `//import` lines are resolved.
//!
//! The declaration is the one place where Rust states an interface; the contract test parses every shader with naga
//! and compares entry points, workgroup sizes, bindings and the layout of `Params`.

use crate::{Error, Result};

/// Shared memory that any entry point may use; the contract test holds them to it.
pub(crate) const MAX_SHARED_BYTES: u32 = 16 * 1024;

/// The most bytes of `Params`: those that a device with immediates has room for.
pub(crate) const MAX_PARAMS_BYTES: u32 = 128;

/// How every shader takes its `Params`, as a uniform.
pub(crate) const UNIFORM_PARAMS: &str = "@group(0) @binding(0) var<uniform> params: Params;";

/// The same as immediates, which need no buffer. (An address space is nothing that an `override` could choose.)
pub(crate) const IMMEDIATE_PARAMS: &str = "var<immediate> params: Params;";

/// How every shader multiplies to 64 bits.
pub(crate) const MUL_WIDE: &str = include_str!("../../shaders/common/mul_wide.wgsl");

/// The same with 64-bit integers.
pub(crate) const MUL_WIDE_64: &str = include_str!("../../shaders/common/mul_wide_64.wgsl");

/// How an entry point uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}

/// One entry point: its name, threads a workgroup, and the storage bindings it touches (binding 0 is `Params`).
#[derive(Debug)]
pub(crate) struct Entry {
    pub name: &'static str,
    pub workgroup: u32,
    pub bindings: &'static [(u32, Access)],
    /// The `override` constants that it reads. Others that its kernel has make no pipeline of their own.
    pub overrides: &'static [&'static str],
}

/// A storage buffer that is read.
pub(crate) const fn reads(binding: u32) -> (u32, Access) {
    (binding, Access::Read)
}

/// A storage buffer that is written, and perhaps read.
pub(crate) const fn writes(binding: u32) -> (u32, Access) {
    (binding, Access::Write)
}

impl Entry {
    /// One of workgroups of 256 threads, with its storage bindings.
    pub(crate) const fn of(name: &'static str, bindings: &'static [(u32, Access)]) -> Self {
        Self { name, workgroup: 256, bindings, overrides: &[] }
    }

    /// The same, which reads `override` constants.
    pub(crate) const fn with_overrides(self, overrides: &'static [&'static str]) -> Self {
        Self { overrides, ..self }
    }

    /// The same with other workgroups.
    pub(crate) const fn with_threads(self, workgroup: u32) -> Self {
        Self { workgroup, ..self }
    }

    /// Whether a device with these limits, perhaps lower than WebGPU's defaults, can run it.
    pub(crate) fn check(&self, op: &'static str, limits: &wgpu::Limits) -> Result<()> {
        for (limit, allowed, requested) in [
            ("max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup, self.workgroup),
            ("max_compute_workgroup_size_x", limits.max_compute_workgroup_size_x, self.workgroup),
            (
                "max_storage_buffers_per_shader_stage",
                limits.max_storage_buffers_per_shader_stage,
                self.bindings.len() as u32,
            ),
            ("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size, MAX_SHARED_BYTES),
        ] {
            if requested > allowed {
                let (allowed, requested) = (allowed.into(), requested.into());
                return Err(Error::Limit { op, arg: self.name, limit, allowed, requested });
            }
        }
        Ok(())
    }
}

/// A WGSL file with its entry points. `name` is the kernel's, `family/kernel`, and so the file's.
#[derive(Debug)]
pub(crate) struct Shader {
    pub name: &'static str,
    pub source: &'static str,
    pub params: &'static [Field],
    pub entries: &'static [Entry],
}

impl Shader {
    /// Words of its `Params`.
    pub(crate) fn param_words(&self) -> usize {
        self.params.iter().map(|field| field.group.map_or(1, |group| group.fields.len())).sum()
    }

    pub(crate) fn entry(&self, name: &str) -> &'static Entry {
        self.entries
            .iter()
            .find(|entry| entry.name == name)
            .unwrap_or_else(|| panic!("{}.wgsl declares no entry point {name}", self.name))
    }
}

/// What of a device decides how a shader is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `Params` are immediates, else a uniform.
    pub immediates: bool,
    /// Products of 64 bits are those of 64-bit integers.
    pub wide_integers: bool,
}

impl Dialect {
    /// All there are, the one that every device understands first.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = {
        let base = Self { immediates: false, wide_integers: false };
        let immediates = Self { immediates: true, ..base };
        let wide_integers = Self { wide_integers: true, ..base };
        [base, immediates, wide_integers, Self { immediates: true, wide_integers: true }]
    };
}

impl Shader {
    /// The text that a pipeline is built from: without imports, with a codec for each table, written for a device.
    pub(crate) fn text(&self, dialect: Dialect, codecs: &[CodecSource]) -> String {
        let params = if dialect.immediates { IMMEDIATE_PARAMS } else { UNIFORM_PARAMS };
        let mul_wide = if dialect.wide_integers { MUL_WIDE_64 } else { MUL_WIDE };
        resolve(self.source, codecs).replacen(UNIFORM_PARAMS, params, 1).replacen(MUL_WIDE, mul_wide, 1)
    }
}

/// Files of `shaders`, with their names.
macro_rules! shared {
    ($($file:literal),* $(,)?) => { &[$(($file, include_str!(concat!("../../shaders/", $file)))),*] };
}

/// Shared WGSL, by the name that an `//import` line gives.
const SHARED: &[(&str, &str)] = shared![
    "common/by_ids.wgsl",
    "common/count.wgsl",
    "common/draw.wgsl",
    "common/draw_params.wgsl",
    "common/elementary.wgsl",
    "common/formulas.wgsl",
    "common/four.wgsl",
    "common/fresh.wgsl",
    "common/fresh_params.wgsl",
    "common/get_four.wgsl",
    "common/grid.wgsl",
    "common/last_begin.wgsl",
    "common/mul_wide.wgsl",
    "common/normal.wgsl",
    "common/optimizer.wgsl",
    "common/philox.wgsl",
    "common/put_four.wgsl",
    "common/runs.wgsl",
    "common/scan.wgsl",
    "common/step_params.wgsl",
    "rows/four.wgsl",
    "rows/page.wgsl",
    "rows/page_params.wgsl",
    "rows/pairs.wgsl",
    "rows/put.wgsl",
    "rows/put_stepped.wgsl",
    "rows/row.wgsl",
];

/// The WGSL of a codec, by its name.
#[derive(Clone, Copy, Debug)]
pub struct CodecSource {
    pub name: &'static str,
    pub source: &'static str,
}

/// Puts the shared files in place of their `//import` lines, each once.
///
/// `//import FILE as NAME` makes a copy for one of several tables: what begins with `page_` in the file begins with
/// `NAME_` in it. Without a name it begins with nothing; `as page` in such a file names the same table. A line
/// `//codec` is where a file wants a codec (`shaders/rows/codec_NAME.wgsl`): those of `codecs`, in order.
///
/// `//import FILE as NAME of TYPE` makes a copy for one of several buffers, as WGSL passes no pointers to these: `LIST`
/// in the file is the buffer's name, and `NUMBER` the type of its elements.
pub(crate) fn resolve(source: &str, codecs: &[CodecSource]) -> String {
    let mut resolved = Resolved { out: String::with_capacity(2 * source.len()), done: Vec::new(), codecs };
    resolved.append(source, None);
    assert!(resolved.codecs.is_empty(), "{} codecs more than the shader has tables", resolved.codecs.len());
    resolved.out
}

struct Resolved<'a> {
    out: String,
    /// Files that are there, by name and the name that they were imported as.
    done: Vec<(String, Option<String>)>,
    codecs: &'a [CodecSource],
}

impl Resolved<'_> {
    /// Adds a file, one of a table's where it has a prefix.
    fn append(&mut self, source: &str, prefix: Option<&str>) {
        for line in source.lines() {
            if let Some(import) = line.trim_start().strip_prefix("//import ") {
                match import.trim().split_once(" as ") {
                    // For the table that this file is for.
                    Some((file, "page")) => self.import(file, prefix.and_then(|prefix| prefix.strip_suffix('_'))),
                    Some((file, name)) => self.import(file, Some(name)),
                    None => self.import(import.trim(), None),
                }
            } else if line.trim_start() == "//codec" {
                let (codec, others) = self.codecs.split_first().expect("a codec for each table");
                self.codecs = others;
                self.append(codec.source, prefix);
            } else {
                match prefix {
                    Some(prefix) => self.out.push_str(&line.replace("page_", prefix)),
                    None => self.out.push_str(line),
                }
                self.out.push('\n');
            }
        }
    }

    fn import(&mut self, file: &str, name: Option<&str>) {
        let key = (file.to_owned(), name.map(str::to_owned));
        if self.done.contains(&key) {
            return;
        }
        self.done.push(key);
        let (_, text) =
            SHARED.iter().find(|(known, _)| *known == file).unwrap_or_else(|| panic!("no shared WGSL named {file}"));
        if let Some((list, number)) = name.and_then(|name| name.split_once(" of ")) {
            return self.append(&text.replace("LIST", list).replace("NUMBER", number), None);
        }
        let prefix = name.map_or(String::new(), |name| format!("{name}_"));
        self.append(text, file.starts_with("rows/").then_some(&prefix));
    }
}

/// A field of a `Params` struct: a 32-bit scalar, or a group of them that several kernels have.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub group: Option<Group>,
}

/// Scalars that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub name: &'static str,
    pub fields: &'static [&'static str],
}

impl Field {
    /// The names of its scalars in WGSL: those of a group as they are where the field has the group's name, else after
    /// the field's.
    pub fn names(&self) -> Vec<String> {
        match self.group {
            None => vec![self.name.to_owned()],
            Some(Group { name, fields }) if name == self.name => fields.iter().map(|&field| field.to_owned()).collect(),
            Some(Group { fields, .. }) => fields.iter().map(|field| format!("{}_{field}", self.name)).collect(),
        }
    }
}

/// What may be a field of `Params`.
pub(crate) trait Param {
    const GROUP: Option<Group> = None;
    fn push(self, words: &mut Vec<u32>);
}

impl Param for u32 {
    fn push(self, words: &mut Vec<u32>) {
        words.push(self);
    }
}

impl Param for f32 {
    fn push(self, words: &mut Vec<u32>) {
        words.push(self.to_bits());
    }
}

/// Declares a kernel's parameters: 32-bit scalars and groups of them, in the order of the WGSL struct `Params`.
macro_rules! params {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        struct $name { $($field: $type),* }
        impl $name {
            const FIELDS: &'static [$crate::device::shader::Field] = &[$($crate::device::shader::Field {
                name: stringify!($field),
                group: <$type as $crate::device::shader::Param>::GROUP,
            }),*];
            fn words(&self) -> Vec<u32> {
                let mut words = Vec::new();
                $($crate::device::shader::Param::push(self.$field, &mut words);)*
                words
            }
        }
    };
}
pub(crate) use params;

/// Declares a group of parameters that several kernels have, by the name of the field that holds it.
macro_rules! param_group {
    ($(#[$meta:meta])* $group:literal, struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub(crate) struct $name { $(pub $field: $type),* }
        impl $crate::device::shader::Param for $name {
            const GROUP: Option<$crate::device::shader::Group> =
                Some($crate::device::shader::Group { name: $group, fields: &[$(stringify!($field)),*] });
            fn push(self, words: &mut Vec<u32>) {
                $($crate::device::shader::Param::push(self.$field, words);)*
            }
        }
    };
}
pub(crate) use param_group;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_get_names_and_codecs_of_their_own() {
        let source =
            "//import rows/page_params.wgsl as user\n//import rows/page_params.wgsl\n//import rows/page_params.wgsl\n";
        let text = resolve(source, &[]);
        assert_eq!(text.matches("user_first_row: u32").count(), 1);
        assert_eq!(text.matches("first_row: u32").count(), 2, "{text}");
        let [a, b] = ["const a = 1u;", "const b = 2u;"].map(|source| CodecSource { name: "", source });
        let text = resolve("//codec\n//codec\n", &[a, b]);
        assert_eq!(text, "const a = 1u;\nconst b = 2u;\n");
    }
}
