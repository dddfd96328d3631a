//! What a kernel declares of its WGSL, and how `//import` lines are resolved.
//!
//! The declaration is the one place where Rust states an interface; the contract test parses every shader with naga
//! and compares entry points, workgroup sizes, bindings and the layout of `Params`.

use std::borrow::Cow;

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
}

impl Entry {
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
    pub params: &'static [&'static str],
    pub entries: &'static [Entry],
}

impl Shader {
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
    /// The text that a pipeline is built from: no imports are left, and it is written for a device.
    pub(crate) fn text(&self, dialect: Dialect) -> String {
        let params = if dialect.immediates { IMMEDIATE_PARAMS } else { UNIFORM_PARAMS };
        let mul_wide = if dialect.wide_integers { MUL_WIDE_64 } else { MUL_WIDE };
        resolve(self.source).replacen(UNIFORM_PARAMS, params, 1).replacen(MUL_WIDE, mul_wide, 1)
    }
}

/// Shared WGSL, by the name that an `//import` line gives.
const COMMON: &[(&str, &str)] = &[
    ("common/directory.wgsl", include_str!("../../shaders/common/directory.wgsl")),
    ("common/elementary.wgsl", include_str!("../../shaders/common/elementary.wgsl")),
    ("common/four.wgsl", include_str!("../../shaders/common/four.wgsl")),
    ("common/fresh.wgsl", include_str!("../../shaders/common/fresh.wgsl")),
    ("common/grid.wgsl", include_str!("../../shaders/common/grid.wgsl")),
    ("common/half.wgsl", include_str!("../../shaders/common/half.wgsl")),
    ("common/mul_wide.wgsl", MUL_WIDE),
    ("common/normal.wgsl", include_str!("../../shaders/common/normal.wgsl")),
    ("common/optimizer.wgsl", include_str!("../../shaders/common/optimizer.wgsl")),
    ("common/philox.wgsl", include_str!("../../shaders/common/philox.wgsl")),
    ("common/rows.wgsl", include_str!("../../shaders/common/rows.wgsl")),
    ("common/scan.wgsl", include_str!("../../shaders/common/scan.wgsl")),
];

/// Puts the shared files in place of their `//import` lines, each once.
pub(crate) fn resolve(source: &str) -> Cow<'_, str> {
    if !source.contains("//import ") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(2 * source.len());
    let mut done = Vec::new();
    append(&mut out, source, &mut done);
    Cow::Owned(out)
}

fn append(out: &mut String, source: &str, done: &mut Vec<String>) {
    for line in source.lines() {
        match line.strip_prefix("//import ").map(str::trim) {
            Some(name) if done.iter().any(|d| d == name) => {}
            Some(name) => {
                let (_, text) = COMMON
                    .iter()
                    .find(|(known, _)| *known == name)
                    .unwrap_or_else(|| panic!("no shared WGSL named {name}"));
                done.push(name.to_owned());
                append(out, text, done);
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
}

/// A 32-bit scalar of a `Params` struct.
pub(crate) trait Word {
    fn word(self) -> u32;
}

impl Word for u32 {
    fn word(self) -> u32 {
        self
    }
}

impl Word for f32 {
    fn word(self) -> u32 {
        self.to_bits()
    }
}

/// Declares a kernel's parameters: 32-bit scalars, in the order of the WGSL struct `Params`.
macro_rules! params {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        struct $name { $($field: $type),* }
        impl $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
            fn words(&self) -> Vec<u32> {
                vec![$($crate::device::shader::Word::word(self.$field)),*]
            }
        }
    };
}
pub(crate) use params;
